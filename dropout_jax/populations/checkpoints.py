"""Checkpoints of a population in training: the members that are done, and those in flight.

A checkpoint is a folder, which orbax writes under another name and renames, and a file of
checksums. Without that file it does not count; files that do not match it are damaged. Each
checkpoint holds the members done since the one before it. The last one also holds those in flight,
so training resumes between two epochs.
"""

import contextlib
import json
import re
import shutil
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from dropout_jax.io import readers, writers

_COMPLETE = r"(\d{1,9})\.json"  # the file that is written last
_BEGUN = r"(\d{1,9})(\.json|\.orbax.*)?"  # every name that a part of a checkpoint may have


class Saved(NamedTuple):
    """One checkpoint, as NumPy arrays.

    Attributes:
      first: number of the first of the members [n] that were done since the checkpoint before.
      done: the leaves of their rows in the store that are not empty.
      epoch: the number of epochs that the members in flight were trained for.
      flight: the leaves of the members in flight, keys as their data; empty if there are none.
    """

    first: int
    done: list[np.ndarray]
    epoch: int
    flight: list[np.ndarray]


class Checkpoints(NamedTuple):
    """How to save a population in training, and what was saved of it before.

    Attributes:
      save: called after an epoch if `seconds` have passed since the last call, and on Ctrl-C.
      saved: all that `save` was given in an earlier run of the same arguments, in order. Only
        shapes are compared: the caller has to see that the arguments are the same.
      seconds: the time between two saves, at least.

    Example:
      >>> import tempfile
      >>> from functools import partial
      >>> from dropout_jax import MLP, Config, Hparams, fit_population, load_dataset
      >>> config, data = Config(MLP((4, 10)), epochs=2), load_dataset("digits")
      >>> def train(folder):  # from the start, or from the last checkpoint
      ...     kept = Checkpoints(partial(save, folder), load(folder), seconds=0)
      ...     key = jax.random.key(0)
      ...     return fit_population(config, [Hparams()], 1, key, data, checkpoints=kept)
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     trained, again = train(Path(folder, "way")), train(Path(folder, "way"))
      >>> print(np.array_equal(trained.curve.test.loss, again.curve.test.loss))
      True
    """

    save: Callable[[Saved], None]
    saved: Sequence[Saved] = ()
    seconds: float = 60.0


def _orbax() -> Any:
    """Orbax's reader and writer of one tree, for this process alone among all there are."""
    import orbax.checkpoint as ocp  # takes a second to import

    me = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=me, active_processes={me}, barrier_sync_key_prefix=str(me)
    )
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


def save(folder: Path, saved: Saved) -> None:
    """Write a checkpoint, and remove the checkpoints that it supersedes.

    Raises:
      OSError: if it cannot be written; earlier checkpoints stay then.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     save(Path(folder, "way"), Saved(0, [np.ones((2, 3))], 0, []))  # two members
      ...     print([one.done[0].shape for one in load(Path(folder, "way"))])
      [(2, 3)]
    """
    import orbax.checkpoint as ocp

    earlier = _numbers(folder, _COMPLETE)
    number = 1 + max(_numbers(folder, _BEGUN), default=0)
    tree = {name: value for name, value in saved._asdict().items() if value != []}
    path = folder.resolve() / str(number)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _orbax().save(path, args=ocp.args.PyTreeSave(tree))
        summary = {"holds_members": bool(saved.done), "checksums": _checksums(path)}
        writers.write_text(path.with_suffix(".json"), _with_checksum(json.dumps(summary)))
        superseded = [number for number in earlier if not _summary(folder, number)["holds_members"]]
    except Exception as error:  # orbax and tensorstore have their own errors for a full disk
        raise OSError(
            f"the checkpoint could not be saved: {readers.one_line(error)[:200]}"
        ) from error
    for number in superseded:  # they hold only members that were in flight
        (folder / f"{number}.json").unlink()
        shutil.rmtree(folder / str(number))


def _with_checksum(line: str) -> str:
    """A line of text, and a second line with its checksum."""
    return f"{line}\n{zlib.crc32(line.encode())}\n"


def _summary(folder: Path, number: int) -> dict[str, Any]:
    """The contents of the file beside a checkpoint; ValueError if a bit of it has changed."""
    path = folder / f"{number}.json"
    writers.check_target(path)  # reading a pipe would block
    text = path.read_bytes().decode()
    line, _, _ = text.partition("\n")
    if text != _with_checksum(line):
        raise ValueError(f"{number}.json is not what was written")
    return json.loads(line)


def _numbers(folder: Path, pattern: str) -> list[int]:
    """The numbers in those names in the folder that match the pattern, in order."""
    found = (re.fullmatch(pattern, path.name, re.ASCII) for path in folder.glob("*"))
    return sorted(int(match[1]) for match in found if match)


def _checksums(path: Path) -> dict[str, int]:
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return {str(file.relative_to(path)): zlib.crc32(file.read_bytes()) for file in files}


def load(folder: Path) -> list[Saved]:
    """All checkpoints in a folder, in order; none if there is no folder. Nothing is changed.

    Raises:
      ValueError: if a checkpoint is damaged.
    """
    saved = []
    for number in _numbers(folder, _COMPLETE):
        path = folder / str(number)
        try:
            if _summary(folder, number)["checksums"] != _checksums(path):  # before orbax sees it
                raise ValueError("its files are not those that were written")
            tree = _orbax().restore(path.resolve())
        except Exception as error:  # orbax, tensorstore and json raise many kinds
            why = readers.one_line(error)[:200]
            raise ValueError(f"the checkpoint {path} is damaged: {why}") from error
        saved.append(Saved(**{"done": [], "flight": [], **tree}))
    return saved


def remove(folder: Path) -> None:
    """Remove all checkpoints in a folder, and the folder if nothing else is in it.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     save(Path(folder, "way"), Saved(0, [], 0, []))
      ...     remove(Path(folder, "way"))
      ...     print(list(Path(folder).iterdir()))
      []
    """
    for path in folder.glob("*"):
        if re.fullmatch(_BEGUN, path.name, re.ASCII):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()
