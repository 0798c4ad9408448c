"""Paired comparisons over seeds: intervals, exact tests, effect sizes.

The seed is the unit of every statistic. A difference is condition minus baseline of its two
members, which share init, batches and mask bits. The weights of one network are never pooled as
independent samples. NumPy in, NumPy out.

Shapes: S seeds, K comparisons of one family.
"""

import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from dropout_jax.analysis.statistics import (
    CONFIDENCE,
    MIN_SEEDS,
    N_RANDOM,
    Comparison,
    as_float64,
    describe_coverage,
    hedges_g,
    judge,
    power_of_two,
    step_down,
)

# {seeds: share of intervals that cover the mean: of normal differences, and under the worst of the
# laws tried}; from the record of experiments/interval_coverage.py.
COVERAGE = {
    3: (0.951, 0.876),
    4: (0.95, 0.886),
    5: (0.954, 0.884),
    6: (0.936, 0.9),
    7: (0.938, 0.909),
    8: (0.941, 0.917),
    10: (0.948, 0.918),
    15: (0.948, 0.922),
    20: (0.949, 0.92),
    30: (0.95, 0.913),
    40: (0.953, 0.921),
    100: (0.943, 0.915),
}
_MAX_EXACT = 16  # seeds whose 2^(S - 1) sign patterns are all enumerated; else N_RANDOM are drawn
_CHUNK = 2**11  # patterns held at once


def compare(
    baseline: np.ndarray,
    condition: np.ndarray,
    higher_is_uniform: bool = False,
    margin: ArrayLike = math.nan,
    counts: np.ndarray | None = None,
) -> list[Comparison]:
    """Compare K quantities of one family, measured on the same seeds in two conditions [S, K].

    Args:
      baseline: the measure in the members without the treatment.
      condition: the same in the members with it, seed by seed.
      higher_is_uniform: whether the measure grows with uniformity.
      margin: differences within it are negligible; a number, or one for each quantity [K].
      counts: which pairs [S, K] count, booleans; None counts all. If a pair that counts is not
        finite, its quantity is undecided.

    Raises:
      TypeError: if they are not real numbers, or `counts` not booleans.
      ValueError: if the shapes differ, the margin has another, or there are fewer than two seeds.

    Example:
      >>> (one,) = compare(np.full((8, 1), 0.5), np.full((8, 1), 0.4), margin=0.01)
      >>> print(round(one.difference, 3), one.verdict)
      -0.1 more uniform
    """
    baseline = as_float64(baseline, "baseline", 0)
    condition = as_float64(condition, "condition", 0)
    if baseline.shape != condition.shape or baseline.ndim != 2 or len(baseline) < 2:
        raise ValueError(
            "baseline and condition must both be [seeds, comparisons] with at least two seeds, got "
            f"{baseline.shape} and {condition.shape}"
        )
    margin = as_float64(margin, "margin", each=baseline.shape[1])
    counted = np.asarray(True if counts is None else counts)
    if counted.dtype != bool:  # integers would be taken for indices
        raise TypeError(f"counts must hold booleans, got {counted.dtype}")
    counted = np.broadcast_to(counted, baseline.shape)
    finite = np.isfinite(baseline) & np.isfinite(condition)
    decidable = (finite | ~counted).all(axis=0) & (counted.sum(axis=0) >= 2)
    kept = counted & decidable
    differences = np.where(kept, condition, np.nan) - np.where(kept, baseline, np.nan)
    estimates = [
        _estimate(x[pairs], y[pairs])
        for x, y, pairs in zip(baseline.T, condition.T, kept.T, strict=True)
    ]
    alone, adjusted = _sign_flips(differences, two_sided=True)
    negligible = _negligible_test(differences, margin)
    return judge(estimates, alone, adjusted, negligible, higher_is_uniform)


def _estimate(x: np.ndarray, y: np.ndarray) -> Comparison:
    """The mean difference of values [S], seed by seed."""
    if not len(x):
        return Comparison()
    differences = y - x
    low, high = _interval(differences)
    return Comparison(
        n=len(x),
        baseline_mean=float(x.mean()),
        condition_mean=float(y.mean()),
        difference=float(differences.mean()),
        ci_low=low,
        ci_high=high,
        effect_size=_effect_size(differences),
    )


def interval(differences: np.ndarray) -> tuple[float, float]:
    """Interval for the mean of paired differences [S]: Student's (1908) below six seeds, else BCa.

    BCa after Efron (1987), by `scipy.stats.bootstrap` with a fixed seed. For few seeds a bootstrap
    interval is too narrow, as it resamples from a variance of (S - 1)/S. The nominal level is
    therefore raised from 1 - α to that of the expanded percentile interval,
    1 - 2 Φ(√(S/(S - 1)) t_{α/2, S - 1}) (Hesterberg 2015). Below six seeds even that saturates at
    the range of the sample. If all differences are equal, so are both ends. If one is not finite,
    both are NaN.

    Raises:
      TypeError: if they are not real numbers.
      ValueError: if they are not a vector of at least two.

    Example:
      >>> low, high = interval(np.array([1.0, 2.0, 3.0, 2.0, 2.0, 3.0]))
      >>> print(low < 2 < high)
      True
    """
    return _interval(_checked(differences, 1))


def _interval(differences: np.ndarray) -> tuple[float, float]:
    """`interval` of differences [S] that were checked."""
    n = len(differences)
    if not np.isfinite(differences).all():
        return math.nan, math.nan
    if np.ptp(differences) <= 1e-12 * np.abs(differences).max():
        return float(differences.mean()), float(differences.mean())
    scale = power_of_two(differences)
    differences = differences / scale
    if n < MIN_SEEDS:
        t = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1))
        mean, half = differences.mean(), t * differences.std(ddof=1) / math.sqrt(n)
        return float((mean - half) * scale), float((mean + half) * scale)
    t = float(stats.t.ppf((1 - CONFIDENCE) / 2, n - 1))
    level = 1 - 2 * float(stats.norm.cdf(math.sqrt(n / (n - 1)) * t))
    low, high = stats.bootstrap(
        (differences,),
        np.mean,
        confidence_level=level,
        n_resamples=9_999,
        batch=max(1, 2**24 // n),
        method="BCa",
        rng=np.random.default_rng(0),
    ).confidence_interval
    return float(low * scale), float(high * scale)


def sign_flip_test(
    differences: np.ndarray, two_sided: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """p-values [K] of a family of paired differences [S, K]: alone, and adjusted over the family.

    Under the hypothesis the signs of a seed's differences may be flipped, all K together. The
    statistic is |Σ d| / √Σ d², whose scale flips do not change; a one-sided test of a positive mean
    takes Σ d / √Σ d². The p-value alone is the share of sign patterns whose statistic is as large
    (Fisher 1935, §21); the adjusted one is that of `statistics.step_down`. Both are exact for up to
    16 seeds if the differences are symmetric; the smallest is then 2^(1 - S), one-sided 2^-S,
    whatever K is. For more seeds, 2^15 random patterns and the observed one are counted, one-sided
    each with its opposite, which keeps the level (Phipson & Smyth 2010). A number that is not
    finite leaves a seed out of that column; a column of them gives NaN.

    Raises:
      TypeError: if they are not real numbers.
      ValueError: if they are not [S, K] with at least one seed.

    Example:
      >>> alone, adjusted = sign_flip_test(np.ones((6, 2)))  # 2 of 64 patterns are as far from 0
      >>> print(alone, adjusted)
      [0.03125 0.03125] [0.03125 0.03125]
    """
    return _sign_flips(_checked(differences, 2), two_sided)


def _sign_flips(differences: np.ndarray, two_sided: bool) -> tuple[np.ndarray, np.ndarray]:
    """`sign_flip_test` of differences [S, K] that were checked."""
    counted = np.isfinite(differences)
    d = np.where(counted, differences, 0.0)
    d /= np.maximum(np.abs(d).max(axis=0), np.finfo(float).tiny)
    d /= np.maximum(np.linalg.norm(d, axis=0), np.finfo(float).tiny)
    sums = (d[0] + (1.0 - 2.0 * patterns) @ d[1:] for patterns in _sign_patterns(len(d)))
    flipped = (np.abs(s) if two_sided else np.concatenate([s, -s]) for s in sums)
    observed = np.abs(d.sum(axis=0)) if two_sided else d.sum(axis=0)
    slack = 1e-12 * len(d)  # sums in another order differ by rounding
    alone, adjusted = step_down(observed - slack, flipped)
    known = counted.any(axis=0)
    return np.where(known, alone, np.nan), np.where(known, adjusted, np.nan)


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


def negligible_test(differences: np.ndarray, margin: ArrayLike) -> np.ndarray:
    """Adjusted p-values [K] of equivalence: mean differences [S, K] within ± a margin, one or [K].

    Two one-sided tests (Schuirmann 1987): the mean is below the margin, and above its negative. All
    2 K are one family of `sign_flip_test`, whose errors it raises. So a true difference at the
    margin is called negligible in at most 5 % of families. A margin of NaN gives NaN.

    Example:
      >>> d = np.array([0.1, -0.1, 0.2, -0.2, 0.1, -0.1])
      >>> print(negligible_test(d[:, None], 1.0))  # 1 of 64 patterns
      [0.015625]
    """
    differences = _checked(differences, 2)
    return _negligible_test(differences, as_float64(margin, "margin", each=differences.shape[1]))


def _negligible_test(differences: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """`negligible_test` of what was checked."""
    both = np.concatenate([margin - differences, differences + margin], axis=1)
    return np.maximum(*np.split(_sign_flips(both, two_sided=False)[1], 2))


def effect_size(differences: np.ndarray) -> float:
    """Hedges' g for paired differences [S]: mean / sd · (1 - 3/(4 (S - 1) - 1)).

    It is NaN for only two differences, for differences equal up to rounding, and if one is not
    finite. It raises the errors of `interval`.

    Example:
      >>> print(round(effect_size(np.array([1.0, 2.0, 3.0])), 3))  # 2 / 1 · (1 - 3/7)
      1.143
    """
    return _effect_size(_checked(differences, 1))


def _effect_size(differences: np.ndarray) -> float:
    """`effect_size` of differences [S] that were checked."""
    if not np.isfinite(differences).all():
        return math.nan
    differences = differences / power_of_two(differences)
    n, sd = len(differences), differences.std(ddof=1)
    return hedges_g(differences.mean(), sd, n - 1, np.abs(differences).max()) if n > 2 else math.nan


def _checked(differences: ArrayLike, n_axes: int) -> np.ndarray:
    """Differences [S] of at least two seeds, or [S, K] of at least one, or an error."""
    least, shape = {1: (2, "a vector"), 2: (1, "[S, K]")}[n_axes]
    differences = as_float64(differences, "differences", least)
    if differences.ndim != n_axes:
        raise ValueError(f"differences must be {shape}, got shape {differences.shape}")
    return differences


def smallest_p(n_seeds: int) -> float:
    """The smallest p-value that so many seeds can reach, alone or adjusted over any family.

    Beyond 16 seeds it is a bound, as random patterns may hold the observed one again.

    Example:
      >>> print(smallest_p(6))  # 2⁻⁵
      0.03125
    """
    return 2.0 ** (1 - n_seeds) if n_seeds <= _MAX_EXACT else 1 / (N_RANDOM + 1)


def describe_interval(n_seeds: int) -> str:
    """Which interval so many seeds get, and how often it covered the mean in simulation.

    Example:
      >>> print(describe_interval(1))
      no interval
    """
    if n_seeds < min(COVERAGE):
        return "95 % t interval" if n_seeds > 1 else "no interval"
    kind = "t" if n_seeds < MIN_SEEDS else "BCa bootstrap"
    return f"95 % {kind} interval ({describe_coverage(COVERAGE, n_seeds, 'seeds')})"
