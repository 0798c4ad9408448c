"""What is told of files that were measured: sizes of whole networks, warnings, rows of a table."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from dropout_jax.inspection.measures import SIZE, Inspected, mean
from dropout_jax.inspection.size import Size

_WARNED = 8  # lines


def whole_network(file: Inspected) -> tuple[str, Size] | None:
    """Which layers of a single network have a size, and theirs together; None if there is none.

    Spectral norm and stable rank are of single layers: NaN.

    Example:
      >>> from dropout_jax.inspection.measures import inspect_params
      >>> found = inspect_params({name: {"kernel": np.ones((2, 2))} for name in "ab"})
      >>> which, size = whole_network(found)
      >>> print(which, size.weights, round(size.norm, 3), size.dead_units)
      all layers 8 2.828 0
    """
    sizes = [{of: mean(v) for of, v in values[SIZE].items()} for values in file.values.values()]
    known = [size for size in sizes if not math.isnan(size["norm"])]
    if not known or any(layer.n_networks > 1 for layer in file.layers.values()):
        return None
    weights, dead_units = (int(sum(size[of] for size in known)) for of in ("weights", "dead_units"))
    norm = math.hypot(*(size["norm"] for size in known))
    which = "all layers" if len(known) == len(sizes) else "all that are measured"
    return which, Size(weights, norm, math.nan, math.nan, dead_units)


def warning_lines(files: Sequence[Inspected]) -> list[str]:
    """A line for each layer that cannot be measured, and for several files which file it is of."""
    lines = [
        f"Warning: {f'{file.path}: ' if len(files) > 1 else ''}{name} {why}"
        for file in files
        for name, why in file.warnings.items()
    ]
    if len(lines) > _WARNED:
        lines[_WARNED:] = [f"Warning: {len(lines) - _WARNED:,} more like these"]
    return lines


class Row(NamedTuple):
    """One number of one network of a file."""

    file: str
    seed: int
    layer: str
    view: str
    measure: str
    value: float


def tidy(files: Sequence[Inspected]) -> list[Row]:
    """Every number as a row; a number that is missing has none."""
    return [
        Row(str(file.path), s, layer, view, name, float(value))
        for file in files
        for layer, views in file.values.items()
        for view, of_view in views.items()
        for name, values in of_view.items()
        for s, value in enumerate(values)
        if np.isfinite(value)
    ]
