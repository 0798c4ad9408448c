"""Dropout as a Linen module, for networks that already use `flax.linen.Dropout`."""

from collections.abc import Sequence

import flax.linen as nn
import jax
from jax.typing import ArrayLike

from dropout_jax.networks.flax_dropout import as_typed_key, never_drops
from dropout_jax.noise import dropout


class Dropout(nn.Module):
    """`flax.linen.Dropout` with a rate that may be traced, so that vmap runs over rates.

    Arguments and semantics are Flax's, with four exceptions: rate 1 needs a key, a concrete rate
    outside [0, 1] is refused, inputs must be floating-point, and no dimension may be given twice.
    The masks are those of `noise.dropout`, nested in the rate; for the same key they differ from
    Flax's. As in Flax, a concrete rate of 0 needs no key; a traced rate does.

    Attributes:
      rate: P(drop), a scalar in [0, 1], possibly traced.
      broadcast_dims: dimensions along which entries share one draw.
      deterministic: whether to return the inputs as they are; given here or in the call.
      rng_collection: the collection that the key is made from, unless the call gives a key.

    Example:
      >>> import jax.numpy as jnp
      >>> def drop(rate):
      ...     layer = Dropout(rate, deterministic=False)
      ...     return layer.apply({}, jnp.ones(4), rng=jax.random.key(0))
      >>> print(jax.vmap(drop)(jnp.array([0.0, 1.0])))
      [[1. 1. 1. 1.]
       [0. 0. 0. 0.]]
    """

    rate: ArrayLike
    broadcast_dims: Sequence[int] = ()
    deterministic: bool | None = None
    rng_collection: str = "dropout"

    @nn.compact
    def __call__(
        self, inputs: jax.Array, deterministic: bool | None = None, rng: jax.Array | None = None
    ) -> jax.Array:
        """The inputs dropped and scaled by 1 / (1 - rate), or as they are.

        Args:
          inputs: any shape, any floating dtype, which is kept.
          deterministic: as the attribute; exactly one of the two must be given.
          rng: the key, typed or legacy, consumed; by default one of the collection.

        Raises:
          TypeError: if the inputs are not floating-point.
          ValueError: if `deterministic` is given twice or never, or a concrete rate lies outside
            [0, 1].
          flax.errors.InvalidRngError: if there is no key.
        """
        deterministic = nn.merge_param("deterministic", self.deterministic, deterministic)
        if deterministic or never_drops(self.rate):
            return inputs
        key = self.make_rng(self.rng_collection) if rng is None else rng
        return dropout(as_typed_key(key), inputs, self.rate, self.broadcast_dims)
