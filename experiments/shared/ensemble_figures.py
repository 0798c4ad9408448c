"""The figures of the study of ensembles, from its curves and gaps {quantity: [groups, …]}."""

from collections.abc import Sequence

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from dropout_jax.runs import drawing, style
from experiments.shared.ensemble_scores import QUANTITIES, Values

_MEANS = ("arithmetic", "geometric")


@mpl.rc_context(style.STYLE)
def plot_passes(sizes: Sequence[int], curves: dict[str, Values], n_groups: int) -> Figure:
    """Every quantity against how many masks or networks are averaged, from the scaled network's."""
    figure = Figure(figsize=(10.4, 5.2), layout="constrained")
    *panels, corner = figure.subplots(2, 4).ravel()
    for axes, quantity in zip(panels, QUANTITIES, strict=True):
        scaled = curves["networks, dropout"][quantity][:, :1]
        differences = {kind: np.full((n_groups, len(sizes)), np.nan) for kind in curves}
        for kind, values in curves.items():
            differences[kind][:, : values[quantity].shape[1]] = values[quantity] - scaled
        axes.axhline(0, color=style.GREY, lw=0.8, ls=":")
        drawing.draw_bands(axes, np.array(sizes), differences)
        axes.set(title=quantity, xscale="log")
        axes.xaxis.set_major_formatter(lambda v, _: f"{v:g}")
        axes.minorticks_off()
    panels[0].set_ylabel("points")
    for axes in panels[3:]:
        axes.set_xlabel("masks or networks averaged")
    corner.set_axis_off()
    corner.legend(handles=style.legend(list(curves)), loc="center")
    title = "Difference from the scaled network, in nats but for error, brier and ece"
    figure.suptitle(f"{title}: mean and range over {n_groups} groups", size=10)
    return figure


@mpl.rc_context(style.STYLE)
def plot_gaps(gaps: dict[str, Values], n_seeds: int) -> Figure:
    """How far the scaled network is from either mean over masks, a point a network."""
    figure = Figure(figsize=(8.4, 3.2), layout="constrained")
    grid = figure.subplots(1, len(gaps), sharey=True)
    for axes, (label, gap) in zip(grid, gaps.items(), strict=True):
        drawing.draw_points(axes, _MEANS, [gap[f"to {mean}"] for mean in _MEANS])
        axes.set(title=label, yscale="log")
        axes.minorticks_off()
    grid[0].set_ylabel("total variation, mean over digits")
    title = "From the scaled network to the means over masks, by layers masked and rate"
    figure.suptitle(f"{title}: {n_seeds} seeds, line: mean", size=10)
    return figure
