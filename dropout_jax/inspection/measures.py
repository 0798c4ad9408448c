"""The weight analysis for networks of any framework: the layers of a file.

One layer is in memory at a time.

Shapes: S networks (seeds) of a file.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dropout_jax.analysis.uniformity import MEASURES, Profile
from dropout_jax.inspection.alive import alive
from dropout_jax.inspection.kernels import Layer, layers_of
from dropout_jax.inspection.size import Size, size_of
from dropout_jax.inspection.spread import VIEWS, measure, profile_of
from dropout_jax.inspection.tensors import Tensor, tensors_of
from dropout_jax.io.readers import on_one_line

SIZE = "size"  # a view beside those of `spread`


class Inspected(NamedTuple):
    """What was found in a file.

    Attributes:
      path: the file or folder.
      layers: those found, by name.
      values: {layer: {view: {measure: values [S]}}}; NaN where there is nothing to measure. The
        views are `spread.VIEWS`, and `size` has the numbers of `size.Size`.
      skipped: why other tensors were not measured, by name.
      profiles: {layer: |w| sorted, with Lorenz curve, of each sound network [≤ S, Q]}, if asked.
    """

    path: Path
    layers: dict[str, Layer]
    values: dict[str, dict[str, dict[str, np.ndarray]]]
    skipped: dict[str, str]
    profiles: dict[str, Profile]


def mean(values: np.ndarray) -> float:
    """The mean over the networks of a file that have a value; NaN if none has.

    Example:
      >>> print(mean(np.array([1.0, np.nan, 2.0])))
      1.5
    """
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else np.nan


def inspect(
    path: str | Path,
    layout: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    *,
    profiled: bool = False,
) -> Inspected:
    """Measure every layer of a file, one after another.

    A layer that is not finite, or 0 everywhere, is among the layers with values of NaN, and among
    what is skipped with the reason.

    Args:
      path: the file or folder.
      layout: `in-out` or `out-in`, for all kernels; by default inferred from the names.
      progress: is called with the number of layers done and that of all.
      profiled: whether to keep the profile of each layer, too, for figures.

    Raises:
      ValueError: if the file cannot be read (`tensors.tensors_of`), or holds no layer that can be
        measured.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     np.savez(Path(folder, "net.npz"), kernel=np.ones((2, 3)), bias=np.ones(3))
      ...     found = inspect(Path(folder, "net.npz"))
      >>> print(list(found.layers), found.skipped["bias"])
      ['kernel'] a vector or a number, as biases and scales are
    """
    path = Path(path)
    return _inspected(path, tensors_of(path), layout, progress, profiled=profiled)


def inspect_params(params: Any, layout: str | None = None) -> Inspected:
    """`inspect` for a tree of arrays in memory: parameters of Flax, a state of NNX, a dict.

    Keys of generators are passed over.

    Raises:
      ValueError: if it holds no layer that can be measured.

    Example:
      >>> kernel = np.random.default_rng(0).normal(size=(64, 10))
      >>> found = inspect_params({"params": {"layer_0": {"kernel": kernel, "bias": np.ones(10)}}})
      >>> print(found.values["params.layer_0.kernel"]["entries"]["gini"].round(2))
      [0.41]
    """
    tensors = []
    for where, leaf in jax.tree_util.tree_leaves_with_path(params):
        if hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            continue
        name = jax.tree_util.keystr(where, simple=True, separator=".")
        array = np.asarray(leaf)
        tensors.append(Tensor(name, array.shape, array.dtype.name, lambda _, array=array: array))
    return _inspected(Path("params"), tensors, layout, lambda done, total: None, profiled=False)


def _inspected(
    path: Path,
    tensors: Sequence[Tensor],
    layout: str | None,
    progress: Callable[[int, int], None],
    *,
    profiled: bool,
) -> Inspected:
    """Every layer among these tensors, measured."""
    found, skipped = layers_of(tensors, layout)
    values, profiles = {}, {}
    sound = False
    for done, layer in enumerate(found, start=1):
        try:
            measured, kept = _measured(layer, profiled)
        except Exception as error:  # what a damaged file can make a reader raise has no end
            n_bytes = 5 * 4 * layer.shape[0] * layer.shape[1]
            why = (
                f"{path}: {layer.name} cannot be read and measured, perhaps damaged or too large "
                f"(it takes some {n_bytes / 2**30:.2g} GiB): {on_one_line(error)[:200]}"
            )
            raise ValueError(why) from error
        for s, of_network in enumerate(measured):
            if of_network is None:
                name = layer.name if layer.n_networks == 1 else f"{layer.name}[{s}]"
                skipped[name] = "not finite, or 0 everywhere"
        sound |= any(measured)
        values[layer.name] = {
            view: {
                name: np.array([row[view][name] if row else np.nan for row in measured])
                for name in names
            }
            for view, names in (*((view, MEASURES) for view in VIEWS), (SIZE, Size._fields))
        }
        if kept:
            profiles[layer.name] = jax.tree.map(lambda *of: np.stack(of), *kept)
        progress(done, len(found))
    if not sound:
        some = "; ".join(f"{name} is {why}" for name, why in list(skipped.items())[:3])
        raise ValueError(f"{path}: must hold a layer's weights, got none: {some or 'no tensor'}")
    return Inspected(path, {layer.name: layer for layer in found}, values, skipped, profiles)


def _measured(
    layer: Layer, profiled: bool
) -> tuple[list[dict[str, dict[str, float]] | None], list[Profile]]:
    """The values of every network, None where there is nothing to measure; profiles if asked."""
    values, profiles = [], []
    for s in range(layer.n_networks):
        read = layer.read(s)
        if not (np.isfinite(read.kernel).all() and read.kernel.any()):
            values.append(None)
            continue
        counted = alive(read.kernel, read.live)
        values.append(measure(counted) | {SIZE: size_of(*read)._asdict()})
        if profiled:
            profiles.append(profile_of(counted))
    return values, profiles


class Row(NamedTuple):
    """One number of one network of a file."""

    file: str
    seed: int
    layer: str
    view: str
    measure: str
    value: float


def tidy(files: Sequence[Inspected]) -> list[Row]:
    """Every number as a row; a number that is missing has none.

    Example:
      >>> found = inspect_params({"kernel": np.array([[1.0, 2.0]])})
      >>> print(tidy([found])[0]._replace(value=0.0))
      Row(file='params', seed=0, layer='kernel', view='entries', measure='gini', value=0.0)
    """
    return [
        Row(str(file.path), s, layer, view, name, float(value))
        for file in files
        for layer, views in file.values.items()
        for view, of_view in views.items()
        for name, values in of_view.items()
        for s, value in enumerate(values)
        if np.isfinite(value)
    ]
