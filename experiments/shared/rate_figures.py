"""The figures of the study of rates, from its results {name: [rates, seeds]}."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dropout_jax.runs import drawing, style

_TITLES = {
    "entries": "Gini of |w|",
    "contribution": "Gini of unit contributions",
    "path_norm": "Gini of path norms",
}
_TICKS = (1, 2, 5)  # and their tenfolds
Results = Mapping[str, np.ndarray]


@mpl.rc_context(style.STYLE)
def plot_sweep(results: Results, rates: Sequence[float]) -> Figure:
    """Error, and Gini of weights, contributions and path norms, against the rate."""
    figure = Figure(figsize=(7.2, 6), layout="constrained")
    grid = figure.subplots(2, 2, sharex=True)
    error, *panels = grid.ravel()
    _draw(error, rates, results, {"sweep": "test", "validation": "validation"})
    drawing.log_scale(error, _TICKS)
    error.set(title="error, %", xlim=(0, rates[-1]))
    for axes, (view, title) in zip(panels, _TITLES.items(), strict=True):
        names = [name for name in results if name.startswith(f"gini {view}")]
        _draw(axes, rates, results, {name: f"layer {name[-1]}" for name in names})
        axes.set_title(title)
    for axes in grid[-1]:
        axes.set_xlabel("rate of both hidden layers")
    n_seeds = results["sweep"].shape[1]
    figure.suptitle(f"One rate for the hidden layers: mean and range over {n_seeds} seeds", size=10)
    return figure


def _draw(axes: Axes, rates: Sequence[float], results: Results, labels: Mapping[str, str]) -> None:
    """The results that have a label as bands, and a legend."""
    shown = {label: results[name].T for name, label in labels.items()}
    drawing.draw_bands(axes, np.array(rates), shown)
    axes.legend(handles=style.legend(list(labels.values())), loc="upper left")


@mpl.rc_context(style.STYLE)
def plot_grid(results: Results, rates: Sequence[float]) -> Figure:
    """Heat maps over the rates of both hidden layers."""
    names = [name for name in results if name.startswith("grid")]
    figure = Figure(figsize=(3.3 * len(names), 3.3), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        title = "test error, %" if name == "grid" else f"Gini of contributions, layer {name[-1]}"
        _heat_map(axes, results[name].mean(axis=1).reshape(len(rates), len(rates)), rates, title)
    n_seeds = results["grid"].shape[1]
    figure.suptitle(f"A rate for each hidden layer: mean of {n_seeds} seeds", size=10)
    return figure


def _heat_map(axes: Axes, values: np.ndarray, rates: Sequence[float], title: str) -> None:
    axes.imshow(values, cmap="cividis_r", origin="lower")
    middle = (values.min() + values.max()) / 2
    for (i, j), value in np.ndenumerate(values):
        colour = "white" if value > middle else "black"
        axes.text(j, i, f"{value:.2f}", ha="center", va="center", color=colour, size=8)
    labels = [f"{rate:g}" for rate in rates]
    axes.set_xticks(range(len(rates)), labels)
    axes.set_yticks(range(len(rates)), labels)
    axes.set(title=title, xlabel="rate of the last hidden layer", ylabel="rate of the first")
    axes.spines[:].set_visible(False)


@mpl.rc_context(style.STYLE)
def plot_width(
    results: Results, rates: Sequence[float], kept: int, pixel_rates: Sequence[float]
) -> Figure:
    """Error at fixed width and at fixed width times keep; and against the rate of pixels."""
    figure = Figure(figsize=(7.2, 3.3), layout="constrained")
    widths, pixels = figure.subplots(1, 2)
    labels = {"fixed width": f"{kept} units", "width times keep": f"{kept} units kept on average"}
    _draw(widths, rates, results, labels)
    drawing.log_scale(widths, _TICKS)
    widths.set(xlabel="rate of both hidden layers", ylabel="test error, %", title="width")
    drawing.draw_bands(pixels, np.array(pixel_rates), {"test": results["pixels"].T})
    pixels.set(xlabel="rate of pixels, beside .5 of units", title="pixels", ylim=(0, None))
    n_seeds = results["pixels"].shape[1]
    figure.suptitle(f"Test error: mean and range over {n_seeds} seeds", size=10)
    return figure
