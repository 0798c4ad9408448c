"""Predictions of studies: what a verdict or an interval shows, and whether a claim held."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dropout_jax.analysis.statistics import is_negligible


def shown(row: Mapping[str, Any], *directions: str) -> bool:
    """Whether the verdict of a comparison is one of `higher`, `lower` and `negligible`.

    A difference that is both significant and negligible is both.
    """
    return any(
        is_negligible(row["verdict"])
        if direction == "negligible"
        else row["verdict"].endswith(direction)
        for direction in directions
    )


def judged(prediction: str, claim: str, held: bool, evidence: Any) -> dict[str, Any]:
    """A prediction, or a part of one, and whether it held."""
    return {"prediction": prediction, "claim": claim, "held": bool(held), "evidence": evidence}


def judged_by_verdict(
    prediction: str,
    claim: str,
    evidence: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *directions: str,
) -> dict[str, Any]:
    """A claim that holds if one of the directions is `shown` by a row, or by each of several.

    A claim about no row does not hold.
    """
    rows = [evidence] if isinstance(evidence, Mapping) else evidence
    held = bool(rows) and all(shown(row, *directions) for row in rows)
    return judged(prediction, claim, held, evidence)


def placed(row: Mapping[str, Any], low: float, high: float) -> str:
    """Whether the interval of a row lies `within` [low, high] or `outside`, or is `undecided`."""
    if low <= row["ci_low"] and row["ci_high"] <= high:
        return "within"
    return "outside" if row["ci_high"] < low or row["ci_low"] > high else "undecided"


def judged_within(
    prediction: str,
    claim: str,
    rows: Sequence[Mapping[str, Any]],
    low: float = -np.inf,
    high: float = np.inf,
) -> dict[str, Any]:
    """A claim that differences lie in [low, high]; it holds if all of their intervals do.

    A claim about no row does not hold. The evidence says where each interval is `placed`.
    """
    evidence = [{**row, "interval": placed(row, low, high)} for row in rows]
    held = bool(evidence) and all(row["interval"] == "within" for row in evidence)
    return judged(prediction, claim, held, evidence)
