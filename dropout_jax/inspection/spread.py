"""How evenly the weights of one kernel are spread.

A kernel is padded with zeros to one of a few sizes, as each size is compiled anew, which takes
seconds. To save memory, two measures of all entries are computed at a time, and 64 units at a time.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from dropout_jax.analysis.uniformity import MEASURES, Profile, profile
from dropout_jax.analysis.views import Live, measure_columns

VIEWS = ("entries", "columns", "columns_shuffled")
_N_SHUFFLED = 256  # units, enough for their mean
_BLOCK = 64  # units measured at once
_LEAST_ENTRIES, _LEAST_INPUTS = 1 << 14, 64  # fewer are padded: it takes under a millisecond
# Measures that sort share the sort; all six in one program would take eight times the memory.
_TOGETHER = (("gini", "top10_share"), ("cv", "hoyer"), ("entropy", "participation"))
N_POINTS = 101  # of a profile


@partial(jax.jit, static_argnums=0)
def _measure_entries(names: Sequence[str], entries: jax.Array, n: int) -> dict[str, jax.Array]:
    where = jnp.arange(len(entries)) < n
    return {name: MEASURES[name](entries, where) for name in names}


@jax.jit
def _profile(entries: jax.Array, n: int) -> Profile:
    return profile(entries, jnp.arange(len(entries)) < n, n_points=N_POINTS)


@jax.jit
def _measure_units(block: jax.Array, n_inputs: int, n_units: int) -> dict[str, jax.Array]:
    live = Live(jnp.arange(len(block)) < n_inputs, jnp.arange(_BLOCK) < n_units)
    return {name: measure_columns(measure, block, live) for name, measure in MEASURES.items()}


def measure(kernel: np.ndarray) -> dict[str, dict[str, float]]:
    """All measures {view: {measure: value}} of |w| of a kernel [in, out], in single precision.

    `entries` are all weights; `columns` are those of one unit, measured and averaged over units.
    `columns_shuffled` is the same after the weights were shuffled over the layer, to at most 256
    units. But for chance it differs from `columns` only if some units have larger weights than
    others, or a law of their own. A value is NaN without a distribution, as with a single input.
    """
    entries = _padded(kernel)
    return {
        "entries": {
            name: float(value)
            for names in _TOGETHER
            for name, value in _measure_entries(names, entries, kernel.size).items()
        },
        "columns": _mean_over_units(kernel),
        "columns_shuffled": _mean_over_units(_shuffled(kernel)),
    }


def profile_kernel(kernel: np.ndarray) -> Profile:
    """|w| of a kernel [in, out], sorted, and its Lorenz curve at 101 fractions.

    Example:
      >>> kernel = np.array([[1.0, 3.0]], np.float32)
      >>> print(profile_kernel(kernel).lorenz[50])  # the smaller half has a quarter
      0.25
    """
    return jax.device_get(_profile(_padded(kernel), kernel.size))


def _padded_size(n: int, least: int) -> int:
    """The multiple of `least` that n numbers are padded to: one of four between powers of two."""
    step = max(least, (1 << n.bit_length()) >> 3)
    return -(-max(n, 1) // step) * step


def _padded(kernel: np.ndarray) -> np.ndarray:
    """The entries of a kernel in a row, with zeros behind them."""
    entries = np.zeros(_padded_size(kernel.size, _LEAST_ENTRIES), np.float32)
    entries[: kernel.size] = kernel.ravel()
    return entries


def _mean_over_units(kernel: np.ndarray) -> dict[str, float]:
    """Every measure of the weights into one unit, averaged over units, a block at a time."""
    n_inputs, n_units = kernel.shape
    sums = dict.fromkeys(MEASURES, 0.0)
    for start in range(0, n_units, _BLOCK):
        units = kernel[:, start : start + _BLOCK]
        block = np.zeros((_padded_size(n_inputs, _LEAST_INPUTS), _BLOCK), np.float32)
        block[:n_inputs, : units.shape[1]] = units
        for name, mean in _measure_units(block, *units.shape).items():
            sums[name] += float(mean) * units.shape[1]
    return {name: total / n_units if n_units else np.nan for name, total in sums.items()}


def _shuffled(kernel: np.ndarray) -> np.ndarray:
    """Units [in, ≤ 256] whose weights are drawn from all of the layer, none twice."""
    n_inputs, n_units = kernel.shape
    shape = (n_inputs, min(n_units, _N_SHUFFLED))
    drawn = np.random.default_rng(0).choice(kernel.size, shape[0] * shape[1], replace=False)
    return kernel[drawn // n_units, drawn % n_units].reshape(shape)
