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

# Networks that learn have a lower training loss than untrained ones. Dead networks, and those left
# by a rate of .9, stay near it. The test loss may rise a hundredfold by overfitting.
_DIVERGED = 9  # times its size, above the loss before training
_LEARNED = 0.01  # of the training loss; at a rate of 1 it falls by less than a ten-thousandth


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
    condition is marked `same_as_baseline` if its networks are, bit for bit, and `did_not_learn` if
    its mean training loss fell by less than a hundredth. `stopped_early` says how many of its
    networks the callback stopped, and after which epoch the first.

    Args:
      n_examples: how many the training and the test errors were measured on. The intervals of
        errors are for new seeds and new examples; comparisons hold for these examples. None if
        errors are no rates (`Config.error_fn`): then all hold for these examples.
      kernels: the names of the layers' kernels, for a network other than an MLP.

    Raises:
      ValueError: if the population is not of these conditions and seeds.

    Example:
      >>> from dropout_jax.training.evaluation import Curve, Metrics
      >>> metrics = Metrics(np.ones((1, 3, 2)), np.full((1, 3, 2), 0.5))  # a condition, three seeds
      >>> population = Population({}, {}, np.arange(2), Curve(metrics, metrics))
      >>> found = summarise({"none": Hparams()}, range(3), population, Measured({}, {}, []), (9, 9))
      >>> print(found["conditions"]["none"]["test_error"]["mean"])
      0.5
    """
    expected, got = (len(conditions), len(seeds)), population.curve.train.loss.shape[:2]
    if got != expected:
        raise ValueError(
            f"the population must be {expected[0]} conditions × {expected[1]} seeds, "
            f"got {got[0]} × {got[1]}"
        )
    names, settings = list(conditions), differing_settings(conditions)
    counts = did_not_diverge(population)
    n_compared = (counts & counts[0]).sum(axis=1)
    fewest = min((int(n) for n in n_compared if n), default=0)
    every_n = sorted({int(n) for n in n_compared[1:] if n}, reverse=True) or [fewest]
    no_rates = [0.0] * len(measured.values)
    records = {}
    for c, (name, hparams) in enumerate(conditions.items()):
        rates = np.asarray(hparams.rates, float).tolist() if hparams.rates is not None else no_rates
        records[name] = {
            "rates": rates,
            "weight_decay": float(hparams.weight_decay),
            **settings[name],
            **_record(c, seeds, counts[c], population, measured, n_examples or (np.inf, np.inf)),
            "n_compared": int(n_compared[c]),
            **_remarks(c, counts[c], population),
        }
    return {
        "schema_version": 2,
        "n_seeds": len(seeds),
        **({} if kernels is None else {"layers": list(kernels)}),
        "statistics": {
            "interval": "; ".join(dict.fromkeys(map(paired.describe_interval, every_n))),
            "margins": MARGINS,
            "smallest_p": paired.smallest_p(fewest) if fewest else np.nan,
        },
        "conditions": records,
        "comparisons": compare_conditions(names, measured, counts) if len(names) > 1 else [],
    }


def _record(
    c: int,
    seeds: Sequence[int],
    counts: np.ndarray,
    population: Population,
    measured: Measured,
    n_examples: tuple[float, float],
) -> dict[str, Any]:
    """What was measured of the members of condition c that count [S]."""
    live = [np.asarray(inputs[c])[counts] for inputs in measured.live_inputs]
    train, test = (
        _error_record(np.asarray(metrics.error, np.float64)[c, counts, -1], n)
        for metrics, n in zip(population.curve, n_examples, strict=True)
    )
    return {
        "train_error": train,
        "test_error": test,
        "dead_inputs": [float((~of).sum(-1).mean()) if len(of) else np.nan for of in live],
        "diverged_seeds": [seed for seed, ok in zip(seeds, counts, strict=True) if not ok],
    }


def _error_record(errors: np.ndarray, n_examples: float) -> dict[str, float]:
    """Mean, deviation and interval of errors [S]; NaN where they are too few."""
    if not len(errors):
        return dict.fromkeys(("mean", "sd", "ci_low", "ci_high"), np.nan)
    low, high = error_interval(errors, n_examples) if len(errors) > 1 else (np.nan, np.nan)
    sd = float(errors.std(ddof=1)) if len(errors) > 1 else np.nan
    return {"mean": float(errors.mean()), "sd": sd, "ci_low": low, "ci_high": high}


def _remarks(c: int, counts: np.ndarray, population: Population) -> dict[str, Any]:
    """What is unusual about condition c, as `summarise` says; empty if nothing is."""
    found: dict[str, Any] = {}
    leaves = jax.tree.leaves(population.params) if c else []
    if leaves and all(np.array_equal(w[c], w[0], equal_nan=True) for w in leaves):
        found["same_as_baseline"] = True
    loss = np.asarray(population.curve.train.loss, np.float64)[c, counts]
    first, last = loss.mean(axis=0)[[0, -1]] if len(loss) else (np.nan, np.nan)
    if loss.shape[-1] > 1 and first - last < _LEARNED * abs(first):
        found["did_not_learn"] = True
    if population.last_epoch is not None:
        last_epoch = population.last_epoch[c]
        if n := int((last_epoch < population.epochs[-1]).sum()):
            found["stopped_early"] = {"networks": n, "first": int(last_epoch.min())}
    return found


def compare_conditions(
    names: Sequence[str], measured: Measured, counts: np.ndarray
) -> list[dict[str, Any]]:
    """Every other condition against the first, in every layer, view and measure, seed by seed.

    A pair of members counts if both do (counts [C, S]); with fewer than two pairs all is NaN. A
    family, over which p-values are adjusted, is all conditions, layers and views of one measure.

    Example:
      >>> ginis = np.array([[0.5, 0.4, 0.6], [0.4, 0.3, 0.4]])  # conditions, seeds
      >>> measured = Measured({0: {"entries": dict.fromkeys(MEASURES, ginis)}}, {}, [])
      >>> row, *_ = compare_conditions(["none", "dropout"], measured, np.ones((2, 3), bool))
      >>> print(row["measure"], round(row["difference"], 3))
      gini -0.133
    """
    views = [(l, view) for l, found in measured.values.items() for view in VIEWS if view in found]
    rows = []
    for measure in MEASURES:
        values = np.stack([measured.values[l][view][measure] for l, view in views], axis=-1)
        compared = paired.compare(
            np.tile(values[0], len(names) - 1),
            np.concatenate(values[1:], axis=-1),
            measure in HIGHER_IS_UNIFORM,
            MARGINS[measure],
            np.repeat(counts[0] & counts[1:], len(views), axis=0).T,
        )
        cells = itertools.product(names[1:], views)
        for (condition, (layer, view)), comparison in zip(cells, compared, strict=True):
            key = {"baseline": names[0], "condition": condition, "layer": layer, "view": view}
            family = f"{measure}, all conditions, layers and views"
            rows.append({**key, "measure": measure, "family": family, **comparison._asdict()})
    return sorted(rows, key=lambda row: names.index(row["condition"]))


def did_not_diverge(population: Population) -> np.ndarray:
    """Which members [C, S] did not diverge at any point of their learning curve.

    Their losses are finite, and their training loss exceeds that before training by at most nine
    times its size.

    Example:
      >>> from dropout_jax.training.evaluation import Curve, Metrics
      >>> losses = np.array([[[2.3, 0.5], [2.3, np.nan]]])  # condition, seeds, points of the curve
      >>> curve = Curve(Metrics(losses, None), Metrics(losses, None))
      >>> print(did_not_diverge(Population({}, {}, np.arange(2), curve)))
      [[ True False]]
    """
    train, test = population.curve.train.loss, population.curve.test.loss
    largest = train[..., :1] + _DIVERGED * np.abs(train[..., :1])
    fine = np.isfinite(train) & np.isfinite(test) & (train <= largest)
    return np.asarray(fine.all(axis=-1))


def differing_settings(conditions: Mapping[str, Hparams]) -> dict[str, dict[str, float]]:
    """The learning rate, momentum and max-norm of each condition, where conditions differ.

    Without a bound on norms, a condition has no `max_norm`.

    Example:
      >>> print(differing_settings({"none": Hparams(), "slow": Hparams(learning_rate=0.01)}))
      {'none': {'learning_rate': 0.05}, 'slow': {'learning_rate': 0.01}}
    """
    settings: dict[str, dict[str, float]] = {name: {} for name in conditions}
    for key in ("learning_rate", "momentum", "max_norm"):
        values = [getattr(hparams, key) for hparams in conditions.values()]
        values = [np.inf if value is None else float(value) for value in values]
        for name, value in zip(conditions, values, strict=True):
            if len(set(values)) > 1 and value < np.inf:
                settings[name][key] = value
    return settings
