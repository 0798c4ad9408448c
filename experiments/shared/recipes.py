"""How the networks of the papers start, step and are bounded.

Shapes: L layers.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jax.typing import ArrayLike

from dropout_jax.networks.mlp import layers
from dropout_jax.training.config import Hparams, sgd
from dropout_jax.training.step import clip_columns

MakeOptimizer = Callable[[Hparams], optax.GradientTransformation]
Initializer = Callable[..., jax.Array]
LEARNING_RATE, LAST_FACTOR, LAST_EPOCH = 0.097259, 0.022292, 560  # of pylearn2's script
MOMENTA, LAST_MOMENTUM_EPOCH = (0.5, 0.699217), 698


@cache
def decaying(n_steps: int, bounds: tuple[float, ...] | None = None) -> MakeOptimizer:
    """Gradient descent whose step falls linearly to 0; with bounds [L], columns stay within them.

    A cached function, as a new one would compile a new program.
    """

    def make_optimizer(hparams: Hparams) -> optax.GradientTransformation:
        fall = optax.scale_by_schedule(optax.linear_schedule(1.0, 0.0, n_steps))
        return optax.chain(sgd(hparams), fall, *([bounded(bounds)] if bounds else []))

    return make_optimizer


@cache
def pylearn2(steps_per_epoch: int, bounds: tuple[float, ...]) -> MakeOptimizer:
    """The optimizer of pylearn2's script `papers/dropout/mnist.yaml`, which has its own numbers.

    v ← m v - η ∇, w ← w + v, then the bounds. η falls and m grows linearly, epoch by epoch.
    """

    def rate(step: ArrayLike) -> jax.Array:
        return -LEARNING_RATE * (1 - (1 - LAST_FACTOR) * progress(step, LAST_EPOCH))

    def momentum(step: ArrayLike) -> jax.Array:
        return MOMENTA[0] + (MOMENTA[1] - MOMENTA[0]) * progress(step, LAST_MOMENTUM_EPOCH)

    def progress(step: ArrayLike, last: int) -> jax.Array:
        return jnp.minimum(jnp.asarray(step) // steps_per_epoch / last, 1)

    def make_optimizer(_: Hparams) -> optax.GradientTransformation:
        velocity = optax.inject_hyperparams(optax.trace)(decay=momentum)
        return optax.chain(optax.scale_by_schedule(rate), velocity, bounded(bounds))

    return make_optimizer


def bounded(bounds: Sequence[float]) -> optax.GradientTransformation:
    """Updates after which no column of a kernel has a norm above the bound of its layer [L]."""

    def project(updates: Any, params: Any) -> Any:
        changed = {name: dict(layer) for name, layer in updates["params"].items()}
        for l, (layer, bound) in enumerate(zip(layers(params), bounds, strict=True)):
            kernel = clip_columns(layer["kernel"] + changed[f"layer_{l}"]["kernel"], bound)
            changed[f"layer_{l}"]["kernel"] = kernel - layer["kernel"]
        return {**updates, "params": changed}

    return optax.stateless(project)


@cache
def scaled(factor: float) -> Initializer:
    """LeCun's initial kernels times a factor."""
    return nn.initializers.variance_scaling(factor**2, "fan_in", "truncated_normal")


@cache
def uniform(inputs: tuple[int, ...], ranges: tuple[float, ...]) -> Initializer:
    """Kernels uniform in ±range, by the number of inputs of their layer [L]."""
    limits = dict(zip(inputs, ranges, strict=True))

    def init(key: jax.Array, shape: Sequence[int], dtype: Any = jnp.float32) -> jax.Array:
        return jax.random.uniform(key, shape, dtype, -1, 1) * limits[shape[0]]

    return init
