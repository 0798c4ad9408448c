"""Comparisons of two groups of networks that no seed pairs, such as two sets of files.

The network is the unit of every statistic, as the seed is in `paired`. NumPy in, NumPy out.

Shapes: S, S' networks of either group, K comparisons of one family.
"""

import math

import numpy as np
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


def permutation_test(baseline: np.ndarray, condition: np.ndarray) -> float:
    """Two-sided p-value of the difference of means of two groups [S], [S'], by permutation.

    The test is exact if the networks can be dealt in at most 2^15 ways. Otherwise it takes so many
    random ways and the observed one (`scipy.stats.permutation_test`). The smallest p-value is
    2 / C(S + S', S) for groups of one size, half of that for others. A value that is not finite
    gives NaN.

    Example:
      >>> p = permutation_test(np.arange(4.0), np.arange(4.0) + 10)
      >>> print(round(70 * p))  # 2 of 70 ways to deal them
      2
    """
    both = np.concatenate([baseline, condition])
    if not np.isfinite(both).all():
        return math.nan
    slack = 1e-12 * np.abs(both).sum()  # sums in another order differ by rounding

    def distance(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
        apart = np.abs(np.mean(y, axis=axis) - np.mean(x, axis=axis))
        return np.round(apart / slack) if slack else apart

    tested = stats.permutation_test(
        (baseline, condition),
        distance,
        vectorized=True,
        n_resamples=N_RANDOM,
        alternative="greater",
        rng=np.random.default_rng(0),
    )
    return float(tested.pvalue)


def welch_interval(baseline: np.ndarray, condition: np.ndarray) -> tuple[float, float]:
    """Interval for the difference of means of two groups [S], [S'] of unlike variance (Welch 1947).

    A value that is not finite gives NaN.

    Example:
      >>> low, high = welch_interval(np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0]))
      >>> print(round((low + high) / 2, 3), low < 1 < high)
      1.0 True
    """
    both = np.concatenate([baseline, condition])
    if not np.isfinite(both).all():
        return math.nan, math.nan
    scale = scale_of(both)
    groups = (baseline / scale, condition / scale)
    variances = [group.var(ddof=1) / len(group) for group in groups]
    apart = sum(v * v / (len(group) - 1) for v, group in zip(variances, groups, strict=True))
    t = stats.t.ppf((1 + CONFIDENCE) / 2, sum(variances) ** 2 / apart) if apart else 0.0
    half = float(t * math.sqrt(sum(variances))) * scale
    difference = float(condition.mean() - baseline.mean())
    return difference - half, difference + half


def effect_size(baseline: np.ndarray, condition: np.ndarray) -> float:
    """Hedges' g of two groups [S], [S'], by their pooled deviation.

    It is NaN if the values of each group are equal but for rounding, or not all are finite.

    Example:
      >>> g = effect_size(np.array([1.0, 2.0, 3.0]), np.array([2.0, 3.0, 4.0]))
      >>> print(round(g, 3))  # 1 - 3/15
      0.8
    """
    n, m = len(baseline), len(condition)
    both = np.concatenate([baseline, condition])
    if not np.isfinite(both).all():
        return math.nan
    both = both / scale_of(both)
    baseline, condition = both[:n], both[n:]
    squares = (n - 1) * baseline.var(ddof=1) + (m - 1) * condition.var(ddof=1)
    pooled = math.sqrt(squares / (n + m - 2))
    if pooled <= 1e-12 * np.abs(both).max():  # equal, but for rounding
        return math.nan
    difference = float(condition.mean() - baseline.mean())
    return difference / pooled * (1 - 3 / (4 * (n + m - 2) - 1))


def compare(
    baseline: np.ndarray, condition: np.ndarray, higher_is_uniform: bool = False
) -> list[Comparison]:
    """Compare K quantities of one family in networks [S, K] with those in others [S', K].

    Intervals are Welch's, which assume no common variance; p-values are those of
    `permutation_test`, Holm-adjusted; the effect size is Hedges' g with the pooled deviation.

    Raises:
      TypeError: if they are not real numbers.
      ValueError: if there are fewer than two networks in a group, or not K quantities in both.

    Example:
      >>> (one,) = compare(np.full((5, 1), 0.5), np.full((4, 1), 0.4))
      >>> print(round(one.difference, 3), one.verdict)
      -0.1 more uniform
    """
    baseline = real(baseline, "baseline", 2)
    condition = real(condition, "condition", 2)
    if baseline.ndim != 2 or condition.ndim != 2 or baseline.shape[1] != condition.shape[1]:
        raise ValueError(
            "baseline and condition must both be [networks, comparisons], got "
            f"{baseline.shape} and {condition.shape}"
        )
    family = []
    for x, y in zip(baseline.T, condition.T, strict=True):
        low, high = welch_interval(x, y)
        family.append(
            Estimate(
                baseline_mean=float(x.mean()),
                condition_mean=float(y.mean()),
                difference=float(y.mean() - x.mean()),
                ci_low=low,
                ci_high=high,
                p_value=permutation_test(x, y),
                effect_size=effect_size(x, y),
            )
        )
    return judge(family, len(baseline) + len(condition), higher_is_uniform)
