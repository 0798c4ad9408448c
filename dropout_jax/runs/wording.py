"""The words for what runs and files show; `verdicts` has the answer, `views` the names of views."""

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from itertools import compress, zip_longest
from typing import Any

from dropout_jax.analysis.paired import smallest_p
from dropout_jax.analysis.statistics import MIN_SEEDS
from dropout_jax.runs.views import view_name

ADJUSTED = (
    "An interval is of one difference alone; p and verdicts are adjusted over all conditions, "
    "layers and views. So an undecided difference may have an interval without 0."
)
GINI = (
    "Gini index with the factor N/(N - 1): 0 if all N magnitudes are equal, 1 if all but one are 0."
)
_LONGEST = 34  # characters of the last words of a layer's name, beside an axis


def starts(ginis: Mapping[str, float]) -> str:
    """The laws {name: Gini index} that layers usually start from, inferred from names of kernels.

    Example:
      >>> print(starts({"truncated normal": 0.392}))  # as for Flax
      truncated normal (0.392); kernels of Keras start uniform (0.333)
    """
    laws = " or ".join(f"{law} ({gini:.3f})" for law, gini in sorted(ginis.items()))
    keras = "; kernels of Keras start uniform (0.333)"
    return laws + (keras if "truncated normal" in ginis else "")


def question(names: Sequence[str]) -> str:
    """The question that the conditions [C], the baseline first, answer."""
    first, *others = names
    if not others:
        return f"How are the weights of {first} spread?"
    *between, last = others
    only_dropout = between and all(name.startswith("dropout") for name in between)
    if first == "none" and last == "l2" and only_dropout:
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


def of_mlp(summary: Mapping[str, Any]) -> bool:
    """Whether the networks of a summary are MLPs; the layers of others have names.

    Example:
      >>> of_mlp({"layers": ["conv.kernel"]})
      False
    """
    return "layers" not in summary


def describe_condition(condition: Mapping[str, Any], is_mlp: bool = True) -> str:
    """What was done to the networks of a condition, from its record in a summary.

    The first rate of an MLP is that of the pixels.
    """
    pixels, *hidden = (f"{float(rate):g}" for rate in condition["rates"])
    if not any(condition["rates"]):
        parts = ["no dropout"]
    elif is_mlp:
        parts = [f"pixels {pixels}"] + ([f"hidden {' '.join(hidden)}"] if hidden else [])
    else:
        parts = [f"rates {' '.join([pixels, *hidden])}"]
    for key in ("learning_rate", "momentum", "weight_decay", "max_norm"):
        value = condition.get(key)
        if value is not None and (value or key != "weight_decay"):
            parts.append(f"{key.replace('_', ' ')} {float(value):g}")
    if early := condition.get("stopped_early"):
        parts.append(f"{early['networks']} stopped early, the first after epoch {early['first']}")
    return ", ".join(parts)


def error_text(error: float, summary: Mapping[str, Any]) -> str:
    """An error rate in per cent, or a metric of the user's own as it is.

    Example:
      >>> print(error_text(0.05, {}), error_text(0.05, {"own_metrics": ["error"]}))
      5.00 % 0.05
    """
    is_own = "error" in summary.get("own_metrics", ())
    return f"{error:.4g}" if is_own else f"{100 * error:.2f} %"


def count_seeds(n_seeds: int) -> str:
    """So many seeds in words.

    Example:
      >>> print(count_seeds(1), count_seeds(2), sep=", ")
      1 seed, 2 seeds
    """
    return "1 seed" if n_seeds == 1 else f"{n_seeds} seeds"


def seeds_note(n_seeds: int) -> str:
    """What so many seeds can decide, whatever the number of comparisons."""
    smallest = f"With {count_seeds(n_seeds)} the smallest adjusted p is {smallest_p(n_seeds):.2g}"
    if n_seeds >= MIN_SEEDS:
        return f"{smallest}; with fewer than {MIN_SEEDS} no direction could be decided."
    return f"{smallest}, so no direction can be decided; take at least {MIN_SEEDS}."


def why_l2(summary: Mapping[str, Any]) -> str:
    """Why l2 has its weight decay, if that is the default of `compare`; else empty."""
    if summary["conditions"].get("l2", {}).get("weight_decay") != 1e-3:
        return ""
    return (
        "The weight decay of l2, 0.001, is the fixed default of compare, so that the first answer "
        "needs no tuning. It is a third of 0.003, which the study weight_uniformity tuned."
    )


def describe_differences(rows: Sequence[Mapping[str, Any]], which: str) -> str:
    """What a figure of differences in Gini shows, for those who cannot see it.

    Example:
      >>> row = {"layer": 0, "view": "entries", "difference": -0.1, "verdict": "more uniform"}
      >>> print(describe_differences([row], "dropout minus none"))
      Difference in Gini, dropout minus none: layer 0 weights -0.100, more uniform
    """
    parts = []
    for row in rows:
        layer = f"layer {row['layer']}" if isinstance(row["layer"], int) else row["layer"]
        number = "none" if math.isnan(row["difference"]) else f"{row['difference']:+.3f}"
        parts.append(f"{layer} {view_name(row['view'])} {number}, {row['verdict']}")
    return f"Difference in Gini, {which}: {'; '.join(parts)}"


def short_names(names: Iterable[str]) -> dict[str, str]:
    """A label for each name: its last words, and before them what tells it from similar names."""
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
