"""The measures of uniformity by their definitions, and what the tests of measures share."""

import math

import numpy as np
import pytest
from scipy import stats

M = 24
# Float32 sums of M terms err by at most M eps; participation, a ratio of fourth powers, by four.
TOL = 4 * M * 2.0**-23
GRID = np.linspace(0, 1, 201)


def close(expected, tol=TOL):
    return pytest.approx(expected, rel=tol, abs=tol)


def lorenz(a, fraction):
    shares = np.concatenate([[0], np.cumsum(np.sort(a))]) / a.sum()
    return np.interp(fraction, np.arange(len(a) + 1) / len(a), shares)


def oracle(a):
    """The definitions, in float64 and in other words than the library's."""
    a = np.ravel(a).astype(np.float64)
    n, root = len(a), math.sqrt(len(a))
    mean_difference = np.abs(a[:, None] - a[None, :]).sum() / (n * (n - 1))
    return {
        "gini": mean_difference / (2 * a.mean()),
        "cv": stats.variation(a),
        "entropy": stats.entropy(a, np.full(n, 1 / n)),
        "participation": np.mean(a**2) ** 2 / np.mean(a**4),
        "hoyer": (root - a.sum() / np.linalg.norm(a)) / (root - 1),
        "top10_share": 1 - lorenz(a, 0.9),
    }
