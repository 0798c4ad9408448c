"""What the Dropout layers of Linen and NNX share: which rates and which keys they take."""

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike


def never_drops(rate: ArrayLike) -> bool:
    """Whether a rate is a concrete 0, so that a layer needs no key; a traced one may be anything.

    Example:
      >>> print(never_drops(0.0), never_drops(0.5))
      True False
    """
    return not isinstance(rate, Tracer) and np.ndim(rate) == 0 and bool(np.asarray(rate) == 0)


def as_typed_key(key: jax.Array) -> jax.Array:
    """The key as a typed one, also if it is a legacy key; it is not consumed.

    Example:
      >>> print(as_typed_key(jax.random.PRNGKey(3)) == jax.random.key(3))
      True
    """
    is_legacy = getattr(key, "dtype", None) == jnp.uint32
    return jax.random.wrap_key_data(key) if is_legacy else key
