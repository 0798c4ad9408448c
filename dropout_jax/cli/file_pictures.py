"""What `inspect` draws: layers of files, or of two groups of files, as arrays and tables."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dropout_jax.analysis.trees import natural
from dropout_jax.analysis.uniformity import Profile
from dropout_jax.cli.tables import escaped
from dropout_jax.inspection import spread
from dropout_jax.inspection.groups import common_layers
from dropout_jax.inspection.measures import SIZE, Inspected, mean
from dropout_jax.inspection.size import Size
from dropout_jax.runs.layers_page import LayersShown, Start, Table

_VIEWS = {"entries": "all weights", "columns": "of one unit", "columns_shuffled": "shuffled"}
_LONGEST = 28  # characters of a file's name in a legend


def layers_shown(
    found: Sequence[Inspected],
    compared: Sequence[dict[str, Any]],
    n_baseline: int,
    remarks: Sequence[str] = (),
) -> LayersShown:
    """What the page and the figures hold. A group is a file, or one side of a comparison."""
    if compared:
        names, _ = common_layers(found)
        groups = {"baseline": found[:n_baseline], "against": found[n_baseline:]}
    else:
        groups = {
            f"file {i}: {name}" if len(found) > 1 else name: [part]
            for i, one in enumerate(found, start=1)
            for name, part in _conditions(one).items()
        }
        names = sorted({name for (one,) in groups.values() for name in one.layers}, key=natural)
    laws, ginis = spread.profiles_of_laws(), spread.references()
    law_of = {
        n: layer.law for of in groups.values() for one in of for n, layer in one.layers.items()
    }
    (first, *others) = groups.values()
    if others:
        lines = {group: _gini(of, names, "entries") for group, of in groups.items()}
    else:
        lines = {title: _gini(first, names, view) for view, title in _VIEWS.items()}
    return LayersShown(
        groups={group: [escaped(one.path) for one in of] for group, of in groups.items()},
        lines=lines,
        starts={
            escaped(name): Start(law_of[name], laws[law_of[name]], ginis[law_of[name]]["gini"])
            for name in names
        },
        profiles={escaped(name): [_profile(of, name) for of in groups.values()] for name in names},
        differences=[
            {**row, **_names_of(row), "condition": "against"}
            for row in compared
            if row["measure"] == "gini"
        ],
        tables=[*_table_of_comparisons(compared), _table_of_layers(found, ginis)],
        remarks=[escaped(remark) for remark in remarks],
        skipped={escaped(k): escaped(why) for one in found for k, why in one.skipped.items()},
    )


def _names_of(row: Mapping[str, Any]) -> dict[str, str]:
    """The layer and the view of a comparison, as they are shown."""
    return {"layer": escaped(row["layer"]), "view": _VIEWS[row["view"]]}


def _conditions(one: Inspected) -> dict[str, Inspected]:
    """The conditions of a run, with layers `condition/layer/kernel`; any other file as it is."""
    if all(layer.n_networks == 1 for layer in one.layers.values()):
        return {_in_a_legend(one.path): one}
    parts: dict[str, Inspected] = {}
    for name, layer in one.layers.items():
        condition, number, _ = name.rsplit("/", 2)
        part = parts.setdefault(escaped(condition), one._replace(layers={}, values={}, profiles={}))
        title = f"layer {number}"
        part.layers[title], part.values[title] = layer, one.values[name]
        if name in one.profiles:
            part.profiles[title] = one.profiles[name]
    return parts


def _in_a_legend(path: Path) -> str:
    """The name of a file; if it is too long for a line there, without suffix and middle."""
    name, stem = escaped(path.name), escaped(path.stem)
    middle = f"{stem[: _LONGEST // 2]}…{stem[1 - _LONGEST // 2 :]}"
    return next((short for short in (name, stem) if len(short) <= _LONGEST), middle)


def _profile(files: Sequence[Inspected], layer: str) -> Profile:
    """The profiles of one file's networks, or the mean of each of several files [S, Q]; or NaN."""
    kept = [one.profiles[layer] for one in files if layer in one.profiles]
    if len(files) > 1:
        kept = [jax.tree.map(lambda leaf: leaf.mean(axis=0, keepdims=True), one) for one in kept]
    nothing: Any = np.full((1, spread.N_POINTS), np.nan)
    return jax.tree.map(lambda *of: np.concatenate(of), *(kept or [Profile(nothing, nothing)]))


def _gini(files: Sequence[Inspected], layers: Sequence[str], view: str) -> np.ndarray:
    """The Gini of one file's networks, or the mean of each of several files [S, L]; or NaN."""
    of = [[_of_file(one, layer, view) for layer in layers] for one in files]
    if len(files) > 1:
        return np.array([[mean(values) for values in one] for one in of])
    n = max(len(values) for values in of[0])
    return np.stack([np.broadcast_to(values, n) for values in of[0]], axis=1)


def _of_file(one: Inspected, layer: str, view: str) -> np.ndarray:
    return one.values[layer][view]["gini"] if layer in one.values else np.array([np.nan])


def _table_of_layers(found: Sequence[Inspected], ginis: Mapping[str, Mapping[str, float]]) -> Table:
    """Every layer of every file in numbers, means over its networks."""
    header = ("file", "layer", "in", "out", "Gini", "start", "of one unit", "shuffled")
    sizes = Size._fields[1:]  # without the number of weights
    header += tuple(size.replace("_", " ") for size in sizes)
    rows = []
    for one in found:
        for name, layer in one.layers.items():
            values = one.values[name]
            gini = [mean(values[view]["gini"]) for view in _VIEWS]
            size = [mean(values[SIZE][of]) for of in sizes]
            start = ginis[layer.law]["gini"]
            cells = (*layer.shape, gini[0], start, *gini[1:], *size)
            rows.append((escaped(one.path), escaped(name), *cells))
    return Table(
        "layers", "Gini index of |w|, and size; means over the networks of a file", header, rows
    )


def _table_of_comparisons(compared: Sequence[dict[str, Any]]) -> list[Table]:
    """Every comparison in numbers; none if groups are not compared."""
    if not compared:
        return []
    columns = ("layer", "view", "measure", "baseline_mean", "condition_mean", "difference")
    columns += ("ci_low", "ci_high", "p_adjusted", "verdict")
    header = ("layer", "of", "measure", "baseline", "against", "difference", "from", "to")
    header += ("p, adjusted", "verdict")
    rows = [[(row | _names_of(row))[name] for name in columns] for row in compared]
    return [Table("comparisons", "Against minus baseline", header, rows)]
