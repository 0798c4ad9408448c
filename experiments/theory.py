"""Do networks trained with the library end where theory says that dropout leads?

Question    Of some small models it is known what dropout does, of logistic regression
            approximately, of the others exactly: linear regression, a linear network, the last
            layer of any network, products of inputs, two copies of one input. Does training with
            the library, noise and all, come to the same?
Predicted   Each as its source says (`analysis.theory`). A1 Linear regression ends within 2 % of
            ridge with the norms of the columns. A2 The product of a linear network ends within 5 %
            of its closed form; A3 its units are equal, coefficient of variation below .05, with
            dropout, and not, above .2, under L2. A4 Logistic regression ends within 5 % of the
            minimum of the quadratic penalty at rate .1. A5 What masks of the last hidden layer add
            to the squared error of trained networks is within 2 % of λ Σ c². A6 The best
            coefficient on a product of k inputs is (1 - rate)^k within 2 %. A7 Two copies of an
            input: no network of weights ≥ 0 is below 4/3, the best of signed weights is below 1.05.
Command     python -m experiments.theory [--quick]
Time        about three minutes on two CPU cores

Scientific  rate
Fixed       all examples a step, averaged over the second half of the steps where there is one
            optimum; 10 seeds of init and masks. Linear: as in `l2`, scales 1 … .1. Linear network:
            6-8-6, singular values 3 … .2 (a first run sorted its units before it averaged them,
            which spreads them by their noise: variation up to .06). Logistic: 8 features, 400
            examples. Last layer: networks of the main study at rates 0, .2, .5, .8, 200 masks.
            Products: 10⁶ masks, the target 1 with noise of sd .3
"""

from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from experiments.shared import command, differences, judging, record, study
from experiments.shared.theory_figures import figures
from experiments.shared.theory_models import (
    COPIES,
    FACTOR_RATES,
    FACTORS,
    HIDDEN_RATES,
    MODELS,
    QUICK,
    RATES,
    Found,
    Size,
)

RESULTS = study.RESULTS / "theory"
Row = dict[str, Any]


def apart(trained: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Relative distances ‖trained - exact‖ / ‖exact‖ [C, S] of vectors [C, S, D] from [C, D]."""
    norms = np.linalg.norm(exact, axis=-1)[:, None]
    return np.linalg.norm(trained - exact[:, None], axis=-1) / norms


def over_seeds_by_name(names: tuple[Any, ...], values: np.ndarray) -> dict[str, Row]:
    """`differences.over_seeds` of values [C, S], by name."""
    return {
        f"{name:g}": differences.over_seeds(row) for name, row in zip(names, values, strict=True)
    }


def summarise(values: dict[str, Found]) -> dict[str, Any]:
    """How far what was trained is from what is exact: means and intervals over seeds."""
    linear, network, logistic = (values[name] for name in list(MODELS)[:3])
    variation = network["units"].std(axis=-1) / network["units"].mean(axis=-1)  # [rates + L2, S]
    added, predicted = np.moveaxis(values["last_layer"]["added"], -1, 0)
    coefficients, exact = values["products"]["coefficients"], values["products"]["exact"]
    return {
        "n_seeds": variation.shape[1],
        "linear regression, distance": over_seeds_by_name(
            RATES, apart(linear["trained"], linear["exact"])
        ),
        "linear network, distance": over_seeds_by_name(RATES, network["apart"][:-1]),
        "linear network, distance under L2": differences.over_seeds(network["apart"][-1]),
        "units, coefficient of variation": over_seeds_by_name(RATES, variation[:-1]),
        "units, coefficient of variation under L2": differences.over_seeds(variation[-1]),
        "logistic regression, distance": over_seeds_by_name(
            RATES, apart(logistic["trained"], logistic["exact"])
        ),
        "added by masks over λ Σ c²": over_seeds_by_name(HIDDEN_RATES, added / predicted),
        "coefficient over (1 - rate)^k": {
            f"{rate:g}": over_seeds_by_name(FACTORS, fitted / e[:, None])
            for rate, fitted, e in zip(FACTOR_RATES, coefficients, exact, strict=True)
        },
        "expected loss on copies": {
            name: {**differences.over_seeds(losses), "least": float(losses.min())}
            for name, losses in values["copies"].items()
        },
    }


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Each prediction, and whether it held: whether the intervals lie where it says."""

    def rows_of(quantity: str) -> list[Row]:
        return list(summary[quantity].values())

    within, variation = judging.judged_within, "units, coefficient of variation"
    ratios = [
        row for by_factor in rows_of("coefficient over (1 - rate)^k") for row in by_factor.values()
    ]
    on_copies = summary["expected loss on copies"]
    least = {name: on_copies[name]["least"] for name in COPIES}
    logistic = [summary["logistic regression, distance"][f"{RATES[0]:g}"]]
    return [
        within(
            "A1", "linear regression within 2 %", rows_of("linear regression, distance"), 0, 0.02
        ),
        within("A2", "linear network within 5 %", rows_of("linear network, distance"), 0, 0.05),
        within("A3", "its units are equal with dropout", rows_of(variation), 0, 0.05),
        within("A3", "and not under L2", [summary[f"{variation} under L2"]], 0.2, np.inf),
        within("A4", "logistic regression within 5 % at rate .1", logistic, 0, 0.05),
        within(
            "A5", "masks add λ Σ c² within 2 %", rows_of("added by masks over λ Σ c²"), 0.98, 1.02
        ),
        within("A6", "coefficients within 2 % of (1 - rate)^k", ratios, 0.98, 1.02),
        judging.judged(
            "A7",
            "two copies: weights ≥ 0 stay at 4/3, the best of signed ones is below 1.05",
            least["weights ≥ 0"] > 4 / 3 - 1e-4 and least["signed"] < 1.05,
            on_copies,
        ),
    ]


def main(folder: Path, size: Size) -> None:
    """Run the study, write its record and print the predictions as judged."""
    start = perf_counter()
    values = {name: model(size) for name, model in MODELS.items()}
    summary, settings = summarise(values), {**vars(size), "rates": RATES}
    record.write(folder, settings, summary, judge(summary), figures(values), start, values=values)


if __name__ == "__main__":
    command.start(__doc__, main, RESULTS, Size(), QUICK)
