"""The weight analysis for anybody's network: kernels found by name, and set beside references.

A kernel here is [in, out], what the affine layers of Flax hold; a convolution is taken as [window ·
in-channels, out-channels]. One layer is in memory at a time.

Shapes: S networks (seeds) of a file, K comparisons of one family.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from dropout_jax import statistics, unpaired
from dropout_jax.tensors import Tensor, tensors_of
from dropout_jax.weights import HIGHER_IS_UNIFORM, MEASURES, Live, measure_columns, measure_entries

LAYOUTS = ("in-out", "out-in")
LAYOUT_OF = {"kernel": "in-out", "w": "in-out", "weight": "out-in"}  # Flax, Haiku; PyTorch, Equinox
LAW_OF = {"in-out": "truncated normal", "out-in": "uniform"}  # usual initial laws there
BIASES = ("bias", "b", "scale", "offset", "mean", "var")  # also where they have axes of 1
VIEWS = ("entries", "columns", "columns_shuffled")
FLOATS = ("float64", "float32", "float16", "bfloat16")
ENOUGH_UNITS = 256  # for the mean over shuffled columns
_N_QUANTILES = 100_000
_WRAPPERS = ("value", "raw_value")  # what Flax NNX puts below the name of a parameter


class Layer(NamedTuple):
    """One affine layer or convolution of a file.

    Attributes:
      name: of its kernel.
      shape: [in, out].
      law: of initial weights, as far as names tell.
      n_networks: S, 1 but for the file of a run.
      read: kernel [in, out] of network s as float32, and what of it is known to be alive.
    """

    name: str
    shape: tuple[int, int]
    law: str
    n_networks: int
    read: Callable[[int], tuple[np.ndarray, Live]]


class Inspected(NamedTuple):
    """What was found in a file: layers with {view: {measure: values [S]}}, and why others not."""

    path: Path
    layers: dict[str, Layer]
    values: dict[str, dict[str, dict[str, np.ndarray]]]
    skipped: dict[str, str]


def layers_of(
    tensors: Sequence[Tensor], layout: str | None = None
) -> tuple[list[Layer], dict[str, str]]:
    """The layers among tensors, and for all others the reason why they are none.

    Args:
      tensors: of a file.
      layout: `in-out` or `out-in`, for all; by default told from the names.

    Example:
      >>> weight = np.ones((10, 64), np.float32)  # [out, in], as PyTorch has it
      >>> (layer,), skipped = layers_of([Tensor("0.weight", (10, 64), "float32", lambda _: weight)])
      >>> print(layer.shape, skipped)
      (64, 10) {}
    """
    run = {t.name: t for t in tensors}
    if any(name.endswith("/live_inputs") for name in run):
        return _layers_of_run(run), {}
    found, skipped = [], {}
    for tensor in sorted(tensors, key=_natural):
        words = [word for word in re.split(r"[./]", tensor.name) if word not in _WRAPPERS]
        told = layout or LAYOUT_OF.get(words[-1] if words else "")
        why = _why_not(tensor, words, told)
        if why or told is None:
            skipped[tensor.name] = why or "no layout told"
            continue
        out = tensor.shape[-1 if told == "in-out" else 0]
        shape = (int(np.prod(tensor.shape)) // out, out)
        read = partial(_read, tensor, told)
        found.append(Layer(tensor.name, shape, LAW_OF[told], 1, read))
    return found, skipped


def _natural(tensor: Tensor) -> list[tuple[bool, int, str]]:
    """So that layer 10 comes after layer 9."""
    parts = re.split(r"(\d+)", tensor.name)
    return [(part.isdecimal(), int(part) if part.isdecimal() else 0, part) for part in parts]


def _why_not(tensor: Tensor, words: Sequence[str], layout: str | None) -> str | None:
    """Why a tensor is no kernel, None if it is one."""
    if tensor.dtype not in FLOATS:
        return f"of type {tensor.dtype}, not of {', '.join(FLOATS)}"
    if len(tensor.shape) < 2 or words[-1] in BIASES:
        return "a vector or a number, as biases and scales are"
    if any("embed" in word.lower() for word in words):
        return "an embedding: its rows are looked up, not summed"
    if np.prod(tensor.shape) < 2:
        return f"of shape {tensor.shape}: nothing to compare"
    if layout is None:
        return "not called kernel, w or weight: say how it lies with --layout"
    return None


def _read(tensor: Tensor, layout: str, _: int) -> tuple[np.ndarray, Live]:
    kernel = np.asarray(tensor.read(None)).astype(np.float32, copy=False)
    last = kernel.reshape(-1, kernel.shape[-1])
    kernel = last if layout == "in-out" else kernel.reshape(len(kernel), -1).T
    return kernel, _all_alive(kernel)


def _all_alive(kernel: np.ndarray) -> Live:
    return Live(*(jnp.ones(size, bool) for size in kernel.shape))


def _layers_of_run(run: Mapping[str, Tensor]) -> list[Layer]:
    """The layers of `weights.safetensors` of a run, each with S seeds, without what is dead."""
    found = []
    for name, tensor in run.items():
        condition, _, rest = name.partition("/")
        layer, _, part = rest.partition("/")
        if part == "kernel" and condition != "init":
            live = run[f"{condition}/{layer}/live_inputs"]
            following = run.get(f"{condition}/{int(layer) + 1}/live_inputs")
            read = partial(_read_of_run, tensor, live, following)
            n_seeds, *shape = tensor.shape
            found.append(Layer(name, (shape[0], shape[1]), LAW_OF["in-out"], n_seeds, read))
    return found


def _read_of_run(
    tensor: Tensor, inputs: Tensor, outputs: Tensor | None, s: int
) -> tuple[np.ndarray, Live]:
    kernel = tensor.read(s)
    alive = _all_alive(kernel)._replace(inputs=inputs.read(s).astype(bool))
    return kernel, alive if outputs is None else alive._replace(outputs=outputs.read(s) != 0)


@jax.jit
def _measure(kernel: jax.Array, live: Live) -> dict[str, dict[str, jax.Array]]:
    return {
        "entries": {name: measure_entries(m, kernel, live) for name, m in MEASURES.items()},
        "columns": {name: measure_columns(m, kernel, live) for name, m in MEASURES.items()},
    }


def measure(kernel: np.ndarray, live: Live | None = None) -> dict[str, dict[str, float]]:
    """All measures {view: {measure: value}} of |w| of a kernel [in, out], or what is alive of it.

    A unit without any weight, as pruning leaves, is dead. `entries` are all of them, `columns` the
    mean over the inputs of one unit each; beside it `columns_shuffled`, the same of the same
    weights dealt anew over the layer (to 256 units at most), which only differs if some units have
    larger weights than others, or a law of their own.

    Example:
      >>> found = measure(np.array([[1.0, 10.0], [1.0, 10.0]], np.float32))
      >>> print(round(found["columns"]["gini"], 3))  # the weights of one unit are alike
      0.0
    """
    live = live or _all_alive(kernel)
    live = live._replace(outputs=jnp.asarray(live.outputs) & (kernel != 0).any(axis=0))
    found = {**_measure(kernel, live)}
    found["columns_shuffled"] = _measure(*_dealt_anew(kernel, live))["columns"]
    return {view: {name: float(v) for name, v in of.items()} for view, of in found.items()}


def _dealt_anew(kernel: np.ndarray, live: Live) -> tuple[np.ndarray, Live]:
    """Units [in, ≤ 256] whose living weights are drawn from all of the layer's, none twice."""
    inputs, outputs = np.asarray(live.inputs), np.asarray(live.outputs)
    units = np.arange(min(kernel.shape[1], ENOUGH_UNITS)) < outputs.sum()
    counts = np.outer(inputs, units)
    places = np.flatnonzero(np.outer(inputs, outputs))
    drawn = np.random.default_rng(0).choice(places, counts.sum(), replace=False)
    dealt = np.zeros(counts.shape, kernel.dtype)
    dealt[counts] = kernel.ravel()[drawn]
    return dealt, Live(live.inputs, units)


def references() -> dict[str, dict[str, float]]:
    """{law: {measure: value}} of |w| for laws that weights are drawn from, from their quantiles.

    Uniform (PyTorch's layers at the start), a normal law cut at two deviations (Flax's), Gaussian.

    Example:
      >>> print({law: round(of["gini"], 3) for law, of in references().items()})
      {'uniform': 0.333, 'truncated normal': 0.392, 'Gaussian': 0.414}
    """
    u = (np.arange(_N_QUANTILES) + 0.5) / _N_QUANTILES
    laws = {
        "uniform": u,
        "truncated normal": stats.truncnorm.ppf(u, 0, 2),
        "Gaussian": stats.halfnorm.ppf(u),
    }
    return {
        law: {name: float(m(jnp.asarray(a, jnp.float32))) for name, m in MEASURES.items()}
        for law, a in laws.items()
    }


def inspect(
    path: Path,
    layout: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Inspected:
    """Measure every layer of a file, one after another; `progress` gets (layers done, in all).

    Raises:
      ValueError: if the file cannot be read (`tensors.tensors_of`), or holds no layer.
    """
    found, skipped = layers_of(tensors_of(path), layout)
    layers, values = {}, {}
    for done, layer in enumerate(found, start=1):
        try:
            kernels = (layer.read(s) for s in range(layer.n_networks))
            rows = [
                measure(k, live) if np.isfinite(k).all() and k.any() else None
                for k, live in kernels
            ]
        except Exception as error:  # what a damaged file can make a reader raise has no end
            why = f"{path}: {layer.name} cannot be read, perhaps damaged: {str(error)[:200]}"
            raise ValueError(why) from error
        sound = [row for row in rows if row is not None]
        if len(sound) < len(rows):
            skipped[layer.name] = "holds what is not finite, or nothing but 0"
        else:
            layers[layer.name] = layer
            values[layer.name] = {
                view: {name: np.array([row[view][name] for row in sound]) for name in MEASURES}
                for view in VIEWS
            }
        progress(done, len(found))
    if not layers:
        some = "; ".join(f"{name} is {why}" for name, why in list(skipped.items())[:3])
        raise ValueError(f"{path}: must hold a layer's weights, got none: {some or 'no tensor'}")
    return Inspected(path, layers, values, skipped)


def compare_groups(
    baseline: Sequence[Inspected], against: Sequence[Inspected], paired: bool
) -> list[dict[str, Any]]:
    """Differences, against minus baseline, in the layers that all files have.

    A file of a run counts with the mean over its seeds. A family, over which Holm's p-values hold,
    is one measure: all layers and both views.

    Args:
      baseline: files of networks.
      against: files to compare with them; if `paired` as many, file by file.

    Raises:
      ValueError: if there are too few files, not as many of both, or no common layer.
    """
    everything = [*baseline, *against]
    common = [
        name
        for name, layer in everything[0].layers.items()
        if all(name in f.layers and f.layers[name].shape == layer.shape for f in everything)
    ]
    if not common:
        raise ValueError("the files must have layers of one name and shape in common, got none")
    if paired and len(baseline) != len(against):
        raise ValueError(
            f"paired groups must be of as many files, got {len(baseline)} and {len(against)}"
        )
    cells = [(name, view) for name in common for view in VIEWS[:2]]
    compare = statistics.compare if paired else unpaired.compare
    rows = []
    for measured in MEASURES:
        groups = [
            np.array([[f.values[l][view][measured].mean() for l, view in cells] for f in group])
            for group in (baseline, against)
        ]
        compared = compare(*groups, higher_is_uniform=measured in HIGHER_IS_UNIFORM)
        for (layer, view), one in zip(cells, compared, strict=True):
            rows.append({"layer": layer, "view": view, "measure": measured, **one._asdict()})
    return rows


def tidy(files: Sequence[Inspected]) -> list[tuple[str, int, str, str, str, float]]:
    """Every number as a row: file, seed, layer, view, measure, value."""
    return [
        (str(file.path), s, layer, view, name, float(value))
        for file in files
        for layer, views in file.values.items()
        for view, of_view in views.items()
        for name, values in of_view.items()
        for s, value in enumerate(values)
    ]
