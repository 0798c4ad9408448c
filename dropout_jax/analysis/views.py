"""Views of the layers of a network: the numbers that a measure is taken of.

Shapes: n examples, D inputs of the network; in, out units of a layer.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from dropout_jax.analysis.trees import arrays_of, kernels_in
from dropout_jax.analysis.uniformity import MEASURES, Profile, gini, profile
from dropout_jax.analysis.units import contribution, path_norm
from dropout_jax.networks.mlp import MLP, Params, layers


class Live(NamedTuple):
    """The inputs [in] and outputs [out] of a layer that count: those that vary over the data."""

    inputs: jax.Array
    outputs: jax.Array

    @property
    def entries(self) -> jax.Array:
        """The entries of its kernel [in, out] between live inputs and live outputs."""
        return self.inputs[:, None] & self.outputs[None, :]


def varying_columns(x: ArrayLike) -> jax.Array:
    """Which columns [D] of x [n, D] vary over its rows: the pixels or units that are not dead.

    Raises:
      ValueError: if x is not [n, D] with n > 0.

    Example:
      >>> print(varying_columns(jnp.array([[1.0, 2.0], [1.0, 3.0]])))
      [False  True]
    """
    x = jnp.asarray(x)
    if x.ndim != 2 or not len(x):
        raise ValueError(f"x must be [n, D] with n > 0, got shape {x.shape}")
    return x.max(axis=0) > x.min(axis=0)


class LayerViews(NamedTuple):
    """What can be measured of one layer on given data.

    Attributes:
      kernel: [in, out].
      live: the inputs and outputs that vary over the data.
      units: {view: values [out]}, `contribution` and `path_norm`; empty for the output layer.
    """

    kernel: jax.Array
    live: Live
    units: dict[str, jax.Array]


def layer_views(model: MLP, params: Params, x: ArrayLike) -> list[LayerViews]:
    """The views of every layer, first to last, on data x [n, D].

    Example:
      >>> model = MLP((3, 2))
      >>> params = model.init(jax.random.key(0), jnp.zeros(4))
      >>> first, output = layer_views(model, params, jnp.eye(4))
      >>> print(first.kernel.shape, sorted(first.units), output.units)
      (4, 3) ['contribution', 'path_norm'] {}
    """
    hidden = cast(tuple, model.apply(params, x, method="activations"))[:-1]
    live = [*map(varying_columns, (x, *hidden)), jnp.ones(model.features[-1], bool)]
    affine = layers(params)
    views = []
    for l, layer in enumerate(affine):
        units = {}
        if l < len(hidden):
            outgoing = affine[l + 1]["kernel"]
            incoming = jnp.where(live[l][:, None], layer["kernel"], 0)
            units["contribution"] = contribution(hidden[l], outgoing)
            units["path_norm"] = path_norm(incoming, layer["bias"], outgoing)
        views.append(LayerViews(layer["kernel"], Live(live[l], live[l + 1]), units))
    return views


def measure_columns(measure: Callable[..., jax.Array], kernel: jax.Array, live: Live) -> jax.Array:
    """The measure of |w| over the live inputs of one unit, averaged over live units.

    Example:
      >>> live = Live(jnp.array([True, True]), jnp.array([True, True]))
      >>> kernel = jnp.array([[1.0, 5.0], [3.0, 5.0]])
      >>> print(measure_columns(MEASURES["cv"], kernel, live))  # .5 and 0
      0.25
    """
    by_unit = jax.vmap(lambda column: measure(jnp.abs(column), live.inputs), in_axes=1)(kernel)
    return jnp.mean(by_unit, where=live.outputs)


def measure_layer(
    layer: LayerViews, init_kernel: jax.Array
) -> tuple[dict[str, dict[str, jax.Array]], dict[str, Profile]]:
    """Every measure in every view of a layer, {view: {measure: scalar}}, and two profiles.

    `entries` is |w| over the layer, and `change` |w - w₀|. `columns` is |w| over the inputs of one
    unit, averaged over units. Hidden layers add the views of `layer.units`. What is dead is left
    out. Profiles are of `entries` and, if it is there, of `contribution`.

    Example:
      >>> live = Live(jnp.array([True, True]), jnp.array([True, True]))
      >>> layer = LayerViews(jnp.array([[1.0, 5.0], [3.0, 5.0]]), live, {})
      >>> print(measure_layer(layer, jnp.zeros((2, 2)))[0]["columns"]["cv"])
      0.25
    """
    kernel, live = layer.kernel, layer.live
    sets = {"entries": jnp.abs(kernel), "change": jnp.abs(kernel - init_kernel)}
    values, profiles = _measure_sets(sets, live.entries)
    if layer.units:
        unit_values, unit_profiles = _measure_sets(layer.units, live.outputs)
        values, profiles = values | unit_values, profiles | unit_profiles
    values["columns"] = {name: measure_columns(m, kernel, live) for name, m in MEASURES.items()}
    with_profile = [view for view in ("entries", "contribution") if view in profiles]
    return values, {view: profiles[view] for view in with_profile}


def _measure_sets(
    sets: Mapping[str, jax.Array], where: jax.Array
) -> tuple[dict[str, dict[str, jax.Array]], dict[str, Profile]]:
    """Every measure and the profile of sets of magnitudes of one shape, with one sort for all.

    The same entries count (`where`) in all sets.
    """

    def measure_set(a: jax.Array) -> tuple[dict[str, jax.Array], Profile]:
        return {name: measure(a, where) for name, measure in MEASURES.items()}, profile(a, where)

    def by_name(stacked: Any) -> dict[str, Any]:
        return {name: jax.tree.map(lambda a, i=i: a[i], stacked) for i, name in enumerate(sets)}

    values, profiles = jax.vmap(measure_set)(jnp.stack(list(sets.values())))
    return by_name(values), by_name(profiles)


def ginis(params: Any) -> dict[str, jax.Array]:
    """Gini of |w| of every kernel in a tree of parameters, by its path: for any training loop.

    A kernel is what `trees.kernels_in` finds. All its weights count, dead or not. Of a population,
    whose parameters are [C, S, …], take `jax.vmap(jax.vmap(ginis))`, as `ginis` would pool members.

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


_gini_of_each = jax.jit(partial(jax.tree.map, gini))  # of a list; a dict would lose its order
