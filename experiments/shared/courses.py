"""What is seen of a network at moments of its training that lie on a logarithmic scale.

Shapes: M moments, L layers, Q points of a profile, T stretches of the last change.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dropout_jax.analysis.uniformity import gini, profile
from dropout_jax.analysis.views import layer_views, varying_columns
from dropout_jax.data import Dataset
from dropout_jax.networks.mlp import Params, layers
from dropout_jax.training.batches import batch_indices
from dropout_jax.training.config import Config, Hparams
from dropout_jax.training.evaluation import learning_point
from dropout_jax.training.step import TrainState, init, train_step

POINTS = 41  # of a profile


class Look(NamedTuple):
    """What is measured at a moment: numbers, and sorted magnitudes in units of their mean [Q]."""

    numbers: dict[str, Any]
    profiles: dict[str, Any]


def moments(n_epochs: int, steps_per_epoch: int) -> tuple[int, ...]:
    """Steps on a logarithmic scale: the start, 8 in the first epoch, 7 more to the end."""
    first = np.geomspace(1, steps_per_epoch, 8)
    later = np.geomspace(steps_per_epoch, n_epochs * steps_per_epoch, 8)[1:]
    return (0, *np.unique(np.round([*first, *later]).astype(int)).tolist())


def measure(config: Config, params: Params, start: Params, data: Dataset) -> Look:
    """Distance from the start and uniformity, layer by layer; losses and errors.

    The distance is ‖w - w₀‖ / ‖w₀‖ over the inputs of the network that vary, and all of a hidden
    layer's.
    """
    views = layer_views(config.mlp, params, data.x_train)
    curve = learning_point(config, params, data)
    numbers: dict[str, jax.Array] = {
        "train loss": curve.train.loss,
        "train error, %": 100 * curve.train.error,
        "test error, %": 100 * curve.test.error,
    }
    profiles = {}
    for l, (layer, initial) in enumerate(zip(views, layers(start), strict=True)):
        rows = varying_columns(data.x_train)[:, None] if l == 0 else True
        w, w_0 = (jnp.where(rows, kernel, 0) for kernel in (layer.kernel, initial["kernel"]))
        numbers[f"distance, layer {l}"] = jnp.linalg.norm(w - w_0) / jnp.linalg.norm(w_0)
        numbers[f"|w|, layer {l}"] = gini(jnp.abs(layer.kernel), layer.live.entries)
        profiles[f"|w|, layer {l}"] = _sorted(jnp.abs(layer.kernel), layer.live.entries)
        for view, values in layer.units.items():
            name = f"{view.replace('_', ' ')}s, layer {l}"
            numbers[name] = gini(values, layer.live.outputs)
            if view == "contribution":
                profiles[name] = _sorted(values, layer.live.outputs)
    return Look(numbers, profiles)


def _sorted(a: jax.Array, where: jax.Array) -> jax.Array:
    """Sorted magnitudes in units of their mean, at equal steps of the fraction [Q]."""
    return profile(a, where, n_points=POINTS).relative


def course(
    config: Config,
    steps: tuple[int, ...],
    stretches: tuple[float, ...],
    hparams: Hparams,
    key: jax.Array,
    scale: jax.Array,
    data: Dataset,
    n_followed: int | None = None,
) -> tuple[Look, Look]:
    """Looks [M] at the moments of one training, and [T] at its last change stretched; key consumed.

    Initial kernels are multiplied by `scale`. The batches and masks are those of `epochs.fit`. All
    training examples are looked at, or the first `n_followed`.
    """
    followed = data._replace(x_train=data.x_train[:n_followed], y_train=data.y_train[:n_followed])
    x, y = jnp.asarray(data.x_train), jnp.asarray(data.y_train)
    state = init(config, hparams, key, x.shape[1])
    start = jax.tree.map(lambda leaf: scale * leaf, state.params)  # biases are 0
    orders = jax.vmap(
        lambda e: batch_indices(jax.random.fold_in(state.shuffle_key, e), len(x), config.batch_size)
    )(jnp.arange(config.epochs)).reshape(-1, config.batch_size)

    def step(state: TrainState) -> TrainState:
        rows = orders[state.step]
        return train_step(config, hparams, state, x[rows], y[rows])[0]

    def to_moment(state: TrainState, moment: jax.Array) -> tuple[TrainState, Look]:
        state = jax.lax.while_loop(lambda state: state.step < moment, step, state)
        return state, measure(config, state.params, start, followed)

    state, looks = jax.lax.scan(to_moment, state._replace(params=start), jnp.array(steps))

    def stretched(factor: jax.Array) -> Look:
        params = jax.tree.map(lambda w, w_0: w_0 + factor * (w - w_0), state.params, start)
        return measure(config, params, start, followed)

    return looks, jax.lax.map(stretched, jnp.array(stretches))


def law(distance: np.ndarray, values: np.ndarray, other_distances: np.ndarray) -> np.ndarray:
    """Values [M] as a function of distance [M], read off at other distances; NaN outside.

    Linear in the logarithm of the distance. Where the distance falls back, the largest so far
    counts.
    """
    order = np.flatnonzero(distance > 0)
    x, indices = np.unique(np.log(np.maximum.accumulate(distance[order])), return_index=True)
    with np.errstate(divide="ignore"):
        return np.interp(
            np.log(other_distances), x, values[order][indices], left=np.nan, right=np.nan
        )


def at_level(loss: np.ndarray, values: np.ndarray, level: float) -> float:
    """A value [M] when the loss [M] first falls to a level; NaN if it never does."""
    reached = np.flatnonzero(loss <= level)
    if not len(reached) or reached[0] == 0:
        return np.nan
    m = reached[0]
    before, after = np.log(loss[m - 1 : m + 1])
    part = (before - np.log(level)) / (before - after)
    return float(values[m - 1] + part * (values[m] - values[m - 1]))
