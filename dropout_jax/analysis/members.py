"""The measures of every member of a population: arrays, or rows of a table.

Shapes: C conditions, S seeds, L layers, n training examples, Q points of a profile.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dropout_jax.analysis.trees import kernels_in
from dropout_jax.analysis.uniformity import MEASURES, Profile
from dropout_jax.analysis.views import LayerViews, Live, layer_views, measure_layer
from dropout_jax.data import Array
from dropout_jax.networks.calls import check_network
from dropout_jax.networks.mlp import MLP, Params, layers
from dropout_jax.networks.protocol import Network
from dropout_jax.populations.devices import compile_ahead, map_members
from dropout_jax.populations.population import Population

VIEWS = ("entries", "columns", "change", "contribution", "path_norm")


class Measured(NamedTuple):
    """What was measured on a member, with leading axes [C, S] for a population.

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
    """All measures of one MLP in all views of its layers (`views.measure_layer`).

    What is constant over the training data x_train [n, D] is dead, and left out.

    Example:
      >>> model = MLP((3, 2))
      >>> params = model.init(jax.random.key(0), np.zeros(4))
      >>> found = measure_member(model, params, params, np.eye(4))
      >>> print(sorted(found.values[0]))
      ['change', 'columns', 'contribution', 'entries', 'path_norm']
    """
    init_kernels = [layer["kernel"] for layer in layers(init_params)]
    return _measured(layer_views(model, params, x_train), init_kernels)


@jax.jit
def _measure_kernels(
    params: Params, init_params: Params, live_inputs: Sequence[jax.Array]
) -> Measured:
    """All measures of the kernels of one member of any network, without what needs activations.

    `live_inputs` says which inputs of each kernel count [in]; all its outputs do.
    """
    views = [
        LayerViews(kernel, Live(inputs, jnp.ones(kernel.shape[1], bool)), {})
        for kernel, inputs in zip(kernels_in(params).values(), live_inputs, strict=True)
    ]
    return _measured(views, kernels_in(init_params).values())


def _measured(views: Sequence[LayerViews], init_kernels: Iterable[jax.Array]) -> Measured:
    """All measures of the views of a member's layers."""
    values, profiles = {}, {}
    for l, (layer, init_kernel) in enumerate(zip(views, init_kernels, strict=True)):
        values[l], profiles[l] = measure_layer(layer, init_kernel)
    return Measured(values, profiles, [layer.live.inputs for layer in views])


def measure_population(model: Network, population: Population, x_train: Array) -> Measured:
    """`measure_member` for all members [C, S], one after another on each device.

    A network other than an MLP has the views of its kernels alone. There an input is dead if in
    some condition no weight from it moved in any seed. Such is a pixel that is always 0, unless all
    conditions decay weights. Units that are dead in some seeds alone are not known, and count.

    Raises:
      TypeError: if the model is no network.

    Example:
      >>> model = MLP((2,))
      >>> params = model.init(jax.random.key(0), np.zeros(4))
      >>> members = jax.tree.map(lambda leaf: leaf[None, None], params)  # one condition, one seed
      >>> population = Population(members, members, np.arange(1), None)
      >>> found = measure_population(model, population, np.eye(4, dtype=np.float32))
      >>> print(found.values[0]["entries"]["gini"].shape)
      (1, 1)
    """
    check_network(model)
    members = (population.params, population.init_params)
    if isinstance(model, MLP):
        return map_members(measure_member, (model,), members, x_train)
    kernels = (kernels_in(params, n_leading=2).values() for params in members)
    moved = [
        (after != before).any(axis=(1, 3)).all(axis=0)
        for after, before in zip(*kernels, strict=True)
    ]
    live = [inputs if inputs.any() else ~inputs for inputs in moved]  # a frozen kernel counts
    return map_members(_measure_kernels, (), members, live)


def compile_measures(model: Network, params: Params, x_train: Array, n_members: int) -> None:
    """Compile what `measure_population` needs, while networks are trained.

    Params are those of one network, or their shapes and types.

    Example:
      >>> params = jax.eval_shape(MLP((2,)).init, jax.random.key(0), np.zeros(4))
      >>> compile_measures(MLP((2,)), params, np.eye(4, dtype=np.float32), n_members=6)
    """
    if isinstance(model, MLP):
        x = jax.typeof(x_train)
        return compile_ahead(measure_member, (model,), (params, params), x, n_members)
    kernels = jax.eval_shape(kernels_in, params).values()
    live = [jax.ShapeDtypeStruct(kernel.shape[:1], bool) for kernel in kernels]
    return compile_ahead(_measure_kernels, (), (params, params), live, n_members)


def tidy(
    names: Sequence[str], seeds: Sequence[int], population: Population, measured: Measured
) -> Iterator[tuple[str, int, int | str, str, str, float]]:
    """Every number as (condition, seed, layer, view, measure, value); `dead` inputs are counted.

    Those of whole networks come first, with an empty layer and view; `epochs` if one stopped early.

    Example:
      >>> from dropout_jax.training.evaluation import Curve, Metrics
      >>> metrics = Metrics(np.ones((1, 1, 2)), np.zeros((1, 1, 2)))  # a condition, a seed
      >>> population = Population({}, {}, np.arange(2), Curve(metrics, metrics))
      >>> print(*next(tidy(["none"], [7], population, Measured({}, {}, []))))
      none 7   train_loss 1.0
    """
    whole = {name: values[..., -1] for name, values in population.curve.by_name().items()}
    if population.last_epoch is not None and (population.last_epoch < population.epochs[-1]).any():
        whole["epochs"] = population.last_epoch
    for c, name in enumerate(names):
        for s, seed in enumerate(seeds):
            for metric, values in whole.items():
                yield name, seed, "", "", metric, float(values[c, s])
            for layer, views in measured.values.items():
                n_dead = np.sum(~np.asarray(measured.live_inputs[layer][c, s]))
                yield name, seed, layer, "inputs", "dead", float(n_dead)
                for view in (view for view in VIEWS if view in views):
                    for measure in MEASURES:
                        yield name, seed, layer, view, measure, float(views[view][measure][c, s])
