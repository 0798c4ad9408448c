"""The usual laws of weights: references to set the numbers of a kernel beside."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from dropout_jax.analysis.uniformity import MEASURES, Profile, profile
from dropout_jax.inspection.spread import N_POINTS

_N_QUANTILES = 100_000


def references() -> dict[str, dict[str, float]]:
    """{law: {measure: value}} of |w| for the usual laws of weights, from their quantiles.

    PyTorch's layers start uniform, those of Flax from a normal law truncated at two deviations.
    """
    measure_all = jax.jit(lambda a: {name: measure(a) for name, measure in MEASURES.items()})
    found = {law: measure_all(a) for law, a in _quantiles_of_laws().items()}
    return {law: {name: float(of[name]) for name in MEASURES} for law, of in found.items()}


def reference_profiles() -> dict[str, Profile]:
    """{law: its magnitudes, sorted, and their Lorenz curve at 101 fractions}.

    Example:
      >>> print(reference_profiles()["uniform"].lorenz[50].round(3))  # the smaller half: a quarter
      0.25
    """
    laws = _quantiles_of_laws()
    return {law: jax.device_get(profile(a, n_points=N_POINTS)) for law, a in laws.items()}


def _quantiles_of_laws() -> dict[str, jax.Array]:
    """Quantiles of |w| under each law; the scale does not matter."""
    u = (np.arange(_N_QUANTILES) + 0.5) / _N_QUANTILES
    laws = {
        "uniform": u,
        "truncated normal": stats.truncnorm.ppf(u, 0, 2),
        "Gaussian": stats.halfnorm.ppf(u),
    }
    return {law: jnp.asarray(a, jnp.float32) for law, a in laws.items()}
