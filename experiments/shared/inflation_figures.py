"""The figure of the study of inflation, from its values by rate and its changes by width."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from dropout_jax.analysis.paired import interval
from dropout_jax.runs import style


@mpl.rc_context(style.STYLE)
def plot_inflation(
    rates: Mapping[str, np.ndarray],
    trained: Sequence[float],
    changes: Mapping[str, Mapping[str, np.ndarray]],
) -> Figure:
    """Realised against predicted inflation, and the change of the Gini against width."""
    figure = Figure(figsize=(9.6, 3.6), layout="constrained")
    quadratic, squares, width = figure.subplots(1, 3)
    for axes, name, unit in ((quadratic, "quadratic", "nats"), (squares, "λ Σ c²", "logits²")):
        for c, rate in enumerate(trained):
            x, y = rates[name][c].ravel(), rates["inflation"][c].ravel()
            label = f"trained at {rate:g}"
            axes.loglog(x, y, style.marker(c), color=style.colour(c), ms=3, alpha=0.6, label=label)
        ratios = rates["inflation"] / rates[name]
        exact = name == "quadratic"
        factor = 1 if exact else np.nanmedian(ratios)
        ends = np.array([rates[name].min() / 1.5, 1.5 * rates[name].max()])
        line_label = "equal" if exact else "one factor, fitted"
        axes.plot(ends, factor * ends, color="black", lw=0.8, label=line_label)
        axes.set(xlabel=f"predicted, {name}, {unit}", ylabel="inflation of the loss, nats")
        *_, line = axes.get_lines()
        axes.legend(handles=None if exact else [line], loc="lower right")
    width.set_xscale("log")
    for c, (rule, by_width) in enumerate(changes.items()):
        x = np.array([int(w) for w in by_width]) * 1.04 ** (2 * c - 1)
        low, high = np.transpose([interval(v) for v in by_width.values()])
        mean = np.array([v.mean() for v in by_width.values()])
        look = {"fmt": style.marker(c) + "-", "ms": 4, "lw": 1, "color": style.colour(c)}
        width.errorbar(x, mean, [mean - low, high - mean], **look, label=rule)
        width.set_xticks([int(w) for w in by_width], list(by_width))
    width.minorticks_off()
    width.axhline(0, color="black", lw=0.8)
    width.set(xlabel="units of a hidden layer, r", ylabel="change of the Gini from none")
    width.legend()
    n_seeds = rates["inflation"].shape[1]
    title = f"Inflation by masks, a point a network and rate; the spread by width; n = {n_seeds}"
    figure.suptitle(title, size=10)
    return figure
