"""The weight analysis for anybody's network: every layer is measured and set beside references.

One layer is in memory at a time, and little beside it: its entries are measured by two
measures at a time, the weights of single units by 256 units at a time.

Shapes: S networks (seeds) of a file, K comparisons of one family.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from dropout_jax.analysis.groups import compare as compare_unpaired
from dropout_jax.analysis.paired import compare as compare_paired
from dropout_jax.analysis.uniformity import HIGHER_IS_UNIFORM, MEASURES
from dropout_jax.analysis.views import Live, measure_columns, measure_entries
from dropout_jax.inspection.kernels import Layer, all_alive, in_float32, layers_of
from dropout_jax.inspection.tensors import tensors_of
from dropout_jax.io.readers import on_one_line

VIEWS = ("entries", "columns", "columns_shuffled")
N_UNITS = 256  # measured at once, and enough for the mean over shuffled columns
# Those that sort share the sort; all six in one program would take eight times a layer's memory.
TOGETHER = (("gini", "top10_share"), ("cv", "hoyer"), ("entropy", "participation"))
_N_QUANTILES = 100_000


class Inspected(NamedTuple):
    """What was found in a file: layers with {view: {measure: values [S]}}, and why others not."""

    path: Path
    layers: dict[str, Layer]
    values: dict[str, dict[str, dict[str, np.ndarray]]]
    skipped: dict[str, str]


@partial(jax.jit, static_argnums=0)
def _of_entries(names: Sequence[str], kernel: jax.Array, live: Live) -> dict[str, jax.Array]:
    return {name: measure_entries(MEASURES[name], kernel, live) for name in names}


@jax.jit
def _of_units(kernel: jax.Array, live: Live) -> dict[str, jax.Array]:
    return {name: measure_columns(m, kernel, live) for name, m in MEASURES.items()}


def measure(
    kernel: np.ndarray, live: Live | None = None, seed: int = 0
) -> dict[str, dict[str, float]]:
    """All measures {view: {measure: value}} of |w| of a kernel [in, out], or what is alive of it.

    A unit without any weight, as pruning leaves, is dead. `entries` are all of them, `columns` the
    mean over the inputs of one unit each; beside it `columns_shuffled`, the same of the same
    weights dealt anew over the layer (to 256 units at most), which only differs if some units have
    larger weights than others, or a law of their own. NaN where there is no distribution, as of a
    single input.

    Args:
      kernel: [in, out].
      live: what counts of it, by default all.
      seed: of the shuffle.

    Example:
      >>> found = measure(np.array([[1.0, 10.0], [1.0, 10.0]], np.float32))
      >>> print(round(found["columns"]["gini"], 3))  # the weights of one unit are alike
      0.0
    """
    kernel = in_float32(kernel)
    live = live or all_alive(kernel)
    weighed = kernel.any(axis=0, where=np.asarray(live.inputs)[:, None])
    live = live._replace(outputs=jnp.asarray(live.outputs) & weighed)
    once = jnp.asarray(kernel)
    return {
        "entries": {
            name: float(value)
            for names in TOGETHER
            for name, value in _of_entries(names, once, live).items()
        },
        "columns": _mean_over_units(kernel, live),
        "columns_shuffled": _mean_over_units(*_dealt_anew(kernel, live, seed)),
    }


def _mean_over_units(kernel: np.ndarray, live: Live) -> dict[str, float]:
    """Every measure of the inputs of one unit, the mean over live units, some of them at a time."""
    counted = np.flatnonzero(np.asarray(live.outputs))
    sums = dict.fromkeys(MEASURES, 0.0)
    width = min(N_UNITS, kernel.shape[1])  # of every block, so that one program does
    for start in range(0, len(counted), width):
        units = counted[start : start + width]
        block = np.zeros((len(kernel), width), np.float32)
        block[:, : len(units)] = kernel[:, units]
        means = _of_units(block, Live(live.inputs, jnp.arange(width) < len(units)))
        for name, mean in means.items():
            sums[name] += float(mean) * len(units)
    return {name: total / len(counted) if len(counted) else np.nan for name, total in sums.items()}


def _dealt_anew(kernel: np.ndarray, live: Live, seed: int) -> tuple[np.ndarray, Live]:
    """Units [in, ≤ 256] whose living weights are drawn from all of the layer's, none twice."""
    inputs, outputs = np.asarray(live.inputs), np.asarray(live.outputs)
    units = np.arange(min(kernel.shape[1], N_UNITS)) < outputs.sum()
    counts = np.outer(inputs, units)
    n_inputs, n_outputs = inputs.sum(), outputs.sum()
    drawn = np.random.default_rng(seed).choice(n_inputs * n_outputs, counts.sum(), replace=False)
    rows, columns = np.flatnonzero(inputs), np.flatnonzero(outputs)
    dealt = np.zeros(counts.shape, kernel.dtype)
    dealt[counts] = kernel[rows[drawn // n_outputs], columns[drawn % n_outputs]]
    return dealt, Live(live.inputs, jnp.asarray(units))


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


def _measure_sound(kernel: np.ndarray, live: Live) -> dict[str, dict[str, float]] | None:
    """What `measure` gives, None if there is nothing to measure."""
    return measure(kernel, live) if np.isfinite(kernel).all() and kernel.any() else None


def mean(values: np.ndarray) -> float:
    """The mean over the networks of a file that have a value, NaN if none has.

    Example:
      >>> print(mean(np.array([1.0, np.nan, 2.0])))
      1.5
    """
    known = values[np.isfinite(values)]
    return float(known.mean()) if known.size else np.nan


def common_layers(files: Sequence[Inspected]) -> tuple[list[str], dict[str, str]]:
    """The layers of one name and shape in all files, and for all others why they are not."""
    shapes = [{name: layer.shape for name, layer in file.layers.items()} for file in files]
    names = dict.fromkeys(name for of_file in shapes for name in of_file)
    why = {}
    for name in names:
        if any(name not in of_file for of_file in shapes):
            why[name] = "not in all files"
        elif len({of_file[name] for of_file in shapes}) > 1:
            why[name] = "not of one shape in all files"
    return [name for name in names if name not in why], why


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
            measured = [_measure_sound(*layer.read(s)) for s in range(layer.n_networks)]
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
                skipped[name] = "holds what is not finite, or nothing but 0"
        if any(measured):
            layers[layer.name] = layer
            values[layer.name] = {
                view: {
                    name: np.array([row[view][name] if row else np.nan for row in measured])
                    for name in MEASURES
                }
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
    is one measure: all layers and both views, where every file has a value.

    Args:
      baseline: files of networks.
      against: files to compare with them; if `paired` as many, file by file.

    Raises:
      ValueError: if there are too few files, not as many of both, or no common layer.

    Example:
      >>> import tempfile
      >>> from safetensors.numpy import save_file
      >>> kernel = np.random.default_rng(0).normal(size=(8, 4)).astype(np.float32)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     for i in range(4):
      ...         path = Path(folder, f"{i}.safetensors")
      ...         save_file({"kernel": np.roll(kernel, i, 0) * 1.1**i, "bias": np.ones(4)}, path)
      ...     files = [inspect(path) for path in sorted(Path(folder).iterdir())]
      >>> print(files[0].skipped["bias"])
      a vector or a number, as biases and scales are
      >>> print(common_layers(files)[0], len(tidy(files)))  # 4 files, 3 views, 6 measures
      ['kernel'] 72
      >>> row, *_ = compare_groups(files[:2], files[2:], paired=False)
      >>> print(row["measure"], row["verdict"])
      gini undecided
    """
    everything = [*baseline, *against]
    common, _ = common_layers(everything)
    if not common:
        raise ValueError("the files must have layers of one name and shape in common, got none")
    if paired and len(baseline) != len(against):
        raise ValueError(
            f"paired groups must be of as many files, got {len(baseline)} and {len(against)}"
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
        values = [
            np.array([[mean(f.values[l][view][measured]) for l, view in cells] for f in group])
            for group in (baseline, against)
        ]
        compared = compare(*values, higher_is_uniform=measured in HIGHER_IS_UNIFORM)
        for (layer, view), one in zip(cells, compared, strict=True):
            rows.append({"layer": layer, "view": view, "measure": measured, **one._asdict()})
    return rows


def tidy(files: Sequence[Inspected]) -> list[tuple[str, int, str, str, str, float]]:
    """Every number as a row: file, seed, layer, view, measure, value; none where there is none."""
    return [
        (str(file.path), s, layer, view, name, float(value))
        for file in files
        for layer, views in file.values.items()
        for view, of_view in views.items()
        for name, values in of_view.items()
        for s, value in enumerate(values)
        if np.isfinite(value)
    ]
