"""Schedules of dropout: factors on the rates along training.

A schedule is a function of progress in [0, 1), the fraction of all steps that are done. It gives a
factor in [0, 1], by which training multiplies the rates of `Hparams`:
`Config(rate_schedule=early)`, or `Config(rate_schedule=partial(early, cutoff=0.3))`.
"""

import jax
import jax.numpy as jnp
from jax.core import Tracer


def early(progress: jax.Array, cutoff: float = 0.5) -> jax.Array:
    """Early dropout: the factor falls linearly from 1 to 0 at `cutoff`, and stays 0.

    Against underfitting (Liu et al. 2023, §4).

    Raises:
      ValueError: if a concrete `cutoff` is negative or not finite.

    Example:
      >>> print(early(jnp.array([0.0, 0.25, 0.75])))
      [1.  0.5 0. ]
    """
    _check("cutoff", cutoff)
    return jnp.where(progress < cutoff, 1 - jnp.divide(progress, cutoff), 0.0)


def late(progress: jax.Array, cutoff: float = 0.5) -> jax.Array:
    """Late dropout: the factor is 0 until `cutoff`, then 1.

    Against overfitting (Liu et al. 2023, §4).

    Raises:
      ValueError: if a concrete `cutoff` is negative or not finite.

    Example:
      >>> print(late(jnp.array([0.25, 0.75])))
      [0. 1.]
    """
    _check("cutoff", cutoff)
    return jnp.where(progress < cutoff, 0.0, 1.0)


def curriculum(progress: jax.Array, speed: float = 10.0) -> jax.Array:
    """Dropout that grows: the factor is 1 - exp(-speed · progress), from 0 towards 1.

    It gives the keep probability (1 - k) e^(-γt) + k of Morerio et al. (2017), §3. There 1 - k is
    the rate, and γ is `speed` over the number of steps T; they chose γ = 10 / T.

    Raises:
      ValueError: if a concrete `speed` is negative or not finite.

    Example:
      >>> print(curriculum(jnp.array([0.0, 0.5])).round(3))  # 1 - exp(-5)
      [0.    0.993]
    """
    _check("speed", speed)
    return 1 - jnp.exp(-speed * progress)


def _check(name: str, value: float) -> None:
    """Raise ValueError unless a concrete value keeps the factor in [0, 1]."""
    if not isinstance(value, Tracer) and not 0 <= value < float("inf"):
        raise ValueError(f"{name} must be finite and not negative, got {value}")
