"""The words for what a run shows, the same in terminal, page and figures; see also `verdicts`."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from dropout_jax.analysis.paired import smallest_p
from dropout_jax.analysis.statistics import MIN_SEEDS


class View(NamedTuple):
    """What readers call a view, and what it is of; files have names of their own."""

    name: str
    said: str


VIEWS = {  # in the order in which a layer's are shown
    "contribution": View("contributions", "rms(h) · ‖w_out‖ of each hidden unit, what it sends on"),
    "entries": View("weights", "the magnitudes |w| of a layer"),
    "columns": View("weights of a unit", "|w| into one unit; the measure is averaged over units"),
    "change": View("changes", "|w − w₀|, how far each weight moved in training"),
    "path_norm": View("path norms", "‖(w_in, b)‖ · ‖w_out‖ of each hidden unit"),
}
SHOWN = {view: VIEWS[view].name for view in ("contribution", "entries")}  # always
MARKS = {"more uniform": "▲", "less uniform": "▼", "negligible": "≈", "undecided": "?"}
LEGEND = (
    "Differences of the Gini index; below 0 is more uniform. ≈ is negligible, “about as evenly”, "
    "also where a small direction is shown (“negligibly less uniform”)."
)
ADJUSTED = (
    "An interval is of one difference alone; p and verdicts are adjusted over all conditions, "
    "layers and views. So an undecided difference may have an interval without 0."
)
WEIGHTS_ALONE = (
    "Weights alone are compared: contributions and path norms need the activations of units, which "
    "are known of an MLP."
)
SIZES = (
    "Norm: root of the sum of squares. Spectral norm: the most that a layer lengthens a vector. "
    "Stable rank: (norm / spectral norm)². Dead units: constant, or without a weight."
)
GINI = (
    "Gini index with the factor N/(N - 1): 0 if all N magnitudes are equal, 1 if all but one are 0."
)
L2 = 1e-3  # the weight decay of `compare`, unless another is given
_OF_L2 = (
    "The weight decay of l2, 0.001, is the fixed default of compare, so that the first answer "
    "needs no tuning. It is a third of 0.003, which the study weight_uniformity tuned."
)


def view_name(view: str) -> str:
    """What readers call a view; of other networks' layers, what the rows call it.

    Example:
      >>> print(view_name("path_norm"), view_name("all weights"), sep=", ")
      path norms, all weights
    """
    return VIEWS[view].name if view in VIEWS else view


def explained(views: Iterable[str]) -> list[str]:
    """A sentence for each view that has one, in the order in which they are shown.

    Example:
      >>> print(*explained(["entries", "all weights"]))
      Weights: the magnitudes |w| of a layer.
    """
    views = set(views)
    return [f"{of.name.capitalize()}: {of.said}." for view, of in VIEWS.items() if view in views]


def in_order(rows: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Rows of comparisons, those of a layer in the order in which its views are shown.

    Example:
      >>> rows = [{"layer": 0, "view": view} for view in ("entries", "contribution")]
      >>> print([row["view"] for row in in_order([*rows, {"layer": 1, "view": "entries"}])])
      ['contribution', 'entries', 'entries']
    """
    rows, order = list(rows), list(VIEWS)
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    ranks = {view: order.index(view) if view in order else 0 for view in {r["view"] for r in rows}}
    return sorted(rows, key=lambda row: (layers.index(row["layer"]), ranks[row["view"]]))


class Cell(NamedTuple):
    """What a picture-table shows of one layer and view.

    Attributes:
      verdict: on the difference from the baseline.
      mark: of the verdict.
      difference: in Gini; NaN if there is none.
      lacks: why there is none.
    """

    verdict: str
    mark: str
    difference: float
    lacks: str = ""

    @property
    def said(self) -> str:
        """The difference with its sign, or why there is none."""
        return self.lacks or f"{self.difference:+.3f}"


def starts(ginis: Mapping[str, float]) -> str:
    """The laws {name: Gini index} that layers usually start from, inferred from names of kernels.

    Example:
      >>> print(starts({"truncated normal": 0.392}))  # as for Flax
      truncated normal (0.392); kernels of Keras start uniform (0.333)
    """
    said = " or ".join(f"{law} ({gini:.3f})" for law, gini in sorted(ginis.items()))
    keras = "; kernels of Keras start uniform (0.333)"
    return said + (keras if "truncated normal" in ginis else "")


def question(names: Sequence[str]) -> str:
    """The question that the conditions [C], the baseline first, answer.

    Example:
      >>> print(question(["none", "dropout", "l2"]))
      Does dropout spread the weights?
    """
    first, *others = names
    if not others:
        return f"How are the weights of {first} spread?"
    *between, last = others
    of_dropout = between and all(name.startswith("dropout") for name in between)
    if first == "none" and last == "l2" and of_dropout:
        return "Does dropout spread the weights?"
    return f"What spreads the weights, compared with {first}?"


def flat(tree: Any, name: str = "") -> dict[str, str]:
    """Nested settings as {dotted name: text}.

    Example:
      >>> print(flat({"seconds": {"training": 2.5}, "rates": [0.0, 0.5]}))
      {'seconds.training': '2.5', 'rates': '0.0, 0.5'}
    """
    if isinstance(tree, Mapping) and tree:
        parts = [flat(value, f"{name}.{key}" if name else str(key)) for key, value in tree.items()]
        return {key: text for part in parts for key, text in part.items()}
    if isinstance(tree, list | tuple):
        return {name: ", ".join(map(str, tree))}
    return {name: str(tree)}


def headings(summary: Mapping[str, Any]) -> list[str]:
    """The columns of the picture-table; of a network other than an MLP the weights alone.

    Example:
      >>> print(headings({}), headings({"layers": ["params.Conv_0.kernel"]}))
      ['contributions', 'weights'] ['weights']
    """
    return ["weights"] if "layers" in summary else list(SHOWN.values())


def legend(summary: Mapping[str, Any]) -> str:
    """What the picture-table shows; of a network other than an MLP the weights alone.

    Example:
      >>> print(legend({"layers": ["params.Conv_0.kernel"]}))
      Differences of the Gini index; below 0 is more uniform. ≈ is negligible, “about as evenly”,
      also where a small direction is shown (“negligibly less uniform”). Weights: the magnitudes |w|
      of a layer.
    """
    if "layers" in summary:
        return " ".join([LEGEND, *explained(["entries"])])
    return " ".join([LEGEND, "Layer 0 is the first.", *explained(SHOWN)])


def described(condition: Mapping[str, Any], of_mlp: bool = True) -> str:
    """What was done to the networks of a condition, from a summary; all in which others differ.

    Args:
      condition: its record.
      of_mlp: whether the first rate is known to be that of the pixels.

    Example:
      >>> print(described({"rates": [0.0, 0.5, 0.5], "weight_decay": 0.0}))
      pixels 0, hidden 0.5 0.5
      >>> print(described({"rates": [0.0, 0.0], "weight_decay": 1e-3}))
      no dropout, weight decay 0.001
      >>> print(described({"rates": [0.0, 0.5], "weight_decay": 0.0}, of_mlp=False))
      rates 0 0.5
      >>> print(described({"rates": [0.0], "weight_decay": 0.0, "learning_rate": 0.5}))
      no dropout, learning rate 0.5
    """
    pixels, *hidden = map(float, condition["rates"])
    rates = f"pixels {pixels:g}"
    if hidden:
        rates += f", hidden {' '.join(f'{rate:g}' for rate in hidden)}"
    if not of_mlp:
        rates = f"rates {' '.join(f'{rate:g}' for rate in (pixels, *hidden))}"
    said = [rates if pixels or any(hidden) else "no dropout"]
    for key in ("learning_rate", "momentum", "weight_decay", "max_norm"):
        value = condition.get(key)
        if value is not None and (value or key != "weight_decay"):
            said.append(f"{key.replace('_', ' ')} {float(value):g}")
    return ", ".join(said)


def error_said(error: float, summary: Mapping[str, Any]) -> str:
    """An error rate in per cent, or a metric of the user's own as it is.

    Example:
      >>> print(error_said(0.05, {}), error_said(0.05, {"own_metrics": ["error"]}))
      5.00 % 0.05
    """
    own = "error" in summary.get("own_metrics", ())
    return f"{error:.4g}" if own else f"{100 * error:.2f} %"


def seeds_suffice(n_seeds: int) -> str:
    """What so many seeds can decide, whatever the number of comparisons.

    Example:
      >>> print(seeds_suffice(4))
      With 4 seeds the smallest adjusted p is 0.12, so no direction can be decided; take at least 6.
    """
    said = f"With {n_seeds} seeds the smallest adjusted p is {smallest_p(n_seeds):.2g}"
    if n_seeds >= MIN_SEEDS:
        return f"{said}; with fewer than {MIN_SEEDS} no direction could be decided."
    return f"{said}, so no direction can be decided; take at least {MIN_SEEDS}."


def why_l2(summary: Mapping[str, Any]) -> str:
    """Why L2 has the strength that it has, if that is the default; empty if it is another.

    Example:
      >>> print(why_l2({"conditions": {"l2": {"weight_decay": 1e-3}}})[:36])
      The weight decay of l2, 0.001, is th
    """
    return _OF_L2 if summary["conditions"].get("l2", {}).get("weight_decay") == L2 else ""


def picture(summary: Mapping[str, Any]) -> dict[tuple[str, int], dict[str, Cell]]:
    """The picture-table: for each condition and layer, the verdict on each view that is shown.

    Example:
      >>> row = {"condition": "dropout", "layer": 0, "view": "entries", "measure": "gini"}
      >>> row |= {"verdict": "negligibly more uniform", "difference": -0.001}
      >>> print(picture({"comparisons": [row]})["dropout", 0]["weights"].mark)
      ≈
    """
    table: dict[tuple[str, int], dict[str, Cell]] = {}
    for row in summary["comparisons"]:
        if row["measure"] == "gini" and row["view"] in SHOWN:
            verdict = "negligible" if "negligibl" in row["verdict"] else row["verdict"]
            difference = math.nan if row["difference"] is None else row["difference"]  # of JSON
            lacks = ""
            if math.isnan(difference):
                n = summary["conditions"][row["condition"]]["n_compared"]
                lacks = "no live unit in a seed" if n > 1 else "diverged"
            cell = Cell(verdict, MARKS[verdict], difference, lacks)
            table.setdefault((row["condition"], row["layer"]), {})[SHOWN[row["view"]]] = cell
    return table


def of_differences(rows: Sequence[Mapping[str, Any]], which: str) -> str:
    """What a figure of differences in Gini shows, for those who cannot see it.

    Example:
      >>> row = {"layer": 0, "view": "entries", "difference": -0.1, "verdict": "more uniform"}
      >>> print(of_differences([row], "dropout minus none"))
      Difference in Gini, dropout minus none: layer 0 weights -0.100, more uniform
    """
    told = []
    for row in rows:
        layer = f"layer {row['layer']}" if isinstance(row["layer"], int) else row["layer"]
        told.append(f"{layer} {view_name(row['view'])} {row['difference']:+.3f}, {row['verdict']}")
    return f"Difference in Gini, {which}: {'; '.join(told)}"
