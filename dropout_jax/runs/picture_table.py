"""The picture-table: the verdict on each layer and view that is always shown, and its legend."""

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from dropout_jax.analysis.statistics import is_negligible
from dropout_jax.runs.views import SHOWN, explain_views
from dropout_jax.runs.wording import of_mlp

_MARKS = {"more uniform": "▲", "less uniform": "▼", "negligible": "≈", "undecided": "?"}
_LEGEND = (
    "Differences of the Gini index; below 0 is more uniform. ≈ is negligible, “about as evenly”, "
    "also where a small direction is shown (“negligibly less uniform”)."
)


class Cell(NamedTuple):
    """What a picture-table shows of one layer and view."""

    verdict: str  # on the difference from the baseline
    mark: str  # of the verdict
    text: str  # the difference in Gini with its sign, or why there is none


def legend(summary: Mapping[str, Any]) -> str:
    """What the picture-table shows; of a network other than an MLP the weights alone."""
    if not of_mlp(summary):
        return " ".join([_LEGEND, *explain_views(["entries"])])
    return " ".join([_LEGEND, "Layer 0 is the first.", *explain_views(SHOWN)])


def picture(summary: Mapping[str, Any]) -> dict[tuple[str, int], dict[str, Cell]]:
    """The picture-table: for each condition and layer, the verdict on each view that is shown."""
    table: dict[tuple[str, int], dict[str, Cell]] = {}
    for row in summary["comparisons"]:
        if row["measure"] == "gini" and row["view"] in SHOWN:
            verdict = "negligible" if is_negligible(row["verdict"]) else row["verdict"]
            difference = row["difference"]
            if difference is None or math.isnan(difference):  # None of JSON
                n_compared = summary["conditions"][row["condition"]]["n_compared"]
                text = "too few live units in a seed" if n_compared > 1 else "diverged"
            else:
                text = f"{difference:+.3f}"
            cell = Cell(verdict, _MARKS[verdict], text)
            table.setdefault((row["condition"], row["layer"]), {})[SHOWN[row["view"]]] = cell
    return table
