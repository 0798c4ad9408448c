"""The answer of a comparison in sentences, from its summary: the same for terminal, page and JSON.

The *work* is what hidden units contribute; the *weights* are single magnitudes |w|.
"""

from collections.abc import Hashable, Mapping, Sequence
from typing import Any, NamedTuple

from dropout_jax.analysis.paired import smallest_p
from dropout_jax.analysis.statistics import MIN_SEEDS
from dropout_jax.runs.wording import WEIGHTS_ALONE, picture

_SPREAD: dict[tuple[bool | None, bool | None], str] = {  # are the work, and the weights, spread?
    (True, True): "the work and the weights",
    (True, False): "the work rather than the weights",
    (False, True): "the weights rather than the work",
    (False, False): "neither the work nor the weights",
}
_SPREAD_ALONE = {True: "the weights", False: "not the weights"}  # of a network other than an MLP
_CHANGES = {
    "more uniform": "more evenly",
    "less uniform": "less evenly",
    "negligible": "about as evenly",
    "undecided": "undecided",
}
_ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth")


class _Found(NamedTuple):
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
        if not self.of_mlp:
            weights = _is_spread(self.weights)
            return None if weights is None else _SPREAD_ALONE[weights]
        return _SPREAD.get((_is_spread(self.work), _is_spread(self.weights)))


def verdict(summary: Mapping[str, Any]) -> list[str]:
    """Do the conditions spread the work of the units, and do they spread weights?

    The work or the weights are spread if they are more uniform in more than half of the layers and
    less in none. They are not if fewer than half could be, even counting the undecided. Otherwise
    the sentence only lists the layers. Conditions with the same verdicts share a sentence. Where
    that leaves more than two, those that spread the same share one, without the layers. Of a
    network other than an MLP the weights alone are spoken of, and a last sentence says so. Of
    conditions with the networks of the baseline, only that is said.

    Example:
      >>> def row(layer, view, verdict):
      ...     of = {"condition": "dropout", "layer": layer, "view": view, "measure": "gini"}
      ...     return of | {"verdict": verdict, "difference": -0.1}
      >>> rows = [row(0, "contribution", "more uniform"), row(0, "entries", "less uniform")]
      >>> rows.append(row(1, "entries", "negligible"))
      >>> conditions = dict.fromkeys(("none", "dropout"), {"n_compared": 10})
      >>> (sentence,) = verdict({"conditions": conditions, "comparisons": rows})
      >>> print(sentence)
      Dropout spreads the work rather than the weights: the hidden layer's units contribute more
      evenly; single weights are spread less evenly in the first layer, about as evenly in the
      output layer.
    """
    baseline, *others = summary["conditions"]
    same = _same(summary)
    seeds = {name: summary["conditions"][name]["n_compared"] for name in others if name not in same}
    sentences = []
    for n in sorted({n for n in seeds.values() if 0 < n < MIN_SEEDS}):
        of = [name for name in seeds if seeds[name] == n]
        whom = "" if len(of) == len(seeds) else f" of {_listed(of)}"
        sentences.append(
            f"With {n} seeds{whom} no test can reach p < .05 (the smallest is "
            f"{smallest_p(n):.2g}): no direction can be decided. Take at least {MIN_SEEDS} seeds."
        )
    every = _found(summary)
    found = {name: every[name] if n else None for name, n in seeds.items()}
    groups = _alike(found)
    if len(groups) > 2:
        groups = _alike({name: (of and of.spread) or of for name, of in found.items()})
    sentences += [_sentence({name: found[name] for name in names}) for names in groups]
    if untaught := [n for n, of in summary["conditions"].items() if of.get("did_not_learn")]:
        sentences.append(
            f"With {_listed(untaught)}, the networks did not learn: their training loss fell by "
            "less than a hundredth."
        )
    if same:
        sentences.append(
            f"With {_listed(same)}, the networks are those of {baseline}, bit for bit: the setting "
            "had no effect."
        )
    return [*sentences, WEIGHTS_ALONE] if "layers" in summary and others else sentences


def in_short(summary: Mapping[str, Any]) -> str:
    """What each condition spreads, without the layers; empty if nothing is compared.

    Example:
      >>> row = {"condition": "dropout", "layer": 0, "view": "entries", "measure": "gini"}
      >>> row |= {"verdict": "undecided", "difference": -0.1}
      >>> print(in_short({"comparisons": [row]}))
      dropout: undecided
    """
    said, found = [], _found(summary)
    for names in _alike({name: (of.spread, of.is_open) for name, of in found.items()}):
        of = found[names[0]]
        nothing = "undecided" if of.is_open else "the layers have no common answer"
        said.append(_spreads(names, of.spread) if of.spread else f"{_listed(names)}: {nothing}")
    if same := _same(summary):
        said.append(f"{_listed(same)}: the networks of the baseline, bit for bit")
    return "; ".join(said)


def _same(summary: Mapping[str, Any]) -> list[str]:
    """The conditions whose networks are those of the baseline, bit for bit."""
    conditions = summary.get("conditions", {})
    return [name for name, of in conditions.items() if of.get("same_as_baseline")]


def _found(summary: Mapping[str, Any]) -> dict[str, _Found]:
    """What was found of each condition whose networks differ from the baseline's."""
    table, same = picture(summary), _same(summary)
    found = {}
    for name in dict.fromkeys(name for name, _ in table if name not in same):
        layers = [cells for (of, _), cells in table.items() if of == name]
        work = (cells["contributions"].verdict for cells in layers if "contributions" in cells)
        weights = tuple(cells["weights"].verdict for cells in layers)
        found[name] = _Found(tuple(work), weights, "layers" not in summary)
    return found


def _alike(found: Mapping[str, Hashable]) -> list[list[str]]:
    """The names of what was found, those of equals together."""
    groups: dict[Hashable, list[str]] = {}
    for name, of in found.items():
        groups.setdefault(of, []).append(name)
    return list(groups.values())


def _sentence(found: Mapping[str, _Found | None]) -> str:
    """The verdict on conditions of which the same was found, or that at least spread the same."""
    names, (first, *others) = list(found), found.values()
    if first is None:
        whose = "its network" if not others else "their networks"
        return (
            f"With {_listed(names)}, nothing can be compared: in every seed {whose} or that of "
            "the baseline diverged."
        )
    said = f"With {_listed(names)}, "
    if first.spread:
        said = _spreads(names, first.spread)
        said = said[:1].upper() + said[1:]
        if set(others) - {first}:
            return f"{said}; the layers differ between them."
        said += ": "
    if first.work:  # a network may have no hidden layer
        said += f"{_of_units(first.work)}; "
    return f"{said}{_of_weights(first.weights, first.of_mlp)}."


def _spreads(names: Sequence[str], what: str) -> str:
    """What conditions spread."""
    if what == _SPREAD_ALONE[False]:
        return f"{_listed(names)} {'does' if len(names) == 1 else 'do'} not spread the weights"
    return f"{_listed(names)} {'spreads' if len(names) == 1 else 'spread'} {what}"


def _listed(names: Sequence[str]) -> str:
    """Names as a sentence lists them."""
    *but_last, last = names
    return f"{', '.join(but_last)} and {last}" if but_last else last


def _is_spread(verdicts: Sequence[str]) -> bool | None:
    """Whether more than half of the layers are more uniform and none less; None if it is open."""
    more, less, undecided = map(verdicts.count, ("more uniform", "less uniform", "undecided"))
    if 2 * more > len(verdicts) and not less:
        return True
    return False if 2 * (more + undecided) < len(verdicts) else None


def _of_units(verdicts: Sequence[str]) -> str:
    """How evenly units contribute, by hidden layer."""
    n = len(verdicts)
    if len(set(verdicts)) > 1:
        names = [f"the {which} hidden layer" for which in _order(n, "last")]
        return f"hidden units contribute {_by_layer(verdicts, names)}"
    units = "the hidden layer's units" if n == 1 else "the units of every hidden layer"
    if verdicts[0] == "undecided":
        return f"how evenly {units} contribute is undecided"
    return f"{units} contribute {_CHANGES[verdicts[0]]}"


def _of_weights(verdicts: Sequence[str], of_mlp: bool) -> str:
    """How evenly single weights are spread, by layer; the order of other networks is not known."""
    if set(verdicts) == {"undecided"}:
        return "how evenly single weights are spread is undecided"
    if len(set(verdicts)) == 1:
        where = " in every layer" if len(verdicts) > 1 else ""
        return f"single weights are spread {_CHANGES[verdicts[0]]}{where}"
    names = [f"layer {l}" for l in range(len(verdicts))]
    if of_mlp:
        names = [f"the {which} layer" for which in _order(len(verdicts), "output")]
    return f"single weights are spread {_by_layer(verdicts, names)}"


def _order(n: int, last: str) -> list[str]:
    """Which of n layers each is, in words that can be read aloud; tables count from 0."""
    of = [_ORDINALS[l] if l < len(_ORDINALS) else f"{l + 1}th" for l in range(n)]
    of[-1] = last
    return [of[0], "middle", of[2]] if n == 3 else of


def _by_layer(verdicts: Sequence[str], names: Sequence[str]) -> str:
    """The changes, each with the layers that it holds for; the undecided ones in brackets."""
    where = {
        change: _listed(of)
        for verdict, change in _CHANGES.items()
        if (of := [name for name, one in zip(names, verdicts, strict=True) if one == verdict])
    }
    undecided = where.pop("undecided", "")
    said = ", ".join(f"{change} in {of}" for change, of in where.items())
    return f"{said} (undecided in {undecided})" if undecided else said
