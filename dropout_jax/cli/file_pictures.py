"""What `inspect` draws: layers of files, or of two groups of files, as arrays and tables."""

import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dropout_jax.analysis.trees import natural_key
from dropout_jax.analysis.uniformity import Profile
from dropout_jax.cli.file_tables import describe_sizes
from dropout_jax.cli.tables import printable
from dropout_jax.inspection.groups import common_layers
from dropout_jax.inspection.laws import reference_profiles, references
from dropout_jax.inspection.measures import SIZE, Inspected, mean
from dropout_jax.inspection.results import whole_network
from dropout_jax.inspection.size import Size
from dropout_jax.inspection.spread import N_POINTS
from dropout_jax.runs.layers_page import InitialLaw, LayersShown, Table

_VIEWS = {"entries": "all weights", "columns": "of one unit", "columns_shuffled": "shuffled"}
_LONGEST = 28  # characters of a file's name in a legend


def layers_shown(
    found: Sequence[Inspected],
    compared: Sequence[dict[str, Any]],
    n_baseline: int,
    remarks: Sequence[str] = (),
) -> LayersShown:
    """What the page and the figures hold. A group is a file, or one side of a comparison."""
    skipped = [file.skipped for file in found]
    if compared:
        names, uncommon = common_layers(found)
        skipped.append(uncommon)
        groups = {"baseline": found[:n_baseline], "against": found[n_baseline:]}
    else:
        groups = {
            f"file {i}: {name}" if len(found) > 1 else name: [part]
            for i, file in enumerate(found, start=1)
            for name, part in _conditions(file).items()
        }
        names = sorted(
            {name for (part,) in groups.values() for name in part.layers}, key=natural_key
        )
    profiles = reference_profiles()
    ginis = {law: measures["gini"] for law, measures in references().items()}
    every_file = [file for files in groups.values() for file in files]
    laws = {name: layer.law for file in every_file for name, layer in file.layers.items()}
    (first, *others) = groups.values()
    if others:
        lines = {group: _gini(files, names, "entries") for group, files in groups.items()}
    else:
        lines = {title: _gini(first, names, view) for view, title in _VIEWS.items()}
    rows = [
        row
        | {"layer": printable(row["layer"]), "view": _VIEWS[row["view"]], "condition": "against"}
        for row in compared
    ]
    return LayersShown(
        groups={group: [printable(file.path) for file in files] for group, files in groups.items()},
        lines=lines,
        starts={
            printable(name): InitialLaw(laws[name], profiles[laws[name]], ginis[laws[name]])
            for name in names
        },
        profiles={
            printable(name): [_profile(files, name) for files in groups.values()] for name in names
        },
        differences=[row for row in rows if row["measure"] == "gini"],
        tables=[*([_table_of_comparisons(rows)] if rows else []), _table_of_layers(found, ginis)],
        remarks=[printable(remark) for remark in remarks],
        skipped={printable(k): printable(why) for of_file in skipped for k, why in of_file.items()},
    )


def _conditions(file: Inspected) -> dict[str, Inspected]:
    """The conditions of a run, with layers `condition/layer/kernel`; any other file as it is."""
    if all(layer.n_networks == 1 for layer in file.layers.values()):
        path = Path(os.path.abspath(file.path))  # "." has no name
        name, stem = printable(path.name), printable(path.stem)
        middle = f"{stem[: _LONGEST // 2]}…{stem[1 - _LONGEST // 2 :]}"
        return {next((fits for fits in (name, stem) if len(fits) <= _LONGEST), middle): file}
    parts: dict[str, Inspected] = {}
    for name, layer in file.layers.items():
        condition, number, _ = name.rsplit("/", 2)
        empty = file._replace(layers={}, values={}, profiles={})
        part = parts.setdefault(printable(condition), empty)
        title = f"layer {number}"
        part.layers[title], part.values[title] = layer, file.values[name]
        if name in file.profiles:
            part.profiles[title] = file.profiles[name]
    return parts


def _profile(files: Sequence[Inspected], layer: str) -> Profile:
    """The profiles of one file's networks, or the mean of each of several files [S, Q]; or NaN."""
    profiles = [file.profiles[layer] for file in files if layer in file.profiles]
    if len(files) > 1:
        profiles = [jax.tree.map(lambda leaf: leaf.mean(0, keepdims=True), one) for one in profiles]
    nothing: Any = np.full((1, N_POINTS), np.nan)
    profiles = profiles or [Profile(nothing, nothing)]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *profiles)


def _gini(files: Sequence[Inspected], layers: Sequence[str], view: str) -> np.ndarray:
    """The Gini of one file's networks, or the mean of each of several files [S, L]; or NaN."""
    nothing = np.array([np.nan])
    ginis = [
        [file.values[layer][view]["gini"] if layer in file.values else nothing for layer in layers]
        for file in files
    ]
    if len(files) > 1:
        return np.array([[mean(values) for values in of_file] for of_file in ginis])
    return np.stack(np.broadcast_arrays(*ginis[0]), axis=1)


def _table_of_layers(found: Sequence[Inspected], start_ginis: Mapping[str, float]) -> Table:
    """Every layer of every file in numbers, means over its networks."""
    header = ("file", "layer", "in", "out", "Gini", "start", "of one unit", "shuffled")
    sizes = Size._fields[1:]  # without the number of weights
    header += tuple(size.replace("_", " ") for size in sizes)
    rows = []
    for file in found:
        for name, layer in file.layers.items():
            values = file.values[name]
            weights, *units = (mean(values[view]["gini"]) for view in _VIEWS)
            size = (mean(values[SIZE][field]) for field in sizes)
            cells = (*layer.shape, weights, start_ginis[layer.law], *units, *size)
            rows.append((printable(file.path), printable(name), *cells))
        if whole := whole_network(file):
            which, size = whole
            label = f"{which}: {size.weights:,} weights"
            nothing = [math.nan] * 6  # shape and spread are of layers
            rows.append((printable(file.path), label, *nothing, *size[1:]))
    of_run = any(layer.n_networks > 1 for file in found for layer in file.layers.values())
    caption = "Gini index of |w|, and size; means over the networks of a file. "
    return Table("layers", caption + describe_sizes(of_run), header, rows)


def _table_of_comparisons(compared: Sequence[Mapping[str, Any]]) -> Table:
    """Every comparison in numbers."""
    columns = ("layer", "view", "measure", "baseline_mean", "condition_mean", "difference")
    columns += ("ci_low", "ci_high", "p_adjusted", "verdict")
    header = ("layer", "of", "measure", "baseline", "against", "difference", "from", "to")
    header += ("p, adjusted", "verdict")
    rows = [[row[column] for column in columns] for row in compared]
    return Table("comparisons", "Against minus baseline", header, rows)
