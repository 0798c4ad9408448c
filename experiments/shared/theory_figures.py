"""Figures of the study of theory: closed forms as lines, what the library trained as points."""

from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dropout_jax.runs.drawing import log_scale
from dropout_jax.runs.style import COLOURS, GREY, STYLE
from experiments.shared.theory_models import (
    COPIES,
    FACTOR_RATES,
    FACTORS,
    HIDDEN_RATES,
    L2_OF_PRODUCT,
    RATES,
    Found,
)

_POINTS: dict[str, Any] = {"ls": "", "ms": 3.5, "mfc": "none", "mew": 0.8}


def figures(values: dict[str, Found]) -> dict[str, Figure]:
    """A figure for each result."""
    draw = (_linear_regression, _linear_network, _logistic, _last_layer, _products, _copies)
    with mpl.rc_context(STYLE):
        return {name: fn(results) for fn, (name, results) in zip(draw, values.items(), strict=True)}


def _figure(title: str, n_seeds: int, n_panels: int = 1) -> tuple[Figure, list[Axes]]:
    figure = Figure(figsize=(3.9 * n_panels + 0.6, 3.5), layout="constrained")
    panels = figure.subplots(1, n_panels, squeeze=False)[0]
    figure.suptitle(f"{title}\nlines: theory; points: trained, {n_seeds} seeds", size=10)
    return figure, list(panels)


def _against_rate(axes: Axes, exact: np.ndarray, trained: np.ndarray) -> None:
    """Lines of exact values [rates, K], points of trained ones [rates, S, K]."""
    for k, (line, points) in enumerate(zip(exact.T, np.moveaxis(trained, -1, 0), strict=True)):
        colour = COLOURS[k % len(COLOURS)]
        axes.plot(RATES, line, color=colour, lw=1)
        axes.plot(RATES, points, "o", color=colour, **_POINTS)
    axes.set_xlabel("rate")


def _linear_regression(results: Found) -> Figure:
    title = "Linear regression with dropout of features"
    figure, (axes,) = _figure(title, results["trained"].shape[1])
    _against_rate(axes, results["exact"], results["trained"])
    axes.set(ylabel="what each of 8 features contributes", ylim=(0, None))
    return figure


def _linear_network(results: Found) -> Figure:
    n_seeds = results["units"].shape[1]
    figure, (values, units) = _figure("Linear network with dropout, and under L2", n_seeds, 2)
    exact, trained = results["singular values, exact"], results["singular values"]
    _against_rate(values, exact[:-1], trained[:-1])
    values.set(title="singular values of the product", ylim=(0, None))
    units.plot(RATES, results["units, exact"], color="black", lw=1)
    for u, unit_values in enumerate(np.moveaxis(results["units"], -1, 0)):
        units.plot([*RATES, 1.0], unit_values, "o", color=COLOURS[u % len(COLOURS)], **_POINTS)
    for axes in (values, units):
        axes.axvspan(0.9, 1.1, color="#f2f2f2", lw=0, zorder=-1)
        labels = [".2", ".4", ".6", ".8", f"L2 {L2_OF_PRODUCT:g}"]
        axes.set_xticks([0.2, 0.4, 0.6, 0.8, 1.0], labels)
    for k, (line, points) in enumerate(zip(exact[-1], trained[-1].T, strict=True)):
        colour = COLOURS[k % len(COLOURS)]
        values.plot([0.94, 1.06], [line, line], color=colour, lw=1)
        values.plot(np.ones(n_seeds), points, "o", color=colour, **_POINTS)
    units.set(title="‖u‖ ‖v‖ of each of 8 units", xlabel="rate", ylim=(0, None))
    return figure


def _logistic(results: Found) -> Figure:
    title = "Logistic regression with dropout of features, quadratic penalty"
    figure, (axes,) = _figure(title, results["trained"].shape[1])
    _against_rate(axes, results["exact"], results["trained"])
    axes.axhline(0, color=GREY, lw=0.8, ls=":")
    axes.set_ylabel("weights of 8 features")
    return figure


def _last_layer(results: Found) -> Figure:
    added = results["added"]
    figure, (axes,) = _figure("Masks of the last hidden layer, rate .5", added.shape[1])
    ends = np.array([added.min(), added.max()])
    axes.plot(ends, ends, color="black", lw=1)
    for c, (rate, points) in enumerate(zip(HIDDEN_RATES, added, strict=True)):
        label = f"trained at rate {rate:g}"
        axes.plot(points[:, 1], points[:, 0], "os^D"[c], color=COLOURS[c], label=label, **_POINTS)
    axes.set(xlabel="λ Σ c²", ylabel="added to the mean squared error")
    axes.legend()
    return figure


def _products(results: Found) -> Figure:
    coefficients = results["coefficients"]
    figure, (axes,) = _figure(
        "Best coefficient on a product of dropped inputs", coefficients.shape[-1]
    )
    for c, (rate, points, line) in enumerate(
        zip(FACTOR_RATES, coefficients, results["exact"], strict=True)
    ):
        axes.plot(FACTORS, line, color=COLOURS[c], lw=1, label=f"(1 - {rate:g})ᵏ")
        axes.plot(FACTORS, points, "o", color=COLOURS[c], **_POINTS)
    log_scale(axes, (1, 2, 5))
    axes.set(xlabel="inputs k in the product", ylabel="coefficient", xticks=FACTORS)
    axes.legend()
    return figure


def _copies(results: Found) -> Figure:
    n_seeds = len(results["signed"])
    figure, (axes,) = _figure("Two copies of one input, half of them dropped", n_seeds)
    for c, (name, least) in enumerate(COPIES.items()):
        axes.plot([c - 0.3, c + 0.3], [least, least], color=COLOURS[c], lw=1)
        x = c + np.linspace(-0.2, 0.2, n_seeds)
        axes.plot(x, results[name], "o", color=COLOURS[c], **_POINTS)
    axes.set_xticks(range(len(COPIES)), list(COPIES))
    axes.set(ylabel="expected squared error", xlim=(-0.6, 1.6))
    return figure
