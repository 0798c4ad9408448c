"""Two groups of files compared, layer by layer.

Shapes: K comparisons of one family.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from dropout_jax.analysis.groups import compare as compare_unpaired
from dropout_jax.analysis.paired import compare as compare_paired
from dropout_jax.analysis.uniformity import HIGHER_IS_UNIFORM, MARGINS, MEASURES
from dropout_jax.inspection.measures import Inspected, mean
from dropout_jax.inspection.spread import VIEWS


def common_layers(files: Sequence[Inspected]) -> tuple[list[str], dict[str, str]]:
    """The layers with one name and shape in all files, and why every other layer is left out.

    Example:
      >>> from dropout_jax.inspection.measures import inspect_params
      >>> kernel = np.array([[1.0, 2.0]])
      >>> files = [inspect_params({"kernel": kernel, name: {"w": kernel}}) for name in "ab"]
      >>> print(common_layers(files))
      (['kernel'], {'a.w': 'not in all files', 'b.w': 'not in all files'})
    """
    shapes = [{name: layer.shape for name, layer in file.layers.items()} for file in files]
    names = dict.fromkeys(name for of_file in shapes for name in of_file)
    why = {}
    for name in names:
        if any(name not in of_file for of_file in shapes):
            why[name] = "not in all files"
        elif len({of_file[name] for of_file in shapes}) > 1:
            why[name] = "not of one shape in all files"
    return [name for name in names if name not in why], why


def compare_groups(
    baseline: Sequence[Inspected], against: Sequence[Inspected], paired: bool
) -> list[dict[str, Any]]:
    """Differences, against minus baseline, in the layers that all files have.

    The file of a run counts once, with the mean over its seeds. p-values are adjusted over a
    family: one measure of all layers and both views, wherever every file has a value.

    Args:
      baseline: the files to compare with.
      against: the files that are compared.
      paired: whether the files belong together one by one, as those of one seed do.

    Raises:
      ValueError: if there are too few files, not as many of both if `paired`, or no common layer.

    Example:
      >>> from dropout_jax.inspection.measures import inspect_params
      >>> rng = np.random.default_rng(0)
      >>> files = [inspect_params({"kernel": rng.normal(size=(8, 4))}) for _ in range(4)]
      >>> row, *_ = compare_groups(files[:2], files[2:], paired=False)
      >>> print(row["measure"], row["verdict"])
      gini undecided
    """
    everything = [*baseline, *against]
    common, _ = common_layers(everything)
    if not common:
        raise ValueError("all files must have a layer of the same name and shape, got none")
    if paired and len(baseline) != len(against):
        raise ValueError(
            f"paired groups must be of equal size, got {len(baseline)} and {len(against)} files"
        )
    cells = [
        (name, view)
        for name in common
        for view in VIEWS[:2]
        if all(np.isfinite(mean(file.values[name][view]["gini"])) for file in everything)
    ]
    compare = compare_paired if paired else compare_unpaired
    rows = []
    for measured in MEASURES:
        first, second = (
            np.array([[mean(f.values[l][view][measured]) for l, view in cells] for f in group])
            for group in (baseline, against)
        )
        higher = measured in HIGHER_IS_UNIFORM
        compared = compare(first, second, higher_is_uniform=higher, margin=MARGINS[measured])
        for (layer, view), one in zip(cells, compared, strict=True):
            rows.append({"layer": layer, "view": view, "measure": measured, **one._asdict()})
    return rows
