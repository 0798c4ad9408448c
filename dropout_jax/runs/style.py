"""How figures look: the colours, lines and marks of conditions, and what is drawn the same way.

Shapes: C conditions, S seeds.
"""

import base64
import html
import io
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress, count, zip_longest
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as _Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, NullFormatter

# Okabe & Ito's palette: colour-blind readers can tell the colours apart. The other five are darker.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
COLOURS += ("#882255", "#999933", "#332288", "#8C564B", "#9467BD")
_AGAIN = (1, *range(3, len(COLOURS)))  # of more conditions: none has that of no dropout or of L2
GREY = "#777777"
SLIDE = (7.11, 4.0)  # inches, 16:9: on so small a sheet, letters of 9 points are 3 % of the height
STRIPE = "#f2f2f2"
STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "text.parse_math": False,  # a $ in the name of a condition is a $
}
_LINES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (1, 1)))
_MARKERS = "vos^D"
_LONGEST = 34  # characters of the last words of a layer's name, beside an axis
_USUAL = {"none": 0, "dropout": 1, "dropout 0.5": 1, "dropout .5": 1, "l2": 2}
_USUAL |= {"dropout 0.2": 3, "dropout .2": 3, "dropout 0.8": 4, "dropout .8": 4}


class Figure(_Figure):
    """A figure that a notebook shows by itself, without pyplot.

    Example:
      >>> print(Figure(figsize=(1, 1))._repr_png_()[1:4])
      b'PNG'
    """

    def _repr_png_(self) -> bytes:
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=100)
        return file.getvalue()


class Figures(dict[str, Figure]):
    """Figures by name, which a notebook shows one below the other.

    Example:
      >>> shown = Figures({"<a>": Figure(figsize=(1, 1))})._repr_html_()
      >>> print(shown.partition("base64")[0])
      <figure><figcaption>&lt;a&gt;</figcaption><img src="data:image/png;
    """

    def _repr_html_(self) -> str:
        return "".join(
            f"<figure><figcaption>{html.escape(name)}</figcaption>"
            f'<img src="data:image/png;base64,{base64.b64encode(figure._repr_png_()).decode()}" '
            f'alt="{html.escape(name)}"></figure>'
            for name, figure in self.items()
        )


def condition_numbers(names: Iterable[str]) -> dict[str, int]:
    """The number c of each condition, which decides its colour, line and mark.

    No dropout, the rates of the lecture, and L2 have the same in every figure. Others take the
    next that is free.

    Example:
      >>> print(condition_numbers(["none", "dropout 0.2", "dropout 0.5", "l2"]))
      {'none': 0, 'dropout 0.2': 3, 'dropout 0.5': 1, 'l2': 2}
    """
    names = list(names)
    usual = {c: n for n in reversed(names) if (c := _USUAL.get(n.lower())) is not None}
    fixed, free = {name: c for c, name in usual.items()}, (c for c in count() if c not in usual)
    return {name: fixed[name] if name in fixed else next(free) for name in names}


def colour(c: int) -> str:
    """The colour of condition c; the twelfth has that of the second, with another line and mark.

    Example:
      >>> print(colour(0), colour(11) == colour(1))
      #0072B2 True
    """
    return COLOURS[c if c < len(COLOURS) else _AGAIN[(c - len(COLOURS)) % len(_AGAIN)]]


def line(c: int) -> Any:
    """The line style of condition c; with `colour`, 39 conditions can be told apart.

    Example:
      >>> print(line(1), line(11))  # the same colour, another line
      -- -
    """
    return _LINES[(c + c // len(_LINES)) % len(_LINES)]


def marker(c: int) -> str:
    """The mark of condition c.

    Example:
      >>> print(marker(1), marker(2))
      o s
    """
    return _MARKERS[c % len(_MARKERS)]


def label(name: str) -> str:
    """The name of a condition in lines of at most 28 characters, broken at spaces if it can be.

    Example:
      >>> print(label("dropout in every layer but the first"))
      dropout in every layer but
      the first
    """
    # matplotlib leaves a name that begins with an underscore out of a legend
    return "\u200b" * name.startswith("_") + "\n".join(wrap(name, 28, break_on_hyphens=False))


def short_names(names: Iterable[str]) -> dict[str, str]:
    """A label for each name: its last words, and before them those that tell it from similar names.

    Example:
      >>> names = [f"Block_{b}.MultiHeadDotProductAttention_0.key.kernel" for b in (0, 1)]
      >>> print(*short_names(["head.kernel", *names]).values(), sep=", ")
      head.kernel, Block_0…key.kernel, Block_1…key.kernel
    """
    names = list(names)
    alike: dict[str, dict[str, list[str]]] = {}
    for name in names:
        alike.setdefault(_last_words(name), {})[name] = re.split("[./]", name)[::-1]
    labels = {}
    for end, words in alike.items():
        differs = [len(set(column)) > 1 for column in zip_longest(*words.values())]
        for name, parts in words.items():
            labels[name] = ".".join([*compress(parts, differs)][::-1]) + end
    return {name: labels[name] for name in names}


def _last_words(name: str) -> str:
    """The last words of a name for which there is room."""
    if len(name) <= _LONGEST:
        return name
    end = name[1 - _LONGEST :]
    return f"…{re.sub(r'^.*?[./](?=.)', '', end)}"


def legend(names: Iterable[str]) -> list[Line2D]:
    """Handles of a legend of conditions [C] that `draw_bands` drew.

    Example:
      >>> print([handle.get_label() for handle in legend(["none", "dropout"])])
      ['none', 'dropout']
    """
    return [
        Line2D([], [], color=colour(c), ls=line(c), label=label(name))
        for name, c in condition_numbers(names).items()
    ]


class _LogTicks(MaxNLocator):
    """Ticks at multiples of powers of ten; at some of the powers, 1 among them, if few fit.

    Where fewer than two of the multiples are, ticks are as on a linear axis.
    """

    def __init__(self, multiples: Sequence[float]) -> None:
        super().__init__(4)
        self._multiples = multiples

    def tick_values(self, vmin: float, vmax: float) -> Any:
        """The ticks between two values."""
        low, high = np.log10([vmin, vmax])
        axis: Any = self.axis
        n_labels = 1.8 * max(axis.get_tick_space(), 1)  # matplotlib leaves as much free
        decades = (high - low) / n_labels
        powers = np.arange(np.floor(low), np.ceil(high) + 1)
        gaps = np.diff(np.log10([*self._multiples, 10]))
        sparse = 10 ** powers[powers % max(np.ceil(decades), 1) == 0]
        if gaps.min() < decades and _within(sparse, vmin, vmax).size:
            return sparse
        dense = np.outer(10**powers, self._multiples).ravel()
        if _within(dense, vmin, vmax).size > 1:
            return dense
        return _within(np.asarray(super().tick_values(vmin, vmax)), vmin, vmax)


def _within(ticks: np.ndarray, low: float, high: float) -> np.ndarray:
    return ticks[(ticks >= low) & (ticks <= high)]


def log_scale(ax: Axes, subs: Sequence[float]) -> None:
    """Make the y axis logarithmic, with plain numbers at these multiples of powers of ten.

    Example:
      >>> ax = Figure().subplots()
      >>> log_scale(ax, (1, 3))
      >>> print(ax.get_yscale())
      log
    """
    ax.set_yscale("log")
    ax.yaxis.set_major_locator(_LogTicks(subs))
    ax.yaxis.set_major_formatter(lambda v, _: f"{v:g}")
    ax.yaxis.set_minor_formatter(NullFormatter())


def draw_bands(ax: Axes, x: np.ndarray, values: Mapping[str, np.ndarray]) -> None:
    """Draw a `draw_band` for each condition, {name: values [S, len(x)]}.

    Example:
      >>> ax = Figure().subplots()
      >>> draw_bands(ax, np.arange(4), dict.fromkeys(["none", "l2"], np.ones((3, 4))))
      >>> print(len(ax.lines), len(ax.collections))
      2 2
    """
    for name, c in condition_numbers(values).items():
        draw_band(ax, x, values[name], c)


def draw_band(ax: Axes, x: np.ndarray, values: np.ndarray, c: int) -> None:
    """Draw the mean of values [S, len(x)] as a line and their range as a band, for condition c.

    Example:
      >>> ax = Figure().subplots()
      >>> draw_band(ax, np.arange(4), np.ones((3, 4)), 1)
      >>> print(ax.lines[0].get_color())
      #D55E00
    """
    ax.fill_between(x, values.min(axis=0), values.max(axis=0), color=colour(c), alpha=0.25, lw=0)
    ax.plot(x, values.mean(axis=0), color=colour(c), lw=1.3, ls=line(c))


def draw_points(ax: Axes, names: Sequence[str], values: Iterable[np.ndarray]) -> None:
    """Draw a column of points for each condition, one per seed of its values [S], and their mean.

    Example:
      >>> ax = Figure().subplots()
      >>> draw_points(ax, ["none", "dropout"], np.ones((2, 3)))  # conditions, seeds
      >>> print([tick.get_text() for tick in ax.get_xticklabels()])
      ['none', 'dropout']
    """
    for x, (c, points) in enumerate(zip(condition_numbers(names).values(), values, strict=True)):
        ax.plot(np.full(len(points), x), points, ".", color=colour(c), alpha=0.6)
        ax.plot([x - 0.3, x + 0.3], [points.mean()] * 2, color="black", lw=1)
    ax.set_xticks(range(len(names)), names, rotation=30, ha="right")
