"""The figures of the study of the time course, from its values {quantity: [scales, C, S, M]}."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dropout_jax.analysis.paired import interval
from dropout_jax.runs import style

Values = Mapping[str, np.ndarray]


@mpl.rc_context(style.STYLE)
def plot_distance(
    values: Values, stretched: Values, names: Sequence[str], scales: Sequence[float]
) -> Figure:
    """Gini against distance: a row for each quantity, a column for each initial scale."""
    last = max(int(name[-1]) for name in values if name.startswith("|w|"))
    quantities = ("|w|, layer 0", f"|w|, layer {last}", f"contributions, layer {last - 1}")
    figure = Figure(figsize=(9.6, 7.2), layout="constrained")
    grid = figure.subplots(len(quantities), len(scales), sharey="row")
    for row, quantity in zip(grid, quantities, strict=True):
        for s, axes in enumerate(row):
            distance = values[f"distance, layer {quantity[-1]}"][s].mean(axis=1)[:, 1:]
            gini = values[quantity][s].mean(axis=1)[:, 1:]
            for c, x, y in zip(
                style.condition_numbers(names).values(), distance, gini, strict=True
            ):
                axes.plot(x, y, color=style.colour(c), ls=style.line(c), lw=1.3)
                axes.plot(x[-1], y[-1], style.marker(c), color=style.colour(c), ms=4)
            x = np.append(distance[0, -1], stretched[f"distance, layer {quantity[-1]}"][s])
            y = np.append(gini[0, -1], stretched[quantity][s])
            axes.plot(x, y, color="black", ls=":", lw=1)
            axes.set_xscale("log")
            axes.set_xlim(distance.min() / 1.1, 1.5 * distance.max())
        row[0].set_ylabel(f"Gini of {quantity}")
    for scale, axes in zip(scales, grid[0], strict=True):
        axes.set_title(f"initial kernels × {scale:g}")
    for axes in grid[-1]:
        axes.set_xlabel("distance ‖w − w₀‖ / ‖w₀‖")
    stretched_line = Line2D([], [], color="black", ls=":", label="none's last change, stretched")
    handles = [*style.legend(list(names)), stretched_line]
    figure.legend(handles=handles, loc="outside lower center", ncols=6)
    n_seeds = values["train loss"].shape[2]
    figure.suptitle(f"Gini against distance along training: means over {n_seeds} seeds", size=10)
    return figure


@mpl.rc_context(style.STYLE)
def plot_course(values: Values, steps: np.ndarray, names: Sequence[str], scale: int) -> Figure:
    """Differences from none along training at one initial scale, with 95 % intervals."""
    quantities = [name for name in values if name[0] in "|c"]
    figure = Figure(figsize=(9.6, 5.6), layout="constrained")
    grid = figure.subplots(2, 3, sharex=True).ravel()
    for axes, quantity in zip(grid, quantities, strict=False):
        differences = values[quantity][scale, 1:] - values[quantity][scale, 0]
        for c, difference in zip(
            list(style.condition_numbers(names).values())[1:], differences, strict=True
        ):
            _draw_interval(axes, steps[1:], difference[:, 1:], c)
        axes.axhline(0, color="black", lw=0.8)
        axes.set(title=quantity, xscale="log")
    for axes in grid[len(quantities) :]:
        axes.set_axis_off()
    figure.supxlabel("step of training", size=9)
    figure.supylabel("difference in Gini from none (down: more uniform)", size=9)
    grid[-1].legend(handles=style.legend(list(names))[1:], loc="center")
    n_seeds = values["train loss"].shape[2]
    figure.suptitle(f"Time course: mean and 95 % interval of {n_seeds} seeds", size=10)
    return figure


def _draw_interval(axes: Axes, x: np.ndarray, values: np.ndarray, c: int) -> None:
    """Draw means of values [S, len(x)] with their intervals as a band."""
    low, high = np.transpose([interval(column) for column in values.T])
    axes.fill_between(x, low, high, color=style.colour(c), alpha=0.3, lw=0)
    axes.plot(x, values.mean(axis=0), color=style.colour(c), ls=style.line(c), lw=1.3)
