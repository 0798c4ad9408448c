"""The record of a study: its files are begun here, written and read again."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from dropout_jax.io import writers
from dropout_jax.io.environment import environment as environment_of
from dropout_jax.io.figures import write_figure
from experiments.shared import study

CONFIG, VALUES = "config.json", "values.json"


def begin(folder: Path, name: str) -> None:
    """Name the study in a new or empty folder, so that one that was cut off can go on there.

    Raises:
      ValueError: if the folder holds anything but a record of this study.
    """
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        writers.write_json(folder / CONFIG, {"study": name})
    elif _study_of(folder) != name:
        raise ValueError(f"out must be a new or empty folder or a record of {name}, got {folder}")


def _study_of(folder: Path) -> str | None:
    """The study that a folder names; None if it names none."""
    try:
        return json.loads((folder / CONFIG).read_text(encoding="utf-8"))["study"]
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write(
    folder: Path,
    settings: Mapping[str, Any],
    summary: Mapping[str, Any],
    predictions: Sequence[Mapping[str, Any]],
    figures: Mapping[str, Figure],
    start: float,
    tables: Mapping[str, tuple[Sequence[str], Iterable[Sequence[Any]]]] = MappingProxyType({}),
    values: Any = None,
) -> None:
    """Write the record of the study begun in a folder, its summary last; print what held.

    Its seconds count from `start`, a time of `perf_counter`. `tables` are further files, {name:
    (header, rows)}. `values` is a tree of arrays with a number for each seed, from which the
    figures can be drawn again; `values.json` holds it with seven significant digits.
    """
    named = {"study": _study_of(folder), **settings}
    config = {**named, "root_seed": study.ROOT_SEED, "prng": study.PRNG}
    writers.write_json(folder / CONFIG, config)
    for name, figure in figures.items():
        write_figure(folder / "figures", name, figure, formats=("png",))
    for name, (header, rows) in tables.items():
        writers.write_table(folder / f"{name}.csv", header, rows)
    if values is not None:
        write_values(folder, values)
    seconds = {"all": round(perf_counter() - start, 1)}
    environment = {**environment_of(study.root_key()), "seconds": seconds}
    writers.write_json(folder / "environment.json", environment)
    writers.write_json(folder / "predictions.json", list(predictions))
    writers.write_json(folder / "summary.json", summary)
    show(predictions)


def write_values(folder: Path, values: Any) -> None:
    """Write a tree of arrays with a number for each seed, as `kept` has it."""
    writers.write_text(folder / VALUES, json.dumps(kept(values), separators=(",", ":")) + "\n")


def kept(values: Any) -> Any:
    """A tree of arrays as nested lists of numbers with seven significant digits; NaN is null."""
    if isinstance(values, Mapping):
        return {name: kept(part) for name, part in values.items()}
    flat = [float(f"{v:.7g}") if np.isfinite(v) else None for v in np.ravel(values)]
    return np.array(flat, object).reshape(np.shape(values)).tolist()


def values_of(folder: Path) -> dict[str, Any]:
    """The values of a record, as arrays; null is NaN."""

    def arrays(tree: Any) -> Any:
        if isinstance(tree, dict):
            return {name: arrays(part) for name, part in tree.items()}
        return np.array(tree, float)

    return arrays(json.loads((folder / VALUES).read_text(encoding="utf-8")))


def show(predictions: Sequence[Mapping[str, Any]]) -> None:
    """Print which predictions held."""
    for row in predictions:
        print(f"{row['prediction']} {'held  ' if row['held'] else 'failed'} {row['claim']}")
