"""The multilayer perceptron and dropout for Flax NNX, and conversions from and to Linen.

Shapes: B batch, D inputs, U units of the last layer.
"""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import cast

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import ArrayLike

from dropout_jax.networks import mlp
from dropout_jax.networks.flax_dropout import as_typed_key, never_drops
from dropout_jax.networks.mlp import Noise, Params, layers
from dropout_jax.noise import drop_connect, dropout


class MLP(nnx.Module):
    """`networks.mlp.MLP` as an NNX module: the same layers, the same contract, the same masks.

    A pass is stochastic if and only if it is given a key: `model(x)` is deterministic,
    `model(x, key=key, rates=rates)` is not. So the module has no `train()`, no `eval()` and no
    stream of keys.

    Attributes:
      layers: one `nnx.Linear` each, with a kernel [in, out].

    Example:
      >>> model = MLP(4, (3, 2), rngs=nnx.Rngs(0))
      >>> print(model(jnp.ones((5, 4)), key=jax.random.key(0), rates=(0.2, 0.5)).shape)
      (5, 2)
    """

    def __init__(
        self,
        n_inputs: int,
        features: Sequence[int],
        *,
        rngs: nnx.Rngs,
        activation: Callable[[jax.Array], jax.Array] = nn.relu,
        kernel_init: Callable[..., jax.Array] = mlp.MLP.kernel_init,
        noise: Noise = dropout,
    ) -> None:
        """Make fresh layers of these widths; each draws two keys, for kernel and bias.

        Raises:
          ValueError: if a width is not positive, or `noise` is `drop_connect`, which acts on
            kernels.
        """
        widths = (n_inputs, *features)
        mlp.check_features(widths)
        if noise is drop_connect:
            raise ValueError("noise must act on inputs, as dropout does, got drop_connect")
        self.layers = nnx.List(
            [nnx.Linear(i, o, kernel_init=kernel_init, rngs=rngs) for i, o in pairwise(widths)]
        )
        self.activation, self.kernel_init, self.noise = activation, kernel_init, noise

    def __call__(
        self, x: jax.Array, *, key: jax.Array | None = None, rates: ArrayLike | None = None
    ) -> jax.Array:
        """Outputs [B, U] of inputs [B, D]; arguments and errors are those of `networks.mlp.MLP`."""
        noise = {} if key is None and rates is None else {"key": key, "rates": rates}
        model, params = to_linen(self)
        return cast(jax.Array, model.apply(params, x, **noise))


class Dropout(nnx.Dropout):
    """`flax.nnx.Dropout` with a rate that may be traced, so that vmap runs over rates.

    It differs from Flax's as `networks.linen.Dropout` does.

    Example:
      >>> def drop(rate):
      ...     return Dropout(rate, rngs=nnx.Rngs(0))(jnp.ones(4))
      >>> print(jax.vmap(drop)(jnp.array([0.0, 1.0])))
      [[1. 1. 1. 1.]
       [0. 0. 0. 0.]]
    """

    rate: ArrayLike

    def __call__(
        self,
        inputs: jax.Array,
        *,
        deterministic: bool | None = None,
        rngs: nnx.Rngs | nnx.RngStream | jax.Array | None = None,
    ) -> jax.Array:
        """The inputs dropped and scaled by 1 / (1 - rate), or as they are.

        Args:
          inputs: any shape, any floating dtype, which is kept.
          deterministic: whether to return the inputs as they are; by default as the attribute.
          rngs: the key, typed or legacy, consumed, or where it is drawn from; by default the
            stream that the module was made with.

        Raises:
          TypeError: if `rngs` is none of these, or inputs that are dropped are not floating-point.
          ValueError: if nothing says whether to drop, there is no key, or a concrete rate lies
            outside [0, 1].
        """
        deterministic = self.deterministic if deterministic is None else deterministic
        if deterministic is None:
            raise ValueError("deterministic must be given here or to Dropout, got None in both")
        if deterministic or never_drops(self.rate):
            return inputs
        source = self.rngs if rngs is None else rngs
        if source is None:
            raise ValueError("rngs must be given here or to Dropout, got None in both")
        if isinstance(source, nnx.Rngs):
            source = source[self.rng_collection]
        if not isinstance(source, nnx.RngStream | jax.Array):
            raise TypeError(
                f"rngs must be Rngs, an RngStream or a key, got {type(source).__name__}"
            )
        key = source() if isinstance(source, nnx.RngStream) else source
        return dropout(as_typed_key(key), inputs, self.rate, self.broadcast_dims)


def to_linen(model: MLP) -> tuple[mlp.MLP, Params]:
    """The Linen module, and the parameters of `model`, not copied.

    Example:
      >>> model, params = to_linen(MLP(4, (3, 2), rngs=nnx.Rngs(0)))
      >>> print(model.features, sorted(params["params"]))
      (3, 2) ['layer_0', 'layer_1']
    """
    features = tuple(layer.out_features for layer in model.layers)
    linen = mlp.MLP(features, model.activation, model.kernel_init, model.noise)
    params = {
        f"layer_{l}": {part: getattr(layer, part)[...] for part in ("kernel", "bias")}
        for l, layer in enumerate(model.layers)
    }
    return linen, {"params": params}


def from_linen(model: mlp.MLP, params: Params) -> MLP:
    """The NNX module of a Linen module and its parameters.

    Raises:
      ValueError: if the noise of `model` acts on kernels, which the NNX module does not support.

    Example:
      >>> model = mlp.MLP((3, 2))
      >>> params = model.init(jax.random.key(0), jnp.zeros(4))
      >>> print(from_linen(model, params)(jnp.ones((5, 4))).shape)
      (5, 2)
    """
    if model.noise_on_kernels:
        raise ValueError("noise_on_kernels must be False, got True: the NNX MLP drops inputs alone")
    trained = layers(params)
    n_inputs = trained[0]["kernel"].shape[0]
    functions = {name: getattr(model, name) for name in ("activation", "kernel_init", "noise")}
    converted = nnx.eval_shape(lambda: MLP(n_inputs, model.features, rngs=nnx.Rngs(0), **functions))
    for layer, arrays in zip(converted.layers, trained, strict=True):
        layer.kernel = nnx.Param(jnp.asarray(arrays["kernel"]))
        layer.bias = nnx.Param(jnp.asarray(arrays["bias"]))
    return converted
