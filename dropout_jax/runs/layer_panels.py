"""One panel each, of layers of any networks: arrays in, drawn on axes of the caller.

The figures and the page of `layers_page` share them.

Shapes: S networks of a group, L layers, Q points of a profile.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress, zip_longest
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from dropout_jax.runs import panels
from dropout_jax.runs.style import GREY, colour, line, marker, numbers

if TYPE_CHECKING:
    from dropout_jax.analysis.uniformity import Profile

_FROM = 0.05  # of the mean, where the axis of sorted weights begins: the smallest go to 0
_STEPS = (1, 2, 5, 10)  # between ticks, which then have short labels
_LONGEST = 34  # characters of the last words of a layer's name, beside an axis


def short(names: Iterable[str]) -> dict[str, str]:
    """A label for each name: its last words, after those that tell it from names that end so, too.

    Example:
      >>> of_blocks = [f"Block_{b}.MultiHeadDotProductAttention_0.key.kernel" for b in (0, 1)]
      >>> print(*short(["head.kernel", *of_blocks]).values(), sep=", ")
      head.kernel, Block_0…key.kernel, Block_1…key.kernel
    """
    names, alike = list(names), dict[str, dict[str, list[str]]]()
    for name in names:
        alike.setdefault(_last_words(name), {})[name] = re.split("[./]", name)[::-1]
    labels = {}
    for end, words in alike.items():
        tells = [len(set(column)) > 1 for column in zip_longest(*words.values())]
        labels |= {name: ".".join([*compress(of, tells)][::-1]) + end for name, of in words.items()}
    return {name: labels[name] for name in names}


def _last_words(name: str) -> str:
    """The last words of a name for which there is room."""
    if len(name) <= _LONGEST:
        return name
    end = name[1 - _LONGEST :]
    return f"…{re.sub(r'^.*?[./](?=.)', '', end)}"


def mean_line(values: np.ndarray) -> np.ndarray:
    """The mean of values [S, L] over networks that have one [L]; NaN if none has.

    Example:
      >>> print(mean_line(np.array([[0.4, np.nan], [0.5, np.nan]])))
      [0.45  nan]
    """
    return np.ma.masked_invalid(values).mean(axis=0).filled(np.nan)


def draw_depth(ax: Axes, lines: Mapping[str, np.ndarray], starts: Mapping[str, float]) -> None:
    """Draw the Gini index of each layer, from top to bottom: mean and range of each line.

    Args:
      lines: {title: Gini of every layer [S, L]}.
      starts: {layer: Gini of the law that its weights usually start from}.

    Example:
      >>> from matplotlib.figure import Figure
      >>> ax = Figure().subplots()
      >>> lines = {"all weights": np.array([[0.3, 0.4]])}
      >>> draw_depth(ax, lines, dict.fromkeys(["a.kernel", "b.kernel"], 1 / 3))
      >>> print([label.get_text() for label in ax.get_yticklabels()])
      ['a.kernel', 'b.kernel']
    """
    y, labels = np.arange(len(starts)), short(starts)
    ax.plot(list(starts.values()), y, color=GREY, ls="--", marker="|")
    for title, c in numbers(lines).items():
        known = np.ma.masked_invalid(lines[title])
        low, high = (of.filled(np.nan) for of in (known.min(axis=0), known.max(axis=0)))
        ax.fill_betweenx(y, low, high, color=colour(c), alpha=0.25, lw=0)
        middle = mean_line(lines[title])
        ax.plot(middle, y, color=colour(c), ls=line(c), lw=1.2, marker=marker(c), ms=4)
    ax.set_yticks(y, [labels[name] for name in starts])
    ax.set_ylim(len(y) - 0.5, -0.5)
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=_STEPS))
    ax.set_xlabel("Gini of |w| (left: more uniform)", loc="right")


def draw_sorted(ax: Axes, groups: "Mapping[str, Profile]", start: "Profile", top: float) -> None:
    """Draw |w| of one layer, sorted, in all groups, beside the law of its start.

    Args:
      groups: {name: profile of the layer [S, Q]}.
      start: profile of the law [Q].
      top: the largest weight that is shown, in units of the mean.

    Example:
      >>> from matplotlib.figure import Figure
      >>> ax = Figure().subplots()
      >>> from dropout_jax.analysis.uniformity import Profile
      >>> flat = Profile(np.ones(101), np.linspace(0, 1, 101))
      >>> draw_sorted(ax, {"a.npz": Profile(*(of[None] for of in flat))}, flat, top=2)
      >>> print(ax.get_yscale())
      log
    """
    panels.draw_sorted(ax, {name: np.asarray(of.relative) for name, of in groups.items()})
    _draw_start(ax, np.asarray(start.relative))
    ax.set_ylim(_FROM, 1.3 * top)


def draw_lorenz(ax: Axes, groups: "Mapping[str, Profile]", start: "Profile") -> None:
    """Draw the Lorenz curves of one layer, beside that of its start; see `draw_sorted`.

    Example:
      >>> from matplotlib.figure import Figure
      >>> ax = Figure().subplots()
      >>> from dropout_jax.analysis.uniformity import Profile
      >>> flat = Profile(np.ones(101), np.linspace(0, 1, 101))
      >>> draw_lorenz(ax, {"a.npz": Profile(*(of[None] for of in flat))}, flat)
      >>> print(len(ax.lines))  # the diagonal, one of the group, one of the start
      3
    """
    panels.draw_lorenz(ax, {name: np.asarray(of.lorenz) for name, of in groups.items()})
    _draw_start(ax, np.asarray(start.lorenz))


def _draw_start(ax: Axes, values: np.ndarray) -> None:
    """Draw what a layer starts from, at the same fractions."""
    ax.plot(np.linspace(0, 1, len(values)), values, color=GREY, lw=0.9, ls="--")
    ax.set_xlim(0, 1)


def draw_differences(ax: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draw differences of the group `against` with intervals; rows as for `panels`.

    Example:
      >>> from matplotlib.figure import Figure
      >>> row = {"condition": "against", "layer": "a.kernel", "view": "all weights"}
      >>> row |= {"difference": -0.1, "ci_low": -0.2, "ci_high": -0.05, "verdict": "undecided"}
      >>> ax = Figure().subplots()
      >>> draw_differences(ax, [row])
      >>> print(ax.get_yticklabels()[0].get_text())
      a.kernel   all weights
    """
    labels = short(row["layer"] for row in rows)
    rows = [{**row, "layer": labels[row["layer"]]} for row in rows]
    panels.draw_differences(ax, rows, {"against": 1})
    ax.xaxis.set_major_locator(MaxNLocator(4, steps=_STEPS))
    ax.set_xlabel("difference in Gini (left: more uniform)", loc="right")
