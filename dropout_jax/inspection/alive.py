"""A kernel as it is measured: in single precision, and without what is dead."""

import jax.numpy as jnp
import numpy as np

from dropout_jax.analysis.views import Live


def in_float32(kernel: np.ndarray) -> tuple[np.ndarray, int]:
    """A kernel of any floating type as float32, and the e of the factor 2^-e that scales it.

    Only float64 is scaled, so that its largest magnitude lies in [.5, 1); else e is 0. No measure
    depends on the scale. Only weights below 2⁻¹⁴⁹ of the largest become 0.

    Example:
      >>> single, exponent = in_float32(np.array([1e-300, -3e-300]))
      >>> print(single.round(4), exponent)
      [ 0.1674 -0.5023] -994
    """
    if kernel.dtype != np.float64:
        return kernel.astype(np.float32, copy=False), 0
    largest = max(kernel.max(initial=0), -kernel.min(initial=0))
    if not np.isfinite(largest):
        largest = np.abs(kernel[np.isfinite(kernel)]).max(initial=0)
    _, exponent = np.frexp(largest)
    single = np.empty(kernel.shape, np.float32)
    np.ldexp(kernel, -exponent, out=single, casting="same_kind")  # by pieces: no copy
    return single, int(exponent)


def all_alive(kernel: np.ndarray) -> Live:
    """Every input and output of a kernel [in, out] counts.

    Example:
      >>> print(all_alive(np.ones((2, 1), np.float32)).inputs)
      [ True  True]
    """
    return Live(*(jnp.ones(size, bool) for size in kernel.shape))


def weighed(kernel: np.ndarray, live: Live) -> np.ndarray:
    """Which live units [out] of a kernel [in, out] have a weight other than 0 from a live input.

    Example:
      >>> kernel = np.array([[1.0, 0.0]])
      >>> print(weighed(kernel, all_alive(kernel)))
      [ True False]
    """
    return np.asarray(live.outputs) & kernel.any(axis=0, where=np.asarray(live.inputs)[:, None])


def alive(kernel: np.ndarray, live: Live | None = None) -> np.ndarray:
    """The rows and columns of a kernel [in, out] that count: live inputs, and units `weighed`.

    A unit without any weight, as pruning leaves it, is dead.

    Example:
      >>> print(alive(np.array([[1.0, 0.0], [2.0, 0.0]])))
      [[1.]
       [2.]]
    """
    live = live or all_alive(kernel)
    counted = np.asarray(live.inputs), weighed(kernel, live)
    return kernel if all(of.all() for of in counted) else kernel[np.ix_(*counted)]
