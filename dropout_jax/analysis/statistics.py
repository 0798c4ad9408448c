"""From estimates to verdicts: what comparisons of paired seeds and of groups share.

`paired` and `groups` estimate differences, each in its own way. The estimates of one family are
judged here, by one rule.

Shapes: S seeds or networks, K comparisons of one family.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

CONFIDENCE = 0.95
ALPHA = 0.05
MARGIN = 0.02  # of the baseline's mean: differences within it are called none
MIN_SEEDS = 6  # 2 · 2⁻⁶ < .05: with fewer, the sign-flip test cannot reach it
N_RANDOM = 2**15  # patterns drawn by a test that cannot count them all
VERDICTS = ("more uniform", "less uniform", "no difference", "undecided")


class Estimate(NamedTuple):
    """One difference of means, condition minus baseline, with its interval and p-value."""

    baseline_mean: float
    condition_mean: float
    difference: float
    ci_low: float
    ci_high: float
    p_value: float
    effect_size: float


class Comparison(NamedTuple):
    """An `Estimate` judged within its family; `verdict` is one of `VERDICTS`."""

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
    """Values [S, …] as float64.

    Raises:
      TypeError: if they are not real numbers.
      ValueError: if there are fewer than `n_seeds`.

    Example:
      >>> print(real([1, 2], "values", 2))
      [1. 2.]
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got {array.dtype}")
    if not array.ndim or len(array) < n_seeds:
        raise ValueError(
            f"{name} must be of {n_seeds} seeds or more on its first axis, got shape {array.shape}"
        )
    return array.astype(np.float64)


def scale_of(values: np.ndarray) -> float:
    """The power of two at or below the largest |value|.

    Dividing by it does not round, and squares and cubes of the quotients neither underflow to 0 nor
    overflow.

    Example:
      >>> print(scale_of(np.array([3.0, -5.0])))
      4.0
    """
    return float(np.ldexp(1.0, np.frexp(np.abs(values).max())[1] - 1))


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


def verdict(
    low: float, high: float, p_holm: float, baseline: float, n_seeds: int, higher_is_uniform: bool
) -> str:
    """One of `VERDICTS` for a difference with interval [low, high] from a baseline's mean.

    `no difference` if the interval lies within ± 2 % of the baseline; else `more uniform` or `less
    uniform` if the adjusted p-value is below .05; else `undecided`. With fewer than six seeds, or a
    number that is not finite, the verdict is always `undecided`.

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


def judge(family: Sequence[Estimate], n_networks: int, higher_is_uniform: bool) -> list[Comparison]:
    """The estimates of one family with their adjusted p-values and verdicts.

    Args:
      family: the estimates over which Holm's p-values hold.
      n_networks: seeds that are paired, or networks of both groups.
      higher_is_uniform: whether the measure grows with uniformity.

    Example:
      >>> estimate = Estimate(1.0, 0.9, -0.1, -0.2, -0.05, p_value=0.01, effect_size=1.0)
      >>> (one,) = judge([estimate], n_networks=8, higher_is_uniform=False)
      >>> print(one.p_holm, one.verdict)
      0.01 more uniform
    """
    adjusted = holm(np.array([estimate.p_value for estimate in family]))
    return [
        Comparison(
            **estimate._asdict(),
            p_holm=p_holm,
            verdict=verdict(
                estimate.ci_low,
                estimate.ci_high,
                p_holm,
                estimate.baseline_mean,
                n_networks,
                higher_is_uniform,
            ),
        )
        for estimate, p_holm in zip(family, adjusted.tolist(), strict=True)
    ]
