"""Figures of a comparison: arrays in, a matplotlib Figure out; nothing is computed or saved here.

Shapes: C conditions, S seeds, N weights of a layer, Q points of a profile, P points of a curve.
"""

from collections.abc import Iterable, Mapping, Sequence
from textwrap import wrap
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

# Okabe & Ito's palette, told apart by colour-blind readers.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
GREY = "#777777"
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "text.parse_math": False,  # a $ in the name of a condition is a $
}
_LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
_MARKERS = "os^Dv"
N_INSIDE = 4  # so many conditions have their legend inside a panel


def colour(c: int) -> str:
    """The colour of condition c; after six they begin again, with other lines and markers.

    Example:
      >>> print(colour(0), colour(6) == colour(0))
      #0072B2 True
    """
    return COLOURS[c % len(COLOURS)]


def line(c: int) -> Any:
    """The line style of condition c, with `colour` its own for 36 conditions.

    Example:
      >>> print(line(0), line(6))  # the same colour, another line
      - --
    """
    return _LINES[(c + c // len(COLOURS)) % len(_LINES)]


@mpl.rc_context(STYLE)
def plot_weights(
    magnitudes: Mapping[str, Mapping[str, np.ndarray]], gini: Mapping[str, Mapping[str, float]]
) -> Figure:
    """The lecture's plot: weight magnitude against weight index, conditions side by side.

    Args:
      magnitudes: {condition: {layer title: |w| [N]}} of one member each, on one scale per layer.
      gini: {condition: {layer title: Gini}} of the same members, written into the panels.

    Example:
      >>> a = {name: {"layer 0": np.arange(5.0)} for name in ("none", "dropout")}
      >>> figure = plot_weights(a, {name: {"layer 0": 0.4} for name in a})
      >>> print(len(figure.axes))
      2
    """
    names = list(magnitudes)
    titles = list(magnitudes[names[0]])
    figure = Figure(figsize=(3.6 * len(names), 1.9 * len(titles) + 0.7), layout="constrained")
    grid = figure.subplots(len(titles), len(names), sharey="row", squeeze=False)
    for row, title in zip(grid, titles, strict=True):
        top = _largest([magnitudes[name][title] for name in names])
        for c, (axes, name) in enumerate(zip(row, names, strict=True)):
            a = magnitudes[name][title]
            size = 0.5 if len(a) > 20_000 else 2.5
            axes.scatter(  # not antialiased: as sharp, and the file is a third of the size
                np.arange(len(a)), a, s=size, color=colour(c), lw=0, aa=False, rasterized=True
            )
            axes.axhline(a.mean() if len(a) else np.nan, color="black", lw=0.8)
            axes.set_xlim(0, max(len(a), 1))
            axes.set_ylim(0, 1.18 * top)
            axes.text(
                0.98,
                0.97,
                f"mean {a.mean():.3f}   Gini {gini[name][title]:.3f}" if len(a) else "diverged",
                transform=axes.transAxes,
                ha="right",
                va="top",
            )
            axes.xaxis.set_major_formatter(_thousands)
        row[0].set_ylabel(f"{title}\n|w|")
    for axes, name in zip(grid[0], names, strict=True):
        axes.set_title("\n".join(wrap(name, 36)), fontweight="bold")
    for axes in grid[-1]:
        axes.set_xlabel("weight index")
    figure.suptitle("Weight magnitude against weight index; one network each, line: mean", size=10)
    return figure


def _largest(values: Sequence[np.ndarray] | np.ndarray) -> float:
    """The largest finite value, or 1 if there is none, as where all networks diverged."""
    flat = np.concatenate([np.ravel(v) for v in values])
    finite = flat[np.isfinite(flat)]
    return float(finite.max()) if len(finite) else 1.0


def _thousands(value: float, _: int) -> str:
    return f"{value / 1000:g}k" if value >= 1000 else f"{value:g}"


@mpl.rc_context(STYLE)
def plot_profiles(
    names: Sequence[str],
    profiles: Mapping[str, tuple[np.ndarray, np.ndarray, np.ndarray]],
    quantity: str,
    n_seeds: int,
) -> Figure:
    """Sorted magnitudes, Lorenz curves and what changes in them, seeds as bands (their range).

    Args:
      names: the conditions [C].
      profiles: {panel title: (relative, lorenz, lorenz - lorenz of the first condition, seed by
        seed)}, each [C, S, Q]; see `weights.Profile`.
      quantity: what is sorted: "|w|" or "contribution".
      n_seeds: S, stated in the title.

    Example:
      >>> flat = np.ones((2, 3, 101))  # conditions, seeds, fractions
      >>> lorenz = flat * np.linspace(0, 1, 101)
      >>> layers = {"layer 0": (flat, lorenz, lorenz - lorenz[:1])}
      >>> figure = plot_profiles(["none", "dropout"], layers, "|w|", 3)
      >>> print(figure.axes[0].get_ylabel())
      |w|, in units of its mean
    """
    figure = Figure(figsize=(3.2 * len(profiles) + 0.4, 8.2), layout="constrained")
    grid = figure.subplots(3, len(profiles), squeeze=False, sharex=True)
    for column, (title, (relative, lorenz, change)) in enumerate(profiles.items()):
        fractions = np.linspace(0, 1, relative.shape[-1])
        sorted_axes, lorenz_axes, change_axes = grid[:, column]
        sorted_axes.set_title(title)
        sorted_axes.axhline(1, color=GREY, lw=0.8, ls=":")
        draw_bands(sorted_axes, fractions, relative)
        log_scale(sorted_axes, (1, 3))
        low = np.nan_to_num(relative[..., 10:], nan=1).min()
        sorted_axes.set_ylim(max(0.8 * low, 1e-2), 1.3 * _largest(relative))
        lorenz_axes.plot([0, 1], [0, 1], color=GREY, lw=0.8, ls=":")
        draw_bands(lorenz_axes, fractions, lorenz)
        lorenz_axes.set_ylim(0, 1)
        draw_bands(change_axes, fractions, change)
        change_axes.set_xlabel("fraction, from the smallest")
        change_axes.set_xlim(0, 1)
    grid[0, 0].set_ylabel(f"{quantity}, in units of its mean")
    grid[1, 0].set_ylabel(f"share of the sum of {quantity}")
    grid[2, 0].set_ylabel(f"difference in it from {names[0]}\n(up: more uniform)")
    grid[1, 0].annotate("uniform", (0.45, 0.47), rotation=36, color=GREY, size=8)
    _add_legend(figure, grid[0, 0], names, "lower right")
    figure.suptitle(
        f"Sorted {quantity} and Lorenz curves: mean and range over {n_seeds} seeds", size=10
    )
    return figure


def log_scale(axes: Axes, subs: Sequence[float]) -> None:
    """A logarithmic y axis with plain numbers at these multiples of powers of ten.

    Example:
      >>> axes = Figure().subplots()
      >>> log_scale(axes, (1, 3))
      >>> print(axes.get_yscale())
      log
    """
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=subs))
    axes.yaxis.set_major_formatter(lambda v, _: f"{v:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())


def draw_bands(axes: Axes, x: np.ndarray, values: np.ndarray) -> None:
    """`draw_band` for each condition of values [C, S, len(x)].

    Example:
      >>> axes = Figure().subplots()
      >>> draw_bands(axes, np.arange(4), np.ones((2, 3, 4)))  # conditions, seeds, x
      >>> print(len(axes.lines), len(axes.collections))
      2 2
    """
    for c, of_condition in enumerate(values):
        draw_band(axes, x, of_condition, c)


def draw_band(axes: Axes, x: np.ndarray, values: np.ndarray, c: int) -> None:
    """One line (mean) and band (range over seeds) of values [S, len(x)], as condition c looks.

    Example:
      >>> axes = Figure().subplots()
      >>> draw_band(axes, np.arange(4), np.ones((3, 4)), 1)
      >>> print(axes.lines[0].get_color())
      #D55E00
    """
    axes.fill_between(x, values.min(axis=0), values.max(axis=0), color=colour(c), alpha=0.25, lw=0)
    axes.plot(x, values.mean(axis=0), color=colour(c), lw=1.3, ls=line(c))


def draw_points(axes: Axes, names: Sequence[str], values: Iterable[np.ndarray]) -> None:
    """A column of points for each condition, one a seed of its values [S], and a line: the mean.

    Example:
      >>> axes = Figure().subplots()
      >>> draw_points(axes, ["none", "dropout"], np.ones((2, 3)))  # conditions, seeds
      >>> print([tick.get_text() for tick in axes.get_xticklabels()])
      ['none', 'dropout']
    """
    for c, of_condition in enumerate(values):
        axes.plot(np.full(len(of_condition), c), of_condition, ".", color=colour(c), alpha=0.6)
        axes.plot([c - 0.3, c + 0.3], [of_condition.mean()] * 2, color="black", lw=1)
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right")


def legend(names: Sequence[str]) -> list[Line2D]:
    """Handles of a legend for conditions as `draw_bands` draws them.

    Example:
      >>> print([handle.get_label() for handle in legend(["none", "dropout"])])
      ['none', 'dropout']
    """
    return [
        Line2D([], [], color=colour(c), ls=line(c), label=_label(name))
        for c, name in enumerate(names)
    ]


def _label(name: str) -> str:
    """A name in lines; matplotlib would leave out one that begins with an underscore."""
    return "\u200b" * name.startswith("_") + "\n".join(wrap(name, 28))


def _add_legend(figure: Figure, axes: Axes, names: Sequence[str], loc: Any = "best") -> None:
    """The legend of conditions, in a panel if they are few, else below all of them."""
    if len(names) <= N_INSIDE:
        axes.legend(handles=legend(names), loc=loc)
    else:
        figure.legend(handles=legend(names), loc="outside lower center", ncols=3)


@mpl.rc_context(STYLE)
def plot_differences(
    comparisons: Sequence[Mapping[str, Any]],
    measure: str,
    n_seeds: int,
    *,
    higher_is_uniform: bool = False,
) -> Figure:
    """Differences from the baseline with intervals, for every layer and view of one measure.

    Args:
      comparisons: rows of a summary, see `comparison.compare_conditions`.
      measure: the measure to show.
      n_seeds: stated in the title.
      higher_is_uniform: whether the measure grows with uniformity.

    Example:
      >>> row = {"baseline": "none", "condition": "dropout", "layer": 0, "view": "entries"}
      >>> row |= {"measure": "gini", "difference": -0.1, "ci_low": -0.2, "ci_high": -0.05}
      >>> figure = plot_differences([row | {"verdict": "more uniform"}], "gini", 10)
      >>> print(figure.axes[0].get_xlabel())
      difference in Gini from none
    """
    rows = [row for row in comparisons if row["measure"] == measure]
    names = list(dict.fromkeys(row["condition"] for row in rows))
    cells = list(dict.fromkeys((row["layer"], row["view"]) for row in rows))
    row_height = 0.12 * len(names) + 0.12
    figure = Figure(figsize=(7.2, row_height * len(cells) + 1.4), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color="black", lw=0.8)
    for row in rows:
        c = names.index(row["condition"])
        y = cells.index((row["layer"], row["view"])) + 0.8 / len(names) * (c - (len(names) - 1) / 2)
        decided = row["verdict"] in ("more uniform", "less uniform")
        axes.errorbar(
            row["difference"],
            y,
            xerr=[
                [row["difference"] - row["ci_low"]],
                [row["ci_high"] - row["difference"]],
            ],
            fmt=_MARKERS[c % len(_MARKERS)],
            ms=5,
            color=colour(c + 1),
            mfc=colour(c + 1) if decided else "white",
            capsize=2,
        )
    for y, (layer, _) in enumerate(cells):
        if layer % 2:
            axes.axhspan(y - 0.5, y + 0.5, color="#f2f2f2", lw=0, zorder=-1)
    axes.set_yticks(range(len(cells)), [f"layer {l}   {v.replace('_', ' ')}" for l, v in cells])
    axes.set_ylim(len(cells) - 0.5, -0.5)
    axes.set_xlabel(
        f"difference in {measure.replace('_', ' ').capitalize()} from {rows[0]['baseline']}"
    )
    less, more = ("less", "more") if higher_is_uniform else ("more", "less")
    above = axes.get_xaxis_transform()
    axes.text(0, 1.01, f"{less} uniform ← ", transform=above, ha="right", va="bottom")
    axes.text(0, 1.01, f" → {more} uniform", transform=above, ha="left", va="bottom")
    marks = [
        Line2D(
            [],
            [],
            color=colour(c + 1),
            marker=_MARKERS[c % len(_MARKERS)],
            ls="",
            label=_label(name),
        )
        for c, name in enumerate(names)
    ]
    hollow = Line2D([], [], color=GREY, marker="o", mfc="white", ls="", label="none or undecided")
    axes.legend(handles=[*marks, hollow], loc="upper left", bbox_to_anchor=(1, 1))
    figure.suptitle(f"Mean paired difference and 95 % interval, n = {n_seeds} seeds", size=10)
    return figure


@mpl.rc_context(STYLE)
def plot_curves(
    names: Sequence[str], epochs: np.ndarray, curves: Mapping[str, np.ndarray], n_seeds: int
) -> Figure:
    """Learning curves: mean and range over seeds of each condition.

    Args:
      names: the conditions [C].
      epochs: where the curves were measured [P].
      curves: {"train_loss": [C, S, P], "test_loss": …, "train_error": …, "test_error": …}; losses
        in nats, errors as fractions.
      n_seeds: S, stated in the title.

    Example:
      >>> names = ("train_loss", "test_loss", "train_error", "test_error")
      >>> curves = dict.fromkeys(names, np.ones((2, 3, 4)))  # conditions, seeds, epochs
      >>> figure = plot_curves(["none", "dropout"], np.arange(4), curves, 3)
      >>> print([axes.get_title() for axes in figure.axes])
      ['train loss', 'test loss', 'train error', 'test error']
    """
    figure = Figure(figsize=(7.2, 5.4), layout="constrained")
    grid = figure.subplots(2, 2, sharex=True)
    for axes, (name, values) in zip(grid.ravel(), curves.items(), strict=True):
        split, metric = name.split("_")
        draw_bands(axes, epochs, np.maximum(values, 1e-6) if metric == "loss" else 100 * values)
        axes.set_title(f"{split} {metric}")
        if metric == "loss":
            log_scale(axes, (1, 2, 5))
            axes.set_ylabel("nats")
        else:
            late = 100 * values[..., len(epochs) // 4 :]
            axes.set_ylim(0, max(1.3 * _largest(late), 1))
            axes.set_ylabel("%")
    for axes in grid[-1]:
        axes.set_xlabel("epoch")
    _add_legend(figure, grid[0, 0], names)
    figure.suptitle(f"Learning curves: mean and range over {n_seeds} seeds", size=10)
    return figure
