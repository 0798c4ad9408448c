"""What the tests of the analysis share: a toy population with random weights, and a table."""

import itertools
from typing import Any

import numpy as np

from dropout_jax.analysis.members import VIEWS, Measured
from dropout_jax.analysis.uniformity import MEASURES
from dropout_jax.populations.population import Population
from dropout_jax.training.evaluation import Curve, Metrics

WIDTHS = (6, 5, 4, 3)
NAMES = ["none", "dropout", "l2"]
OF_HIDDEN = dict.fromkeys(VIEWS)
OF_OUTPUT = dict.fromkeys(VIEWS[:3])


def random_params(seed, *leading):
    rng = np.random.default_rng(seed)
    return {
        "params": {
            f"layer_{l}": {
                "kernel": rng.normal(size=(*leading, i, o)).astype(np.float32),
                "bias": rng.normal(size=(*leading, o)).astype(np.float32),
            }
            for l, (i, o) in enumerate(itertools.pairwise(WIDTHS))
        }
    }


def toy_population(n_conditions, n_seeds):
    shape = (n_conditions, n_seeds, 2)
    metric = iter(np.random.default_rng(4).random((4, *shape)).astype(np.float32))
    curve = Curve(Metrics(next(metric), next(metric)), Metrics(next(metric), next(metric)))
    leading = shape[:2]
    return Population(random_params(5, *leading), random_params(6, *leading), np.arange(2), curve)


def random_measures():
    """Random measures of 3 conditions and 10 seeds; of dropout all are larger."""
    rng = np.random.default_rng(7)
    least = np.array([[1.0], [3.0], [1.0]])
    values: Any = {
        l: {view: {m: rng.random((3, 10)) + least for m in MEASURES} for view in views}
        for l, views in enumerate((OF_HIDDEN, OF_OUTPUT))
    }
    live = [rng.random((3, 10, 6)) < 0.5, np.ones((3, 10, 5), bool)]
    return Measured(values, {}, live)


def coverage(rows):
    """{n: the least coverage under the normal law, and under all laws}, to three digits."""
    return {
        n: (
            round(min(r["coverage"] for r in rows if (r["n"], r["law"]) == (n, "normal")), 3),
            round(min(r["coverage"] for r in rows if r["n"] == n), 3),
        )
        for n in sorted({row["n"] for row in rows})
    }
