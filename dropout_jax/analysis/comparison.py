"""The comparison of conditions: every member is measured, and pairs are compared seed by seed.

Shapes: C conditions, S seeds, L layers, n training examples, P points of a learning curve.
"""

import itertools
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dropout_jax.analysis import paired
from dropout_jax.analysis.statistics import error_interval
from dropout_jax.analysis.trees import layers_in
from dropout_jax.analysis.uniformity import HIGHER_IS_UNIFORM, MARGINS, MEASURES, Profile
from dropout_jax.analysis.views import (
    LayerViews,
    Live,
    layer_views,
    measure_alike,
    measure_kernel,
)
from dropout_jax.data import Array
from dropout_jax.networks.mlp import MLP, Params, layers
from dropout_jax.networks.protocol import Network
from dropout_jax.populations.devices import Device, map_members
from dropout_jax.populations.population import Population
from dropout_jax.training.config import Hparams

_SCHEMA_VERSION = 2
VIEWS = ("entries", "columns", "change", "contribution", "path_norm")
# Networks that learn have a lower training loss than untrained ones. Dead networks, and those left
# by a rate of .9, stay near it. The test loss may rise a hundredfold by overfitting.
_DIVERGED = 10


class Row(NamedTuple):
    """One number of a member; layer and view are empty for those of the whole network."""

    condition: str
    seed: int
    layer: int | str
    view: str
    measure: str
    value: float


class Measured(NamedTuple):
    """What was measured on members, with leading axes [C, S] for a population.

    Attributes:
      values: {layer: {view: {measure: scalar}}}.
      profiles: {layer: {view: Profile [Q]}} of |w| (`entries`) and of `contribution`.
      live_inputs: for every layer, which of its inputs vary over the training data [in].
    """

    values: dict[int, dict[str, dict[str, jax.Array]]]
    profiles: dict[int, dict[str, Profile]]
    live_inputs: list[jax.Array]


@partial(jax.jit, static_argnames="model")
def measure_member(model: MLP, params: Params, init_params: Params, x_train: Array) -> Measured:
    """All measures of one MLP in all views of all its layers.

    The views of kernels are those of `views.measure_kernel`. Hidden layers add those of their units
    that are not dead. A dead input or unit is constant over the training data x_train [n, D].

    Example:
      >>> model = MLP((3, 2))
      >>> params = model.init(jax.random.key(0), np.zeros(4))
      >>> found = measure_member(model, params, params, np.eye(4))
      >>> print(sorted(found.values[0]))
      ['change', 'columns', 'contribution', 'entries', 'path_norm']
    """
    return _measured(layer_views(model, params, x_train), layers(init_params))


@partial(jax.jit, static_argnames="model")
def measure_kernels(
    model: Network, params: Params, init_params: Params, live_inputs: Sequence[jax.Array]
) -> Measured:
    """All measures of the kernels of one member of any network, without what needs activations.

    Args:
      model: the network.
      params: the trained parameters.
      init_params: those before training.
      live_inputs: which inputs of each kernel count [in]; all its outputs do.

    Example:
      >>> model = MLP((3, 2))
      >>> params = model.init(jax.random.key(0), np.zeros(4))
      >>> found = measure_kernels(model, params, params, [np.ones(4, bool), np.ones(3, bool)])
      >>> print(sorted(found.values[0]))
      ['change', 'columns', 'entries']
    """
    views = [
        LayerViews(layer["kernel"], Live(inputs, jnp.ones(layer["kernel"].shape[1], bool)), {})
        for layer, inputs in zip(layers_in(model, params), live_inputs, strict=True)
    ]
    return _measured(views, layers_in(model, init_params))


def _measured(views: Sequence[LayerViews], init_layers: Sequence[dict[str, jax.Array]]) -> Measured:
    """All measures of the views of a member's layers."""
    values: dict[int, dict] = {}
    profiles: dict[int, dict] = {}
    for l, (layer, initial) in enumerate(zip(views, init_layers, strict=True)):
        values[l], of_entries = measure_kernel(layer.kernel, initial["kernel"], layer.live)
        profiles[l] = {"entries": of_entries}
        if layer.units:
            of_units, sorted_units = measure_alike(layer.units, layer.live.outputs)
            values[l] |= of_units
            profiles[l]["contribution"] = sorted_units["contribution"]
    return Measured(values, profiles, [layer.live.inputs for layer in views])


def measure_population(
    model: Network, population: Population, x_train: Array, devices: Sequence[Device] | None = None
) -> Measured:
    """`measure_member` for all members [C, S], one after another on each device.

    Of a network other than an MLP, `measure_kernels`: all entries count but those from an input
    that some condition shows to be dead, as no weight from it moved in any seed. Such is a pixel
    that is always 0. Units that are dead in some seeds alone are not known, and count.

    Example:
      >>> model = MLP((2,))
      >>> params = model.init(jax.random.key(0), np.zeros(4))
      >>> members = jax.tree.map(lambda leaf: leaf[None, None], params)  # one condition, one seed
      >>> population = Population(members, members, np.arange(1), None)
      >>> found = measure_population(model, population, np.eye(4, dtype=np.float32))
      >>> print(found.values[0]["entries"]["gini"].shape)
      (1, 1)
    """
    members = (population.params, population.init_params)
    if isinstance(model, MLP):
        return map_members(measure_member, (model,), members, x_train, devices)
    trees = (layers_in(model, params, 2) for params in members)
    moved = [
        (after["kernel"] != before["kernel"]).any(axis=(1, 3)).all(axis=0)
        for after, before in zip(*trees, strict=True)
    ]
    live = [inputs if inputs.any() else ~inputs for inputs in moved]  # a frozen kernel counts
    return map_members(measure_kernels, (model,), members, live, devices)


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


def tidy(
    names: Sequence[str], seeds: Sequence[int], population: Population, measured: Measured
) -> Iterator[Row]:
    """Every number as a row, whole-network metrics first; `dead` counts the inputs left out."""
    whole = {
        f"{split}_{metric}": getattr(getattr(population.curve, split), metric)[..., -1]
        for split in ("train", "test")
        for metric in ("loss", "error")
    }
    for c, name in enumerate(names):
        for s, seed in enumerate(seeds):
            for metric, values in whole.items():
                yield Row(name, seed, "", "", metric, float(values[c, s]))
            for layer, views in measured.values.items():
                n_dead = np.sum(~np.asarray(measured.live_inputs[layer][c, s]))
                yield Row(name, seed, layer, "inputs", "dead", float(n_dead))
                for view in (view for view in VIEWS if view in views):
                    for measure in MEASURES:
                        value = float(views[view][measure][c, s])
                        yield Row(name, seed, layer, view, measure, value)


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
    comparisons of their condition, or of all comparisons if they belong to the baseline.

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
      >>> print(*next(tidy(["none", "dropout"], range(3), population, measured))[-2:])
      train_loss 1.0
    """
    names = list(conditions)
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
                "train_error": errors(population.curve.train.error, n_train, c),
                "test_error": errors(population.curve.test.error, n_test, c),
                "dead_inputs": dead(c),
                "diverged_seeds": [
                    seed for seed, ok in zip(seeds, counts[c], strict=True) if not ok
                ],
                "n_compared": int(n_compared[c]),
            }
            for c, (name, hparams) in enumerate(conditions.items())
        },
        "comparisons": comparisons,
    }
