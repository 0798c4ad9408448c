"""Which rate, and does every layer need its own?

Question    A lecture: "you can use 20 %, 80 % and so forth, different for the different layers".
            How do test error and the spread of weights and contributions depend on the rates, of
            both hidden layers and of the pixels? What does a wrong choice cost?
Predicted   R1 At fixed width the test error is flat for rates .2 to .6: each within .5 points of
            the least (JMLR 2014, §7.3). R2 At rate .9 it is at least 1 point worse. R3 Where the
            width grows so that as many units are kept, it is less bad there than at fixed width. P1
            The Gini of contributions falls from rate .1 to .5 in both hidden layers. R4 The rate of
            least validation error costs at most .3 points on the test digits. R5 Dropout of pixels,
            .2, does not raise the error beside .5 of hidden units.
Command     python -m experiments.rates [--quick]
Time        about nine minutes on two CPU cores

Scientific  one rate for both hidden layers, two rates, the rate of pixels; width
Fixed       as in the main study; the validation split is a fifth of the training data, with other
            members; the grid of two rates has 3 seeds a cell; width times keep starts at 64 units
"""

from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dropout_jax import plots
from dropout_jax.comparison import measure_population
from dropout_jax.data import Dataset, load_dataset
from dropout_jax.networks import MLP
from dropout_jax.population import Population, fit_population
from dropout_jax.training import Config, Hparams
from experiments import study

RESULTS = study.RESULTS / "rates"
RATES = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
GRID = (0.0, 0.2, 0.4, 0.6, 0.8)
GRID_SEEDS = 3
PIXEL_RATES = (0.0, 0.1, 0.2, 0.3, 0.5)  # beside .5 of hidden units
FLAT = (0.2, 0.3, 0.4, 0.5, 0.6)


@dataclass(frozen=True)
class Size(study.Size):
    """How much to train; the width that grows keeps `kept` units on average."""

    kept: int = 64
    width_rates: tuple[float, ...] = (0.0, 0.2, 0.5, 0.8, 0.9)


QUICK = Size("digits", (16, 16), epochs=2, seeds=3, kept=4, width_rates=(0.0, 0.9))


def fit(
    model: MLP, rates: list[tuple[float, ...]], seeds: range, size: Size, data: Dataset
) -> Population:
    """A population with these rates as conditions."""
    config = Config(model, epochs=size.epochs)
    conditions = [Hparams(rates=of_layers) for of_layers in rates]
    return fit_population(config, conditions, seeds, study.root_key(), data)


def last_error(trained: Population) -> np.ndarray:
    """Test error at the end [C, S], in percent."""
    return 100 * np.asarray(trained.curve.test.error)[..., -1]


def run(size: Size) -> dict[str, np.ndarray]:
    """Test errors, in percent, and Gini of every population of the study; axes [rates, seeds]."""
    data = load_dataset(size.dataset)
    model, seeds = MLP((*size.features, data.n_classes)), range(size.seeds)
    n_hidden = len(size.features)
    train = partial(fit, model, size=size)
    one_rate = [(0.0, *(rate,) * n_hidden) for rate in RATES]
    swept = train(one_rate, seeds, data=data)
    measured = measure_population(model, swept, data.x_train)
    results = {
        "sweep": last_error(swept),
        "validation": last_error(train(one_rate, seeds, data=study.validation_split(data))),
    }
    for layer, views in measured.values.items():
        for view in {"entries", "contribution"} & set(views):
            results[f"gini {view} {layer}"] = np.asarray(views[view]["gini"])
    grid_seeds = range(min(GRID_SEEDS, size.seeds))
    two_rates = [(0.0, *(first,) * (n_hidden - 1), last) for first, last in product(GRID, GRID)]
    gridded = train(two_rates, grid_seeds, data=data)
    of_grid = measure_population(model, gridded, data.x_train).values
    results["grid"] = last_error(gridded)
    for layer in range(n_hidden):
        results[f"grid gini {layer}"] = np.asarray(of_grid[layer]["contribution"]["gini"])
    pixels = [(rate, *(0.5,) * n_hidden) for rate in PIXEL_RATES]
    results["pixels"] = last_error(train(pixels, seeds, data=data))
    of_widths = [(0.0, *(rate,) * n_hidden) for rate in size.width_rates]
    fixed = MLP((*(size.kept,) * n_hidden, data.n_classes))
    results["fixed width"] = last_error(fit(fixed, of_widths, seeds, size, data))
    wider = []
    for rate, of_layers in zip(size.width_rates, of_widths, strict=True):
        width = round(size.kept / (1 - rate))
        model = MLP((*(width,) * n_hidden, data.n_classes))
        wider.append(last_error(fit(model, [of_layers], seeds, size, data)))
    results["width times keep"] = np.concatenate(wider)
    return results


def summarise(results: dict[str, np.ndarray]) -> dict[str, Any]:
    """Means and sd of everything; what choosing by validation costs; pixels against none."""
    sweep, validation = results["sweep"], results["validation"]
    best, chosen = sweep.mean(axis=1).argmin(), validation.mean(axis=1).argmin()
    by_rate = study.paired([f"{rate:g}" for rate in RATES], *_against(sweep, int(best)))
    of_pixels = study.paired([f"{rate:g}" for rate in PIXEL_RATES], *_against(results["pixels"], 0))
    wider = (results["width times keep"] - results["fixed width"])[-1]  # at the largest rate
    half, tenth = RATES.index(0.5), RATES.index(0.1)
    hidden = sorted(name for name in results if name.startswith("gini contribution"))
    falls = [
        study.paired([n], results[n][tenth][:, None], results[n][half][:, None]) for n in hidden
    ]
    widening = study.paired(["0.9"], np.zeros((sweep.shape[1], 1)), wider[:, None])
    return {
        "n_seeds": sweep.shape[1],
        "n_seeds_of_grid": results["grid"].shape[1],
        "axes": {
            "rates": RATES,
            "grid": list(product(GRID, GRID)),
            "pixel_rates": PIXEL_RATES,
        },
        "best_rate": RATES[best],
        "chosen_rate": RATES[chosen],
        "cost_of_choice": float(sweep[chosen].mean() - sweep[best].mean()),
        "error_against_best": by_rate,
        "pixels_against_none": of_pixels,
        "contributions_from_.1_to_.5": [row for rows in falls for row in rows],
        "widening_at_.9": widening,
        "means": {name: values.mean(axis=1).tolist() for name, values in results.items()},
        "sds": {name: values.std(axis=1, ddof=1).tolist() for name, values in results.items()},
    }


def _against(values: np.ndarray, baseline: int) -> tuple[np.ndarray, np.ndarray]:
    """Baseline and conditions as [S, K], for values [K, S]."""
    return np.broadcast_to(values[baseline], values.shape).T, values.T


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Each prediction, and whether it held."""
    by_rate = {float(row["quantity"]): row for row in summary["error_against_best"]}
    flat = [by_rate[rate] for rate in FLAT]
    (wider,) = summary["widening_at_.9"]
    (pixels,) = (r for r in summary["pixels_against_none"] if r["quantity"] == "0.2")
    judged = [
        study.judged(
            "R1",
            "the test error is within .5 points of the least for rates .2 to .6",
            all(row["difference"] < 0.5 for row in flat),
            flat,
        ),
        study.judged(
            "R2",
            "at rate .9 it is at least 1 point worse",
            by_rate[0.9]["ci_low"] > 1,
            by_rate[0.9],
        ),
        study.judged(
            "R3", "with as many units kept, it is less bad at .9", wider["ci_high"] < 0, wider
        ),
    ]
    for row in summary["contributions_from_.1_to_.5"]:
        claim = f"{row['quantity']} falls from rate .1 to .5"
        judged.append(study.judged("P1", claim, row["verdict"] == "lower", row))
    cost = summary["cost_of_choice"]
    claim = "choosing by validation costs at most .3 points"
    judged.append(study.judged("R4", claim, cost <= 0.3, cost))
    claim = "dropout of pixels, .2, does not raise the error"
    judged.append(study.judged("R5", claim, pixels["verdict"] != "higher", pixels))
    return judged


@mpl.rc_context(plots.STYLE)
def plot_sweep(results: dict[str, np.ndarray]) -> Figure:
    """Error, and Gini of weights and contributions, against the rate; seeds as bands."""
    figure = Figure(figsize=(9.6, 3.4), layout="constrained")
    error, weights, contributions = figure.subplots(1, 3)
    plots.draw_bands(
        error, np.array(RATES), np.stack([results["sweep"].T, results["validation"].T])
    )
    error.set(ylabel="error, %", title="error", ylim=(0, 15))
    error.legend(handles=plots.legend(["test", "validation"]), loc="upper left")
    for axes, view in ((weights, "entries"), (contributions, "contribution")):
        names = sorted(name for name in results if name.startswith(f"gini {view}"))
        plots.draw_bands(axes, np.array(RATES), np.stack([results[name].T for name in names]))
        axes.legend(handles=plots.legend([f"layer {name[-1]}" for name in names]))
    weights.set(title="Gini of |w|")
    contributions.set(title="Gini of unit contributions")
    for axes in (error, weights, contributions):
        axes.set(xlabel="rate of both hidden layers", xlim=(0, 0.9))
    n_seeds = results["sweep"].shape[1]
    figure.suptitle(f"One rate for the hidden layers: mean and range over {n_seeds} seeds", size=10)
    return figure


@mpl.rc_context(plots.STYLE)
def plot_grid(results: dict[str, np.ndarray]) -> Figure:
    """Heat maps over the rates of both hidden layers."""
    names = ["grid", *sorted(name for name in results if name.startswith("grid gini"))]
    figure = Figure(figsize=(3.3 * len(names), 3.3), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        title = "test error, %" if name == "grid" else f"Gini of contributions, layer {name[-1]}"
        _heat_map(axes, results[name].mean(axis=1).reshape(len(GRID), len(GRID)), title)
    n_seeds = results["grid"].shape[1]
    figure.suptitle(f"A rate for each hidden layer: mean of {n_seeds} seeds", size=10)
    return figure


def _heat_map(axes: Axes, values: np.ndarray, title: str) -> None:
    axes.imshow(values, cmap="cividis_r", origin="lower")
    middle = (values.min() + values.max()) / 2
    for (i, j), value in np.ndenumerate(values):
        colour = "white" if value > middle else "black"
        axes.text(j, i, f"{value:.2f}", ha="center", va="center", color=colour, size=8)
    labels = [f"{rate:g}" for rate in GRID]
    axes.set_xticks(range(len(GRID)), labels)
    axes.set_yticks(range(len(GRID)), labels)
    axes.set(title=title, xlabel="rate of the last hidden layer", ylabel="rate of the first")
    axes.spines[:].set_visible(False)


@mpl.rc_context(plots.STYLE)
def plot_width(results: dict[str, np.ndarray], size: Size) -> Figure:
    """Error at fixed width and at fixed width times keep; and against the rate of pixels."""
    figure = Figure(figsize=(7.2, 3.3), layout="constrained")
    widths, pixels = figure.subplots(1, 2)
    names = ["fixed width", "width times keep"]
    both = np.stack([results[name].T for name in names])
    plots.draw_bands(widths, np.array(size.width_rates), both)
    labels = [f"{size.kept} units", f"{size.kept} units kept on average"]
    widths.legend(handles=plots.legend(labels), loc="upper left")
    widths.set(
        xlabel="rate of both hidden layers", ylabel="test error, %", title="width", ylim=(0, None)
    )
    plots.draw_bands(pixels, np.array(PIXEL_RATES), results["pixels"].T[None])
    pixels.set(xlabel="rate of pixels, beside .5 of units", title="pixels", ylim=(0, None))
    n_seeds = results["pixels"].shape[1]
    figure.suptitle(f"Test error: mean and range over {n_seeds} seeds", size=10)
    return figure


def main(folder: Path, size: Size) -> None:
    """Run the study, write its record and print the predictions as judged."""
    start = perf_counter()
    results = run(size)
    summary = summarise(results)
    figures = {
        "sweep": plot_sweep(results),
        "grid": plot_grid(results),
        "width": plot_width(results, size),
    }
    settings = {**size.__dict__, "grid_seeds": GRID_SEEDS}
    study.write(folder, settings, summary, judge(summary), figures, perf_counter() - start)


if __name__ == "__main__":
    study.start(__doc__, main, RESULTS, Size(), QUICK)
