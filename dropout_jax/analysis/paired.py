"""Paired comparisons over seeds: bootstrap intervals, exact tests, effect sizes.

The seed is the unit of every statistic: a difference is condition minus baseline of the two members
that share init, batches and mask bits. The weights of one network are never pooled as independent
samples. NumPy in, NumPy out.

Shapes: S seeds, K comparisons of one family.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from dropout_jax.analysis.statistics import (
    CONFIDENCE,
    N_RANDOM,
    Comparison,
    Estimate,
    judge,
    real,
    scale_of,
)

_N_RESAMPLES = 9_999
_MAX_EXACT = 16  # seeds whose 2^(S - 1) sign patterns are all enumerated; else N_RANDOM are drawn
_CHUNK = 2**11  # patterns held at once
_RESAMPLED_AT_ONCE = 2**24  # numbers


def _of_two(differences: ArrayLike) -> np.ndarray:
    """A vector of at least two differences, or an error."""
    differences = real(differences, "differences", 2)
    if differences.ndim != 1:
        raise ValueError(f"differences must be a vector, got shape {differences.shape}")
    return differences


def interval(differences: np.ndarray) -> tuple[float, float]:
    """BCa bootstrap interval for the mean of paired differences [S], widened for small samples.

    BCa after Efron (1987), by `scipy.stats.bootstrap` with a fixed seed. Any bootstrap interval is
    too narrow for few seeds, as it resamples from a variance of (S - 1)/S. The nominal level is
    therefore raised from 1 - α to that of the expanded percentile interval,
    1 - 2 Φ(√(S/(S - 1)) t_{α/2, S - 1}) (Hesterberg 2015). Equal differences give two equal ends.
    Two differences have no acceleration and give their range. A difference that is not finite
    gives NaN.

    Raises:
      TypeError: if they are not real numbers.
      ValueError: if they are not a vector of at least two.

    Example:
      >>> low, high = interval(np.array([1.0, 2.0, 3.0, 2.0, 2.0]))
      >>> print(low < 2 < high)
      True
    """
    differences = _of_two(differences)
    n = len(differences)
    if not np.isfinite(differences).all():
        return math.nan, math.nan
    if n == 2:
        return float(differences.min()), float(differences.max())
    if np.ptp(differences) <= 1e-12 * np.abs(differences).max():
        return float(differences.mean()), float(differences.mean())
    scale = scale_of(differences)
    t = float(stats.t.ppf((1 - CONFIDENCE) / 2, n - 1))
    level = 1 - 2 * float(stats.norm.cdf(math.sqrt(n / (n - 1)) * t))
    low, high = stats.bootstrap(
        (differences / scale,),
        np.mean,
        confidence_level=level,
        n_resamples=_N_RESAMPLES,
        batch=max(1, _RESAMPLED_AT_ONCE // n),
        method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(low * scale), float(high * scale)


def sign_flip_test(differences: np.ndarray) -> np.ndarray:
    """Two-sided p-values of the means of paired differences [S, …] under random sign flips.

    The test is exact for up to 16 seeds: p is the share of all 2^S sign patterns whose mean is at
    least as far from 0 (Fisher 1935, §21). For more seeds, 2^15 random patterns and the observed
    one are counted, which keeps the level (Phipson & Smyth 2010). The smallest exact p-value is
    2^(1 - S). Differences that are not all finite give NaN.

    Raises:
      TypeError: if they are not real numbers.
      ValueError: if there is no seed.

    Example:
      >>> print(sign_flip_test(np.ones(6)))  # 2 of 64 patterns are as far from 0
      0.03125
    """
    differences = real(differences, "differences", 1)
    finite = np.isfinite(differences).all(axis=0)
    differences = np.where(finite, differences, 0.0)
    observed = np.abs(differences.sum(axis=0))
    slack = 1e-12 * np.abs(differences).sum(axis=0)  # sums in another order differ by rounding
    n_patterns, n_as_far = 0, np.zeros(differences.shape[1:])
    for patterns in _sign_patterns(len(differences)):
        sums = differences[0] + np.tensordot(1.0 - 2.0 * patterns, differences[1:], axes=1)
        n_as_far += np.sum(np.abs(sums) >= observed - slack, axis=0)
        n_patterns += len(patterns)
    return np.where(finite, n_as_far / n_patterns, np.nan)


def _sign_patterns(n: int) -> Iterator[np.ndarray]:
    """Which of the last n - 1 signs to flip, 1 or 0, in chunks [≤ 2^11, n - 1] of all patterns.

    By symmetry the first sign can stay.
    """
    if n <= _MAX_EXACT:
        for first in range(0, 2 ** (n - 1), _CHUNK):
            pattern = np.arange(first, min(first + _CHUNK, 2 ** (n - 1)))
            yield pattern[:, None] >> np.arange(n - 1)[None, :] & 1
        return
    yield np.zeros((1, n - 1), int)  # the observed one
    rng = np.random.default_rng(0)
    for _ in range(0, N_RANDOM, _CHUNK):
        yield rng.integers(0, 2, (_CHUNK, n - 1))


def effect_size(differences: np.ndarray) -> float:
    """Hedges' g for paired differences [S]: mean / sd · (1 - 3/(4 (S - 1) - 1)).

    It is NaN if the differences are equal but for rounding, or not all finite. It raises the errors
    of `interval`.

    Example:
      >>> print(round(effect_size(np.array([1.0, 2.0, 3.0])), 3))  # 2 / 1 · (1 - 3/7)
      1.143
    """
    differences = _of_two(differences)
    if not np.isfinite(differences).all():
        return math.nan
    differences = differences / scale_of(differences)
    n = len(differences)
    sd = differences.std(ddof=1)
    if n < 3 or sd <= 1e-12 * np.abs(differences).max():  # equal, but for rounding
        return math.nan
    return float(differences.mean() / sd * (1 - 3 / (4 * (n - 1) - 1)))


def smallest_p_holm(n_seeds: int, n_comparisons: int) -> float:
    """The smallest adjusted p-value that so many seeds can reach in a family of this size.

    Example:
      >>> print(smallest_p_holm(10, 13))  # 13 · 2⁻⁹
      0.025390625
    """
    smallest = 2.0 ** (1 - n_seeds) if n_seeds <= _MAX_EXACT else 1 / (N_RANDOM + 1)
    return min(1.0, n_comparisons * smallest)


def compare(
    baseline: np.ndarray, condition: np.ndarray, higher_is_uniform: bool = False
) -> list[Comparison]:
    """Compare K quantities of one family, measured on the same seeds in two conditions [S, K].

    Args:
      baseline: the measure in the members without the treatment.
      condition: the same measure in the members with it, seed by seed.
      higher_is_uniform: whether the measure grows with uniformity.

    Raises:
      TypeError: if they are not real numbers.
      ValueError: if the shapes differ or there are fewer than two seeds.

    Example:
      >>> (one,) = compare(np.full((8, 1), 0.5), np.full((8, 1), 0.4))
      >>> print(round(one.difference, 3), one.verdict)
      -0.1 more uniform
    """
    baseline = real(baseline, "baseline", 0)
    condition = real(condition, "condition", 0)
    if baseline.shape != condition.shape or baseline.ndim != 2 or len(baseline) < 2:
        raise ValueError(
            "baseline and condition must both be [seeds, comparisons] with at least two seeds, got "
            f"{baseline.shape} and {condition.shape}"
        )
    differences = condition - baseline
    p_values = sign_flip_test(differences).tolist()
    family = []
    for x, y, d, p_value in zip(baseline.T, condition.T, differences.T, p_values, strict=True):
        low, high = interval(d)
        family.append(
            Estimate(
                baseline_mean=float(x.mean()),
                condition_mean=float(y.mean()),
                difference=float(d.mean()),
                ci_low=low,
                ci_high=high,
                p_value=p_value,
                effect_size=effect_size(d),
            )
        )
    return judge(family, len(baseline), higher_is_uniform)
