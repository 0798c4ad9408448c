"""Figures and the page of layers of any networks: arrays in, a matplotlib Figure or HTML out.

Shapes: G groups, S networks of a group, L layers, Q points of a profile.
"""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, Literal, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dropout_jax.analysis.uniformity import Profile
from dropout_jax.runs import notebook, page_panels, panels, style
from dropout_jax.runs.page import TEMPLATES
from dropout_jax.runs.page_panels import PANEL_STYLE, Panel, new_panel
from dropout_jax.runs.svg import inline_svg
from dropout_jax.runs.wording import GINI, describe_differences, short_names, starts

_COLUMNS = 4  # panels of layers in a row
_LEFT = 3.2  # inches at most for the names of layers, of a panel of 4.2
_STEPS = (1, 2, 5, 10)  # between ticks, which then have short labels
_Part = Literal["relative", "lorenz"]  # of a profile


class InitialLaw(NamedTuple):
    """The law that weights of a layer usually start from: its name, its profile [Q], its Gini."""

    law: str
    profile: Profile
    gini: float


class Table(NamedTuple):
    """A table of text and numbers."""

    name: str
    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str | float]]


class LayersShown(NamedTuple):
    """What is drawn of the layers of networks.

    Attributes:
      groups: {name: its files}. A group is a file, or one side of a comparison [G].
      lines: {title: Gini of every layer [S, L]}, in the order of `starts`.
      starts: {layer: `InitialLaw`}.
      profiles: {layer: its profile [S, Q] in each group [G]}.
      differences: rows in Gini, see `panels.draw_differences`; empty if nothing is compared.
      tables: of the same in numbers.
      skipped: {tensor: why it was not measured, or not compared}.
      remarks: what is to be known before the numbers are read.
    """

    groups: Mapping[str, Sequence[str]]
    lines: Mapping[str, np.ndarray]
    starts: Mapping[str, InitialLaw]
    profiles: Mapping[str, Sequence[Profile]]
    differences: Sequence[Mapping[str, Any]]
    tables: Sequence[Table]
    skipped: Mapping[str, str]
    remarks: Sequence[str] = ()


@mpl.rc_context(style.STYLE)
def figures(shown: LayersShown) -> dict[str, notebook.Figure]:
    """The figures by file name: Gini layer by layer, sorted weights, Lorenz curves, differences."""
    depth = notebook.Figure(figsize=(7.2, 1.4 + 0.2 * len(shown.starts)), layout="constrained")
    axes = depth.subplots()
    _draw_depth(axes, shown)
    handles = style.legend(shown.lines)
    for handle, c in zip(handles, style.condition_numbers(shown.lines).values(), strict=True):
        handle.set_marker(style.marker(c))
    start = Line2D([], [], color=style.GREY, ls="--", marker="|", label="start: the usual law")
    axes.legend(handles=[*handles, start], loc="upper left", bbox_to_anchor=(1, 1))
    depth.suptitle("Gini index of |w|, layers in the order of their names", size=10)
    drawn = {
        "depth": depth,
        "sorted": _plot_profiles(shown, "relative", "Sorted |w|, in units of its mean"),
        "lorenz": _plot_profiles(shown, "lorenz", "Lorenz curves of |w|: share of the sum"),
    }
    if shown.differences:
        height = 1.2 + 0.24 * len(shown.differences)
        figure = notebook.Figure(figsize=(7.2, height), layout="constrained")
        axes = figure.subplots()
        _draw_differences(axes, shown)
        axes.legend(handles=panels.fill_handles(), loc="upper left", bbox_to_anchor=(1, 1))
        figure.suptitle("Difference in Gini, against minus baseline; 95 % interval", size=10)
        drawn["differences"] = figure
    return drawn


def _plot_profiles(shown: LayersShown, part: _Part, title: str) -> notebook.Figure:
    """A panel for each layer."""
    n, labels, top = len(shown.starts), short_names(shown.starts), _largest_weight(shown)
    n_columns = min(n, _COLUMNS)
    n_rows = ceil(n / n_columns)
    figure = notebook.Figure(
        figsize=(max(2.6 * n_columns, 4), 2.3 * n_rows + 1), layout="constrained"
    )
    grid = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True)
    for axes, layer in zip(grid.ravel(), shown.starts, strict=False):
        _draw_profiles(axes, shown, layer, part, top)
        axes.set_title(labels[layer], size=8)
    for axes in grid.ravel()[n:]:
        axes.remove()
    for axes in grid.ravel()[max(n - n_columns, 0) : n]:
        axes.set_xlabel("fraction, from the smallest")
        axes.tick_params(labelbottom=True)
    start = Line2D([], [], color=style.GREY, ls="--", label="start: the usual law")
    handles = [*style.legend(shown.groups), start]
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    figure.suptitle(title, size=10)
    return figure


def page(shown: LayersShown) -> str:
    """All of it as one page of HTML that needs no other file."""
    return TEMPLATES.get_template("layers.html.jinja").render(
        shown._asdict() | {"tables": {table.name: table for table in shown.tables}},
        names=list(shown.groups),
        swatches=page_panels.swatches(shown.lines) | page_panels.swatches(shown.groups),
        compares=len(shown.groups) > 1,
        gini=GINI,
        laws=starts({start.law: start.gini for start in shown.starts.values()}),
        n_networks=max(len(values) for values in shown.lines.values()),
        **_panels(shown),
    )


@mpl.rc_context(PANEL_STYLE)
def _panels(shown: LayersShown) -> dict[str, list[Panel]]:
    """The small pictures of the page, with the same in words."""
    left = min(0.35 + 0.064 * max(map(len, short_names(shown.starts).values())), _LEFT)
    figure, axes = new_panel("", height=0.6 + 0.17 * len(shown.starts), left=left)
    _draw_depth(axes, shown)
    ginis = "; ".join(
        f"{title}: " + ", ".join(f"{gini:.3f}" for gini in _mean_line(values))
        for title, values in shown.lines.items()
    )
    depth = [Panel(inline_svg(figure, "depth", f"Gini of |w|, layer by layer: {ginis}"), "", {})]
    of_layers, top = [], _largest_weight(shown)
    for l, layer in enumerate(shown.starts):
        figure, axes = new_panel("fraction, from the smallest", left=0.5)
        _draw_profiles(axes, shown, layer, "relative", top)
        caption = f"{layer}: sorted |w|, in units of its mean"
        of_layers.append(Panel(inline_svg(figure, f"sorted{l}", caption), caption, {}))
        figure, axes = new_panel("fraction, from the smallest", left=0.5)
        _draw_profiles(axes, shown, layer, "lorenz", top)
        caption = f"{layer}: Lorenz curve"
        of_layers.append(Panel(inline_svg(figure, f"lorenz{l}", caption), caption, {}))
    differences = []
    if shown.differences:
        height = 0.6 + 0.17 * len(shown.differences)
        figure, axes = new_panel("", height=height, left=min(left + 0.9, _LEFT))
        _draw_differences(axes, shown)
        caption = "against minus baseline"
        svg = inline_svg(figure, "differences", describe_differences(shown.differences, caption))
        differences.append(Panel(svg, caption, {}))
    return {"depth": depth, "of_layers": of_layers, "of_differences": differences}


def _draw_depth(ax: Axes, shown: LayersShown) -> None:
    """Draw the Gini index of each layer, from top to bottom: mean and range of each line."""
    y, labels = np.arange(len(shown.starts)), short_names(shown.starts)
    usual = [start.gini for start in shown.starts.values()]
    ax.plot(usual, y, color=style.GREY, ls="--", marker="|")
    for title, c in style.condition_numbers(shown.lines).items():
        colour, known = style.colour(c), np.ma.masked_invalid(shown.lines[title])
        low, high = (ends.filled(np.nan) for ends in (known.min(axis=0), known.max(axis=0)))
        ax.fill_betweenx(y, low, high, color=colour, alpha=0.25, lw=0)
        mean = _mean_line(shown.lines[title])
        ax.plot(mean, y, color=colour, ls=style.line(c), lw=1.2, marker=style.marker(c), ms=4)
    ax.set_yticks(y, list(labels.values()))
    ax.set_ylim(len(y) - 0.5, -0.5)
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=_STEPS))
    ax.set_xlabel("Gini of |w| (left: more uniform)", loc="right")


def _mean_line(values: np.ndarray) -> np.ndarray:
    """The mean of values [S, L] over networks that have one [L]; NaN if none has."""
    return np.ma.masked_invalid(values).mean(axis=0).filled(np.nan)


def _largest_weight(shown: LayersShown) -> float:
    """The largest weight of all layers, in units of its layer's mean."""
    profiles = (profile for layer in shown.profiles.values() for profile in layer)
    return panels.largest(np.asarray(profile.relative[..., -1]) for profile in profiles)


def _draw_profiles(ax: Axes, shown: LayersShown, layer: str, part: _Part, top: float) -> None:
    """Draw |w| of a layer in all groups beside its start: sorted, up to `top`, or Lorenz curves."""
    groups = zip(shown.groups, shown.profiles[layer], strict=True)
    curves = {name: np.asarray(getattr(profile, part)) for name, profile in groups}
    start = np.asarray(getattr(shown.starts[layer].profile, part))
    draw = panels.draw_sorted if part == "relative" else panels.draw_lorenz
    draw(ax, curves)
    ax.plot(np.linspace(0, 1, len(start)), start, color=style.GREY, lw=0.9, ls="--")
    if not any(np.isfinite(values).any() for values in curves.values()):
        ax.text(0.95, 0.1, "not measured", transform=ax.transAxes, ha="right")
    if part == "relative":
        ax.set_ylim(0.05, 1.3 * top)  # the smallest go to 0


def _draw_differences(ax: Axes, shown: LayersShown) -> None:
    """Draw differences of the group `against` with intervals."""
    labels = short_names(row["layer"] for row in shown.differences)
    rows = [{**row, "layer": labels[row["layer"]]} for row in shown.differences]
    panels.draw_differences(ax, rows, {"against": 1})
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=_STEPS))
    ax.set_xlabel("difference in Gini (left: more uniform)", loc="right")
