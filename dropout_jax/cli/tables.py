"""What all commands show: names, cells and findings, as rich text. Nothing is printed here.

Names of conditions, files and tensors are users' text: made `printable`, never read as markup.
"""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from rich.table import Column, Table
from rich.text import Text


def printable(text: object) -> str:
    r"""Text that cannot steer a terminal or turn its direction: such characters become escapes.

    Example:
      >>> print(printable("layer\x1b[2J ½"))
      layer\x1b[2J ½
    """
    return "".join(
        c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in str(text)
    )


def printable_text(text: object, style: str = "", no_wrap: bool | None = None) -> Text:
    """A user's text, made printable; if `no_wrap`, a line that can be copied whole."""
    return Text(printable(text), style=style, no_wrap=no_wrap)


def or_dash(value: float, form: str) -> str:
    """A number in a format, or a dash for NaN.

    Example:
      >>> print(or_dash(0.25, ".3f"), or_dash(math.nan, ".3f"))
      0.250 –
    """
    return "–" if math.isnan(value) else f"{value:{form}}"


def comparison_cells(row: Mapping[str, Any]) -> tuple[str, ...]:
    """The cells of a comparison: means, difference, p and verdict."""
    p = row["p_adjusted"]
    difference, low, high = (or_dash(row[of], "+.3f") for of in ("difference", "ci_low", "ci_high"))
    return (
        or_dash(row["baseline_mean"], ".3f"),
        or_dash(row["condition_mean"], ".3f"),
        f"{difference} [{low}, {high}]",
        "<.001" if p < 0.001 else or_dash(p, ".3f"),
        row["verdict"],
    )


class Finding(NamedTuple):
    """A line of the doctor; `good` is True for a good sign, False for a bad one, else None."""

    about: str
    good: bool | None
    message: str

    def __rich__(self) -> Table:
        """As a terminal shows it."""
        mark, style = {None: (" ", ""), True: ("✓", "green"), False: ("!", "bold red")}[self.good]
        grid = Table.grid(Column(width=1, style=style), Column(width=9), "", padding=(0, 1))
        grid.add_row(mark, printable_text(self.about, style="bold"), printable_text(self.message))
        return grid
