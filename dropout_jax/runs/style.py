"""How figures look: the colours, lines, marks and labels of conditions.

Shapes: C conditions.
"""

from collections.abc import Iterable
from itertools import count
from textwrap import wrap
from typing import Any

from matplotlib.lines import Line2D

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
_USUAL = {"none": 0, "dropout": 1, "dropout 0.5": 1, "dropout .5": 1, "l2": 2}
_USUAL |= {"dropout 0.2": 3, "dropout .2": 3, "dropout 0.8": 4, "dropout .8": 4}


def condition_numbers(names: Iterable[str]) -> dict[str, int]:
    """The number c of each condition, which decides its colour, line and mark.

    No dropout, the rates of the lecture, and L2 have the same in every figure. Others take the
    next that is free.
    """
    names = list(names)
    usual = {c: n for n in reversed(names) if (c := _USUAL.get(n.lower())) is not None}
    fixed, free = {name: c for c, name in usual.items()}, (c for c in count() if c not in usual)
    return {name: fixed[name] if name in fixed else next(free) for name in names}


def colour(c: int) -> str:
    """The colour of condition c; the twelfth has that of the second, with another line and mark."""
    return COLOURS[c if c < len(COLOURS) else _AGAIN[(c - len(COLOURS)) % len(_AGAIN)]]


def line(c: int) -> Any:
    """The line style of condition c; with `colour`, 39 conditions can be told apart."""
    return _LINES[(c + c // len(_LINES)) % len(_LINES)]


def marker(c: int) -> str:
    """The mark of condition c; with `colour`, 21 conditions can be told apart.

    Example:
      >>> print(marker(1), marker(2))
      o s
    """
    return _MARKERS[(c + 2 * (c // len(COLOURS))) % len(_MARKERS)]


def label(name: str) -> str:
    """The name of a condition in lines of at most 28 characters, broken at spaces if it can be."""
    # matplotlib leaves a name that begins with an underscore out of a legend
    return "\u200b" * name.startswith("_") + "\n".join(wrap(name, 28, break_on_hyphens=False))


def legend(names: Iterable[str]) -> list[Line2D]:
    """Handles of a legend of conditions [C] that `drawing.draw_bands` drew."""
    return [
        Line2D([], [], color=colour(c), ls=line(c), label=label(name))
        for name, c in condition_numbers(names).items()
    ]
