"""Which rate, and does every layer need its own?

Question    A lecture: "you can use 20 %, 80 % and so forth, different for the different layers".
            How do test error and the spread of weights and contributions depend on the rates, of
            both hidden layers and of the pixels? What does a wrong choice cost?
Predicted   R1 At fixed width the test error is flat for rates .2 to .6: each at most .5 points
            above the rate of least validation error (JMLR 2014, §7.3). R2 At rate .9 it is at least
            1 point worse. R3 Where the width grows so that as many units are kept, it is less bad
            there than at fixed width. P1 The Gini of contributions falls from rate .1 to .5 in both
            hidden layers. R4 The rate of least validation error costs at most .3 points on the test
            digits. R5 Dropout of pixels, .2, does not raise the error beside .5 of hidden units, by
            .1 points.
Judged      A claim holds if the 95 % interval over seeds supports it. An undecided claim counts as
            failed, and the evidence says `undecided`. R1, R2 and R4 compare with the rate of least
            validation error, which no test digit chose; R4 holds if every other rate is better by
            .3 points at most. P1, P1b and P3 as in weight_uniformity, by the verdicts, from rate
            .1 to .5: of path norms and of |w| they were predicted there, not here. A family is one
            table. Differences hold for these test digits.
Command     python -m experiments.rates [--quick] [--test-dir DIR]
Time        three quarters of an hour on two CPU cores, beside other work

Scientific  one rate for both hidden layers, two rates, the rate of pixels; width
Fixed       as in the main study; all 10,000 test digits of full MNIST if its folder is given, else
            the 1,000 of mnist5k; the validation split is a fifth of the training data; for it the
            same seeds are trained anew on the other four; the grid of two rates has 3 seeds a cell;
            width times keep starts at 64 units
"""

from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import ArrayLike

from dropout_jax.analysis.members import measure_population
from dropout_jax.analysis.uniformity import MARGINS
from dropout_jax.data import Dataset, load_dataset
from dropout_jax.networks.mlp import MLP
from dropout_jax.populations.population import Population, fit_population
from dropout_jax.training.config import Config, Hparams
from experiments.shared import command, differences, judging, rate_figures, record, study

RESULTS = study.RESULTS / "rates"
RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
GRID = (0.0, 0.2, 0.4, 0.6, 0.8)
GRID_SEEDS = 3
PIXEL_RATES = (0.0, 0.1, 0.2, 0.3, 0.5)  # beside .5 of hidden units
FLAT = (0.2, 0.3, 0.4, 0.5, 0.6)
FLATNESS, COST, NO_RAISE = 0.5, 0.3, 0.1  # points
ERROR_MARGIN = 0.1  # points
VIEWS = ("entries", "contribution", "path_norm")


@dataclass(frozen=True)
class Size(study.Size):
    """How much to train; the width that grows keeps `kept` units on average."""

    seeds: int = 40
    kept: int = 64
    width_rates: tuple[float, ...] = (0.0, 0.2, 0.5, 0.8, 0.9)
    test_dir: Path | None = None


QUICK = Size("digits", (16, 16), epochs=2, seeds=3, kept=16, width_rates=(0.0, 0.9))


def fit(
    model: MLP, rates: list[tuple[float, ...]], seeds: range, size: Size, data: Dataset
) -> Population:
    """A population with these rates as conditions."""
    config = Config(model, epochs=size.epochs)
    conditions = [Hparams(rates=layer_rates) for layer_rates in rates]
    return fit_population(config, conditions, seeds, study.root_key(), data)


def last_error(trained: Population) -> np.ndarray:
    """Test error at the end [C, S], in percent."""
    return differences.percent(trained.curve.test.error[..., -1])


def run(size: Size) -> dict[str, np.ndarray]:
    """Test errors, in percent, and Gini of every population of the study; axes [rates, seeds]."""
    data = study.with_test_digits(load_dataset(size.dataset), size.test_dir)
    model, seeds = MLP((*size.features, data.n_classes)), range(size.seeds)
    n_hidden = len(size.features)
    train = partial(fit, model, size=size)
    one_rate = [study.layer_rates(rate, n_hidden) for rate in RATES]
    swept = train(one_rate, seeds, data=data)
    measured = measure_population(model, swept, data.x_train)
    results: dict[str, ArrayLike] = {
        "sweep": last_error(swept),
        "validation": last_error(train(one_rate, seeds, data=study.validation_split(data))),
    }
    for view in VIEWS:
        for layer, views in measured.values.items():
            if view in views:
                results[f"gini {view} {layer}"] = views[view]["gini"]
    grid_seeds = range(min(GRID_SEEDS, size.seeds))
    two_rates = [
        (*study.layer_rates(first, n_hidden - 1), last) for first, last in product(GRID, GRID)
    ]
    gridded = train(two_rates, grid_seeds, data=data)
    grid_values = measure_population(model, gridded, data.x_train).values
    results["grid"] = last_error(gridded)
    for layer in range(n_hidden):
        results[f"grid gini {layer}"] = grid_values[layer]["contribution"]["gini"]
    pixels = [study.layer_rates(0.5, n_hidden, pixels=rate) for rate in PIXEL_RATES]
    results["pixels"] = last_error(train(pixels, seeds, data=data))
    rates_by_width = [study.layer_rates(rate, n_hidden) for rate in size.width_rates]
    fixed = MLP((*(size.kept,) * n_hidden, data.n_classes))
    results["fixed width"] = last_error(fit(fixed, rates_by_width, seeds, size, data))
    wider = []
    for rate, layer_rates in zip(size.width_rates, rates_by_width, strict=True):
        width = round(size.kept / (1 - rate))
        model = MLP((*(width,) * n_hidden, data.n_classes))
        wider.append(last_error(fit(model, [layer_rates], seeds, size, data)))
    results["width times keep"] = np.concatenate(wider)
    return {name: np.asarray(values, np.float64) for name, values in results.items()}


def summarise(values: dict[str, np.ndarray]) -> dict[str, Any]:
    """Paired comparisons, means and sd."""
    sweep = values["sweep"]
    chosen = int(values["validation"].mean(axis=1).argmin())
    rates, pixel_rates = ([f"{rate:g}" for rate in axis] for axis in (RATES, PIXEL_RATES))
    ginis = [name for name in values if name.startswith("gini")]
    tenth, half = (
        np.stack([values[name][RATES.index(rate)] for name in ginis], axis=-1)
        for rate in (0.1, 0.5)
    )
    fixed, wider = (values[name][-1][:, None] for name in ("fixed width", "width times keep"))
    return {
        "n_seeds": sweep.shape[1],
        "n_seeds_of_grid": values["grid"].shape[1],
        "axes": {"rates": RATES, "grid": list(product(GRID, GRID)), "pixel_rates": PIXEL_RATES},
        "rate_of_least_validation_error": RATES[chosen],
        "error_against_chosen_by_validation": differences.paired(
            rates, *_baseline_and_conditions(sweep, chosen), ERROR_MARGIN
        ),
        "pixels_against_none": differences.paired(
            pixel_rates, *_baseline_and_conditions(values["pixels"], 0), ERROR_MARGIN
        ),
        "gini_from_.1_to_.5": differences.paired(ginis, tenth, half, MARGINS["gini"]),
        "widening_at_.9": differences.paired(["test error, %"], fixed, wider, ERROR_MARGIN),
        "means": {name: v.mean(axis=1).tolist() for name, v in values.items()},
        "sds": {name: v.std(axis=1, ddof=1).tolist() for name, v in values.items()},
    }


def _baseline_and_conditions(values: np.ndarray, baseline: int) -> tuple[np.ndarray, np.ndarray]:
    """Baseline and conditions as [S, K], for values [K, S]."""
    return np.broadcast_to(values[baseline], values.shape).T, values.T


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Each prediction, and whether it held."""
    against = summary["error_against_chosen_by_validation"]
    by_rate = {float(row["quantity"]): row for row in against}
    (wider,) = summary["widening_at_.9"]
    (pixels,) = (r for r in summary["pixels_against_none"] if r["quantity"] == "0.2")
    judged = [
        judging.judged_within(
            "R1",
            f"for rates .2 to .6 the error is at most {FLATNESS:g} points above the chosen rate's",
            [by_rate[rate] for rate in FLAT],
            high=FLATNESS,
        ),
        judging.judged_within(
            "R2", "at rate .9 it is at least 1 point worse", [by_rate[0.9]], low=1
        ),
        judging.judged(
            "R3", "with as many units kept, it is less bad at .9", wider["ci_high"] < 0, wider
        ),
    ]
    ginis = summary["gini_from_.1_to_.5"]
    n_layers = sum("entries" in row["quantity"] for row in ginis)
    for row in ginis:
        _, view, layer = row["quantity"].split()
        prediction, verdict = _predicted(view, int(layer), n_layers)
        claim = f"Gini of {view} of layer {layer} from rate .1 to .5: {verdict}"
        judged.append(judging.judged_by_verdict(prediction, claim, row, verdict))
    claim = f"no rate errs less than the chosen one by more than {COST:g} points"
    judged.append(judging.judged_within("R4", claim, against, low=-COST))
    claim = f"dropout of pixels, .2, does not raise the error by more than {NO_RAISE:g} points"
    judged.append(judging.judged_within("R5", claim, [pixels], high=NO_RAISE))
    return judged


def _predicted(view: str, layer: int, n_layers: int) -> tuple[str, str]:
    """The prediction about a Gini from rate .1 to .5, and the verdict that it expects."""
    if (view, layer) == ("path_norm", 0):
        return "P1b", "higher"
    if view != "entries":
        return "P1", "lower"
    expected = ["higher", *["negligible"] * (n_layers - 2), "lower"]
    return "P3", expected[layer]


def figures(values: dict[str, np.ndarray], size: Size = Size()) -> dict[str, Figure]:
    """The sweep of one rate, the grid of two, and widths and pixels."""
    return {
        "sweep": rate_figures.plot_sweep(values, RATES),
        "grid": rate_figures.plot_grid(values, GRID),
        "width": rate_figures.plot_width(values, size.width_rates, size.kept, PIXEL_RATES),
    }


def main(folder: Path, size: Size) -> None:
    """Run the study, write its record and print the predictions as judged."""
    start = perf_counter()
    values = run(size)
    summary = summarise(values)
    settings = {**vars(size), "grid_seeds": GRID_SEEDS, "test_dir": bool(size.test_dir)}
    drawn = figures(values, size)
    record.write(folder, settings, summary, judge(summary), drawn, start, values=values)


if __name__ == "__main__":
    command.start(__doc__, main, RESULTS, Size(), QUICK, folders=("test_dir",))
