"""Figures of a comparison: arrays in, a matplotlib Figure out; nothing is measured or saved here.

Shapes: C conditions, S seeds, N weights of a layer, Q points of a profile, P points of a curve.
"""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from dropout_jax.analysis.uniformity import HIGHER_IS_UNIFORM, Profile
from dropout_jax.runs import drawing, notebook, panels, style
from dropout_jax.runs.views import explain_views
from dropout_jax.runs.wording import count_seeds


@mpl.rc_context(style.STYLE)
def plot_weights(
    magnitudes: Mapping[str, Mapping[str, np.ndarray]],
    gini: Mapping[str, Mapping[str, float]],
    changes: Mapping[str, Mapping[str, float]] | None = None,
    of_mlp: bool = True,
) -> notebook.Figure:
    """The lecture's plot: weight magnitude against weight index, conditions side by side.

    Args:
      magnitudes: {condition: {layer title: |w| [N]}} of one member each, on one scale per layer.
      gini: {condition: {layer title: Gini}} of the same members; a panel is without a note where
        the title is missing. It may have more conditions of the run, which the title then counts.
      changes: {condition: {layer title: mean difference in Gini over seeds}}.
      of_mlp: whether the first layer is known to be that of the inputs.
    """
    names = list(magnitudes)
    titles = list(magnitudes[names[0]])
    numbers = style.condition_numbers(gini)
    width = max(min(3.6, 13 / len(names)), 2.4)  # of a column
    size = (width * len(names), 1.9 * len(titles) + 0.7)
    figure = notebook.Figure(figsize=size, layout="constrained")
    grid = figure.subplots(len(titles), len(names), sharey="row", squeeze=False)
    for row, title in zip(grid, titles, strict=True):
        top = panels.largest(magnitudes[name][title] for name in names)
        for axes, name in zip(row, names, strict=True):
            a = magnitudes[name][title]
            panels.draw_weights(axes, a, top, numbers[name])
            if title in gini[name] and np.isfinite(a).any():
                note = f"Gini {gini[name][title]:.3f}"
                if changes and name in changes:
                    note += f"\nmean difference {changes[name][title]:+.3f}"
                place = {"transform": axes.transAxes, "ha": "right", "va": "top"}
                axes.text(0.98, 0.97, note, bbox={"fc": ("white", 0.7), "lw": 0, "pad": 1}, **place)
        row[0].set_ylabel(_in_lines(title) + "\n|w|", rotation=0, ha="right", va="center")
    for axes, name in zip(grid[0], names, strict=True):
        axes.set_title("\n".join(wrap(name, max(66 // len(names), 9))), fontweight="bold")
    for axes in grid[-1]:
        axes.set_xlabel("weight index")
    heading = "Weight magnitude against weight index: one network each, a point a weight"
    if len(gini) > len(names):
        heading += f"\nthe first {len(names)} of {len(gini)} conditions"
    if of_mlp:
        heading += "\nlayer 0 is stored input by input, a picture's pixels row by row: "
        heading += "a comb there comes from that"
    _add_title(figure, heading)
    band = "middle 90 %, its upper edge black"
    handles = [
        Line2D([], [], color="black", lw=0.8, label="mean"),
        Patch(fc=(style.GREY, panels.BAND), ec="black", lw=0.7, label=band),
    ]
    if changes:
        over_seeds = f"mean difference: from {names[0]}, over seeds"
        handles.append(Line2D([], [], ls="", label=over_seeds))
    figure.legend(handles=handles, loc="outside lower center", ncols=3)
    return figure


@mpl.rc_context(style.STYLE)
def plot_profiles(
    names: Sequence[str], profiles: Mapping[str, Profile], quantity: str
) -> notebook.Figure:
    """Sorted magnitudes, Lorenz curves and their change; seeds are bands that show the range.

    The change is that from the first condition, seed by seed.

    Args:
      names: the conditions [C].
      profiles: {panel title: `analysis.uniformity.Profile` [C, S, Q]}.
      quantity: what is sorted: "|w|" or "contribution".
    """
    n_seeds = np.shape(next(iter(profiles.values())).lorenz)[1]
    width = max(3.2 * len(profiles) + 0.4, style.SLIDE[0])
    figure = notebook.Figure(figsize=(width, 8.2), layout="constrained")
    grid = figure.subplots(3, len(profiles), squeeze=False, sharex=True)
    for axes in grid[2, 1:]:
        axes.sharey(grid[2, 0])  # so that what is negligible looks so
        axes.tick_params(labelleft=False)
    for (title, profile), column in zip(profiles.items(), grid.T, strict=True):
        curves = np.asarray(profile.lorenz)
        drawn = (np.asarray(profile.relative), curves, curves - curves[:1])
        relative, lorenz, change = (dict(zip(names, values, strict=True)) for values in drawn)
        sorted_axes, lorenz_axes, change_axes = column
        sorted_axes.set_title(_in_lines(title))
        panels.draw_sorted(sorted_axes, relative)
        panels.draw_lorenz(lorenz_axes, lorenz, shaded=True)
        drawing.draw_bands(change_axes, np.linspace(0, 1, curves.shape[-1]), change)
    n, x_label = len(profiles), "fraction, from the smallest"
    if n > 3:  # a slide has no room for a label below each
        grid[2, (n - 1) // 2].set_xlabel(x_label, x=0.5 if n % 2 else 1.2)  # in the middle of all
        grid[2, 0].set_xticks((0, 0.5, 1))
    else:
        for axes in grid[2]:
            axes.set_xlabel(x_label)
    grid[0, 0].set_ylabel(f"{quantity}\n/ mean")
    grid[1, 0].set_ylabel("share\nof the sum")
    grid[2, 0].set_ylabel("difference\nin share")
    along = {"rotation": 45, "transform_rotates_text": True, "rotation_mode": "anchor"}
    grid[1, 0].text(0.45, 0.47, "uniform", color=style.GREY, ha="center", va="bottom", **along)
    _add_legend(figure, names)
    _add_title(
        figure,
        f"Sorted {quantity}{'s' * quantity.isalpha()} and Lorenz curves: "
        f"mean and range over {count_seeds(n_seeds)}\n"
        f"Shaded: half the Gini of {names[0]}, without N/(N - 1).\n"
        f"Last row: difference from {names[0]}; up is more uniform.",
    )
    return figure


def _in_lines(title: str) -> str:
    """The title of a layer, its sizes in a line of their own."""
    return title.replace(" (", "\n(")


def _add_title(figure: notebook.Figure, title: str) -> None:
    """A title, in lines that fit on a slide."""
    n_letters = int(style.SLIDE[0] / 0.075)  # inches that a letter takes
    lines = (part for line in title.splitlines() for part in wrap(line, n_letters))
    figure.suptitle("\n".join(lines), size=10)


def _add_legend(figure: notebook.Figure, names: Sequence[str]) -> None:
    """The legend of conditions, below all panels, where it hides nothing."""
    handles = style.legend(names)
    longest = max(len(line) for handle in handles for line in str(handle.get_label()).split("\n"))
    n_columns = max(1, int(style.SLIDE[0] / (0.6 + 0.07 * longest)))  # inches: a line, letters
    figure.legend(handles=handles, loc="outside lower center", ncols=n_columns)


@mpl.rc_context(style.STYLE)
def plot_differences(comparisons: Sequence[Mapping[str, Any]], measure: str) -> notebook.Figure:
    """Differences from the baseline with intervals, for every layer and view of one measure.

    Args:
      comparisons: rows of a summary, see `analysis.comparison.compare_conditions`.
      measure: the measure to show.
    """
    rows = [row for row in comparisons if row["measure"] == measure]
    baseline = rows[0]["baseline"]
    shown = style.condition_numbers(dict.fromkeys([baseline, *(row["condition"] for row in rows)]))
    del shown[baseline]
    n_cells = len({(row["layer"], row["view"]) for row in rows})
    views = explain_views(row["view"] for row in rows)
    height = (0.12 * len(shown) + 0.12) * n_cells + 1.4 + 0.14 * len(views)
    figure = notebook.Figure(figsize=(7.2, height), layout="constrained")
    axes = figure.subplots()
    panels.draw_differences(axes, rows, shown)
    name = measure.replace("_", " ").capitalize()
    axes.set_xlabel("\n".join(wrap(f"difference in {name} from {baseline}", 72)))
    less, more = ("less", "more") if measure in HIGHER_IS_UNIFORM else ("more", "less")
    above = axes.get_xaxis_transform()
    axes.text(0, 1.01, f"{less} uniform ← ", transform=above, ha="right", va="bottom")
    axes.text(0, 1.01, f" → {more} uniform", transform=above, ha="left", va="bottom")
    marks = [
        Line2D(
            [], [], color=style.colour(c), marker=style.marker(c), ls="", label=style.label(name)
        )
        for name, c in shown.items()
    ]
    handles = [*marks, *panels.fill_handles()]
    axes.legend(handles=handles, loc="upper left", bbox_to_anchor=(1, 1))
    counts = {row["n"] for row in rows}
    *fewer, most = sorted(counts - {0} or counts)
    n = " … ".join([*map(str, fewer), count_seeds(most)])
    heading = f"Mean paired difference and 95 % interval, n = {n}"
    if 0 in counts:
        heading += "\nno mark: too few live units in a seed, or diverged"
    figure.suptitle(heading, size=10)
    figure.supxlabel("\n".join(views), size=9, x=0.02, ha="left", color=style.GREY)
    return figure


@mpl.rc_context(style.STYLE)
def plot_curves(
    names: Sequence[str],
    epochs: np.ndarray,
    curves: Mapping[str, np.ndarray],
    own: Sequence[str] = (),
) -> notebook.Figure:
    """Learning curves: mean and range over seeds of each condition.

    Args:
      names: the conditions [C].
      epochs: where the curves were measured [P].
      curves: {"train_loss": [C, S, P], "test_loss": …, "train_error": …, "test_error": …}; losses
        in nats, errors as fractions. Errors may be missing.
      own: "loss" or "error" where they are other metrics, which have no unit.
    """
    n_rows, n_seeds = len(curves) // 2, next(iter(curves.values())).shape[1]
    figure = notebook.Figure(figsize=(7.2, 2.7 * n_rows), layout="constrained")
    grid = figure.subplots(n_rows, 2, sharex=True, squeeze=False)
    for axes, (name, values) in zip(grid.ravel(), curves.items(), strict=True):
        split, metric = name.split("_")
        lines = dict(zip(names, values, strict=True))
        panels.draw_curve(axes, epochs, lines, metric, metric in own)
        axes.set_title(f"{split} {metric}")
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    _add_legend(figure, names)
    over = count_seeds(n_seeds)
    figure.suptitle(f"Learning curves: mean and range over {over}", size=10)
    return figure
