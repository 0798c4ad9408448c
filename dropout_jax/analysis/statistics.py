"""What comparisons of paired seeds and of groups share, and the interval of an error rate.

`paired` and `groups` resample, each in its own way; families are adjusted and judged here.

Shapes: S seeds or networks, K comparisons of one family, R resamples.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import stats

CONFIDENCE = 0.95
ALPHA = 0.05
MIN_SEEDS = 6  # 2 · 2⁻⁶ < .05: with fewer, the sign-flip test cannot reach it
N_RANDOM = 2**15  # resamples drawn by a test that cannot count them all
VERDICTS = (
    "more uniform",
    "less uniform",
    "negligibly more uniform",
    "negligibly less uniform",
    "negligible",
    "undecided",
)


class Comparison(NamedTuple):
    """A difference of means, condition minus baseline, judged within its family.

    `n` counts the pairs of seeds, or the networks of both groups. `p_adjusted` tests whether there
    is a difference, `p_negligible` whether it is smaller than the margin; both are adjusted over
    the family. `verdict` is one of `VERDICTS`. The defaults describe a comparison of no pair.
    """

    n: int = 0
    baseline_mean: float = math.nan
    condition_mean: float = math.nan
    difference: float = math.nan
    ci_low: float = math.nan
    ci_high: float = math.nan
    p_value: float = math.nan
    p_adjusted: float = math.nan
    p_negligible: float = math.nan
    effect_size: float = math.nan
    verdict: str = "undecided"


def as_float64(values: ArrayLike, name: str, least: int = 0, each: int | None = None) -> np.ndarray:
    """Values [S, …] as float64; with `each`, a number or one for each of so many quantities.

    Raises:
      TypeError: if they are not real numbers.
      ValueError: if there are fewer than `least`, or not one or `each`.

    Example:
      >>> print(as_float64([1, 2], "values", least=2))
      [1. 2.]
    """
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise TypeError(f"{name} must hold real numbers, got {array.dtype}")
    if each is not None and array.shape not in ((), (each,)):
        wanted = f"a number or one for each of the {each} quantities"
        raise ValueError(f"{name} must be {wanted}, got shape {array.shape}")
    if each is None and (not array.ndim or len(array) < least):
        raise ValueError(
            f"{name} must hold {least} or more on its first axis, got shape {array.shape}"
        )
    return array.astype(np.float64)


def power_of_two(values: np.ndarray) -> float:
    """The power of two at or below the largest |value|.

    Dividing by it does not round, and squares and cubes of the quotients stay in range.

    Example:
      >>> print(power_of_two(np.array([3.0, -5.0])))
      4.0
    """
    return float(np.ldexp(1.0, np.frexp(np.abs(values).max())[1] - 1))


def hedges_g(difference: float, deviation: float, n_free: int, largest: float) -> float:
    """Hedges' g: difference / deviation · (1 - 3/(4 n_free - 1)), n_free its degrees of freedom.

    It is NaN where the deviation is that of rounding numbers up to `largest`.

    Example:
      >>> print(hedges_g(3.0, 1.0, n_free=2, largest=4.0))
      1.714
    """
    if deviation <= 1e-12 * largest:
        return math.nan
    return float(difference / deviation * (1 - 3 / (4 * n_free - 1)))


def step_down(
    observed: np.ndarray, resampled: Iterable[np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """p-values [K] of a family: of each hypothesis alone, and adjusted by step-down max-T.

    The adjusted p-value of the largest statistic is the share of resamples in which any statistic
    of the family is as large; that of the second leaves the first out, and so on, and none is below
    the one before (Westfall & Young 1993, algorithm 4.1). This controls the family-wise error rate
    and uses the dependence of the statistics.

    Args:
      observed: the statistics [K], of one scale, large where a hypothesis is doubtful.
      resampled: the same statistics in chunks [R, K] of resamples under all hypotheses; the
        observed ones are among them.

    Example:
      >>> alone, adjusted = step_down(np.array([3.0, 2.0]), [np.array([[3, 2], [1, 3], [0, 0]])])
      >>> print(np.round(3 * alone), np.round(3 * adjusted))
      [1. 2.] [2. 2.]
    """
    order = np.argsort(-observed, kind="stable")
    n, alone, any_as_large = 0, np.zeros(len(observed)), np.zeros(len(observed))
    for statistics in resampled:
        ordered = statistics[:, order]
        largest_left = np.maximum.accumulate(ordered[:, ::-1], axis=1)[:, ::-1]
        alone[order] += (ordered >= observed[order]).sum(axis=0)
        any_as_large += (largest_left >= observed[order]).sum(axis=0)
        n += len(statistics)
    adjusted = np.empty_like(any_as_large)
    adjusted[order] = np.maximum.accumulate(any_as_large / max(n, 1))
    return alone / max(n, 1), adjusted


def describe_coverage(coverage: Mapping[int, tuple[float, float]], n: int, unit: str) -> str:
    """How often an interval covered in simulation: under a normal law, and under the worst tried.

    `coverage` is {n: shares under both}, of which the largest n up to the one at hand is taken.

    Example:
      >>> print(describe_coverage({3: (0.951, 0.876)}, 4, "seeds"))
      with 3 seeds it covered 95.1 % of normal differences in simulation, and 87.6 % of the worst
      law tried
    """
    nearest = max(simulated for simulated in coverage if simulated <= n)
    normal, least = (f"{100 * share:.1f} %" for share in coverage[nearest])
    return (
        f"with {nearest} {unit} it covered {normal} of normal differences in simulation, "
        f"and {least} of the worst law tried"
    )


def error_interval(errors: ArrayLike, n_examples: float) -> tuple[float, float]:
    """Interval for the mean error rate of new seeds on new examples.

    Errors [S] are fractions, measured on the same `n_examples`. Two variances add up: that of the
    mean over seeds, s²/S, and that of the examples, e(1 - e)/n, with e the mean error. The second
    is an upper bound: it counts the part that differs between seeds twice. The quantile is
    Student's with S - 1 degrees of freedom, or the normal one for a single seed, whose interval is
    for new examples alone. Ends are cut at 0 and 1. With `n_examples` infinite the examples are
    given, as for errors that are no rates, and nothing is cut.

    Raises:
      TypeError: if the errors are not real numbers.
      ValueError: if there are none, or no examples, or an error outside [0, 1] of finitely many
        examples.

    Example:
      >>> low, high = error_interval([0.06, 0.06, 0.06], 1000)  # seeds agree, digits are few
      >>> print(round(low, 3), round(high, 3))
      0.028 0.092
    """
    errors = as_float64(errors, "errors", 1)
    if not n_examples > 0:
        raise ValueError(f"n_examples must be positive, got {n_examples}")
    low, high = (0.0, 1.0) if n_examples < math.inf else (-math.inf, math.inf)
    if ((errors < low) | (errors > high)).any():
        raise ValueError(f"errors must lie in [0, 1], got {errors.min():g} … {errors.max():g}")
    n, mean = len(errors), float(errors.mean())
    variance = (errors.var(ddof=1) / n if n > 1 else 0.0) + mean * (1 - mean) / n_examples
    law = stats.t(n - 1) if n > 1 else stats.norm
    half = float(law.ppf((1 + CONFIDENCE) / 2)) * math.sqrt(variance)
    return float(np.clip(mean - half, low, high)), float(np.clip(mean + half, low, high))


def verdict(
    difference: float, p_adjusted: float, p_negligible: float, higher_is_uniform: bool
) -> str:
    """One of `VERDICTS`: the direction if p_adjusted < .05, negligible if p_negligible < .05.

    NaN decides nothing.

    Example:
      >>> verdict(-0.2, 0.01, 0.9, higher_is_uniform=False)
      'more uniform'
    """
    negligible = p_negligible < ALPHA
    if p_adjusted < ALPHA:
        direction = "more uniform" if (difference > 0) == higher_is_uniform else "less uniform"
        return f"negligibly {direction}" if negligible else direction
    return "negligible" if negligible else "undecided"


def is_negligible(verdict: str) -> bool:
    """Whether a verdict says that a difference is negligible, with a direction or without.

    Example:
      >>> is_negligible("negligibly more uniform"), is_negligible("undecided")
      (True, False)
    """
    return verdict.startswith("negligibl")


def judge(
    estimates: Sequence[Comparison],
    alone: np.ndarray,
    adjusted: np.ndarray,
    negligible: np.ndarray,
    higher_is_uniform: bool,
) -> list[Comparison]:
    """The estimates of one family [K], completed with p-values and verdicts.

    `alone`, `adjusted` and `negligible` [K] become `p_value`, `p_adjusted` and `p_negligible`.

    Example:
      >>> p = np.array([0.03]), np.array([0.04]), np.array([0.9])
      >>> judge([Comparison(6, difference=-0.1)], *p, higher_is_uniform=False)[0].verdict
      'more uniform'
    """
    return [
        estimate._replace(
            p_value=float(p),
            p_adjusted=float(p_adjusted),
            p_negligible=float(p_negligible),
            verdict=verdict(estimate.difference, p_adjusted, p_negligible, higher_is_uniform),
        )
        for estimate, p, p_adjusted, p_negligible in zip(
            estimates, alone, adjusted, negligible, strict=True
        )
    ]
