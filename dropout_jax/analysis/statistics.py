"""Paired comparisons over seeds: intervals, exact tests, verdicts.

The seed is the unit of every statistic: a difference is condition minus baseline of the two members
that share init, batches and mask bits. The weights of one network are never pooled as independent
samples. NumPy in, NumPy out.

Shapes: S seeds, K comparisons of one family.
"""

import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

CONFIDENCE = 0.95
ALPHA = 0.05
MARGIN = 0.02  # of the baseline's mean: differences within it are called none
N_RESAMPLES = 9_999
MIN_SEEDS = 6  # 2 · 2⁻⁶ < .05: with fewer, the sign-flip test cannot reach it
VERDICTS = ("more uniform", "less uniform", "no difference", "undecided")
_MAX_EXACT = 16  # seeds whose 2^(S - 1) sign patterns are all enumerated
N_RANDOM = 2**15  # patterns drawn for more seeds
_CHUNK = 2**11  # patterns held at once
_RESAMPLED_AT_ONCE = 2**24  # numbers


class Comparison(NamedTuple):
    """A comparison, condition minus baseline; `verdict` is one of `VERDICTS`."""

    baseline_mean: float
    condition_mean: float
    difference: float
    ci_low: float
    ci_high: float
    p_value: float
    p_holm: float
    effect_size: float
    verdict: str


def real(values: ArrayLike, name: str, n_seeds: int) -> np.ndarray:
    """Values [S, …] as float64; TypeError unless real, ValueError unless of so many seeds.

    Example:
      >>> print(real([1, 2], "values", 2))
      [1. 2.]
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got {array.dtype}")
    if not array.ndim or len(array) < n_seeds:
        raise ValueError(
            f"{name} must be of {n_seeds} seeds or more in front, got shape {array.shape}"
        )
    return array.astype(np.float64)


def _of_two(differences: ArrayLike) -> np.ndarray:
    """A vector of at least two differences, or an error."""
    differences = real(differences, "differences", 2)
    if differences.ndim != 1:
        raise ValueError(f"differences must be a vector, got shape {differences.shape}")
    return differences


def scale_of(values: np.ndarray) -> float:
    """The power of two at or below the largest |value|: by it one can divide without rounding.

    Squares and cubes of what is left neither underflow to 0 nor overflow.

    Example:
      >>> print(scale_of(np.array([3.0, -5.0])))
      4.0
    """
    return float(np.ldexp(1.0, np.frexp(np.abs(values).max())[1] - 1))


def interval(differences: np.ndarray) -> tuple[float, float]:
    """BCa bootstrap interval for the mean of paired differences [S], widened for small samples.

    BCa after Efron (1987), by `scipy.stats.bootstrap` with a fixed seed. With few seeds it is too
    narrow, as any bootstrap is, which resamples from a variance of (S - 1)/S; so its nominal level
    is raised from 1 - α to that of the expanded percentile interval, 1 - 2 Φ(√(S/(S - 1)) t_{α/2,
    S - 1}) (Hesterberg 2015). If all differences are equal, so are both ends; two differences have
    no acceleration and give their range; a difference that is not finite gives NaN.

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
        n_resamples=N_RESAMPLES,
        batch=max(1, _RESAMPLED_AT_ONCE // n),
        method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(low * scale), float(high * scale)


def sign_flip_test(differences: np.ndarray) -> np.ndarray:
    """Two-sided p-values of the means of paired differences [S, …] under random sign flips.

    Exact for up to 16 seeds: the share of all 2^S sign patterns whose mean is at least as far from
    0 (Fisher 1935, §21). Beyond, 2^15 random patterns and the observed one, which keeps the level
    (Phipson & Smyth 2010). The smallest exact p-value is 2^(1 - S). Differences that are not all
    finite give NaN.

    Raises:
      TypeError: if they are not real numbers.
      ValueError: if there is not one seed.

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


def holm(p_values: np.ndarray) -> np.ndarray:
    """Adjusted p-values [K] that control the family-wise error rate (Holm 1979).

    Raises:
      TypeError: if they are not real numbers.
      ValueError: if they are not a vector.

    Example:
      >>> print(holm(np.array([0.01, 0.04])))
      [0.02 0.04]
    """
    p_values = real(p_values, "p_values", 0)
    if p_values.ndim != 1:
        raise ValueError(f"p_values must be a vector, got shape {p_values.shape}")
    order = np.argsort(p_values, kind="stable")
    steps = np.maximum.accumulate(p_values[order] * np.arange(len(p_values), 0, -1))
    adjusted = np.empty_like(steps)
    adjusted[order] = np.minimum(steps, 1)
    return adjusted


def effect_size(differences: np.ndarray) -> float:
    """Hedges' g for paired differences [S]: mean / sd · (1 - 3/(4 (S - 1) - 1)).

    NaN where the differences are equal but for rounding, or not all finite.

    Errors are those of `interval`.

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
    """The smallest adjusted p-value that this many seeds can give in a family of this size.

    Example:
      >>> print(smallest_p_holm(10, 13))  # 13 · 2⁻⁹
      0.025390625
    """
    smallest = 2.0 ** (1 - n_seeds) if n_seeds <= _MAX_EXACT else 1 / (N_RANDOM + 1)
    return min(1.0, n_comparisons * smallest)


def verdict(
    low: float, high: float, p_holm: float, baseline: float, n_seeds: int, higher_is_uniform: bool
) -> str:
    """One of `VERDICTS` for a difference with interval [low, high] from a baseline's mean.

    `no difference` if the interval lies within ± 2 % of the baseline; else `more uniform` or `less
    uniform` if the adjusted p-value is below .05; else `undecided`, as is all with fewer than six
    seeds.

    Example:
      >>> verdict(-0.2, -0.1, 0.01, baseline=0.4, n_seeds=10, higher_is_uniform=False)
      'more uniform'
    """
    if n_seeds < MIN_SEEDS or not all(map(math.isfinite, (low, high, p_holm, baseline))):
        return "undecided"
    margin = MARGIN * abs(baseline)
    if -margin <= low and high <= margin:
        return "no difference"
    if p_holm < ALPHA:
        return "more uniform" if (low + high > 0) == higher_is_uniform else "less uniform"
    return "undecided"


def compare(
    baseline: np.ndarray, condition: np.ndarray, higher_is_uniform: bool = False
) -> list[Comparison]:
    """Compare K quantities of one family, measured on the same seeds in two conditions [S, K].

    Args:
      baseline: the measure in the members without the treatment.
      condition: the same of the members with it, seed by seed.
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
    differences = list((condition - baseline).T)
    return judge(
        baseline,
        condition,
        [float(d.mean()) for d in differences],
        [interval(d) for d in differences],
        sign_flip_test(condition - baseline),
        [effect_size(d) for d in differences],
        n_networks=len(baseline),
        higher_is_uniform=higher_is_uniform,
    )


def judge(
    baseline: np.ndarray,
    condition: np.ndarray,
    differences: Sequence[float],
    intervals: Sequence[tuple[float, float]],
    p_values: np.ndarray,
    effect_sizes: Sequence[float],
    *,
    n_networks: int,
    higher_is_uniform: bool,
) -> list[Comparison]:
    """K comparisons of one family from their numbers: Holm's p-values and verdicts are added.

    Args:
      baseline: values [S, K], of which the means are told; so `condition` [S', K].
      differences: of the means, with their `intervals`, p-values and effect sizes, K each.
      n_networks: seeds that are paired, or networks of both groups.
      higher_is_uniform: whether the measure grows with uniformity.

    Example:
      >>> numbers = ([-0.1], [(-0.2, -0.05)], np.array([0.01]), [1.0])
      >>> (one,) = judge(
      ...     np.ones((8, 1)), np.ones((8, 1)), *numbers, n_networks=8, higher_is_uniform=False
      ... )
      >>> print(one.p_holm, one.verdict)
      0.01 more uniform
    """
    numbers = zip(
        baseline.T,
        condition.T,
        differences,
        intervals,
        p_values,
        holm(p_values),
        effect_sizes,
        strict=True,
    )
    results = []
    for x, y, difference, (low, high), p_value, p_holm, effect in numbers:
        mean, p_value, p_holm = float(x.mean()), float(p_value), float(p_holm)
        said = verdict(low, high, p_holm, mean, n_networks, higher_is_uniform)
        told = (mean, float(y.mean()), difference, low, high, p_value, p_holm, effect, said)
        results.append(Comparison(*told))
    return results
