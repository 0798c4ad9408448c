"""Arrays from files of unknown origin: nothing is unpickled, and memory is bounded.

A compressed file can unfold to a thousand times its size and more, and a header can promise any
shape. So what is promised is checked against `MAX_BYTES` first, and then read in pieces, no further
than was promised.
"""

import gzip
import math
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np

# Bytes that the files of one data set may unfold to. EMNIST by class, the largest set of the kind
# that is meant here, takes .6 GiB as bytes, 2.4 as float32.
MAX_BYTES = 4 * 2**30
_PIECE = 2**20  # bytes read at once
_READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


class _Bytes(Protocol):
    """A file of bytes, of whatever kind."""

    def read(self, size: int, /) -> bytes:
        """The next bytes, `size` of them at most."""
        ...


def on_one_line(error: Exception) -> str:
    """The message of an error of another library.

    Example:
      >>> print(on_one_line(ValueError("a message   of   words")))
      a message of words
    """
    return " ".join(str(error).split()) or type(error).__name__


def read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The arrays `x` and `y` of an `.npz`.

    Raises:
      ValueError: if the file is none, does not hold both, or holds more than `MAX_BYTES` of them,
        objects, or members that NumPy does not write.
    """
    if not path.is_file():
        raise ValueError(f"dataset must be an existing .npz file, got {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if {"x", "y"} <= set(members):
                x, y = members["x"], members["y"]
                _check_size(x.file_size + y.file_size, MAX_BYTES)
                return _read_npy(archive, x), _read_npy(archive, y)
            found = ", ".join(sorted(members)) or "none"
    except Exception as error:  # what a foreign file can make a reader raise has no end
        why = f"{path}: cannot be read as an .npz of plain arrays: {on_one_line(error)}"
        raise ValueError(why) from error
    raise ValueError(f"{path}: must hold the arrays x and y, got {found}")


def npz_headers(path: Path) -> dict[str, tuple[tuple[int, ...], np.dtype]]:
    """Shape and dtype of every array of an `.npz` by its name; none is read.

    Raises:
      ValueError: if a member is no array that NumPy writes.
    """
    headers = {}
    with zipfile.ZipFile(path) as archive:
        members = archive.namelist()
        if any(not member.endswith(".npy") for member in members):
            raise ValueError(f"an .npz must hold arrays alone, got {members[0]!r:.80}")
        for name in members:
            with archive.open(name) as member:
                shape, _, dtype = _read_header(member, name)
            headers[name.removesuffix(".npy")] = (shape, dtype)
    return headers


def npz_member(path: Path, name: str) -> np.ndarray:
    """The member `name` alone; errors are those of `npz_headers`."""
    with zipfile.ZipFile(path) as archive:
        return _read_npy(archive, archive.getinfo(f"{name}.npy"))


def _read_header(member: Any, name: str) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether in Fortran's order, and dtype of an array whose file begins here."""
    with warnings.catch_warnings(action="ignore"):
        version = np.lib.format.read_magic(member)
        if version not in _READ_HEADER:
            raise ValueError(f"{name} must be of version 1.0 or 2.0, got {version}")
        shape, fortran_order, dtype = _READ_HEADER[version](member)
    if dtype.hasobject:
        raise ValueError(f"{name} must hold numbers, got objects")
    if min(shape, default=0) < 0:
        raise ValueError(f"{name} must have no negative size, got {shape}")
    return shape, fortran_order, dtype


def _read_npy(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> np.ndarray:
    """One array, of the size that the archive's directory says, which never bounds what is true."""
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{info.filename} must be stored or deflated, not compressed otherwise")
    with archive.open(info) as member:
        shape, fortran_order, dtype = _read_header(member, info.filename)
        n_bytes = math.prod(shape) * dtype.itemsize
        raw = _read_at_most(member, n_bytes + 1)
    if len(raw) != n_bytes:
        more = " or more" if len(raw) > n_bytes else ""
        raise ValueError(f"{info.filename} must hold {n_bytes:,} bytes, got {len(raw):,}{more}")
    return np.frombuffer(raw, dtype).reshape(shape, order="F" if fortran_order else "C")


def read_idx(path: Path, rank: int, limit: int) -> np.ndarray:
    """The array of one IDX file of bytes, `.gz` or plain, of `limit` bytes at most.

    The file is 0, 0, type 8, the rank, the sizes as big-endian int32, and the data.

    Raises:
      ValueError: if it cannot be read, does not start so, or holds more or less than its sizes say.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            shape = _read_idx_header(file, rank)
            _check_size(math.prod(shape), limit)
            raw = _read_at_most(file, math.prod(shape) + 1)
    except (OSError, EOFError, zlib.error) as error:
        why = f"{path}: cannot be read, perhaps truncated: {on_one_line(error)}"
        raise ValueError(why) from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if len(raw) != math.prod(shape):
        more = " or more" if len(raw) > math.prod(shape) else ": truncated?"
        raise ValueError(f"{path}: the header promises {shape} bytes, got {len(raw)}{more}")
    return np.frombuffer(raw, np.uint8).reshape(shape)


def _read_idx_header(file: _Bytes, rank: int) -> tuple[int, ...]:
    """The sizes that an IDX file begins with."""
    start, sizes = file.read(4), file.read(4 * rank)
    if start != bytes([0, 0, 8, rank]):
        raise ValueError(f"an IDX file of bytes must start with 0000080{rank}, got {start.hex()}")
    if len(sizes) < 4 * rank:
        raise ValueError(f"its header must be of {4 + 4 * rank} bytes, got {4 + len(sizes)}")
    shape = tuple(int(size) for size in np.frombuffer(sizes, ">i4"))
    if min(shape) < 0:
        raise ValueError(f"its sizes must not be negative, got {shape}")
    return shape


def _check_size(n_bytes: int, limit: int) -> None:
    if n_bytes > limit:
        raise ValueError(
            f"a data set may unfold to {MAX_BYTES:,} bytes, of which {limit:,} are left, got "
            f"{n_bytes:,}"
        )


def _read_at_most(file: _Bytes, n_bytes: int) -> bytearray:
    """So many bytes or as many as there are; memory is taken for what there is, piece by piece."""
    raw = bytearray()
    while piece := file.read(min(_PIECE, n_bytes - len(raw))):
        raw += piece
    return raw
