"""What readers call a view, what it holds, and the order in which views are shown."""

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple


class View(NamedTuple):
    """What readers call a view, and what it holds; files have names of their own."""

    name: str
    meaning: str


VIEWS = {  # in the order in which those of a layer are shown
    "contribution": View("contributions", "rms(h) · ‖w_out‖ of each hidden unit, what it sends on"),
    "entries": View("weights", "the magnitudes |w| of a layer"),
    "columns": View("weights of a unit", "|w| into one unit; the measure is averaged over units"),
    "change": View("changes", "|w − w₀|, how far each weight moved in training"),
    "path_norm": View("path norms", "‖(w_in, b)‖ · ‖w_out‖ of each hidden unit"),
}
SHOWN = {view: VIEWS[view].name for view in ("contribution", "entries")}  # always


def view_name(view: str) -> str:
    """What readers call a view; one that is not in `VIEWS` keeps its name."""
    return VIEWS[view].name if view in VIEWS else view


def explain_views(views: Iterable[str]) -> list[str]:
    """A sentence for each view that has one, in the order in which they are shown."""
    views = set(views)
    shown = (VIEWS[view] for view in VIEWS if view in views)
    return [f"{name.capitalize()}: {meaning}." for name, meaning in shown]


def sort_by_view(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows of comparisons, those of a layer in the order of its views.

    Example:
      >>> rows = [{"layer": 0, "view": view} for view in ("entries", "contribution")]
      >>> print([row["view"] for row in sort_by_view([*rows, {"layer": 1, "view": "entries"}])])
      ['contribution', 'entries', 'entries']
    """
    rows, ranks = list(rows), {view: rank for rank, view in enumerate(VIEWS)}
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    return sorted(rows, key=lambda row: (layers.index(row["layer"]), ranks.get(row["view"], 0)))
