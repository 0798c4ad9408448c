"""Dropout as pure functions of a key: the mask, and three kinds of noise.

Each of them is stochastic and consumes its key. The rate may be traced, so one compiled program
serves every rate and `jax.vmap` runs over rates. Throughout, `rate` is P(drop) in [0, 1]. Kept
entries are scaled by 1 / (1 - rate), so the expectation is the input, and evaluation needs no
rescaling.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import ArrayLike


def dropout(
    key: jax.Array, x: ArrayLike, rate: ArrayLike, broadcast_dims: Sequence[int] = ()
) -> jax.Array:
    """Inverted dropout: x * m / (1 - rate) with m ~ Bernoulli(1 - rate) for each entry.

    Rate 0 gives the identity bit for bit (a backend may flush subnormal numbers). Rate 1 gives
    zeros with zero gradients. A NaN that is dropped leaves no trace. The derivative is
    m / (1 - rate).
    Srivastava et al. (2014), §4 and §10 (the form scaled while training).

    Args:
      key: one typed PRNG key; consumed.
      x: any shape, any floating dtype, which is kept.
      rate: P(drop), a scalar in [0, 1], possibly traced.
      broadcast_dims: dimensions along which entries share one draw; (1, 2) drops whole channels of
        images [B, H, W, C] (Tompson et al. 2015, §3.2).

    Raises:
      TypeError: if `key` is not a typed key, `x` not floating-point, or `rate` not a real number.
      ValueError: if a concrete `rate` is not a scalar in [0, 1], or `broadcast_dims` are
        not dimensions of x, each once.

    Example:
      >>> x = jnp.array([1.0, 2.0, 3.0, 4.0])
      >>> print(dropout(jax.random.key(2), x, 0.5))
      [2. 0. 6. 8.]
      >>> print(dropout(jax.random.key(0), x, 0.0))
      [1. 2. 3. 4.]
    """
    x = jnp.asarray(x)
    _check_arguments(key, rate, x)
    shared = {range(x.ndim)[d] for d in broadcast_dims if -x.ndim <= d < x.ndim}
    if len(shared) < len(broadcast_dims):
        raise ValueError(
            f"broadcast_dims must be dimensions of shape {x.shape}, each once, got {broadcast_dims}"
        )
    shape = tuple(1 if d in shared else size for d, size in enumerate(x.shape))
    kept = jnp.where(jnp.broadcast_to(_keep_mask(key, rate, shape), x.shape), x, 0)
    return _scale(kept, _inverse_keep(jnp.asarray(rate, _compute_dtype(x))))


def gaussian_dropout(key: jax.Array, x: ArrayLike, rate: ArrayLike) -> jax.Array:
    """Multiplicative Gaussian noise with dropout's two moments: x * N(1, rate / (1 - rate)).

    Srivastava et al. (2014), §10. Rate 1, where that variance is infinite, gives zeros with zero
    gradients, as in `dropout`. Errors are those of `dropout`; the key is consumed.

    Example:
      >>> y = gaussian_dropout(jax.random.key(0), jnp.ones(100_000), 0.2)
      >>> print(y.mean().round(2), y.var().round(2))  # 1 and .2 / .8
      1.0 0.25
    """
    x = jnp.asarray(x)
    _check_arguments(key, rate, x)
    rate = jnp.asarray(rate, _compute_dtype(x))
    variance = rate * _inverse_keep(rate)
    # The slope of sqrt is infinite at 0, so sqrt is not evaluated there.
    deviation = jnp.where(variance == 0, 0, jnp.sqrt(jnp.where(variance == 0, 1, variance)))
    noise = 1 + deviation * jax.random.normal(key, x.shape, rate.dtype)
    return _scale(jnp.where(rate == 1, 0, x), noise)


def drop_connect(key: jax.Array, kernel: ArrayLike, rate: ArrayLike) -> jax.Array:
    """DropConnect: inverted dropout of weights, W * M / (1 - rate).

    One mask serves the whole batch; vmap over keys for a mask of each example's own.
    Wan et al. (2013), §3. Errors are those of `dropout`; the key is consumed.

    Example:
      >>> kernel = drop_connect(jax.random.key(0), jnp.ones((100, 100)), 0.5)
      >>> print(np.unique(kernel))
      [0. 2.]
    """
    return dropout(key, kernel, rate)


def _inverse_keep(rate: jax.Array) -> jax.Array:
    """1 / (1 - rate), and 1 at rate 1, where nothing is kept and nothing may overflow."""
    return 1 / jnp.where(rate == 1, 1, 1 - rate)  # a rate that is NaN gives NaN


def _scale(x: jax.Array, factor: jax.Array) -> jax.Array:
    """The product in the type of x, computed in that of the factor, which is wide."""
    return (x.astype(factor.dtype) * factor).astype(x.dtype)


def _compute_dtype(x: jax.Array) -> Any:
    """The type to compute in, float32 or wider, as 1 / (1 - rate) is large."""
    return x.dtype if x.dtype.itemsize > 4 else jnp.float32


def keep_mask(key: jax.Array, rate: ArrayLike, shape: Sequence[int]) -> jax.Array:
    """Boolean mask, True = kept, with P(True) = 1 - rate independently for each entry.

    An entry is kept if its 32 random bits are at least ⌊2^32 rate⌋, of the rate in float32. So
    P(True) is off by at most 2^-24 of the rate and 2^-32, and a rate of 1 - 1e-9 counts as 1.
    The masks of one key are nested: an entry that a higher rate keeps, a lower rate keeps too.
    Rate 0 keeps everything and rate 1 nothing.

    The key's own generator draws two words, and these key a hash of the entries' positions. The
    hash costs a fraction of what the generator would. The bits of 2^32 entries in a row are all
    different, so the number of n entries kept varies less than independent ones, by n / 2^32 of
    its variance. Entries 2^32 apart share their bits.

    Args:
      key: one typed PRNG key; consumed.
      rate: P(drop), a scalar in [0, 1], possibly traced.
      shape: the mask's shape.

    Raises:
      TypeError: if `key` is not a typed key, or `rate` not a real number.
      ValueError: if a concrete `rate` is not a scalar in [0, 1], or a size is negative.

    Example:
      >>> mask = keep_mask(jax.random.key(0), 0.25, (100_000,))
      >>> print(mask.mean().round(2))
      0.75
    """
    _check_arguments(key, rate)
    if min(shape, default=0) < 0:
        raise ValueError(f"shape must hold no negative size, got {shape}")
    return _keep_mask(key, rate, tuple(shape))


def _keep_mask(key: jax.Array, rate: ArrayLike, shape: tuple[int, ...]) -> jax.Array:
    """`keep_mask` of arguments that were checked."""
    words = jax.random.bits(key, (2,), jnp.uint32)
    return _mask(words, jnp.asarray(rate, jnp.float32), shape)


@partial(jax.jit, static_argnames="shape")
def _mask(words: jax.Array, rate: jax.Array, shape: tuple[int, ...]) -> jax.Array:
    """The mask of `keep_mask`, from the two words [2] that the key draws."""
    threshold = (jnp.where(rate < 1, rate, 0) * 2.0**32).astype(jnp.uint32)

    def hashed() -> jax.Array:
        return (_hash(_positions(shape), *words) >= threshold) & ~(rate >= 1)  # NaN keeps all

    def hashed_if() -> jax.Array:
        # Every word is at least 0, so all entries are kept. Compared, not filled with True: so
        # the mask varies over the same axes of a mesh as a hashed one.
        return jax.lax.cond(
            rate > 0, hashed, lambda: jnp.broadcast_to(words[0] >= threshold, shape)
        )

    # Rate 0 needs no hash on a CPU; on an accelerator a branch may cost more than a mask.
    return jax.lax.platform_dependent(cpu=hashed_if, default=hashed)


def _positions(shape: tuple[int, ...]) -> jax.Array:
    """The index of each entry in row-major order, modulo 2^32.

    It is summed axis by axis: XLA's CPU backend takes twice as long for a flat iota.
    """
    positions = jnp.zeros(shape, jnp.uint32)
    for axis in range(len(shape)):
        stride = jnp.uint32(math.prod(shape[axis + 1 :]) % 2**32)
        positions += jax.lax.broadcasted_iota(jnp.uint32, shape, axis) * stride
    return positions


def _hash(counter: jax.Array, key_0: jax.Array, key_1: jax.Array) -> jax.Array:
    """32 random bits for every counter, for a key of two words.

    Three rounds of xor-shift and product, as in MurmurHash3 (Appleby 2011); the second word is
    added to the first product. Two constants are those of least bias that Wellons (2018) found, the
    third is the prime nearest to 2^32 over the golden ratio (Knuth 1998, §6.4). A product leaves
    its low bits worst. Those of the last one stay as they are, since a threshold compares the high
    bits first.

    The words have to be random, as a generator draws them. Masks of words that differ in one bit
    correlate by some thousandths.
    """
    word = counter ^ key_0
    word = (word ^ (word >> 16)) * jnp.uint32(0x7FEB352D) + key_1
    word = (word ^ (word >> 15)) * jnp.uint32(0x846CA68B)
    return (word ^ (word >> 16)) * jnp.uint32(0x9E3779B1)


def _check_arguments(key: jax.Array, rate: ArrayLike, x: jax.Array | None = None) -> None:
    """Raise what `dropout` says it raises for its key, its rate and, if there is one, its array."""
    check_key(key)
    check_rate(rate)
    if np.ndim(rate):
        raise ValueError(f"rate must be a scalar, got shape {np.shape(rate)}")
    if x is not None and not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"dropout needs floating-point entries, got {x.dtype}")


def check_key(key: jax.Array) -> None:
    """Raise TypeError unless `key` is one typed PRNG key (`jax.random.key`, not `PRNGKey`).

    Example:
      >>> check_key(jax.random.key(0))
    """
    dtype = getattr(key, "dtype", None)
    if dtype is None or not jnp.issubdtype(dtype, jax.dtypes.prng_key):
        raise TypeError(
            f"key must be a typed PRNG key, got {dtype or type(key).__name__}; make one with "
            "jax.random.key(seed), or wrap a legacy one with jax.random.wrap_key_data"
        )
    if key.shape:
        raise TypeError(f"key must be one key, got an array of keys of shape {key.shape}")


def check_rate(rate: ArrayLike | Sequence[float], name: str = "rate") -> None:
    """Raise ValueError if a concrete `rate` holds a value outside [0, 1]; traced rates pass.

    Raise TypeError if it does not hold real numbers.

    Example:
      >>> check_rate(0.5)
      >>> check_rate(1.2)
      Traceback (most recent call last):
      ValueError: rate must lie in [0, 1], got 1.2
    """
    if any(isinstance(leaf, Tracer) for leaf in jax.tree.leaves(rate)):
        return
    values = np.asarray(rate)
    if not any(jnp.issubdtype(values.dtype, kind) for kind in (jnp.floating, jnp.integer, bool)):
        raise TypeError(f"{name} must hold real numbers, got {values.dtype}")
    wrong = ~((values >= 0) & (values <= 1))  # written so that NaN is wrong too
    if wrong.any():
        layer = f" for layer {int(wrong.argmax())}" if values.ndim == 1 else ""
        raise ValueError(f"{name} must lie in [0, 1], got {values[wrong].flat[0]!s}{layer}")
