"""Files that are there whole or not at all.

A file is written under a temporary name and then renamed. Links, folders and devices are never
replaced.
"""

import csv
import errno
import io
import json
import math
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

_DTYPES = {"float32": "F32", "bool": "BOOL"}
_FORMULA = ("=", "+", "-", "@", "\t")  # what a formula of a spreadsheet begins with
PARTIAL = r"\.[0-9a-f]{16}\.partial"  # the name of a file that is being written


def check_target(path: Path, inputs: Iterable[Path] = ()) -> None:
    """Raise an error unless the path is free, or holds a file that is not an input.

    Raises:
      FileExistsError: if it is a link, a folder, a device or a pipe, or one of the inputs.
      NotADirectoryError: if a folder above it is a file.

    Example:
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     check_target(Path(folder, "new.csv"))
    """
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    except NotADirectoryError as error:
        file = next(above for above in path.parents if above.exists())
        why = f"a folder must be given to write to, got the file {file}"
        raise NotADirectoryError(why) from error
    if not stat.S_ISREG(mode):
        kind = {stat.S_IFLNK: "link", stat.S_IFDIR: "folder"}.get(stat.S_IFMT(mode), "device")
        wanted = "a file must be written to a new name or over a file"
        raise FileExistsError(f"{wanted}, got the {kind} {path}")
    if any(one.exists() and one.samefile(path) for one in inputs):
        raise FileExistsError(f"a file to write must not be one that is read, got {path}")


def write_atomically(path: Path, save: Callable[[IO[bytes]], object]) -> None:
    """Let `save` write to a temporary name, then rename: the file is there whole or not at all.

    Raises:
      FileExistsError: if something other than a file is there (`check_target`).

    Example:
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     write_atomically(Path(folder, "new", "a.bin"), lambda file: file.write(b"whole"))
      ...     print(Path(folder, "new", "a.bin").read_text())
      whole
    """
    check_target(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{secrets.token_hex(8)}.partial")  # others may write `path` too
    try:
        with temporary.open("xb") as file:  # never one that is there, nor through a link
            save(file)
        os.replace(temporary, path)
    except OSError as error:
        if error.filename:
            error.filename = str(path)  # the name that was given
        raise
    finally:
        temporary.unlink(missing_ok=True)


def _json_value(value: Any) -> Any:
    """The value with null in place of NaN and infinity, which JSON lacks."""
    if isinstance(value, dict):
        return {str(k): _json_value(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_json_value(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_json(path: Path, value: Any) -> None:
    """Write plain data as JSON by `write_text`; NaN and infinity become null."""
    text = json.dumps(_json_value(value), indent=1, ensure_ascii=False, allow_nan=False)
    write_text(path, f"{text}\n")


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8; what it cannot encode, as in some file names, becomes an escape."""
    write_atomically(path, lambda file: file.write(text.encode("utf-8", errors="backslashreplace")))


def write_table(path: Path, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Write rows as CSV: floats with all their digits, what UTF-8 does not know as an escape.

    Text that a spreadsheet would run as a formula gets an apostrophe in front.
    """

    def save(file: IO[bytes]) -> None:
        with io.TextIOWrapper(file, "utf-8", errors="backslashreplace", newline="") as text:
            writer = csv.writer(text, lineterminator="\n")
            writer.writerow(header)
            writer.writerows([as_text(cell) for cell in row] for row in rows)

    write_atomically(path, save)


def as_text(cell: Any) -> Any:
    """A cell that no spreadsheet takes for a formula, nor for two rows; numbers as they are."""
    if not isinstance(cell, str):
        return cell
    cell = cell.replace("\r", r"\r")  # which csv does not quote
    return f"'{cell}" if cell.startswith(_FORMULA) else cell


def scratch(folder: Path) -> Callable[[tuple[int, ...], np.dtype], np.ndarray]:
    """A function that makes arrays in nameless files in `folder`, so that they need no memory.

    Their room is taken at once where the system can (`posix_fallocate`). Then a full disk is an
    OSError here, not a crash when they are filled.
    """

    def allocate(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        size = math.prod(shape) * np.dtype(dtype).itemsize
        free = shutil.disk_usage(folder).free
        if size > free:  # else the disk would be full for others, too, until that is noticed
            raise OSError(errno.ENOSPC, f"No space for {size:,} bytes: {free:,} are free")
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            return np.memmap(file, dtype, "r+", shape=shape)

    return allocate


def write_tensors(path: Path, tensors: dict[str, np.ndarray]) -> None:
    """Write named arrays as safetensors, row by row: `safetensors` itself would copy them all.

    Raises:
      ValueError: if one is not an array of float32 or booleans with an axis or more.
    """
    header, end = {}, 0
    for name, tensor in tensors.items():
        if tensor.dtype not in map(np.dtype, _DTYPES) or not tensor.ndim:  # in native byte order
            got = f"{tensor.dtype} of shape {tensor.shape}"
            raise ValueError(f"{name} must be an array of {' or '.join(_DTYPES)}, got {got}")
        start, end = end, end + tensor.nbytes
        kind = _DTYPES[tensor.dtype.name]
        header[name] = {"dtype": kind, "shape": tensor.shape, "data_offsets": (start, end)}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)

    def save(file: IO[bytes]) -> None:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            for row in tensor:
                file.write(np.ascontiguousarray(row).data)

    write_atomically(path, save)
