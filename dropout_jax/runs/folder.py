"""The folder of a run: it is marked, locked while a run writes to it, and cleared of its own files.

The mark `run.json` says which run a folder holds, whether it is done, and which files it wrote or
will write. Only those files are ever deleted, beside checkpoints and half-written files.
"""

import contextlib
import json
import re
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from filelock import FileLock, Timeout

from dropout_jax.io import writers

MARK = "run.json"
LOCK = ".lock"
_OF_ANY = rf"{re.escape(LOCK)}|{writers.PARTIAL}"  # left by a run that was killed before its mark
CHECKPOINTS = "checkpoint"  # of a run that is not done
_MAX_NAME = 60  # characters
_RESERVED = "init"  # what conditions share, in the file of weights
_MADE_BY = "dropout_jax"
_FIGURES = ("weights", "profiles", "units", "differences", "curves")
FILES = (  # the summary first: a folder that is half cleared must not pass for a whole run
    "summary.json",
    "config.json",
    "environment.json",
    "metrics.csv",
    "curves.csv",
    "weights.safetensors",
    "profiles.safetensors",
    "report.html",
    *(f"figures/{name}.{kind}" for name in _FIGURES for kind in ("png", "svg")),
)


def check_name(name: str) -> None:
    """Raise ValueError unless the name of a condition can be a key of a file and a word on a page.

    Example:
      >>> check_name("dropout .5")
      >>> check_name("init")
      Traceback (most recent call last):
      ValueError: the name of a condition must not be init, the name of the shared initial weights
    """
    a_word = isinstance(name, str) and name.isprintable() and name.strip() and "/" not in name
    if not a_word or len(name) > _MAX_NAME:
        expected = f"1 … {_MAX_NAME} printable characters without a slash"
        raise ValueError(f"the name of a condition must be {expected}, got {name!r:.80}")
    if name == _RESERVED:
        shared = f"{_RESERVED}, the name of the shared initial weights"
        raise ValueError(f"the name of a condition must not be {shared}")


class Mark(NamedTuple):
    """What a folder says of its run.

    Attributes:
      identity: all that decides the run's bits.
      done: whether nothing is left to do.
      files: what the run wrote or will write, as paths below the folder.
    """

    identity: dict[str, Any]
    done: bool
    files: list[str]


def new(parent: Path, name: str) -> Path:
    """Make a new folder: `name`, or `name-2`, `name-3`, … if it is taken.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as parent:
      ...     print([new(Path(parent), "digits").name for _ in range(2)])
      ['digits', 'digits-2']
    """
    parent.mkdir(parents=True, exist_ok=True)
    number = 1
    while True:
        folder = parent / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir()
            return folder
        except FileExistsError:
            number += 1


def read_mark(folder: Path) -> Mark | None:
    """The mark of a folder; None if it has none, or one that no run wrote."""
    try:
        writers.check_target(folder / MARK)  # a pipe would be waited for, a link not written to
        told = json.loads((folder / MARK).read_text(encoding="utf-8"))
        mark = Mark(dict(told["identity"]), bool(told["done"]), list(map(str, told["files"])))
        paths = list(map(PurePosixPath, mark.files))
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    never = {"..", MARK, LOCK}
    ours = not any(
        path.is_absolute() or never & {*path.parts} or "\0" in str(path) for path in paths
    )
    return mark if ours and told.get("made_by") == _MADE_BY else None


def write_mark(folder: Path, mark: Mark) -> None:
    """Write the mark of a folder, whole or not at all.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     write_mark(Path(folder), Mark({"epochs": 30}, False, ["summary.json"]))
      ...     print(read_mark(Path(folder)).identity)
      {'epochs': 30}
    """
    told = {"made_by": _MADE_BY, "version": version("dropout_jax"), **mark._asdict()}
    writers.write_json(folder / MARK, told)


def check(folder: Path, identity: dict[str, Any], overwrite: bool, resume: bool) -> Mark | None:
    """The mark of the run to resume; None if a new one can start. This function writes nothing.

    Raises:
      ValueError: in each of these cases:
        - The folder is a file, or cannot be read.
        - It holds something that is no run.
        - It holds a run, and neither `overwrite` nor `resume` is true.
        - It holds another run than the one to resume.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     print(check(Path(folder), {}, overwrite=False, resume=True))
      ...     Path(folder, "thesis.tex").touch()
      ...     try:
      ...         check(Path(folder), {}, overwrite=True, resume=False)
      ...     except ValueError as error:
      ...         print(str(error).partition(", got")[0])
      None
      out must be a new or empty folder or an earlier run
    """
    try:
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"out must be a folder, got the file {folder}")
        if not folder.exists() or all(
            re.fullmatch(_OF_ANY, path.name) for path in folder.iterdir()
        ):
            return None
    except OSError as error:
        why = f"{folder}: {error.strerror or error}"
        raise ValueError(f"out must be a folder that can be read, got {why}") from error
    mark = read_mark(folder)
    if mark is None:
        raise ValueError(f"out must be a new or empty folder or an earlier run, got {folder}")
    if resume:
        _check_same(folder, mark.identity, identity)
        return mark
    if not overwrite:
        kind = "another run" if mark.done else "an unfinished run"
        go_on = "" if mark.done else "--resume to go on, or "
        raise ValueError(f"out holds {kind}: {folder}; give {go_on}--overwrite to replace it")
    return None


def _check_same(folder: Path, there: dict[str, Any], here: dict[str, Any]) -> None:
    """Raise ValueError, which names the first difference, unless the identities are the same."""
    for name, value in json.loads(json.dumps(here)).items():
        if there.get(name) != value:
            raise ValueError(
                f"{folder} holds another run: {name} was {there.get(name)}, got {value}"
            )


def lock(folder: Path) -> FileLock:
    """Make the folder, and hold its lock until it is released or the process ends.

    Raises:
      ValueError: if another process holds it, or the folder cannot be written to.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder, lock(Path(folder)):
      ...     try:
      ...         lock(Path(folder))
      ...     except ValueError as error:
      ...         print(str(error).partition(":")[0])
      out is being written by another run
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        held = FileLock(folder / LOCK, timeout=0)
        held.acquire()
    except Timeout:
        raise ValueError(f"out is being written by another run: {folder}") from None
    except OSError as error:
        why = f"{folder}: {error.strerror or error}"
        raise ValueError(f"out must be a folder that can be written to, got {why}") from error
    return held


def begin(folder: Path, identity: dict[str, Any]) -> None:
    """Mark the folder as that of an unfinished run; files of an earlier run stay."""
    earlier = read_mark(folder) or Mark({}, False, [])
    write_mark(folder, Mark(identity, False, list(dict.fromkeys((*FILES, *earlier.files)))))


def clear(folder: Path) -> None:
    """Remove the files that the mark lists, and folders that are then empty; other files stay.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     for name in ("summary.json", "notes.txt"):
      ...         Path(folder, name).touch()
      ...     begin(Path(folder), {})
      ...     clear(Path(folder))
      ...     print(sorted(path.name for path in Path(folder).iterdir()))
      ['notes.txt', 'run.json']
    """
    mark = read_mark(folder)
    for name in mark.files if mark else ():
        path = folder / name
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            path.unlink()
        for above in path.relative_to(folder).parents:
            if above != Path("."):
                _remove_if_empty(folder / above)
    for path in folder.rglob(".*.partial"):  # of a run that was killed while it wrote a file
        if re.fullmatch(writers.PARTIAL, path.name):
            path.unlink()


def update(folder: Path, *, files: Iterable[str] = (), done: bool = False) -> None:
    """Add files that the run wrote to the mark, and say whether the run is done.

    Raises:
      OSError: if the mark is missing, or cannot be written.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     begin(Path(folder), {"epochs": 30})
      ...     update(Path(folder), done=True)
      ...     print(check(Path(folder), {"epochs": 30}, overwrite=False, resume=True).done)
      True
    """
    mark = read_mark(folder)
    if mark is None:
        raise OSError(f"{folder / MARK} is missing")
    write_mark(folder, mark._replace(done=done, files=list(dict.fromkeys((*mark.files, *files)))))


def leave(folder: Path, held: FileLock) -> None:
    """Release the lock, and remove the folder if nothing was written to it."""
    with contextlib.suppress(OSError):
        if {path.name for path in folder.iterdir()} == {LOCK}:
            (folder / LOCK).unlink()
            folder.rmdir()
    held.release()


def _remove_if_empty(folder: Path) -> None:
    with contextlib.suppress(OSError):
        folder.rmdir()
