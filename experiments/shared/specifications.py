"""Specification curves: the universes of a question counted, put in words and drawn.

A row is one universe: its choices (initializer, …, measure, view), the difference in per cent of
the baseline with its interval, below 0 if more uniform, and the verdict.

Simonsohn, Simmons & Nelson (2020), Specification curve analysis, Nature Human Behaviour 4.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dropout_jax.runs.style import COLOURS, GREY, STYLE

Row = dict[str, Any]
_CHOICES = ("initializer", "optimizer", "width", "depth", "data", "stopping", "measure", "view")
VERDICTS = ("more uniform", "less uniform", "negligible", "undecided")
DIRECTIONS = VERDICTS[:2]
MOST = 0.8
_COLUMNS = (*_CHOICES, "n", "baseline", "percent", "low", "high", "verdict")
_COLOURS = dict(zip(VERDICTS, (*COLOURS[:2], "black", "#bbbbbb"), strict=True))


def _levels(rows: Sequence[Row]) -> dict[str, list[Any]]:
    """The choices that differ between the universes, with their levels."""
    levels = {choice: list(dict.fromkeys(row[choice] for row in rows)) for choice in _CHOICES}
    return {choice: values for choice, values in levels.items() if len(values) > 1}


def count(rows: Sequence[Row]) -> dict[str, Any]:
    """How many universes, the share of each verdict, and the median difference in per cent."""
    verdicts = Counter(row["verdict"] for row in rows)
    median = float(np.median([row["percent"] for row in rows]))
    return {"n": len(rows), **{v: verdicts[v] / len(rows) for v in VERDICTS}, "median": median}


def by_choice(rows: Sequence[Row]) -> dict[str, dict[str, dict[str, Any]]]:
    """`count` at every level of every choice."""
    return {
        choice: {str(l): count([row for row in rows if row[choice] == l]) for l in levels}
        for choice, levels in _levels(rows).items()
    }


def _how_often(share: float) -> str:
    """A share in a word; always and never have no exception."""
    if share in (0, 1):
        return "always" if share else "never"
    return "mostly" if share >= MOST else "more often than not" if share > 0.5 else "sometimes"


def say(about: str, rows: Sequence[Row]) -> str:
    """One sentence: how often each direction is found, and which choice it depends on most."""
    all_, parts = count(rows), by_choice(rows)
    often, rarely = sorted(DIRECTIONS, key=lambda verdict: -all_[verdict])
    phrases = [f"{_how_often(all_[v])} {v} ({100 * all_[v]:.0f} %)" for v in (often, rarely)]
    shares = {c: {l: part[often] for l, part in levels.items()} for c, levels in parts.items()}
    if not shares:
        return f"{about}: {', '.join(phrases)} in {len(rows)} universes."
    choice = max(shares, key=lambda choice: np.ptp(list(shares[choice].values())))
    split = ", ".join(f"{l} {100 * share:.0f} %" for l, share in shares[choice].items())
    return (
        f"{about}: {', '.join(phrases)} in {len(rows)} universes, {all_['median']:+.0f} % in the "
        f"median; {often} depends most on {choice} ({split})."
    )


def table(rows: Sequence[Row]) -> tuple[tuple[str, ...], list[list[Any]]]:
    """Header and lines of a table of the rows, numbers to four digits."""
    cells = ([row[column] for column in _COLUMNS] for row in rows)
    return _COLUMNS, [[f"{v:.4g}" if isinstance(v, float) else v for v in row] for row in cells]


@mpl.rc_context(STYLE)
def plot_curve(about: str, rows: Sequence[Row], main: Row) -> Figure:
    """The specification curve: sorted differences above, the choices behind each of them below.

    Args:
      about: what is more or less uniform.
      rows: the universes, in any order.
      main: the choices of the main study, marked where they are met.
    """
    marks = [(choice, level) for choice, levels in _levels(rows).items() for level in levels]
    rows = sorted(rows, key=lambda row: row["percent"])
    height = 0.17 * len(marks) + 0.1
    figure = Figure(figsize=(11, 3.4 + height), layout="constrained")
    curve, chosen = figure.subplots(2, sharex=True, height_ratios=(2.8, height))
    _differences(curve, rows, main)
    _choices(chosen, rows, marks)
    chosen.set_xlabel("universe, sorted by its difference")
    seeds = sorted({row["n"] for row in rows})
    n = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"{seeds[0]}"
    figure.suptitle(
        f"Without and with dropout: {about} in {len(rows)} universes; mean paired difference and "
        f"95 % interval, n = {n} seeds",
        size=10,
    )
    return figure


def _differences(axes: Axes, rows: Sequence[Row], main: Row) -> None:
    """The curve, coloured by verdict, and a mark at the main study; wide intervals are cut off."""
    x = np.arange(len(rows))
    percent, low, high = (np.array([row[k] for row in rows]) for k in ("percent", "low", "high"))
    colours = [_COLOURS[row["verdict"]] for row in rows]
    axes.axhline(0, color="black", lw=0.8)
    axes.vlines(x, low, high, colors=colours, lw=0.8, alpha=0.5)
    axes.scatter(x, percent, s=3, c=colours, lw=0)
    for i in (i for i, row in enumerate(rows) if main.items() <= row.items()):
        axes.plot(i, percent[i], "D", ms=5, mfc="none", mec="black")
    margin = 0.1 * np.ptp(percent) + 1
    axes.set(xlim=(-1, len(rows)), ylim=(percent.min() - margin, percent.max() + margin))
    axes.set_ylabel("difference, % of the baseline\n(down: more uniform)")
    verdicts = count(rows)
    handles = [
        Line2D([], [], color=_COLOURS[v], marker="o", ms=4, label=f"{v}: {100 * verdicts[v]:.0f} %")
        for v in VERDICTS
    ]
    diamond = Line2D([], [], color="black", marker="D", ms=5, mfc="none", ls="", label="main study")
    empty = "upper left" if percent.max() > -percent.min() else "lower right"
    axes.legend(handles=[*handles, diamond], loc=empty)


def _choices(axes: Axes, rows: Sequence[Row], marks: Sequence[tuple[str, Any]]) -> None:
    """A line per level of each choice, a tick where a universe chose it, the shares beside it."""
    parts, names = by_choice(rows), list(dict.fromkeys(choice for choice, _ in marks))
    for y, (choice, level) in enumerate(marks):
        indices = [i for i, row in enumerate(rows) if row[choice] == level]
        colours = [_COLOURS[rows[i]["verdict"]] for i in indices]
        axes.vlines(indices, y - 0.38, y + 0.38, colors=colours, lw=0.6)
        part = parts[choice][str(level)]
        for verdict, left in zip(DIRECTIONS, (1.01, 1.05), strict=True):
            share = f"{100 * part[verdict]:.0f}"
            transform = axes.get_yaxis_transform()
            axes.text(left, y, share, transform=transform, va="center", color=_COLOURS[verdict])
        if names.index(choice) % 2:
            axes.axhspan(y - 0.5, y + 0.5, color="#f2f2f2", lw=0, zorder=-1)
    axes.text(1.01, -0.9, "% of them", transform=axes.get_yaxis_transform(), color=GREY)
    axes.set_yticks(range(len(marks)), [f"{c}   {str(l).replace('_', ' ')}" for c, l in marks])
    axes.set_ylim(len(marks) - 0.5, -0.5)
