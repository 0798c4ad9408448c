"""The weight analysis for networks of any framework: the layers of a file.

One layer is in memory at a time.

Shapes: S networks (seeds) of a file.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from dropout_jax.analysis.trees import arrays_of
from dropout_jax.analysis.uniformity import MEASURES, Profile
from dropout_jax.inspection.kernels import Kernel, Layer, find_layers
from dropout_jax.inspection.size import Size, measure_size
from dropout_jax.inspection.spread import VIEWS, measure, profile_kernel
from dropout_jax.inspection.tensors import Tensor, list_tensors
from dropout_jax.io import readers

SIZE = "size"  # a view beside those of `spread`
_NO_VALUES = {
    **{view: dict.fromkeys(MEASURES, math.nan) for view in VIEWS},
    SIZE: dict.fromkeys(Size._fields, math.nan),
}


class Inspected(NamedTuple):
    """What was found in a file or folder.

    Attributes:
      path: of the file or folder.
      layers: by name.
      values: {layer: {view: {measure: values [S]}}}; NaN where there is nothing to measure. The
        views are `spread.VIEWS`, and `size` has the numbers of `size.Size`.
      skipped: why other tensors are no layers, by name.
      warnings: what is wrong with a layer, or with one network's, that cannot be measured, by name.
      n_numbers: how many the file holds, in layers or not.
      profiles: {layer: |w| sorted, with Lorenz curve, of each sound network [≤ S, Q]}, if asked.
    """

    path: Path
    layers: dict[str, Layer]
    values: dict[str, dict[str, dict[str, np.ndarray]]]
    skipped: dict[str, str]
    warnings: dict[str, str]
    n_numbers: int
    profiles: dict[str, Profile]

    def __repr__(self) -> str:
        layers = f"{len(self.layers):,} layer{'s' * (len(self.layers) > 1)}"
        n_weights = sum(math.prod(layer.shape) for layer in self.layers.values())
        known = [gini for gini in self._ginis() if not math.isnan(gini)]
        ginis = f"{min(known):.3f} to {max(known):.3f}" if known else "–"
        return (
            f"{self.path}: {layers} of {n_weights:,} weights, "
            f"Gini of |w| {ginis}; its numbers: .values"
        )

    def _repr_html_(self) -> str:
        """The layers and their Gini, for a notebook."""
        rows = "".join(
            f"<tr><td>{escape(name)}<td>{layer.shape[0]} → {layer.shape[1]}<td>"
            f"{'–' if math.isnan(gini) else f'{gini:.3f}'}"
            for (name, layer), gini in zip(self.layers.items(), self._ginis(), strict=True)
        )
        return f"<table><tr><th>layer<th>in → out<th>Gini of |w|{rows}</table>"

    def _ginis(self) -> list[float]:
        """The Gini of all weights of each layer, the mean over networks."""
        return [mean(self.values[name]["entries"]["gini"]) for name in self.layers]


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

    A layer that is not finite has values of NaN and a warning. So has one of 0, but for its size.

    Args:
      path: the file or folder.
      layout: `in-out` or `out-in`, for all kernels; by default inferred from the names.
      progress: is called with the number of layers done and that of all.
      profiled: whether to keep the profile of each layer, too, for figures.

    Raises:
      TypeError: if `path` is no path.
      ValueError: if the file cannot be read (`tensors.list_tensors`), holds no layer, or for
        another layout.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     np.savez(Path(folder, "net.npz"), kernel=np.ones((2, 3)), bias=np.ones(3))
      ...     found = inspect(Path(folder, "net.npz"))
      >>> print(list(found.layers), found.skipped["bias"])
      ['kernel'] a vector or a number, as biases and scales are
    """
    if not isinstance(path, str | Path):
        kind = type(path).__name__
        raise TypeError(f"path must name a file, got {kind}: parameters are for inspect_params")
    path = Path(path)
    return _inspected(path, list_tensors(path), layout, progress, profiled)


def inspect_params(params: Any, layout: str | None = None) -> Inspected:
    """`inspect` for a tree in memory: parameters of Flax, a state of NNX, a module of Equinox.

    Leaves that are no arrays are passed over, and so are keys of generators.

    Raises:
      TypeError: for a path, as a file is for `inspect`.
      ValueError: if it holds no layer, or for another layout.

    Example:
      >>> kernel = np.random.default_rng(0).normal(size=(64, 10))
      >>> found = inspect_params({"params": {"layer_0": {"kernel": kernel, "bias": np.ones(10)}}})
      >>> print(found.values["params.layer_0.kernel"]["entries"]["gini"].round(2))
      [0.41]
      >>> print(found)
      params: 1 layer of 640 weights, Gini of |w| 0.409 to 0.409; its numbers: .values
    """
    if isinstance(params, str | Path):
        raise TypeError(f"params must be a tree of arrays, got {params}: a file is for inspect")
    tensors = [
        Tensor(
            name or "array",
            leaf.shape,
            leaf.dtype.name,
            lambda row, leaf=leaf: np.asarray(leaf if row is None else leaf[row]),
        )
        for name, leaf in arrays_of(params).items()
    ]
    return _inspected(Path("params"), tensors, layout)


def _inspected(
    path: Path,
    tensors: Sequence[Tensor],
    layout: str | None,
    progress: Callable[[int, int], None] = lambda done, total: None,
    profiled: bool = False,
) -> Inspected:
    """Every layer among these tensors, measured."""
    found, skipped = find_layers(tensors, layout)
    if not found:
        some = "; ".join(f"{name} is {why}" for name, why in [*skipped.items()][:3]) or "no tensor"
        raise ValueError(f"{path}: must hold a layer's weights, got none: {some}")
    values, profiles, warnings = {}, {}, {}
    for done, layer in enumerate(found, start=1):
        try:
            networks = [_measured(layer.read(s), profiled) for s in range(layer.n_networks)]
        except Exception as error:  # what a damaged file can make a reader raise has no end
            n_bytes = readers.AS_LAYER * layer.shape[0] * layer.shape[1]
            why = (
                f"{path}: {layer.name} cannot be read and measured, perhaps damaged or too large "
                f"(it takes some {n_bytes / 2**30:.2g} GiB): {readers.one_line(error)[:200]}"
            )
            raise ValueError(why) from error
        values[layer.name] = {
            view: {name: np.array([one.values[view][name] for one in networks]) for name in names}
            for view, names in _NO_VALUES.items()
        }
        for s, one in enumerate(networks):
            if one.wrong:
                warnings[layer.name if layer.n_networks == 1 else f"{layer.name}[{s}]"] = one.wrong
        if kept := [one.profile for one in networks if one.profile]:
            profiles[layer.name] = jax.tree.map(lambda *of: np.stack(of), *kept)
        progress(done, len(found))
    n_numbers = sum(math.prod(tensor.shape) for tensor in tensors)
    layers = {layer.name: layer for layer in found}
    return Inspected(path, layers, values, skipped, warnings, n_numbers, profiles)


class _Measured(NamedTuple):
    """The values {view: {measure: value}} of one kernel, or what is wrong with it."""

    values: Mapping[str, Mapping[str, float]]
    wrong: str | None = None
    profile: Profile | None = None


def _measured(kernel: Kernel, profiled: bool) -> _Measured:
    if wrong := _not_finite(kernel.weights):
        return _Measured(_NO_VALUES, wrong)
    size = {SIZE: measure_size(kernel)._asdict()}
    if not kernel.weights.any():
        return _Measured(_NO_VALUES | size, "is 0 everywhere")
    values = measure(kernel.alive) | size
    return _Measured(values, profile=profile_kernel(kernel.alive) if profiled else None)


def _not_finite(weights: np.ndarray) -> str | None:
    """What weights hold that cannot be measured."""
    for what, where in (("NaN", np.isnan(weights)), ("infinity", np.isinf(weights))):
        if where.any():
            return f"holds {what} ({np.count_nonzero(where):,} of {weights.size:,})"
    return None
