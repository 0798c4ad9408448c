"""Laws of random numbers, normal, skewed and heavy-tailed, for the coverage of intervals."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.shared import judging

Law = Callable[[np.random.Generator, int], np.ndarray]
LAWS: dict[str, tuple[Law, float]] = {  # how to draw n numbers, and their true mean
    "normal": (lambda rng, n: rng.normal(size=n), 0.0),
    "uniform": (lambda rng, n: rng.uniform(-1, 1, n), 0.0),
    "log-normal, σ = .5": (lambda rng, n: rng.lognormal(0, 0.5, n), math.exp(0.125)),
    "exponential": (lambda rng, n: rng.exponential(size=n), 1.0),
    "Student t, 5 degrees": (lambda rng, n: rng.standard_t(5, n), 0.0),
    "Student t, 3 degrees": (lambda rng, n: rng.standard_t(3, n), 0.0),
}


def covered(intervals: list[tuple[float, float]], mean: float) -> dict[str, Any]:
    """The share of intervals that hold the mean, with its standard error."""
    coverage = float(np.mean([low <= mean <= high for low, high in intervals]))
    error = math.sqrt(coverage * (1 - coverage) / len(intervals))
    return {"coverage": coverage, "standard_error": error}


def judge(prediction: str, claim: str, rows: list[dict[str, Any]], low: float) -> dict[str, Any]:
    """A claim that coverages are `low` to .97; it holds if their 95 % intervals lie there.

    The evidence is the least and the largest coverage.
    """

    def within(row: dict[str, Any]) -> bool:
        coverage, half = row["coverage"], 1.96 * row["standard_error"]
        interval = {"ci_low": coverage - half, "ci_high": coverage + half}
        return judging.placed(interval, low, 0.97) == "within"

    ends = [end(rows, key=lambda row: row["coverage"]) for end in (min, max)]
    return judging.judged(prediction, claim, all(map(within, rows)), ends)
