"""Which data a network can be trained on; what cannot is refused in one line.

Shapes: n examples, D inputs, K outputs.
"""

import math
from typing import Any

import jax.numpy as jnp
from jax.core import Tracer

from dropout_jax.data import Array, Dataset

_NO_CLASSES = "; for labels that are no classes, give Config a loss_fn"


def check_dataset(data: Dataset, n_classes: int | None = None, vectors: bool = False) -> None:
    """Raise ValueError unless a network can be trained on `data`; arguments as `check_examples`.

    Raises:
      TypeError: if `data` is no `Dataset`.
    """
    if not isinstance(data, Dataset):
        raise TypeError(f"data must be a Dataset, got {type(data).__name__}")
    check_examples(data.x_train, data.y_train, n_classes, "_train", vectors)
    check_examples(data.x_test, data.y_test, n_classes, "_test", vectors)
    for name, what in (("x", "inputs"), ("y", "labels")):
        train, test = (getattr(data, f"{name}_{part}").shape[1:] for part in ("train", "test"))
        if train != test:
            raise ValueError(
                f"{name}_train and {name}_test must have the same {what}, got {train} and {test}"
            )


def check_examples(
    x: Array, y: Array, n_classes: int | None = None, suffix: str = "", vectors: bool = False
) -> None:
    """Raise ValueError unless x [n, …] are finite inputs and y [n] their labels.

    Shapes and types are always checked, values only if they are not traced.

    Args:
      n_classes: K, if labels are classes 0 … K - 1; None if a label may be any finite number, or a
        vector of numbers: y [n, K].
      suffix: what errors add to the names x and y.
      vectors: whether an example must be a vector of inputs, as an MLP takes it: x [n, D].
    """
    has_classes = n_classes is not None
    _check_shapes(x, y, has_classes, suffix, vectors)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise ValueError(f"x{suffix} must hold floating-point numbers, got {x.dtype}")
    kinds = (jnp.integer,) if has_classes else (jnp.floating, jnp.integer, jnp.bool_)
    if not any(jnp.issubdtype(y.dtype, kind) for kind in kinds):
        hold = "integer classes" if has_classes else "real numbers"
        advice = _NO_CLASSES if has_classes else ""
        raise ValueError(f"y{suffix} must hold {hold}, got {y.dtype}{advice}")
    for name, array in (("x", x), ("y", y)):
        known = array.size and not isinstance(array, Tracer)
        # Seen by the least and the largest, as XLA's CPU backend is slow at `all`.
        if known and not (math.isfinite(array.min()) and math.isfinite(array.max())):
            raise ValueError(f"{name}{suffix} must be finite, got NaN or infinite entries")
    if n_classes is not None and not isinstance(y, Tracer):
        low, high = int(y.min()), int(y.max())
        if low < 0 or high >= n_classes:
            raise ValueError(
                f"y{suffix} must hold classes 0 … {n_classes - 1}, as many as the network has "
                f"outputs, got {low} … {high}"
            )


def _check_shapes(x: Any, y: Any, has_classes: bool, suffix: str, vectors: bool) -> None:
    """Raise what `check_examples` says it raises for shapes, and for what is no array."""
    inputs, labels = "D" if vectors else "…", "[n]" if has_classes else "[n] or [n, K]"
    wanted = f"x{suffix} must be an array [n, {inputs}] and y{suffix} one of {labels} with n > 0"
    if not (hasattr(x, "shape") and hasattr(y, "shape")):
        got = (getattr(array, "shape", type(array).__name__) for array in (x, y))
        raise ValueError("{}, got {} and {}".format(wanted, *got))
    ranked = len(x.shape) == 2 if vectors else len(x.shape) > 1
    paired = ranked and x.size and y.shape[:1] == x.shape[:1]
    if not paired or len(y.shape) > (1 if has_classes else 2):
        advice = _NO_CLASSES if paired and len(y.shape) == 2 else ""
        raise ValueError(f"{wanted}, got {x.shape} and {y.shape}{advice}")
