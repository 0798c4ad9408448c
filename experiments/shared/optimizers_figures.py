"""The figure of the study of optimizers, from its comparisons at levels of the loss."""

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from dropout_jax.runs import style

Row = Mapping[str, Any]


@mpl.rc_context(style.STYLE)
def plot_levels(
    rows: Sequence[Row], learning_rates: Mapping[str, Sequence[float]], levels: Sequence[float]
) -> Figure:
    """Differences with intervals against the level of loss, a panel an optimizer and rate."""
    figure = Figure(figsize=(9.6, 5.8), layout="constrained")
    grid = figure.subplots(2, 4, sharex=True, sharey=True)
    places = {"SGD": 0, "Adam": 1, "AdamW": 5}
    widths = sorted({row["width"] for row in rows})
    handles: Any = ([], [])
    for axes in grid.ravel():
        axes.set_axis_off()
    for name, rate in dict.fromkeys((row["optimizer"], row["learning_rate"]) for row in rows):
        axes = grid.ravel()[places[name] + learning_rates[name].index(rate)]
        axes.set_axis_on()
        axes.axhline(0, color="black", lw=0.8)
        for c, width in enumerate(widths):
            cell = {"optimizer": name, "learning_rate": rate, "width": width}
            width_rows = [row for row in rows if cell.items() <= row.items()]
            x = np.array([row["level"] for row in width_rows]) * 1.07 ** (c - 1)
            middle, low, high = (
                np.array([row[key] for row in width_rows])
                for key in ("difference", "ci_low", "ci_high")
            )
            look = {"fmt": style.marker(c) + "-", "ms": 4, "lw": 1, "color": style.colour(c)}
            axes.errorbar(x, middle, [middle - low, high - middle], **look, label=f"width {width}")
        axes.set_title(f"{name}, {rate:g}")
        axes.set_xscale("log")
        axes.set_xticks(levels, [f"{level:g}" for level in levels])
        axes.minorticks_off()
        axes.tick_params(labelleft=True, labelbottom=True)
        if len(axes.get_legend_handles_labels()[0]) == len(widths):
            handles = axes.get_legend_handles_labels()
    grid[0, 0].invert_xaxis()
    grid[1, 0].legend(*handles, loc="center")
    figure.supxlabel("training loss at which networks are compared, nats", size=9)
    figure.supylabel("Gini of contributions, last hidden layer: dropout minus none", size=9)
    n = sorted({row["n"] for row in rows}) or [0]
    seeds = f"{n[0]} to {n[-1]}" if len(n) > 1 else n[0]
    title = f"Optimizer and learning rate: mean and 95 % interval, {seeds} seeds"
    figure.suptitle(title, size=10)
    return figure
