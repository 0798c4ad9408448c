"""The parts of a study's record as tables in Markdown.

Records differ in what they hold, so a table is made of whatever has named numbers. Long lists are
left out: they are what the figures show.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

SHORT = 6  # so many numbers of a list fit into a cell; longer lists are what the figures show
MEANS = ("difference", "mean")
ESTIMATE = {*MEANS, "ci_low", "ci_high", "sd"}
# Arrays, what only programs read, and what is shown in another place.
LEFT_OUT = {"axes", "p_value", "said", "schema_version", "study", "values"}
HEADS = {
    "p_adjusted": "p, adjusted",
    "p_negligible": "p, negligible",
    "baseline_mean": "baseline's mean",
    "sds": "standard deviations",
}
PRIMARY = "gini"  # of several measures; the others are in the record
NAMES = ("condition", "examples", "passes", "quantity")  # what tells estimates apart


def estimate(row: Mapping[str, Any]) -> str:
    """A mean with its interval or deviation, to two digits of the width or of the deviation.

    Example:
      >>> print(estimate({"difference": -0.1587, "ci_low": -0.1678, "ci_high": -0.1481}))
      −0.159 [−0.168, −0.148]
    """
    sign, mean = ("+", row["difference"]) if "difference" in row else ("", row["mean"])
    width = row["ci_high"] - row["ci_low"] if "ci_low" in row else row["sd"]
    digits = max(0, 1 - math.floor(math.log10(width))) if width > 0 else 3
    form = f"{sign},.{digits}f" if digits <= SHORT else f"{sign}.2g"
    if "ci_low" not in row:
        return f"{mean:{form}} ± {width:{form}}".replace("-", "−")
    low, high = row["ci_low"], row["ci_high"]
    return f"{mean:{form}} [{low:{form}}, {high:{form}}]".replace("-", "−")


def cell(value: Any) -> str | None:
    """What a cell of a table says of a value; None if it is a tree or a long list.

    Example:
      >>> print(cell(-0.123456), cell(12000), cell([1, 2]), cell({"mean": 1.0, "sd": 0.5}))
      −0.1235 12,000 1, 2 1.00 ± 0.50
    """
    match value:
        case None:
            return "–"
        case bool():
            return "yes" if value else "no"
        case str():
            return re.sub(r"[|*]", r"\\\g<0>", value.replace("_", " "))
        case int() | float():
            whole = float(value).is_integer()
            return (f"{int(value):,}" if whole else f"{value:.4g}").replace("-", "−")
        case {"mean": _, "ci_low": _} | {"mean": _, "sd": _} if value.keys() <= ESTIMATE | {"n"}:
            return estimate(value)
        case [*items] if len(items) <= SHORT and not any(isinstance(i, list | dict) for i in items):
            return ", ".join(str(cell(item)) for item in items) or "–"
    return None


def cells(row: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """The cells of a row by their heads: a mean and its interval are one cell, a tree is many.

    Example:
      >>> cells({"layer": 0, "difference": 1.0, "ci_low": 0.5, "ci_high": 1.5, "at": {"end": "x"}})
      {'layer': '0', 'difference [95 % interval]': '+1.0 [+0.5, +1.5]', 'at, end': 'x'}
    """
    found = {}
    mean = next((key for key in MEANS if key in row and "ci_low" in row), None)
    for key, value in row.items():
        head = prefix + HEADS.get(key, str(cell(key)))
        if key == mean:
            found[f"{head} [95 % interval]"] = estimate(row)
        elif key in LEFT_OUT or (mean and key in ESTIMATE):
            continue
        elif (text := cell(value)) is not None:
            found[head] = text
        elif isinstance(value, Mapping):
            found |= cells(value, f"{head}, ")
    return found


def rows(part: Any, path: str = "") -> Iterator[tuple[str, dict[str, str]]]:
    """The rows in a part of a record, each with the keys that lead to it.

    Example:
      >>> list(rows({"none": {"error": 1}, "dropout": {"error": 2}}))
      [('none', {'error': '1'}), ('dropout', {'error': '2'})]
    """
    if isinstance(part, list):
        mappings = [row for row in part if isinstance(row, Mapping)]
        yield from (
            (path, cells(row)) for row in mappings if row.get("measure", PRIMARY) == PRIMARY
        )
        return
    entries = {key: value for key, value in part.items() if key not in LEFT_OUT}
    if any(cell(value) is not None for value in entries.values()):
        yield path, cells(part)
        return
    for key, value in entries.items():
        yield from rows(value, ", ".join(filter(None, [path, cell(key)])))


def table(part: Any) -> str:
    """A part of a record as a table, turned if it has more columns than rows; empty without rows.

    What three rows or more share is said once, below the table.

    Example:
      >>> print(table([{"layer": 0, "verdict": "undecided"}, {"layer": 1, "verdict": "lower"}]))
      | layer | verdict |
      |---|---|
      | 0 | undecided |
      | 1 | lower |
    """
    keyed_rows = [(path, row) for path, row in rows(part) if row]
    heads = dict.fromkeys(head for _, row in keyed_rows for head in row)
    columns = {head: [row.get(head, "") for _, row in keyed_rows] for head in heads}
    shared = {h: c[0] for h, c in columns.items() if len(keyed_rows) >= 3 and len(set(c)) == 1}
    grid = [[head, *column] for head, column in columns.items() if head not in shared]
    turned = len(grid) > len(keyed_rows) or len(keyed_rows) == 1
    names = ["value"] if len(keyed_rows) == 1 else [path for path, _ in keyed_rows]
    if any(names):
        grid.insert(0, ["", *names])
    lines = grid if turned else list(zip(*grid, strict=True))
    note = ", ".join(f"{head} {text}" for head, text in shared.items())
    return (markdown(lines) if lines else "") + (f"\n\nIn all rows: {note}." if note else "")


def markdown(grid: Sequence[Sequence[str]]) -> str:
    """Lines of cells as a table, the first of them its head."""
    first, *others = (f"| {' | '.join(line)} |" for line in grid)
    return "\n".join([first, "|---" * len(grid[0]) + "|", *others])


def evidence(value: Any) -> str:
    """What a prediction was judged by, in one cell.

    Example:
      >>> print(evidence({"quantity": "noise", "difference": 5, "ci_low": 4, "ci_high": 6}))
      noise +5.0 [+4.0, +6.0]
    """
    if isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
        return "; ".join(map(evidence, value))
    if not isinstance(value, Mapping):
        return cell(value) or ""
    if not any(mean in value and "ci_low" in value for mean in MEANS):
        return ", ".join(f"{head} {text}" for head, text in cells(value).items())
    names = [str(cell(value[name])) for name in NAMES if name in value]
    verdicts = dict.fromkeys(value[key] for key in ("verdict", "interval") if key in value)
    return ", ".join([" ".join([", ".join(names), estimate(value)]).strip(), *verdicts])
