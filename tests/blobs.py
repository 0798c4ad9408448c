"""A toy data set, which a small network learns in a few epochs."""

import numpy as np

from dropout_jax.data import Dataset


def blobs(n: int = 70, n_inputs: int = 5) -> Dataset:
    """Three classes, each about a point of its own; the first 50 examples are for training."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 3, n).astype(np.int32)
    x = (rng.normal(size=(n, n_inputs)) + 2 * np.eye(3, n_inputs)[y]).astype(np.float32)
    return Dataset(x[:50], y[:50], x[50:], y[50:])
