"""Two groups of files compared, layer by layer."""

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from dropout_jax.analysis.groups import compare as compare_unpaired
from dropout_jax.analysis.groups import smallest_p as smallest_p_unpaired
from dropout_jax.analysis.paired import compare as compare_paired
from dropout_jax.analysis.paired import smallest_p as smallest_p_paired
from dropout_jax.analysis.statistics import ALPHA
from dropout_jax.analysis.uniformity import HIGHER_IS_UNIFORM, MARGINS, MEASURES
from dropout_jax.inspection.measures import Inspected, mean

_COMPARED = ("entries", "columns")  # a shuffle is a reference, no property of the network


def common_layers(files: Sequence[Inspected]) -> tuple[list[str], dict[str, str]]:
    """The layers with one name and shape in all files, and why every other layer is left out.

    Example:
      >>> from dropout_jax.inspection.measures import inspect_params
      >>> kernel = np.array([[1.0, 2.0]])
      >>> files = [inspect_params({"kernel": kernel, name: {"w": kernel}}) for name in "ab"]
      >>> print(common_layers(files))
      (['kernel'], {'a.w': 'not in all files', 'b.w': 'not in all files'})
    """
    names = dict.fromkeys(name for file in files for name in file.layers)
    why = {}
    for name in names:
        shapes = {file.layers[name].shape if name in file.layers else None for file in files}
        if None in shapes:
            why[name] = "not in all files"
        elif len(shapes) > 1:
            why[name] = "not of one shape in all files"
    return [name for name in names if name not in why], why


def shape_remark(files: Sequence[Inspected]) -> str:
    """A line that names a layer whose shape differs from file to file; empty if there is none.

    Example:
      >>> from dropout_jax.inspection.measures import inspect_params
      >>> print(shape_remark([inspect_params({"kernel": np.eye(n)}) for n in (2, 3)]))
      Layers of the same name differ in shape: kernel is 2 → 2, 3 → 3.
    """
    shapes: dict[str, dict[str, None]] = {}
    for file in files:
        for name, layer in file.layers.items():
            shapes.setdefault(name, {})["{} → {}".format(*layer.shape)] = None
    unlike = [f"{name} is {', '.join(each)}" for name, each in shapes.items() if len(each) > 1]
    more = f" ({len(unlike) - 1:,} more)" if len(unlike) > 1 else ""
    return f"Layers of the same name differ in shape: {unlike[0]}{more}." if unlike else ""


def too_few_remark(n_baseline: int, n_against: int, paired: bool) -> str:
    """A warning that so few files cannot show a direction, and how many can; empty if they can.

    Example:
      >>> print(too_few_remark(3, 3, paired=False))
      With 3 and 3 files the smallest p is 0.1, so no direction can be decided: take 4 and 4.
      >>> print(too_few_remark(5, 5, paired=True))
      With 5 pairs of files the smallest p is 0.062, so no direction can be decided: take 6 pairs.
    """

    def smallest(n: int, m: int) -> float:
        return smallest_p_paired(n) if paired else smallest_p_unpaired(n, m)

    least = smallest(n_baseline, n_against)
    if least < ALPHA:
        return ""
    enough = next(n for n in itertools.count(2) if smallest(n, n) < ALPHA)
    files, more = f"{n_baseline} and {n_against} files", f"{enough} and {enough}"
    if paired:
        files, more = f"{n_baseline} pairs of files", f"{enough} pairs"
    undecided = f"the smallest p is {least:.2g}, so no direction can be decided"
    return f"With {files} {undecided}: take {more}."


def compare_groups(
    baseline: Sequence[Inspected], against: Sequence[Inspected], paired: bool
) -> list[dict[str, Any]]:
    """Differences, against minus baseline, in the layers that all files have.

    The file of a run counts once, with the mean over its seeds. If `paired`, the files belong
    together one by one, as those of one seed do. p-values are adjusted over a family: one measure
    of all layers and both views. The rows of a layer and view are NaN where a file has no Gini
    index of it: families hold the same cells for every measure.

    Raises:
      ValueError: if there are too few files, or no common layer.
    """
    files = [*baseline, *against]
    common, _ = common_layers(files)
    if not common:
        raise ValueError("all files must have a layer of the same name and shape, got none")
    cells = list(itertools.product(common, _COMPARED))
    known = [
        all(np.isfinite(mean(file.values[layer][view]["gini"])) for file in files)
        for layer, view in cells
    ]
    compare = compare_paired if paired else compare_unpaired
    rows = []
    for measure in MEASURES:
        first, second = (
            np.where(
                known,
                [[mean(f.values[l][view][measure]) for l, view in cells] for f in group],
                np.nan,
            )
            for group in (baseline, against)
        )
        higher = measure in HIGHER_IS_UNIFORM
        compared = compare(first, second, higher_is_uniform=higher, margin=MARGINS[measure])
        for (layer, view), one in zip(cells, compared, strict=True):
            rows.append({"layer": layer, "view": view, "measure": measure, **one._asdict()})
    return rows
