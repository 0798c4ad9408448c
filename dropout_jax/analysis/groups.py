"""Comparisons of two groups of networks that no seed pairs, such as two sets of files.

The network is the unit of every statistic, as the seed is in `paired`. NumPy in, NumPy out.

Shapes: S, S' networks of either group, K comparisons of one family.
"""

import itertools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

from dropout_jax.analysis.statistics import (
    CONFIDENCE,
    N_RANDOM,
    Comparison,
    as_float64,
    describe_coverage,
    hedges_g,
    judge,
    power_of_two,
    step_down,
)

# {networks of the smaller group: share of intervals that cover the difference, in the worst design
# tried: of normal groups, and of the worst law}; from the record of experiments/group_coverage.py.
COVERAGE = {
    2: (0.917, 0.869),
    3: (0.936, 0.885),
    4: (0.944, 0.888),
    5: (0.943, 0.902),
    6: (0.949, 0.9),
    8: (0.948, 0.907),
    10: (0.948, 0.913),
    15: (0.947, 0.92),
    20: (0.948, 0.932),
}
_CHUNK = 2**11  # deals held at once


def compare(
    baseline: np.ndarray,
    condition: np.ndarray,
    higher_is_uniform: bool = False,
    margin: ArrayLike = math.nan,
) -> list[Comparison]:
    """Compare K quantities of one family in networks [S, K] with those in others [S', K].

    Intervals are Welch's; the effect size is Hedges' g. For p-values the networks are dealt anew
    into two groups, all K values of a network together. The statistic is the difference of means
    over the deviation of both groups together, which deals do not change. The p-value alone is the
    share of deals whose statistic is as large (Fisher 1935), the adjusted one is that of
    `statistics.step_down`. Both are exact for up to 2^15 deals; else so many random ones and the
    observed one are counted. A value that is not finite leaves its quantity undecided.

    Raises:
      TypeError: if they are not real numbers.
      ValueError: if there are fewer than two networks in a group, not K quantities in both, or the
        margin is no number and not one for each of K.

    Example:
      >>> (one,) = compare(np.full((5, 1), 0.5), np.full((4, 1), 0.4), margin=0.01)
      >>> print(round(one.difference, 3), one.verdict)
      -0.1 more uniform
    """
    baseline = as_float64(baseline, "baseline", 2)
    condition = as_float64(condition, "condition", 2)
    if baseline.ndim != 2 or condition.ndim != 2 or baseline.shape[1] != condition.shape[1]:
        raise ValueError(
            "baseline and condition must both be [networks, comparisons], got "
            f"{baseline.shape} and {condition.shape}"
        )
    margin = as_float64(margin, "margin", each=baseline.shape[1])
    estimates = [_estimate(x, y) for x, y in zip(baseline.T, condition.T, strict=True)]
    alone, adjusted = _permutation_test(baseline, condition)
    negligible = _negligible_test(baseline, condition, margin)
    return judge(estimates, alone, adjusted, negligible, higher_is_uniform)


def _estimate(x: np.ndarray, y: np.ndarray) -> Comparison:
    """The difference of means of two groups [S], [S']."""
    low, high = welch_interval(x, y)
    return Comparison(
        n=len(x) + len(y),
        baseline_mean=float(x.mean()),
        condition_mean=float(y.mean()),
        difference=float(y.mean() - x.mean()),
        ci_low=low,
        ci_high=high,
        effect_size=_effect_size(x, y),
    )


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
    scale = power_of_two(both)
    groups = (baseline / scale, condition / scale)
    variances = [group.var(ddof=1) / len(group) for group in groups]
    spread = sum(v * v / (len(group) - 1) for v, group in zip(variances, groups, strict=True))
    t = stats.t.ppf((1 + CONFIDENCE) / 2, sum(variances) ** 2 / spread) if spread else 0.0
    half = float(t * math.sqrt(sum(variances))) * scale
    difference = float(condition.mean() - baseline.mean())
    return difference - half, difference + half


def _effect_size(baseline: np.ndarray, condition: np.ndarray) -> float:
    """Hedges' g of two groups [S], [S'], by their pooled deviation.

    It is NaN if the values of each group are equal but for rounding, or not all are finite.
    """
    n, m = len(baseline), len(condition)
    both = np.concatenate([baseline, condition])
    if not np.isfinite(both).all():
        return math.nan
    both = both / power_of_two(both)
    baseline, condition = both[:n], both[n:]
    squares = (n - 1) * baseline.var(ddof=1) + (m - 1) * condition.var(ddof=1)
    pooled = math.sqrt(squares / (n + m - 2))
    difference = float(condition.mean() - baseline.mean())
    return hedges_g(difference, pooled, n + m - 2, np.abs(both).max())


def _permutation_test(
    baseline: np.ndarray, condition: np.ndarray, two_sided: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """p-values [K] of groups [S, K], [S', K], alone and adjusted, as `compare` says.

    One-sided tests ask whether the condition's mean is larger.
    """
    both = np.concatenate([baseline, condition])
    known = np.isfinite(both).all(axis=0)
    both = np.where(known, both, 0.0)
    both /= np.maximum(np.abs(both).max(axis=0), np.finfo(float).tiny)
    both -= both.mean(axis=0)
    both /= np.maximum(np.linalg.norm(both, axis=0), np.finfo(float).tiny)
    n, m = len(baseline), len(condition)
    # The centred sum of one group is minus that of the other.
    statistic = np.abs if two_sided else np.positive
    resampled = (statistic(labels @ both) for labels in _deals(n, m))
    slack = 1e-12 * len(both)  # sums in another order differ by rounding
    alone, adjusted = step_down(statistic(both[n:].sum(axis=0)) - slack, resampled)
    return np.where(known, alone, np.nan), np.where(known, adjusted, np.nan)


def _deals(n: int, m: int) -> Iterator[np.ndarray]:
    """Which of n + m networks belong to the second group, 1 or 0, in chunks [R, n + m]."""
    if math.comb(n + m, m) <= N_RANDOM:
        chosen = np.array(list(itertools.combinations(range(n + m), m)))
        labels = np.zeros((len(chosen), n + m))
        np.put_along_axis(labels, chosen, 1.0, axis=1)
        yield from np.split(labels, range(_CHUNK, len(labels), _CHUNK))
        return
    observed = np.repeat([0.0, 1.0], [n, m])
    yield observed[None]
    rng = np.random.default_rng(0)
    for _ in range(0, N_RANDOM, _CHUNK):
        yield rng.permuted(np.tile(observed, (_CHUNK, 1)), axis=1)


def _negligible_test(baseline: np.ndarray, condition: np.ndarray, margin: np.ndarray) -> np.ndarray:
    """Adjusted p-values [K] that differences of groups lie within ± margin, as in `paired`."""
    _, adjusted = _permutation_test(
        np.concatenate([-baseline, baseline], axis=1),
        np.concatenate([margin - condition, condition + margin], axis=1),
        two_sided=False,
    )
    return np.maximum(*np.split(adjusted, 2))


def smallest_p(n: int, m: int) -> float:
    """The smallest p-value that groups of n and m networks can reach, alone or adjusted.

    Beyond 2^15 deals it is a bound, as random ones may hold the observed one again.

    Example:
      >>> print(smallest_p(3, 3))  # 2 of 20 ways to deal them
      0.1
    """
    n_deals = math.comb(n + m, m)
    return (1 + (n == m)) / n_deals if n_deals <= N_RANDOM else 1 / (N_RANDOM + 1)


def describe_interval(n: int, m: int) -> str:
    """Which interval groups of n and m networks get, and how often it covered in simulation.

    Example:
      >>> print(describe_interval(4, 8))
      95 % Welch interval (with 4 in the smaller group it covered 94.4 % of normal differences in
      simulation, and 88.8 % of the worst law tried)
    """
    if min(n, m) < min(COVERAGE):
        return "no interval"
    return f"95 % Welch interval ({describe_coverage(COVERAGE, min(n, m), 'in the smaller group')})"
