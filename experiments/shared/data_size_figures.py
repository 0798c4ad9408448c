"""The figure of the study of data size, from its values {number of examples: [C, S, K]}."""

from collections.abc import Mapping, Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from dropout_jax.analysis.paired import interval
from dropout_jax.runs import drawing, style


@mpl.rc_context(style.STYLE)
def plot_sizes(values: Mapping[str, np.ndarray], quantities: Sequence[str], rate: float) -> Figure:
    """Error, the gain from dropout, and changes of the Gini, against the number of examples."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    error, gain, spread = figure.subplots(1, 3)
    sizes, results = np.array([int(n) for n in values]), np.stack(list(values.values()))
    conditions = ["none", f"dropout {rate:g}"]
    errors = results[..., 0].transpose(1, 2, 0)  # of [sizes, C, S, K]
    drawing.draw_bands(error, sizes, dict(zip(conditions, errors, strict=True)))
    drawing.log_scale(error, (1, 2, 5))
    error.set(title="test error, %", ylabel="%")
    error.legend(handles=style.legend(conditions))
    changes = results[:, 1] - results[:, 0]
    _draw_intervals(gain, sizes, 0, -changes[..., 0], "")
    gain.set(title="gain from dropout", ylabel="points of test error")
    drawn = [k for k, name in enumerate(quantities) if "path" not in name and k]
    for c, k in enumerate(drawn):
        _draw_intervals(spread, sizes, c, changes[..., k], quantities[k])
    spread.set(title="change of the Gini (down: more uniform)")
    spread.legend(loc="upper left", bbox_to_anchor=(1, 1))
    for axes in (error, gain, spread):
        axes.set_xscale("log")
        axes.set_xticks(sizes, [f"{n:,}" for n in sizes], rotation=30)
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("training examples")
    for axes in (gain, spread):
        axes.axhline(0, color="black", lw=0.8)
    n_seeds = results.shape[2]
    figure.suptitle(f"Mean and range, or 95 % interval, of {n_seeds} seeds", size=10)
    return figure


def _draw_intervals(axes: Axes, x: np.ndarray, c: int, values: np.ndarray, name: str) -> None:
    """Means of values [len(x), S] with their intervals, a little aside for each c."""
    low, high = np.transpose([interval(row) for row in values])
    mean = values.mean(axis=1)
    look = {"fmt": "os^Dv"[c] + "-", "ms": 4, "lw": 1, "color": style.COLOURS[c]}
    axes.errorbar(x * 1.05 ** (c - 2), mean, [mean - low, high - mean], **look, label=name)
