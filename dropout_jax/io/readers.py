"""Arrays from files of unknown origin: nothing is unpickled, and memory is bounded.

A compressed file can unfold to a thousand times its size and more, and a header can promise any
shape. So the memory that this takes at its peak is checked first, against `MAX_BYTES`. Then
the file is read in pieces, no further than its header declares. A pipe or a device is never opened.
"""

import gzip
import io
import math
import warnings
import zipfile
import zlib
from pathlib import Path
from typing import IO, NamedTuple

import numpy as np

# Bytes that a data set, or a layer that is unfolded, may take at the peak. EMNIST by class, the
# largest set of this kind, takes .6 GiB as bytes and 5.4 GiB with the floats made of them.
MAX_BYTES = 6 * 2**30
AS_DATA = 8  # bytes an entry of a data set takes beside itself: as float32, copied once
AS_LAYER = 20  # those of an entry of a layer: as float32, and in four arrays while it is measured
_PIECE = 2**20  # bytes read at once
_HEADER = 2**16  # bytes that hold the header of an array; NumPy's own limit is lower
_READ_HEADER = {
    (1, 0): np.lib.format.read_array_header_1_0,
    (2, 0): np.lib.format.read_array_header_2_0,
}


def one_line(error: Exception) -> str:
    """The message of an error on one line; the name of its type if it has none.

    Example:
      >>> print(one_line(ValueError("a message   of   words")))
      a message of words
    """
    return " ".join(str(error).split()) or type(error).__name__


def read_npz(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """The arrays `x` and `y` of an `.npz`.

    Raises:
      ValueError: if there is no such file, it lacks one of them, holds objects or entries that
        NumPy does not write, or would take more than `MAX_BYTES` with the floats made of it.
    """
    if not path.is_file():
        raise ValueError(f"dataset must be an existing .npz file, got {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            arrays = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            if {"x", "y"} <= set(arrays):
                x, y = arrays["x"], arrays["y"]
                n_bytes = sum(_header(archive, one).n_bytes(AS_DATA) for one in (x, y))
                _check_memory(n_bytes, MAX_BYTES)
                return _read_npy(archive, x), _read_npy(archive, y)
            found = ", ".join(sorted(arrays)) or "none"
    except Exception as error:  # what a foreign file can make a reader raise has no end
        why = f"{path}: cannot be read as an .npz of plain arrays: {one_line(error)}"
        raise ValueError(why) from error
    raise ValueError(f"{path}: must hold the arrays x and y, got {found}")


class _Header(NamedTuple):
    """The header of an array; `length` is its own, in bytes."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype
    length: int

    def n_bytes(self, more: int = 0) -> int:
        """The bytes that the array takes, with `more` for each entry."""
        return math.prod(self.shape) * (self.dtype.itemsize + more)


def npz_headers(path: Path) -> dict[str, _Header]:
    """The header of every array of an `.npz`, by name; no array is read.

    Raises:
      ValueError: if an entry is no array that NumPy writes.
    """
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
        for entry in entries:
            if not entry.filename.endswith(".npy"):
                raise ValueError(f"an .npz must hold arrays alone, got {entry.filename!r:.80}")
        return {one.filename.removesuffix(".npy"): _header(archive, one) for one in entries}


def npz_array(path: Path, name: str, row: int | None = None) -> np.ndarray:
    """The array `name` alone, or a row of it; its size is bounded if it is compressed.

    Raises:
      ValueError: if it takes more than `MAX_BYTES` as a layer, or is no array that NumPy writes.
    """
    with zipfile.ZipFile(path) as archive:
        return _read_npy(archive, archive.getinfo(f"{name}.npy"), row, AS_LAYER)


def _header(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> _Header:
    """What the header of an array declares, read from no more than its first bytes."""
    name = info.filename
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(f"{name} must be stored or deflated, not compressed otherwise")
    # ignored: what NumPy warns of headers by Python 2 and of old types; they are checked below
    with archive.open(info) as entry, warnings.catch_warnings(action="ignore"):
        start = io.BytesIO(entry.read(_HEADER))
        version = np.lib.format.read_magic(start)
        if version not in _READ_HEADER:
            raise ValueError(f"{name} must be of version 1.0 or 2.0, got {version}")
        header = _Header(*_READ_HEADER[version](start), start.tell())
    if header.dtype.hasobject:
        raise ValueError(f"{name} must hold numbers, got objects")
    if min(header.shape, default=0) < 0:
        raise ValueError(f"{name} must have no negative size, got {header.shape}")
    return header


def _read_npy(
    archive: zipfile.ZipFile, info: zipfile.ZipInfo, row: int | None = None, more: int | None = None
) -> np.ndarray:
    """One array or its row, of the size that its header says; what is compressed is bounded.

    It is read from its start, as a zip has no other way in, and its checksum follows the last row.
    """
    header = _header(archive, info)
    if row is not None and header.fortran_order:
        return _read_npy(archive, info, None, more)[row]
    skipped, after = header.length, 1  # one byte more, so that what is too long is noticed
    if row is not None:
        header = header._replace(shape=header.shape[1:])
        skipped, after = skipped + row * header.n_bytes(), 0
    if more is not None and info.compress_type != zipfile.ZIP_STORED:
        _check_memory(header.n_bytes(more), MAX_BYTES)
    with archive.open(info) as entry:
        while skipped > 0 and (piece := entry.read(min(_PIECE, skipped))):
            skipped -= len(piece)
        raw = _read_at_most(entry, header.n_bytes() + after)
    if len(raw) != header.n_bytes():
        got = f"{len(raw):,}" + (" or more" if len(raw) > header.n_bytes() else "")
        raise ValueError(f"{info.filename} must hold {header.n_bytes():,} bytes, got {got}")
    order = "F" if header.fortran_order else "C"
    return np.frombuffer(raw, header.dtype).reshape(header.shape, order=order)


def read_idx(path: Path, rank: int, limit: int) -> np.ndarray:
    """The array of one IDX file of bytes, `.gz` or plain, that takes `limit` bytes at most.

    The file holds 0, 0, type 8, the rank, the sizes as big-endian int32, and the data. Each byte
    counts with the `AS_DATA` bytes that are made of it.

    Raises:
      ValueError: if it cannot be read, has another start, or more or fewer bytes than it promises.
    """
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            shape = _read_idx_header(file, rank)
            _check_memory(math.prod(shape) * (1 + AS_DATA), limit)
            raw = _read_at_most(file, math.prod(shape) + 1)
    except (OSError, EOFError, zlib.error) as error:
        why = f"{path}: cannot be read, perhaps truncated: {one_line(error)}"
        raise ValueError(why) from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    if len(raw) != math.prod(shape):
        more = " or more" if len(raw) > math.prod(shape) else ": truncated?"
        raise ValueError(f"{path}: the header promises {shape} bytes, got {len(raw)}{more}")
    return np.frombuffer(raw, np.uint8).reshape(shape)


def _read_idx_header(file: IO[bytes] | gzip.GzipFile, rank: int) -> tuple[int, ...]:
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


def _check_memory(n_bytes: int, limit: int) -> None:
    if n_bytes > limit:
        raise ValueError(
            f"what is read may take {MAX_BYTES:,} bytes of memory, of which {limit:,} are left, "
            f"got {n_bytes:,}"
        )


def _read_at_most(file: IO[bytes] | gzip.GzipFile, n_bytes: int) -> bytearray:
    """At most `n_bytes`, read piece by piece, so that memory is taken for what is there."""
    raw = bytearray()
    while piece := file.read(min(_PIECE, n_bytes - len(raw))):
        raw += piece
    return raw
