"""The page of the time course: one file with a slider over training, of means over seeds."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dropout_jax.runs.style import colour, condition_numbers
from experiments.shared import record

TEMPLATE = Path(__file__).parent / "course_page.html"


def page(
    summary: dict[str, Any], values: dict[str, Any], names: Sequence[str], scales: Sequence[float]
) -> str:
    """The page of a record: numbers are means over seeds, [scale][condition][moment]."""
    curves = {name: np.mean(numbers, axis=2) for name, numbers in values["numbers"].items()}
    content = {
        "names": list(names),
        "scales": list(scales),
        "colours": [colour(c) for c in condition_numbers(names).values()],
        "steps": summary["steps"],
        "seeds": summary["n_seeds"],
        "curves": record.kept(curves),
        "profiles": record.kept(values["profiles"]),
    }
    data = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    return TEMPLATE.read_text(encoding="utf-8").replace("{{data}}", data)
