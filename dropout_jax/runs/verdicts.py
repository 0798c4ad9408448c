"""The answer of a comparison in sentences, from its summary: the same for terminal, page and JSON.

The *work* is what hidden units contribute; the *weights* are single magnitudes |w|.
"""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from dropout_jax.analysis.paired import smallest_p
from dropout_jax.analysis.statistics import MIN_SEEDS
from dropout_jax.runs.picture_table import picture
from dropout_jax.runs.wording import count_seeds, of_mlp

_SPREAD: dict[tuple[bool | None, bool | None], str] = {  # by work and weights; None if it is open
    (True, True): "{spread} the work and the weights",
    (True, False): "{spread} the work rather than the weights",
    (False, True): "{spread} the weights rather than the work",
    (False, False): "{spread} neither the work nor the weights",
}
_WEIGHTS_SPREAD = {  # of other networks than an MLP
    True: "{spread} the weights",
    False: "{do} not spread the weights",
}
_WEIGHTS_ALONE = (
    "Weights alone are compared: contributions and path norms need the activations of units, which "
    "are known for an MLP alone."
)
_CHANGES = {
    "more uniform": "more evenly",
    "less uniform": "less evenly",
    "negligible": "about as evenly",
    "undecided": "undecided",
}
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")


class _Layers(NamedTuple):
    """The verdicts on the work of each hidden layer, and on the weights of each layer."""

    work: tuple[str, ...]
    weights: tuple[str, ...]
    of_mlp: bool

    @property
    def is_open(self) -> bool:
        """Whether every verdict is undecided."""
        return {*self.work, *self.weights} <= {"undecided"}

    @property
    def spread(self) -> str | None:
        """What is spread in all layers together; None if that is open."""
        weights = _is_spread(self.weights)
        if self.of_mlp:
            return _SPREAD.get((_is_spread(self.work), weights))
        return None if weights is None else _WEIGHTS_SPREAD[weights]


def verdict(summary: Mapping[str, Any]) -> list[str]:
    """Do the conditions spread the work of the units, and do they spread weights?

    The work or the weights are spread if they are more uniform in more than half of the layers and
    less in none. They are not if fewer than half could be, even counting the undecided. Otherwise
    the sentence only lists the layers. Conditions with the same verdicts share a sentence; more
    than two different ones are said in one, without the layers.
    """
    baseline, *others = summary["conditions"]
    compared, same = _compared(summary)
    n_seeds = {name: summary["conditions"][name]["n_compared"] for name in compared}
    sentences = []
    for n in sorted({n for n in n_seeds.values() if 0 < n < MIN_SEEDS}):
        names = [name for name in n_seeds if n_seeds[name] == n]
        whose = "" if len(names) == len(n_seeds) else f" of {_join(names)}"
        sentences.append(
            f"With {count_seeds(n)}{whose} no test of a direction can reach p < .05 (the smallest "
            f"p is {smallest_p(n):.2g}): no direction can be decided. Take at least {MIN_SEEDS} "
            "seeds."
        )
    groups = _group(compared)
    if len(groups) > 2:
        sentences.append(f"{_capitalise('; '.join(_short_clauses(compared)))}.")
    else:
        sentences += [_sentence(names, compared[names[0]]) for names in groups]
    if untaught := [n for n, of in summary["conditions"].items() if of.get("did_not_learn")]:
        sentences.append(
            f"With {_join(untaught)}, the networks did not learn: their training loss fell by "
            "less than a hundredth."
        )
    if same:
        sentences.append(
            f"With {_join(same)}, the networks are those of {baseline}, bit for bit: the setting "
            "had no effect."
        )
    return sentences if of_mlp(summary) or not others else [*sentences, _WEIGHTS_ALONE]


def short_verdict(summary: Mapping[str, Any]) -> str:
    """What each condition spreads, without the layers; empty if nothing is compared."""
    compared, same = _compared(summary)
    clauses = [*_short_clauses(compared)]
    if same:
        clauses.append(f"with {_join(same)}, the networks are the baseline's")
    return "; ".join(clauses)


def _short_clauses(layers: Mapping[str, _Layers | None]) -> Iterator[str]:
    """What conditions spread in all layers together; None where nothing is compared."""
    for names in _group({n: of and (of.spread, of.is_open) for n, of in layers.items()}):
        first = layers[names[0]]
        if first and first.spread:
            yield _spread_clause(names, first.spread)
        elif first:
            answer = "all is undecided" if first.is_open else "no one answer holds for all layers"
            yield f"with {_join(names)}, {answer}"
        else:
            yield f"with {_join(names)}, nothing can be compared"


def _compared(summary: Mapping[str, Any]) -> tuple[dict[str, _Layers | None], list[str]]:
    """The verdicts on conditions, None where all diverged; and those that the baseline equals."""
    table, verdicts, same = picture(summary), {}, []
    _, *others = summary["conditions"].items()
    for name, condition in others:
        layers = [cells for (of, _), cells in table.items() if of == name]
        work = (cells["contributions"].verdict for cells in layers if "contributions" in cells)
        weights = (cells["weights"].verdict for cells in layers)
        if condition.get("same_as_baseline"):
            same.append(name)
        elif condition.get("n_compared") == 0:
            verdicts[name] = None
        else:
            verdicts[name] = _Layers(tuple(work), tuple(weights), of_mlp(summary))
    return verdicts, same


def _group(values: Mapping[str, Hashable]) -> list[list[str]]:
    """The names, those of equal values together."""
    groups: dict[Hashable, list[str]] = {}
    for name, value in values.items():
        groups.setdefault(value, []).append(name)
    return list(groups.values())


def _sentence(names: Sequence[str], layers: _Layers | None) -> str:
    """The verdict on conditions with the same layers."""
    if layers is None:
        whose = "its network" if len(names) == 1 else "their networks"
        return (
            f"With {_join(names)}, nothing can be compared: in every seed {whose} or that of "
            "the baseline diverged."
        )
    spread = layers.spread and _capitalise(_spread_clause(names, layers.spread))
    lead = f"{spread}: " if spread else f"With {_join(names)}, "
    units = f"{_units_clause(layers.work)}; " if layers.work else ""  # it may have no hidden layer
    return f"{lead}{units}{_weights_clause(layers.weights, layers.of_mlp)}."


def _spread_clause(names: Sequence[str], spread: str) -> str:
    one = len(names) == 1
    verbs = {"spread": "spreads" if one else "spread", "do": "does" if one else "do"}
    return f"{_join(names)} {spread.format_map(verbs)}"


def _capitalise(clause: str) -> str:
    return f"{clause[:1].upper()}{clause[1:]}"


def _join(names: Sequence[str]) -> str:
    """Names as a sentence lists them: a, b and c."""
    *but_last, last = names
    return f"{', '.join(but_last)} and {last}" if but_last else last


def _is_spread(verdicts: Sequence[str]) -> bool | None:
    """Whether more than half of the layers are more uniform and none less; None if it is open."""
    more, less, undecided = map(verdicts.count, ("more uniform", "less uniform", "undecided"))
    if 2 * more > len(verdicts) and not less:
        return True
    return False if 2 * (more + undecided) < len(verdicts) else None


def _units_clause(verdicts: Sequence[str]) -> str:
    """How evenly units contribute, by hidden layer."""
    n = len(verdicts)
    if len(set(verdicts)) > 1:
        names = [f"the {ordinal} hidden layer" for ordinal in _ordinals(n, "last")]
        return f"hidden units contribute {_changes_by_layer(verdicts, names)}"
    units = "the hidden layer's units" if n == 1 else "the units of every hidden layer"
    if verdicts[0] == "undecided":
        return f"how evenly {units} contribute is undecided"
    return f"{units} contribute {_CHANGES[verdicts[0]]}"


def _weights_clause(verdicts: Sequence[str], of_mlp: bool) -> str:
    """How evenly single weights are spread, by layer; the order of other networks is not known."""
    if set(verdicts) == {"undecided"}:
        return "how evenly single weights are spread is undecided"
    if len(set(verdicts)) == 1:
        where = " in every layer" if len(verdicts) > 1 else ""
        return f"single weights are spread {_CHANGES[verdicts[0]]}{where}"
    names = [f"layer {l}" for l in range(len(verdicts))]
    if of_mlp:
        names = [f"the {ordinal} layer" for ordinal in _ordinals(len(verdicts), "output")]
    return f"single weights are spread {_changes_by_layer(verdicts, names)}"


def _ordinals(n: int, last: str) -> list[str]:
    """Which of n layers each is, in words that can be read aloud; tables count from 0."""
    if n == 3:
        return ["first", "middle", last]
    words: list[str] = [*_ORDINALS[: n - 1]]
    for i in range(len(words) + 1, n):
        suffix = "th" if i // 10 % 10 == 1 else {1: "st", 2: "nd", 3: "rd"}.get(i % 10, "th")
        words.append(f"{i}{suffix}")
    return [*words, last]


def _changes_by_layer(verdicts: Sequence[str], names: Sequence[str]) -> str:
    """The changes, each with the layers that it holds for; the undecided ones in brackets."""
    layers: dict[str, list[str]] = {change: [] for change in _CHANGES.values()}
    for verdict, name in zip(verdicts, names, strict=True):
        layers[_CHANGES[verdict]].append(name)
    undecided = layers.pop("undecided")
    decided = ", ".join(f"{change} in {_join(where)}" for change, where in layers.items() if where)
    return f"{decided} (undecided in {_join(undecided)})" if undecided else decided
