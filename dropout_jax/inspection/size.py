"""How large the weights of one layer are, and how many of its directions they use."""

from typing import Any, NamedTuple

import numpy as np
from scipy.sparse import linalg

from dropout_jax.inspection.kernels import Kernel

_TOLERANCE: Any = 1e-5  # of the largest singular value, relative


class Size(NamedTuple):
    """Numbers of one kernel W [in, out].

    Attributes:
      weights: how many there are, in · out.
      norm: Frobenius norm ‖W‖, the root of the sum of squares.
      spectral_norm: the largest singular value σ, the most that W lengthens a vector.
      stable_rank: ‖W‖² / σ² (Rudelson & Vershynin 2007, §1), from 1 to the rank.
      dead_units: outputs that are constant, or have no incoming weight but 0.
    """

    weights: int
    norm: float
    spectral_norm: float
    stable_rank: float
    dead_units: int


def measure_size(kernel: Kernel) -> Size:
    """The size of a finite kernel; one that is 0 everywhere has a stable rank of NaN."""
    weights = kernel.weights
    _, own = np.frexp(max(weights.max(), -weights.min()))
    w = np.ldexp(weights, -own)  # the largest in [.5, 1): squares neither overflow nor vanish
    norm = float(np.sqrt(np.einsum("io,io->", w, w, dtype=np.float64)))
    spectral = norm if min(w.shape) == 1 or not norm else _largest_singular_value(w)
    with np.errstate(over="ignore", under="ignore"):  # a norm beyond double precision is inf
        true_norm, true_spectral = np.ldexp((norm, spectral), own + kernel.exponent)
    n_dead = weights.shape[1] - kernel.alive.shape[1]
    stable_rank = (norm / spectral) ** 2 if norm else np.nan
    return Size(weights.size, float(true_norm), float(true_spectral), stable_rank, n_dead)


def _largest_singular_value(kernel: np.ndarray) -> float:
    """The largest singular value, by Lanczos iteration from a fixed start."""
    start = np.random.default_rng(0).normal(size=min(kernel.shape)).astype(kernel.dtype)
    try:
        found: Any = linalg.svds(
            kernel, k=1, v0=start, tol=_TOLERANCE, return_singular_vectors=False
        )
    except linalg.ArpackError:  # as where all singular values are equal
        return float(np.linalg.norm(kernel, 2))
    return float(found[0])
