"""Measured values by condition, their mean and spread over seeds, differences paired by seed.

Shapes: C conditions, S seeds, K quantities.
"""

import itertools
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import jax
import numpy as np

from dropout_jax.analysis.paired import compare, interval
from dropout_jax.data import Array

_DIRECTIONS = {"more uniform": "lower", "less uniform": "higher"}


def percent(fractions: jax.typing.ArrayLike) -> np.ndarray:
    """Errors in percent, to four digits, so that rounding in float32 does not untie equal ones."""
    return np.round(100 * np.asarray(fractions, np.float64), 4)


def paired(
    names: Sequence[str],
    baseline: np.ndarray,
    condition: np.ndarray,
    margin: float | Sequence[float] = math.nan,
) -> list[dict[str, Any]]:
    """Condition minus baseline for quantities [S, K] of one family, on the same seeds.

    A seed whose difference is not finite is left out of that quantity. The verdict is `higher` or
    `lower`, with `negligibly` before it if the difference is shown to be within the margin (in the
    units of the quantity; one number, or K); or else `negligible` or `undecided`.
    """
    counts = np.isfinite(baseline) & np.isfinite(condition)
    rows = [row._asdict() for row in compare(baseline, condition, margin=margin, counts=counts)]
    for row, (uniform, direction) in itertools.product(rows, _DIRECTIONS.items()):
        row["verdict"] = row["verdict"].replace(uniform, direction)
    return [{"quantity": name, **row} for name, row in zip(names, rows, strict=True)]


def paired_conditions(
    pairs: Sequence[tuple[str, str]],
    names: Sequence[str],
    values: Mapping[str, np.ndarray],
    margin: float | Sequence[float] = math.nan,
) -> list[dict[str, Any]]:
    """`paired` for pairs (baseline, condition) of values [S, K]: all of them are one family."""
    baseline, condition = (
        np.concatenate([values[pair[i]] for pair in pairs], axis=1) for i in (0, 1)
    )
    margins = np.tile(np.broadcast_to(margin, len(names)), len(pairs)).tolist()
    rows = paired(list(names) * len(pairs), baseline, condition, margins)
    row_pairs = [pair for pair in pairs for _ in names]
    return [{"baseline": b, "condition": c} | r for (b, c), r in zip(row_pairs, rows, strict=True)]


def paired_layers(
    values: Mapping[str, Mapping[str, np.ndarray]],
    measures: Iterable[str],
    margins: Mapping[str, float],
) -> list[dict[str, Any]]:
    """`paired_conditions` of `none` and all others, for measures [S, L]: each is one family."""
    pairs, rows = [("none", name) for name in values if name != "none"], []
    for measure in measures:
        columns = {name: of[measure] for name, of in values.items()}
        layers = list(map(str, range(columns["none"].shape[1])))
        margin = margins.get(measure, math.nan)
        for row in paired_conditions(pairs, layers, columns, margin):
            rows.append({"quantity": measure, "layer": int(row.pop("quantity")), **row})
    return rows


def by_condition(
    names: Iterable[str], measured: Mapping[str, Array]
) -> dict[str, dict[str, np.ndarray]]:
    """{condition: {quantity: [S, …]}} of what was measured of members, {quantity: [C, S, …]}."""
    return {
        name: {quantity: np.asarray(values[c]) for quantity, values in measured.items()}
        for c, name in enumerate(names)
    }


def mean_and_sd(values: np.ndarray) -> dict[str, float]:
    """Mean and standard deviation of values [S]."""
    return {"mean": float(values.mean()), "sd": float(values.std(ddof=1))}


def over_seeds(values: np.ndarray) -> dict[str, float]:
    """Mean and 95 % interval of values [S]."""
    low, high = interval(values)
    return {"mean": float(np.mean(values)), "ci_low": low, "ci_high": high}
