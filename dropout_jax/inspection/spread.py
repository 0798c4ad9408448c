"""How evenly the weights of one kernel are spread, and references to set the numbers beside.

To save memory, two measures of all entries are computed at a time, and 256 units at a time.
"""

from collections.abc import Sequence
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from dropout_jax.analysis.uniformity import MEASURES, Profile, profile
from dropout_jax.analysis.views import Live, measure_columns, measure_entries
from dropout_jax.inspection.kernels import all_alive, in_float32, weighed

VIEWS = ("entries", "columns", "columns_shuffled")
_N_UNITS = 256  # measured at once, and enough for the mean over shuffled columns
# Measures that sort share the sort; all six in one program would take eight times the memory.
_TOGETHER = (("gini", "top10_share"), ("cv", "hoyer"), ("entropy", "participation"))
_N_QUANTILES = 100_000
N_POINTS = 101  # of a profile
_profile = partial(profile, n_points=N_POINTS)


@partial(jax.jit, static_argnums=0)
def _of_entries(names: Sequence[str], kernel: jax.Array, live: Live) -> dict[str, jax.Array]:
    return {name: measure_entries(MEASURES[name], kernel, live) for name in names}


@jax.jit
def _profile_of(kernel: jax.Array, live: Live) -> Profile:
    return measure_entries(_profile, kernel, live)


@jax.jit
def _of_units(kernel: jax.Array, live: Live) -> dict[str, jax.Array]:
    return {name: measure_columns(m, kernel, live) for name, m in MEASURES.items()}


def measure(
    kernel: np.ndarray, live: Live | None = None, seed: int = 0
) -> dict[str, dict[str, float]]:
    """All measures {view: {measure: value}} of |w| of a kernel [in, out], or what is alive of it.

    `entries` are all weights; `columns` are those of one unit, measured and averaged over units.
    `columns_shuffled` is the same after the weights were dealt anew over the layer, to at most 256
    units. It differs from `columns` only if some units have larger weights than others, or a law of
    their own. A unit without any weight, as pruning leaves it, is dead. A value is NaN where there
    is no distribution, as with a single input.

    Args:
      kernel: [in, out].
      live: the inputs and outputs that count, by default all.
      seed: the seed of the shuffle.

    Example:
      >>> found = measure(np.array([[1.0, 10.0], [1.0, 10.0]], np.float32))
      >>> print(round(found["columns"]["gini"], 3))  # the weights of one unit are alike
      0.0
    """
    kernel = in_float32(kernel)
    live = live or all_alive(kernel)
    live = live._replace(outputs=jnp.asarray(weighed(kernel, live)))
    once = jnp.asarray(kernel)
    return {
        "entries": {
            name: float(value)
            for names in _TOGETHER
            for name, value in _of_entries(names, once, live).items()
        },
        "columns": _mean_over_units(kernel, live),
        "columns_shuffled": _mean_over_units(*_dealt_anew(kernel, live, seed)),
    }


def profile_of(kernel: np.ndarray, live: Live) -> Profile:
    """|w| of what is alive of a kernel [in, out], sorted, and its Lorenz curve at 101 fractions.

    Example:
      >>> kernel = np.array([[1.0, 3.0]], np.float32)
      >>> print(profile_of(kernel, all_alive(kernel)).lorenz[50])  # the smaller half has a quarter
      0.25
    """
    live = live._replace(outputs=jnp.asarray(weighed(kernel, live)))
    return jax.tree.map(np.asarray, _profile_of(jnp.asarray(in_float32(kernel)), live))


def _mean_over_units(kernel: np.ndarray, live: Live) -> dict[str, float]:
    """Every measure of the weights into one unit, averaged over live units, a block at a time."""
    counted = np.flatnonzero(np.asarray(live.outputs))
    sums = dict.fromkeys(MEASURES, 0.0)
    width = min(_N_UNITS, kernel.shape[1])  # of every block, so that one program does
    for start in range(0, len(counted), width):
        units = counted[start : start + width]
        block = np.zeros((len(kernel), width), np.float32)
        block[:, : len(units)] = kernel[:, units]
        means = _of_units(block, Live(live.inputs, jnp.arange(width) < len(units)))
        for name, mean in means.items():
            sums[name] += float(mean) * len(units)
    return {name: total / len(counted) if len(counted) else np.nan for name, total in sums.items()}


def _dealt_anew(kernel: np.ndarray, live: Live, seed: int) -> tuple[np.ndarray, Live]:
    """Units [in, ≤ 256] whose live weights are drawn from all of the layer, none twice."""
    inputs, outputs = np.asarray(live.inputs), np.asarray(live.outputs)
    units = np.arange(min(kernel.shape[1], _N_UNITS)) < outputs.sum()
    counts = np.outer(inputs, units)
    n_inputs, n_outputs = inputs.sum(), outputs.sum()
    drawn = np.random.default_rng(seed).choice(n_inputs * n_outputs, counts.sum(), replace=False)
    rows, columns = np.flatnonzero(inputs), np.flatnonzero(outputs)
    dealt = np.zeros(counts.shape, kernel.dtype)
    dealt[counts] = kernel[rows[drawn // n_outputs], columns[drawn % n_outputs]]
    return dealt, Live(live.inputs, jnp.asarray(units))


def references() -> dict[str, dict[str, float]]:
    """{law: {measure: value}} of |w| for the usual laws of weights, from their quantiles.

    PyTorch's layers start uniform, those of Flax from a normal law truncated at two deviations.

    Example:
      >>> print({law: round(of["gini"], 3) for law, of in references().items()})
      {'uniform': 0.333, 'truncated normal': 0.392, 'Gaussian': 0.414}
    """
    return {
        law: {name: float(m(a)) for name, m in MEASURES.items()}
        for law, a in _magnitudes_of_laws().items()
    }


def profiles_of_laws() -> dict[str, Profile]:
    """{law: its magnitudes, sorted, and their Lorenz curve at 101 fractions}.

    Example:
      >>> print(profiles_of_laws()["uniform"].lorenz[50].round(3))  # the smaller half: a quarter
      0.25
    """
    laws = _magnitudes_of_laws()
    return {law: jax.tree.map(np.asarray, _profile(a)) for law, a in laws.items()}


def _magnitudes_of_laws() -> dict[str, jax.Array]:
    """Quantiles of |w| under each law; the scale does not matter."""
    u = (np.arange(_N_QUANTILES) + 0.5) / _N_QUANTILES
    laws = {
        "uniform": u,
        "truncated normal": stats.truncnorm.ppf(u, 0, 2),
        "Gaussian": stats.halfnorm.ppf(u),
    }
    return {law: jnp.asarray(a, jnp.float32) for law, a in laws.items()}
