"""Views of the layers of a network: the numbers that a measure is taken of.

Shapes: n examples, D inputs of the network; in, out units of a layer.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from dropout_jax.analysis.trees import arrays_of, kernels_in
from dropout_jax.analysis.uniformity import MEASURES, Measure, Profile, gini, profile
from dropout_jax.analysis.units import contribution, path_norm
from dropout_jax.networks.mlp import MLP, Params, layers


class Live(NamedTuple):
    """The inputs [in] and outputs [out] of a layer that count: those that vary over the data."""

    inputs: jax.Array
    outputs: jax.Array


def varies(x: ArrayLike) -> jax.Array:
    """Which columns [D] of x [n, D] vary over its rows: the pixels or units that are not dead.

    Raises:
      ValueError: if x is not [n, D] with n > 0.

    Example:
      >>> print(varies(jnp.array([[1.0, 2.0], [1.0, 3.0]])))
      [False  True]
    """
    x = jnp.asarray(x)
    if x.ndim != 2 or not len(x):
        raise ValueError(f"x must be [n, D] with n > 0, got shape {x.shape}")
    return x.max(axis=0) > x.min(axis=0)


class LayerViews(NamedTuple):
    """One layer of a network on given data: what can be measured of it.

    Attributes:
      kernel: [in, out].
      live: the inputs and outputs that vary over the data; dead is what is constant.
      units: {view: values [out]}, `contribution` and `path_norm`; empty for the output layer.
    """

    kernel: jax.Array
    live: Live
    units: dict[str, jax.Array]


def layer_views(model: MLP, params: Params, x: ArrayLike) -> list[LayerViews]:
    """The views of every layer of a network, first to last, on data x [n, D].

    Example:
      >>> model = MLP((3, 2))
      >>> params = model.init(jax.random.key(0), jnp.zeros(4))
      >>> first, output = layer_views(model, params, jnp.eye(4))
      >>> print(first.kernel.shape, sorted(first.units), output.units)
      (4, 3) ['contribution', 'path_norm'] {}
    """
    hidden = cast(tuple, model.apply(params, x, method="activations"))[:-1]
    live = [*map(varies, (x, *hidden)), jnp.ones(model.features[-1], bool)]
    trained = layers(params)
    views = []
    for l, layer in enumerate(trained):
        units = {}
        if l < len(hidden):
            outgoing = trained[l + 1]["kernel"]
            incoming = jnp.where(live[l][:, None], layer["kernel"], 0)
            units["contribution"] = contribution(hidden[l], outgoing)
            units["path_norm"] = path_norm(incoming, layer["bias"], outgoing)
        views.append(LayerViews(layer["kernel"], Live(live[l], live[l + 1]), units))
    return views


def measure_entries(measure: Callable[..., Any], kernel: jax.Array, live: Live) -> Any:
    """The measure (or `profile`) of |w| over all live entries of a kernel [in, out].

    Example:
      >>> from dropout_jax.analysis.uniformity import cv
      >>> live = Live(jnp.array([True, False]), jnp.array([True, True]))
      >>> print(measure_entries(cv, jnp.array([[1.0, -3.0], [7.0, 9.0]]), live))  # of 1 and 3
      0.5
    """
    return measure(jnp.abs(kernel), live.inputs[:, None] & live.outputs[None, :])


def measure_columns(measure: Measure, kernel: jax.Array, live: Live) -> jax.Array:
    """The measure of |w| over the live inputs of one unit, averaged over live units.

    It is low if no unit has "one large weight for one neuron and small ones for the others".

    Example:
      >>> from dropout_jax.analysis.uniformity import cv
      >>> live = Live(jnp.array([True, True]), jnp.array([True, True]))
      >>> print(measure_columns(cv, jnp.array([[1.0, 5.0], [3.0, 5.0]]), live))  # .5 and 0
      0.25
    """
    of_unit = jax.vmap(lambda column: measure(jnp.abs(column), live.inputs), in_axes=1)(kernel)
    return jnp.mean(of_unit, where=live.outputs)


def measure_alike(
    sets: Mapping[str, jax.Array], where: jax.Array
) -> tuple[dict[str, dict[str, jax.Array]], dict[str, Profile]]:
    """Every measure and the profile of sets of magnitudes of one shape, by the set's name.

    They are measured as one batch, with one sort for all of them.

    Args:
      sets: magnitudes [...], all with the same entries that count.
      where: which entries count [...].

    Example:
      >>> sets = {"even": jnp.array([1.0, 1.0]), "uneven": jnp.array([0.0, 1.0])}
      >>> values, profiles = measure_alike(sets, jnp.array([True, True]))
      >>> print(values["even"]["gini"], values["uneven"]["gini"], profiles["uneven"].lorenz[-1])
      0.0 1.0 1.0
    """

    def measure(a: jax.Array) -> tuple[dict[str, jax.Array], Profile]:
        return {name: measure(a, where) for name, measure in MEASURES.items()}, profile(a, where)

    found = jax.vmap(measure)(jnp.stack(list(sets.values())))
    each = [jax.tree.map(lambda leaf, i=i: leaf[i], found) for i in range(len(sets))]
    values, profiles = zip(*each, strict=True)
    return dict(zip(sets, values, strict=True)), dict(zip(sets, profiles, strict=True))


def measure_kernel(
    kernel: jax.Array, init_kernel: jax.Array, live: Live
) -> tuple[dict[str, dict[str, jax.Array]], Profile]:
    """Every measure in the three views of one layer, {view: {measure: scalar}}, and |w| sorted.

    `entries` is |w| over the layer, `change` is |w - w₀|; `columns` is |w| over the inputs of one
    unit, averaged over units. Kernels are [in, out]; what is dead is left out.

    Example:
      >>> live = Live(jnp.array([True, True]), jnp.array([True, True]))
      >>> kernel = jnp.array([[1.0, 5.0], [3.0, 5.0]])
      >>> print(measure_kernel(kernel, jnp.zeros((2, 2)), live)[0]["columns"]["cv"])
      0.25
    """
    sets = {"entries": jnp.abs(kernel), "change": jnp.abs(kernel - init_kernel)}
    values, profiles = measure_alike(sets, live.inputs[:, None] & live.outputs[None, :])
    columns = {name: measure_columns(m, kernel, live) for name, m in MEASURES.items()}
    return {**values, "columns": columns}, profiles["entries"]


def ginis(params: Any) -> dict[str, jax.Array]:
    """Gini of |w| of every kernel in a tree of parameters, by its path: for any training loop.

    A kernel is what `trees.kernels_in` finds. All its weights count, dead or not; nothing is
    compiled anew for new values. Of a population, whose parameters are [C, S, …], take
    `jax.vmap(jax.vmap(ginis))`: it would pool the weights of its members.

    Raises:
      ValueError: if there is none.

    Example:
      >>> layer = {"kernel": jnp.eye(2), "bias": jnp.ones(2)}
      >>> print({name: round(float(of), 3) for name, of in ginis({"layer_0": layer}).items()})
      {'layer_0.kernel': 0.667}
    """
    kernels = kernels_in(params)
    if not kernels:
        names = list(arrays_of(params))[:5]
        raise ValueError(f"params must hold a kernel, named kernel, w or weight, got {names}")
    return dict(zip(kernels, _gini_of_each(list(kernels.values())), strict=True))


@jax.jit
def _gini_of_each(kernels: list[jax.Array]) -> list[jax.Array]:
    return [gini(kernel) for kernel in kernels]
