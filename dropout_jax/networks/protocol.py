"""What a network has to offer so that `fit_population` trains it. `networks.mlp.MLP` is one.

Shapes: B batch, L layers with a rate, K outputs.
"""

from collections.abc import Sequence
from typing import Any, Protocol

import jax

Params = Any  # a pytree of arrays; the MLP's is {"params": {"layer_0": {"kernel", "bias"}, …}}


class Network(Protocol):
    """Two pure functions, `init` and `apply`, and the number of rates: all that training asks.

    A network is hashable, as it is fixed when the program is compiled. A Linen module is, if its
    attributes are. A pass is stochastic if and only if it is given a key and rates.

    Parameters with two axes or more are kernels if their names say so (`kernel_names`):
    `kernel` or `w`, read as [in, out], or `weight`, read as [out, in]. Weight decay acts on all of
    these; comparisons measure those that are no embeddings.

    Parameters may hold other collections of Flax beside `params`, such as `batch_stats`. A pass of
    training then changes them. It is given their names as `mutable`, and returns outputs and new
    values, as `apply` of a Linen module does.

    Example:
      >>> import flax.linen as nn
      >>> import jax.numpy as jnp
      >>> from dropout_jax.noise import dropout
      >>> class Convolutional(nn.Module):
      ...     features: tuple[int, ...] = (4, 10)  # two rates, ten outputs
      ...
      ...     @nn.compact
      ...     def __call__(self, x, *, key=None, rates=None):
      ...         h = nn.relu(nn.Conv(4, (3, 3))(x))
      ...         if key is not None:  # whole channels; the first rate is not used here
      ...             h = dropout(key, h, rates[1], broadcast_dims=(-3, -2))
      ...         return nn.Dense(10)(h.mean((-3, -2)))
      >>> images = jnp.ones((5, 8, 8, 1))
      >>> params = Convolutional().init(jax.random.key(0), images[0])
      >>> print(Convolutional().apply(params, images).shape)
      (5, 10)
    """

    @property
    def features(self) -> Sequence[int]:
        """One positive integer for each rate [L]; the last is the number K of outputs."""
        ...

    def init(self, key: jax.Array, x: jax.Array, /) -> Params:
        """Fresh parameters for inputs like the example x; consumes the key."""
        ...

    def apply(self, params: Params, x: Any, /, **noise: Any) -> Any:
        """Outputs [K] of an example x, or [B, K] of a batch.

        Args:
          params: what `init` made.
          x: one example, or a batch of them.
          **noise: nothing, or `key`, which is consumed, and `rates` [L], which may be traced; in
            training `mutable`, if there are collections that a pass changes.
        """
        ...
