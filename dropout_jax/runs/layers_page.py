"""Figures and the page of layers of any networks: arrays in, a matplotlib Figure or HTML out.

Shapes: G groups, S networks of a group, L layers, Q points of a profile.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import ceil
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from dropout_jax.analysis.uniformity import Profile
from dropout_jax.runs import layer_panels, page_panels, panels
from dropout_jax.runs.page import template
from dropout_jax.runs.page_panels import PANEL_STYLE, Panel, new_panel
from dropout_jax.runs.style import GREY, STYLE, Figure, legend, marker, numbers
from dropout_jax.runs.svg import inline
from dropout_jax.runs.wording import GINI, SIZES, of_differences, starts

_IN_A_ROW = 4  # panels of layers
_LEFT = 3.2  # inches at most for the names of layers, of a panel of 4.2
_Draw = Callable[[Axes, Mapping[str, Profile], Profile], None]  # a layer in all groups, its start


class Start(NamedTuple):
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
      starts: {layer: `Start`}.
      profiles: {layer: its profile [S, Q] in each group [G]}.
      differences: rows in Gini, see `panels.draw_differences`; empty if nothing is compared.
      tables: of the same in numbers.
      skipped: {tensor: why it was not measured}.
      remarks: what is to be known before the numbers are read.
    """

    groups: Mapping[str, Sequence[str]]
    lines: Mapping[str, np.ndarray]
    starts: Mapping[str, Start]
    profiles: Mapping[str, Sequence[Profile]]
    differences: Sequence[Mapping[str, Any]]
    tables: Sequence[Table]
    skipped: Mapping[str, str]
    remarks: Sequence[str] = ()


@mpl.rc_context(STYLE)
def figures(shown: LayersShown) -> dict[str, Figure]:
    """The figures of layers by file name: Gini layer by layer, sorted, Lorenz curves, differences.

    Example:
      >>> half = np.linspace(0, 2, 3)
      >>> profile = Profile(half, half**2 / 4)  # of a uniform law
      >>> of_network = Profile(half[None], half[None] ** 2 / 4)
      >>> shown = LayersShown(
      ...     groups={"a.npz": ["a.npz"]},
      ...     lines={"all weights": np.array([[0.33]])},
      ...     starts={"kernel": Start("uniform", profile, 1 / 3)},
      ...     profiles={"kernel": [of_network]},
      ...     differences=[],
      ...     tables=[Table("layers", "Gini index", ("layer", "Gini"), [("kernel", 0.33)])],
      ...     skipped={"bias": "a vector"},
      ... )
      >>> print(list(figures(shown)))
      ['depth', 'sorted', 'lorenz']
      >>> print("kernel: Lorenz curve" in page(shown))
      True
    """
    depth = Figure(figsize=(7.2, 1.4 + 0.2 * len(shown.starts)), layout="constrained")
    axes = depth.subplots()
    _draw_depth(axes, shown)
    axes.legend(handles=_legend_of_depth(shown), loc="upper left", bbox_to_anchor=(1, 1))
    depth.suptitle("Gini index of |w|, layers in the order of their names", size=10)
    drawn = {
        "depth": depth,
        "sorted": _of_layers(
            shown, _sorted_on_one_scale(shown), "Sorted |w|, in units of its mean"
        ),
        "lorenz": _of_layers(
            shown, layer_panels.draw_lorenz, "Lorenz curves of |w|: share of the sum"
        ),
    }
    if shown.differences:
        figure = Figure(figsize=(7.2, 1.2 + 0.24 * len(shown.differences)), layout="constrained")
        layer_panels.draw_differences(figure.subplots(), shown.differences)
        figure.suptitle("Difference in Gini, against minus baseline; 95 % interval", size=10)
        drawn["differences"] = figure
    return drawn


def page(shown: LayersShown) -> str:
    """All of it as one page of HTML that needs no other file."""
    tables = {table.name: table for table in shown.tables}
    return template("layers").render(
        shown._asdict() | {"tables": tables},
        names=list(shown.groups),
        sizes=SIZES,
        swatches=page_panels.swatches(list(shown.lines)),
        compares=len(shown.groups) > 1,
        gini=GINI,
        laws=starts({start.law: start.gini for start in shown.starts.values()}),
        n_networks=max(len(values) for values in shown.lines.values()),
        **_panels(shown),
    )


@mpl.rc_context(PANEL_STYLE)
def _panels(shown: LayersShown) -> dict[str, list[Panel]]:
    """The small pictures of the page, with the same in words."""
    longest = max(map(len, layer_panels.short(shown.starts).values()))
    left = min(0.35 + 0.064 * longest, _LEFT)
    height = 0.6 + 0.17 * len(shown.starts)
    figure, axes = new_panel("", height=height, left=left)
    _draw_depth(axes, shown)
    told = "; ".join(
        f"{title}: " + ", ".join(f"{gini:.3f}" for gini in layer_panels.mean_line(values))
        for title, values in shown.lines.items()
    )
    depth = [Panel(inline(figure, "depth", f"Gini of |w|, layer by layer: {told}"), "", {})]
    of_layers, draw_sorted = [], _sorted_on_one_scale(shown)
    for l, name in enumerate(shown.starts):
        for kind, draw, caption in (
            ("sorted", draw_sorted, "sorted |w|, in units of its mean"),
            ("lorenz", layer_panels.draw_lorenz, "Lorenz curve"),
        ):
            figure, axes = new_panel("fraction, from the smallest", left=0.5)
            draw(axes, _profiles_of(shown, name), shown.starts[name].profile)
            said = f"{name}: {caption}"
            of_layers.append(Panel(inline(figure, f"{kind}{l}", said), said, {}))
    differences = []
    if shown.differences:
        height = 0.6 + 0.17 * len(shown.differences)
        figure, axes = new_panel("", height=height, left=min(left + 0.9, _LEFT))
        layer_panels.draw_differences(axes, shown.differences)
        which = "against minus baseline"
        svg = inline(figure, "differences", of_differences(shown.differences, which))
        differences.append(Panel(svg, which, {}))
    return {"depth": depth, "of_layers": of_layers, "of_differences": differences}


def _of_layers(shown: LayersShown, draw: _Draw, title: str) -> Figure:
    """A panel for each layer."""
    n, labels = len(shown.starts), layer_panels.short(shown.starts)
    n_columns = min(n, _IN_A_ROW)
    n_rows = ceil(n / n_columns)
    figure = Figure(figsize=(max(2.6 * n_columns, 4), 2.3 * n_rows + 1), layout="constrained")
    grid = figure.subplots(n_rows, n_columns, squeeze=False, sharex=True, sharey=True)
    for axes, name in zip(grid.ravel(), shown.starts, strict=False):
        draw(axes, _profiles_of(shown, name), shown.starts[name].profile)
        axes.set_title(labels[name], size=8)
    for axes in grid.ravel()[n:]:
        axes.remove()
    for axes in grid.ravel()[max(n - n_columns, 0) : n]:
        axes.set_xlabel("fraction, from the smallest")
        axes.tick_params(labelbottom=True)
    start = Line2D([], [], color=GREY, ls="--", label="start: the usual law")
    figure.legend(handles=[*legend(list(shown.groups)), start], loc="outside lower center", ncols=3)
    figure.suptitle(title, size=10)
    return figure


def _profiles_of(shown: LayersShown, name: str) -> dict[str, Profile]:
    """The profiles of a layer in each group."""
    return dict(zip(shown.groups, shown.profiles[name], strict=True))


def _sorted_on_one_scale(shown: LayersShown) -> _Draw:
    """`draw_sorted`, up to the largest weight of all layers in units of its layer's mean."""
    ends = (p.relative[..., -1] for of_layer in shown.profiles.values() for p in of_layer)
    top = panels.largest(np.asarray(end) for end in ends)
    return partial(layer_panels.draw_sorted, top=top)


def _draw_depth(axes: Axes, shown: LayersShown) -> None:
    ginis = {name: start.gini for name, start in shown.starts.items()}
    layer_panels.draw_depth(axes, shown.lines, ginis)


def _legend_of_depth(shown: LayersShown) -> list[Line2D]:
    """Handles of what `draw_depth` drew."""
    handles = legend(list(shown.lines))
    for handle, c in zip(handles, numbers(shown.lines).values(), strict=True):
        handle.set_marker(marker(c))
    return [*handles, Line2D([], [], color=GREY, ls="--", marker="|", label="start: the usual law")]
