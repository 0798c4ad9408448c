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
CHECKPOINTS = "checkpoint"  # of a run that is not done
_MADE_BY = "dropout_jax"
_FILES = (  # the summary first: a folder that is half cleared must not pass for a whole run
    "summary.json",
    "config.json",
    "environment.json",
    "metrics.csv",
    "curves.csv",
    "weights.safetensors",
    "profiles.safetensors",
    "report.html",
    *(
        f"figures/{name}.{kind}"
        for name in ("weights", "profiles", "units", "differences", "curves")
        for kind in ("png", "svg")
    ),
)


def check_name(name: str) -> None:
    """Raise ValueError unless the name of a condition can be a key of a file and a word on a page.

    Example:
      >>> check_name("dropout .5")
      >>> check_name("init")
      Traceback (most recent call last):
      ValueError: the name of a condition must not be init, the name of the shared initial weights
    """
    is_word = isinstance(name, str) and name.isprintable() and name.strip() and "/" not in name
    if not is_word or len(name) > 60:
        expected = "1 … 60 printable characters without a slash"
        raise ValueError(f"the name of a condition must be {expected}, got {name!r:.80}")
    if name == "init":
        shared = "init, the name of the shared initial weights"
        raise ValueError(f"the name of a condition must not be {shared}")


class Mark(NamedTuple):
    """What a folder says of its run."""

    identity: dict[str, Any]  # all that decides the run's bits
    done: bool  # whether nothing is left to do
    files: list[str]  # what the run wrote or will write, as paths below the folder


def new(parent: Path, name: str) -> Path:
    """Make a new folder: `name`, or `name-2`, `name-3`, … if it is taken."""
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
        content = json.loads((folder / MARK).read_text(encoding="utf-8"))
        files = list(map(str, content["files"]))
        mark = Mark(dict(content["identity"]), bool(content["done"]), files)
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    for path in map(PurePosixPath, files):
        if path.is_absolute() or {"..", MARK, LOCK} & {*path.parts} or "\0" in str(path):
            return None
    return mark if content.get("made_by") == _MADE_BY else None


def read_records(folder: Path) -> list[dict[str, Any]]:
    """The configuration, the summary and the environment of a run; an error if one is missing."""
    return [
        dict(json.loads((folder / f"{name}.json").read_text(encoding="utf-8")))
        for name in ("config", "summary", "environment")
    ]


def _write_mark(folder: Path, mark: Mark) -> None:
    mark = mark._replace(files=list(dict.fromkeys(mark.files)))  # each of them once
    content = {"made_by": _MADE_BY, "version": version("dropout_jax"), **mark._asdict()}
    writers.write_json(folder / MARK, content)


def check(folder: Path, identity: dict[str, Any], overwrite: bool, resume: bool) -> Mark | None:
    """The mark of the run to resume; None if a new one can start. This function writes nothing.

    Raises:
      ValueError: in each of these cases:
        - The folder is a file, or cannot be read.
        - It holds something that is no run.
        - It holds a run, and neither `overwrite` nor `resume` is true.
        - It holds another run than the one to resume.
    """
    of_killed_run = rf"{re.escape(LOCK)}|{writers.PARTIAL}"  # what one leaves before its mark
    try:
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"out must be a folder, got the file {folder}")
        names = [path.name for path in folder.iterdir()] if folder.exists() else []
    except OSError as error:
        why = f"{folder}: {error.strerror or error}"
        raise ValueError(f"out must be a folder that can be read, got {why}") from error
    if all(re.fullmatch(of_killed_run, name) for name in names):
        return None
    mark = read_mark(folder)
    if mark is None:
        raise ValueError(f"out must be a new or empty folder or an earlier run, got {folder}")
    if resume:
        for name, value in identity.items():
            if (earlier := mark.identity.get(name)) != value:
                raise ValueError(f"{folder} holds another run: {name} was {earlier}, got {value}")
        return mark
    if not overwrite:
        kind = "another run" if mark.done else "an unfinished run"
        go_on = "" if mark.done else "--resume to go on, or "
        raise ValueError(f"out holds {kind}: {folder}; give {go_on}--overwrite to replace it")
    return None


def lock(folder: Path) -> FileLock:
    """Make the folder, and hold its lock until it is released or the process ends.

    Raises:
      ValueError: if another process holds it, or the folder cannot be written to.
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
    _write_mark(folder, Mark(identity, False, [*_FILES, *earlier.files]))


def clear(folder: Path) -> None:
    """Remove the files that the mark lists, half-written ones, and folders that are then empty.

    Other files stay.
    """
    mark = read_mark(folder)
    for name in mark.files if mark else ():
        path = folder / name
        with contextlib.suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
            path.unlink()
        for above in Path(name).parents[:-1]:  # without the folder of the run
            with contextlib.suppress(OSError):  # not empty
                (folder / above).rmdir()
    for path in folder.rglob(".*.partial"):  # of a run that was killed while it wrote a file
        if re.fullmatch(writers.PARTIAL, path.name):
            path.unlink()


def update(folder: Path, *, files: Iterable[str] = (), done: bool = False) -> None:
    """Add files that the run wrote to the mark, and say whether the run is done.

    Raises:
      OSError: if the mark is missing, or cannot be written.
    """
    mark = read_mark(folder)
    if mark is None:
        raise OSError(f"{folder / MARK} is missing")
    _write_mark(folder, mark._replace(done=done, files=[*mark.files, *files]))


def leave(folder: Path, held: FileLock) -> None:
    """Release the lock, and remove the folder if nothing was written to it."""
    with contextlib.suppress(OSError):
        if {path.name for path in folder.iterdir()} == {LOCK}:
            (folder / LOCK).unlink()
            folder.rmdir()
    held.release()
