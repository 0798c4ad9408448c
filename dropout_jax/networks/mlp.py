"""The multilayer perceptron under study, as a Flax Linen module.

Shapes: B batch, L affine layers, D inputs, U units of a layer.
"""

import operator
import reprlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

from dropout_jax.networks.protocol import Params
from dropout_jax.noise import check_key, check_rate, drop_connect, dropout

Noise = Callable[[jax.Array, jax.Array, ArrayLike], jax.Array]  # of key, x, rate


class MLP(nn.Module):
    """Affine layers of the given widths, with an activation between them.

    The forward pass is stochastic if and only if it is given a key::

        model.apply(params, x)                        # deterministic
        model.apply(params, x, key=key, rates=rates)  # dropout on the input of every layer

    `rates[l]` acts on the input of layer l: (0.2, 0.5, 0.5) drops 20 % of the pixels and half of
    the units of both hidden layers. Layer l draws with the key `jax.random.split(key, L)[l]`.

    Attributes:
      features: widths of the affine layers, the output last; (256, 256, 10) has two hidden layers.
      activation: applied between layers.
      kernel_init: initializer of the kernels [in, out]; biases start at 0.
      noise: `dropout`, or another function of (key, x, rate).
      noise_on_kernels: whether the noise acts on a layer's kernel, one draw for the whole batch,
        and not on its input; with `drop_connect`, which needs it, that is DropConnect (Wan et al.
        2013).

    Raises:
      ValueError: if the noise is `drop_connect`, and does not act on kernels.

    Example:
      >>> model = MLP((3, 2))
      >>> params = model.init(jax.random.key(0), jnp.zeros(4))
      >>> noise = {"key": jax.random.key(1), "rates": (0.2, 0.5)}
      >>> print(model.apply(params, jnp.ones((5, 4)), **noise).shape)
      (5, 2)
    """

    features: Sequence[int]
    activation: Callable[[jax.Array], jax.Array] = nn.relu
    kernel_init: Callable[..., jax.Array] = nn.initializers.lecun_normal()
    noise: Noise = dropout
    noise_on_kernels: bool = False

    def __post_init__(self) -> None:
        """Make a tuple of any sequence of widths; a pass refuses anything else."""
        with suppress(TypeError):
            self.features = tuple(map(operator.index, self.features))
        for name in ("activation", "kernel_init", "noise"):
            if not callable(fn := getattr(self, name)):
                raise TypeError(f"{name} must be a function, got {fn!r:.80}")
        if self.noise is drop_connect and not self.noise_on_kernels:
            raise ValueError("noise_on_kernels must be True for drop_connect, got False")
        super().__post_init__()

    def __call__(
        self, x: jax.Array, *, key: jax.Array | None = None, rates: ArrayLike | None = None
    ) -> jax.Array:
        """Outputs (logits) [B, U] of inputs [B, D]; B may be any leading axes."""
        return self.activations(x, key=key, rates=rates)[-1]

    @nn.compact
    def activations(
        self, x: jax.Array, *, key: jax.Array | None = None, rates: ArrayLike | None = None
    ) -> tuple[jax.Array, ...]:
        """The hidden activations in order, then the outputs.

        Args:
          x: inputs [B, D]; B may be any leading axes.
          key: one typed PRNG key for the whole pass, consumed; None for a deterministic pass.
          rates: P(drop) for the input of each layer [L], in [0, 1]; needed exactly with a key.

        Raises:
          ValueError: if the widths are not positive integers, x has another number of inputs than
            the parameters, only one of `key` and `rates` is given, or `rates` has another length
            than L or a concrete value outside [0, 1].
          TypeError: if `key` is not a typed key, rates are not real numbers, or x is not an array
            of numbers, which must be floating-point if they are dropped.
        """
        check_features(self.features)
        x = jnp.asarray(x)
        _check_inputs(x, self.variables)
        draws = _draws(key, rates, len(self.features))
        outputs = []
        for l, width in enumerate(self.features):
            product = jax.lax.dot_general
            if draws and self.noise_on_kernels:
                product = partial(_noisy_product, self.noise, *draws[l])
            elif draws:
                layer_key, rate = draws[l]
                x = self.noise(layer_key, x, rate)
            dense = nn.Dense(
                width, kernel_init=self.kernel_init, dot_general=product, name=f"layer_{l}"
            )
            x = dense(x)
            if l < len(self.features) - 1:
                x = self.activation(x)
            outputs.append(x)
        return tuple(outputs)


def check_features(features: Sequence[int]) -> None:
    """Raise ValueError unless the widths of the layers are integers in 1 … 2^31 - 1.

    Example:
      >>> check_features((256, 256, 10))
      >>> check_features((256, 0))
      Traceback (most recent call last):
      ValueError: features must hold integers in 1 … 2^31 - 1, one for each layer, got (256, 0)
    """
    try:
        widths = list(map(operator.index, features))
    except TypeError:  # no sequence, or none of integers
        widths = []
    if not widths or min(widths) < 1 or max(widths) >= 2**31:
        raise ValueError(
            "features must hold integers in 1 … 2^31 - 1, one for each layer, got "
            + reprlib.repr(features)
        )


def _check_inputs(x: jax.Array, variables: Mapping[str, Any]) -> None:
    """Raise ValueError unless x has as many inputs as the first kernel of a network, if known."""
    known = variables.get("params", {}).get("layer_0")
    if known and known["kernel"].ndim != 2:
        raise ValueError(f"params must be those of one network, got {known['kernel'].shape[:-2]}")
    n_inputs = known["kernel"].shape[0] if known else "one or more"
    if x.ndim == 0 or x.shape[-1] == 0 or (known and x.shape[-1] != n_inputs):
        raise ValueError(f"x must be [B, D] with D = {n_inputs} inputs, got shape {x.shape}")


def _noisy_product(
    noise: Noise, key: jax.Array, rate: jax.Array, x: jax.Array, kernel: jax.Array, *how, **more
) -> jax.Array:
    """`lax.dot_general` of inputs and a noisy kernel."""
    return jax.lax.dot_general(x, noise(key, kernel, rate), *how, **more)


def _draws(
    key: jax.Array | None, rates: ArrayLike | None, n_layers: int
) -> list[tuple[jax.Array, jax.Array]]:
    """A key and a rate for each layer; none for a deterministic pass."""
    if key is None and rates is None:
        return []
    if key is None or rates is None:
        given, missing = ("a key", "rates") if rates is None else ("rates", "a key")
        raise ValueError(f"a stochastic pass needs a key and rates, got {given} without {missing}")
    check_key(key)
    keys, rates = jax.random.split(key, n_layers), as_rates(rates, n_layers)
    return [(keys[l], rates[l]) for l in range(n_layers)]


def as_rates(rates: ArrayLike | Sequence[float], n_layers: int) -> jax.Array:
    """The rates [L] as float32; ValueError unless there is one per layer, in [0, 1] if concrete.

    Raise TypeError if they are not real numbers.

    Example:
      >>> print(as_rates((0.2, 0.5), 2))
      [0.2 0.5]
    """
    try:
        with np.errstate(over="ignore"):  # a number too large becomes infinite, and is refused
            rounded = jnp.asarray(rates, jnp.float32)
    except OverflowError:  # of an integer that no float holds
        raise ValueError(f"rates must lie in [0, 1], got {rates}") from None
    except (TypeError, ValueError):
        raise TypeError(f"rates must hold real numbers, got {reprlib.repr(rates)}") from None
    if rounded.shape != (n_layers,):
        raise ValueError(
            f"rates must hold one rate per layer, {n_layers} in all, got shape {rounded.shape}"
        )
    check_rate(rates, "rates")  # as given: rounding may bring them into the range
    return rounded


def layers(params: Params) -> list[dict[str, jax.Array]]:
    """The layers of an MLP's params in order, each {"kernel": [in, out], "bias": [out]}.

    Leading axes (conditions, seeds) stay as they are.

    Raises:
      ValueError: if `params` do not belong to an MLP.

    Example:
      >>> params = MLP((3, 2)).init(jax.random.key(0), jnp.zeros(4))
      >>> print([layer["kernel"].shape for layer in layers(params)])
      [(4, 3), (3, 2)]
    """
    try:
        tree = params["params"]
        return [tree[f"layer_{l}"] for l in range(max(1, len(tree)))]
    except (KeyError, TypeError, IndexError):
        tree = params.get("params", params) if isinstance(params, dict) else params
        shown = sorted(map(str, tree)) if isinstance(tree, dict) else type(tree).__name__
        raise ValueError(
            f"params must be those of an MLP, {{'params': {{'layer_0': …}}}}, got {shown}"
        ) from None


def outputs_from(model: MLP, params: Params, layer: int, hidden: jax.Array) -> jax.Array:
    """The outputs of a deterministic pass that begins at the activations [B, U] of a hidden layer.

    Example:
      >>> model = MLP((3, 2))
      >>> params = model.init(jax.random.key(0), jnp.zeros(4))
      >>> hidden, outputs = model.apply(params, jnp.ones((1, 4)), method="activations")
      >>> print(jnp.array_equal(outputs_from(model, params, 0, hidden), outputs))
      True
    """
    following = layers(params)[layer + 1 :]
    for l, affine in enumerate(following):
        hidden = hidden @ affine["kernel"] + affine["bias"][None]
        if l < len(following) - 1:
            hidden = model.activation(hidden)
    return hidden
