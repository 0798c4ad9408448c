"""The comparison of conditions: pairs of members, seed by seed, and the record of all of them.

Shapes: C conditions, S seeds, P points of a learning curve.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np

from dropout_jax.analysis import paired
from dropout_jax.analysis.members import VIEWS, Measured
from dropout_jax.analysis.statistics import error_interval
from dropout_jax.analysis.uniformity import HIGHER_IS_UNIFORM, MARGINS, MEASURES
from dropout_jax.populations.population import Population
from dropout_jax.training.config import Hparams

_SCHEMA_VERSION = 2
# Networks that learn have a lower training loss than untrained ones. Dead networks, and those left
# by a rate of .9, stay near it. The test loss may rise a hundredfold by overfitting.
_DIVERGED = 10
_LEARNED = 0.01  # of the training loss; at a rate of 1 it falls by less than a ten-thousandth


def sound(population: Population) -> np.ndarray:
    """Which members [C, S] did not diverge at any point of their learning curve.

    Their losses are finite, and their training loss exceeds that before training by nine times its
    size at most.

    Example:
      >>> from dropout_jax.training.epochs import Curve, Metrics
      >>> losses = np.array([[[2.3, 0.5], [2.3, np.nan]]])  # condition, seeds, points of the curve
      >>> curve = Curve(Metrics(losses, None), Metrics(losses, None))
      >>> print(sound(Population({}, {}, np.arange(2), curve)))
      [[ True False]]
    """
    train, test = population.curve.train.loss, population.curve.test.loss
    largest = train[..., :1] + (_DIVERGED - 1) * np.abs(train[..., :1])
    fine = np.isfinite(train) & np.isfinite(test) & (train <= largest)
    return np.asarray(fine.all(axis=-1))


def compare_conditions(
    names: Sequence[str], measured: Measured, counts: np.ndarray
) -> list[dict[str, Any]]:
    """Every other condition against the first, in every layer, view and measure, seed by seed.

    A pair of members counts if both do (counts [C, S]); with fewer than two pairs all is NaN. The
    adjusted p-values hold over a family: all conditions, layers and views of one measure. Gini is
    the primary measure; the others show whether the answer depends on it.

    Example:
      >>> ginis = np.array([[0.5, 0.4, 0.6], [0.4, 0.3, 0.4]])  # conditions, seeds
      >>> measured = Measured({0: {"entries": dict.fromkeys(MEASURES, ginis)}}, {}, [])
      >>> row, *_ = compare_conditions(["none", "dropout"], measured, np.ones((2, 3), bool))
      >>> print(row["measure"], round(row["difference"], 3))
      gini -0.133
    """
    of_layers = [(l, v) for l, views in measured.values.items() for v in VIEWS if v in views]
    cells = list(itertools.product(range(1, len(names)), of_layers))
    rows = []
    for measure in MEASURES:
        values = {(l, v): np.asarray(measured.values[l][v][measure]) for l, v in of_layers}
        compared = paired.compare(
            np.stack([values[of][0] for _, of in cells], axis=-1),
            np.stack([values[of][c] for c, of in cells], axis=-1),
            measure in HIGHER_IS_UNIFORM,
            MARGINS[measure],
            np.stack([counts[0] & counts[c] for c, _ in cells], axis=-1),
        )
        for (c, (layer, view)), one in zip(cells, compared, strict=True):
            key = {"baseline": names[0], "condition": names[c], "layer": layer, "view": view}
            family = f"{measure}, all conditions, layers and views"
            rows.append({**key, "measure": measure, "family": family, **one._asdict()})
    return sorted(rows, key=lambda row: names.index(row["condition"]))


def own_settings(conditions: Mapping[str, Hparams]) -> dict[str, dict[str, float]]:
    """Of each condition the learning rate, momentum and max-norm, those in which some differ.

    Without a bound on norms, a condition has no `max_norm`.

    Example:
      >>> print(own_settings({"none": Hparams(), "slow": Hparams(learning_rate=0.01)}))
      {'none': {'learning_rate': 0.05}, 'slow': {'learning_rate': 0.01}}
    """
    told: dict[str, dict[str, float]] = {name: {} for name in conditions}
    for key in ("learning_rate", "momentum", "max_norm"):
        values = [getattr(hparams, key) for hparams in conditions.values()]
        values = [np.inf if value is None else float(value) for value in values]
        for name, value in zip(conditions, values, strict=True):
            if len(set(values)) > 1 and value < np.inf:
                told[name][key] = value
    return told


def summarise(
    conditions: dict[str, Hparams],
    seeds: Sequence[int],
    population: Population,
    measured: Measured,
    n_examples: tuple[int, int] | None,
    kernels: Sequence[str] | None = None,
) -> dict[str, Any]:
    """The record of a comparison: conditions with their errors, and all paired comparisons.

    Members that diverged are named and left out of all means. Their seed is left out of the
    comparisons of their condition, or of all comparisons if they belong to the baseline. A
    condition with the networks of the baseline, bit for bit, says so: `same_as_baseline`. So does
    one whose mean training loss fell by less than a hundredth: `did_not_learn`. A
    learning rate, a momentum or a max-norm is there if conditions differ in it.

    Args:
      n_examples: how many the training and the test errors were measured on. The intervals of
        errors are for new seeds and new examples; comparisons hold for these examples. None if
        errors are no rates (`Config.error_fn`): then all hold for these examples.
      kernels: the names of the layers' kernels, for a network other than an MLP.

    Example:
      >>> from dropout_jax.training.epochs import Curve, Metrics
      >>> ginis = np.array([[0.5, 0.4, 0.6], [0.4, 0.3, 0.4]])  # conditions, seeds
      >>> measures = {"entries": dict.fromkeys(MEASURES, ginis)}
      >>> measured = Measured({0: measures}, {}, [np.ones((2, 3, 4), bool)])  # of four inputs
      >>> metrics = Metrics(np.ones((2, 3, 1)), np.ones((2, 3, 1)))
      >>> population = Population({}, {}, np.arange(1), Curve(metrics, metrics))
      >>> conditions = {"none": Hparams((0.0,)), "dropout": Hparams((0.5,))}
      >>> summary = summarise(conditions, range(3), population, measured, (9, 9))
      >>> print(summary["comparisons"][0]["verdict"])
      undecided
    """
    names, own = list(conditions), own_settings(conditions)
    counts = sound(population)
    comparisons = compare_conditions(names, measured, counts) if len(names) > 1 else []
    n_compared = (counts & counts[0]).sum(axis=1)
    fewest = min((int(n) for n in n_compared if n), default=0)
    n_train, n_test = n_examples or (np.inf, np.inf)

    def errors(curves: Any, n: float, c: int) -> dict[str, float]:
        last = np.asarray(curves, np.float64)[c, counts[c], -1]
        if not len(last):
            return dict.fromkeys(("mean", "sd", "ci_low", "ci_high"), np.nan)
        low, high = error_interval(last, n)
        sd = float(last.std(ddof=1)) if len(last) > 1 else np.nan
        return {"mean": float(last.mean()), "sd": sd, "ci_low": low, "ci_high": high}

    def same(c: int) -> bool:
        leaves = jax.tree.leaves(population.params) if c else []
        return bool(leaves) and all(np.array_equal(of[c], of[0], equal_nan=True) for of in leaves)

    def untaught(c: int) -> bool:
        loss = np.asarray(population.curve.train.loss, np.float64)[c, counts[c]]
        first, last = loss.mean(axis=0)[[0, -1]] if len(loss) else (np.nan, np.nan)
        return loss.shape[-1] > 1 and bool(first - last < _LEARNED * abs(first))

    def dead(c: int) -> list[float]:
        live = [np.asarray(live[c])[counts[c]] for live in measured.live_inputs]
        return [float((~of).sum(-1).mean()) if len(of) else np.nan for of in live]

    return {
        "schema_version": _SCHEMA_VERSION,
        "n_seeds": len(seeds),
        **({} if kernels is None else {"layers": list(kernels)}),
        "statistics": {
            "interval": paired.said_of_interval(fewest),
            "margins": MARGINS,
            "smallest_p": paired.smallest_p(fewest) if fewest else np.nan,
        },
        "conditions": {
            name: {
                "rates": [0.0] * len(measured.values)
                if hparams.rates is None
                else np.asarray(hparams.rates, float).tolist(),
                "weight_decay": float(hparams.weight_decay),
                **own[name],
                "train_error": errors(population.curve.train.error, n_train, c),
                "test_error": errors(population.curve.test.error, n_test, c),
                "dead_inputs": dead(c),
                "diverged_seeds": [
                    seed for seed, ok in zip(seeds, counts[c], strict=True) if not ok
                ],
                "n_compared": int(n_compared[c]),
                **({"same_as_baseline": True} if same(c) else {}),
                **({"did_not_learn": True} if untaught(c) else {}),
            }
            for c, (name, hparams) in enumerate(conditions.items())
        },
        "comparisons": comparisons,
    }
