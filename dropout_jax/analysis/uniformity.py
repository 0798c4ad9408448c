"""How uniformly are weights spread? Measures of one set of magnitudes.

A measure takes the magnitudes a = |·| of numbers of any shape, N of which count (`where`, of
booleans). Scale and order do not change it. Only `participation` grows with uniformity.

Gini is the primary measure. In its plain form (without N/(N - 1)) it meets all six axioms of
Hurley & Rickard (2009) for such measures; `hoyer` fails Cloning, `participation` Robin Hood.

All are pure reductions, made to be vmapped over members, layers and columns, and to be
differentiated (|w| has the derivative 0 at 0). They are NaN if nothing counts, or if all that
counts is 0, as there is no distribution then. A single entry is uniform; `gini` and `hoyer`, which
compare with the most uneven set of N, are NaN of it.

Shapes: N entries that count, of M; Q fractions.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike


def gini(a: ArrayLike, where: ArrayLike | None = None) -> jax.Array:
    """Gini index [2 Σ j aⱼ / (N Σ a) - (N + 1)/N] · N/(N - 1), a ascending: 0 if all are equal.

    It is 1 if all entries but one are 0. The last factor makes sets of different size comparable
    (Deltas 2003). Weights drawn from a uniform law give 1/3, from a Gaussian √2 - 1, from a Laplace
    law 1/2.

    Example:
      >>> print(gini(jnp.array([1.0, 1.0, 1.0])), gini(jnp.array([0.0, 0.0, 1.0])))
      0.0 1.0
    """
    a, rank, n = _ranked(a, where)
    return jnp.sum(((2 * rank - n - 1) / (n - 1)).astype(a.dtype) * a) / a.sum()


def cv(a: ArrayLike, where: ArrayLike | None = None) -> jax.Array:
    """Coefficient of variation sd / mean (the population's sd); 0 uniform, √(N - 1) one entry.

    Example:
      >>> print(cv(jnp.array([1.0, 3.0])))  # sd 1, mean 2
      0.5
    """
    u, n = _relative(a, where)
    variance = jnp.sum(jnp.where(_mask(a, where).ravel(), (u - 1) ** 2, 0)) / n
    spread = variance > 0  # the root has no slope at 0
    return jnp.where(spread, jnp.sqrt(jnp.where(spread, variance, 1)), variance)


def entropy(a: ArrayLike, where: ArrayLike | None = None) -> jax.Array:
    """Relative entropy from uniform, mean(u ln u) of u = a / mean(a), in nats.

    It equals ln N - H(a / Σ a), the index of Theil (1967); 0 uniform, ln N one entry.

    Example:
      >>> print(entropy(jnp.array([0.0, 1.0])).round(4))  # ln 2
      0.6931
    """
    u, n = _relative(a, where)
    logs = jax.scipy.special.xlogy(u, jnp.where(u > 0, u, 1))  # log 0 has a slope of NaN
    return jnp.sum(logs) / n


def participation(a: ArrayLike, where: ArrayLike | None = None) -> jax.Array:
    """Participation ratio over N, (Σ a²)² / (N Σ a⁴); 1 uniform, 1/N one entry.

    In float32 it may be 0 instead of a small number for more than some 5 · 10⁷ entries, if few of
    them are large.

    Example:
      >>> print(participation(jnp.array([0.0, 0.0, 0.0, 1.0])))
      0.25
    """
    u, n = _relative(a, where)
    square = u * u
    return jnp.sum(square) ** 2 / (n * jnp.sum(square * square))


def hoyer(a: ArrayLike, where: ArrayLike | None = None) -> jax.Array:
    """Sparsity of Hoyer (2004), (√N - Σ a / √Σ a²) / (√N - 1); 0 uniform, 1 one entry.

    Example:
      >>> print(hoyer(jnp.array([1.0, 1.0, 1.0, 1.0])), hoyer(jnp.array([0.0, 0.0, 0.0, 1.0])))
      0.0 1.0
    """
    u, n = _relative(a, where)
    root = jnp.sqrt(n)
    return (root - n / jnp.sqrt(jnp.sum(u**2))) / (root - 1)


def top10_share(a: ArrayLike, where: ArrayLike | None = None) -> jax.Array:
    """Share of Σ a in the largest tenth; .1 uniform. One minus the Lorenz curve at .9.

    A tenth of N need not be whole, as the curve is linear between its points.

    Example:
      >>> print(top10_share(jnp.append(jnp.ones(9), 11.0)))
      0.55
    """
    a, rank, n = _ranked(a, where)
    rank, n = rank.astype(a.dtype), n.astype(a.dtype)
    return jnp.sum(jnp.clip(rank - 0.9 * n, 0, 1) * a) / a.sum()


class Profile(NamedTuple):
    """Sorted magnitudes at Q even fractions 0 … 1 of N.

    Attributes:
      relative: a / mean(a) at each fraction [Q]; flat at 1 if uniform.
      lorenz: share of Σ a in the entries up to each fraction [Q]; the diagonal if uniform.
    """

    relative: jax.Array
    lorenz: jax.Array


def profile(a: ArrayLike, where: ArrayLike | None = None, *, n_points: int = 201) -> Profile:
    """The sorted magnitudes and their Lorenz curve at `n_points` even fractions 0 … 1.

    Raises:
      ValueError: if there are no magnitudes, or fewer than two points.

    Example:
      >>> print(profile(jnp.array([1.0, 3.0]), n_points=3).lorenz)  # the smaller half has a quarter
      [0.   0.25 1.  ]
    """
    if n_points < 2 or not np.size(a):
        raise ValueError(
            f"a profile needs two points or more, and magnitudes, got {n_points} points and "
            f"magnitudes of shape {np.shape(a)}"
        )
    a, _, n = _ranked(a, where)
    total, first, steps, q = a.sum(), a.size - n, n_points - 1, jnp.arange(n_points)
    below = q * (n // steps) + q * (n % steps) // steps  # q n / steps in integers, which are exact
    fraction = q * (n % steps) % steps / steps

    def between(values: jax.Array, below: jax.Array, fraction: jax.Array, last: Any) -> jax.Array:
        low, high = (values[first + jnp.clip(i, 0, last)] for i in (below, below + 1))
        return low * (1 - fraction) + high * fraction

    upper = fraction >= 0.5  # an entry stands in the middle of its share of the fractions
    middle = jnp.where(upper, below, below - 1), jnp.where(upper, fraction - 0.5, fraction + 0.5)
    lorenz = between(jnp.cumsum(jnp.append(0, a / total)), below, fraction, n)
    return Profile(between(a, *middle, n - 1) * n / total, lorenz / lorenz[-1])


MEASURES: dict[str, Callable[..., jax.Array]] = {
    measure.__name__: measure for measure in (gini, cv, entropy, participation, hoyer, top10_share)
}
HIGHER_IS_UNIFORM = ("participation",)
# Differences that are called negligible: about half of what separates the two usual initial laws
# of weights, normal and truncated at two deviations (Gini .414 and .392).
MARGINS = {
    "gini": 0.01,
    "cv": 0.03,
    "entropy": 0.014,
    "participation": 0.04,
    "hoyer": 0.01,
    "top10_share": 0.012,
}


def _ranked(a: ArrayLike, where: ArrayLike | None) -> tuple[jax.Array, jax.Array, jax.Array]:
    """Sorted magnitudes [M], their ranks [M], of which 1 … N count, and N.

    An entry that does not count is 0 and sorts first, to a rank ≤ 0, where it adds nothing to sums.
    """
    a, n = _magnitudes(a, where)
    return _sorted(a), jnp.arange(1, a.size + 1) - (a.size - n), n


def _relative(a: ArrayLike, where: ArrayLike | None) -> tuple[jax.Array, jax.Array]:
    """U = a / mean(a) as a vector [M], 0 where it does not count, and N."""
    a, n = _magnitudes(a, where)
    n = n.astype(a.dtype)
    return a * (n / a.sum()), n


def _magnitudes(a: ArrayLike, where: ArrayLike | None) -> tuple[jax.Array, jax.Array]:
    """The rescaled magnitudes as a vector [M], 0 for those that do not count, and N."""
    a, where = jnp.asarray(a), _mask(a, where)
    a = a.astype(jnp.promote_types(a.dtype, jnp.float32))  # N and sums overflow in half precision
    return _rescaled(jnp.where(where, jnp.abs(a), 0).ravel()), where.sum()


def _mask(a: Any, where: ArrayLike | None) -> jax.Array:
    """Which entries count, a boolean for each."""
    where = jnp.asarray(True if where is None else where)
    if where.dtype != bool:
        raise TypeError(f"where must hold booleans, got {where.dtype}")
    return jnp.broadcast_to(where, np.shape(a))


def _rescaled(a: jax.Array) -> jax.Array:
    """Magnitudes times the power of two that brings the largest to [2, 4): sums stay in range.

    It is exact for every number that a sum could tell from 0. The power is read from bit patterns,
    and so are subnormal numbers, as compiled code may take these for 0. Infinity makes all NaN.
    """
    info = jnp.finfo(a.dtype)
    least, infinity = (_bits(jnp.asarray(x, a.dtype)) for x in (info.smallest_normal, jnp.inf))
    bits = _bits(a)
    scale = infinity - (jnp.maximum(_bits(a.max(initial=0)), least) & infinity)
    tiny_scale = jnp.maximum(scale - ((info.nmant - info.minexp) << info.nmant), 0)
    scale, tiny_scale = (jax.lax.bitcast_convert_type(x, a.dtype) for x in (scale, tiny_scale))
    return jnp.where(bits < least, bits.astype(a.dtype) * tiny_scale, a * scale)


@jax.custom_jvp
def _sorted(a: jax.Array) -> jax.Array:
    """Non-negative floats [M] in ascending order.

    XLA's CPU backend sorts their bit patterns some six times as fast, as it orders floats by signs
    and NaN, too. The derivative is that of a[order].
    """
    return jax.lax.bitcast_convert_type(jnp.sort(_bits(a)), a.dtype)


@_sorted.defjvp
def _sorted_jvp(primals: Sequence[jax.Array], tangents: Sequence[jax.Array]) -> Any:
    order = jnp.argsort(_bits(primals[0]))
    return primals[0][order], tangents[0][order]


def _bits(a: jax.Array) -> jax.Array:
    """The bit patterns of floats as integers; their order is that of the floats ≥ 0."""
    return jax.lax.bitcast_convert_type(a, f"int{8 * a.dtype.itemsize}")
