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
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from dropout_jax.data import Dataset
from dropout_jax.io import writers
from dropout_jax.populations.blocks import Flight, Result, init_blocks
from dropout_jax.populations.devices import deal
from dropout_jax.populations.processes import fetch
from dropout_jax.training.config import Config, Hparams
from dropout_jax.training.epochs import Curve, Metrics

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
      saved: all that `save` was given in an earlier run of the same arguments, in order.
      seconds: the time between two saves, at least.
    """

    save: Callable[[Saved], None]
    saved: Sequence[Saved] = ()
    seconds: float = 60.0


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def pack(first: int, rows: Result, flight: Flight | None) -> Saved:
    """A checkpoint of the members from `first` on, and of those in flight.

    An interruption within an epoch leaves no state to save: the next state reuses its memory.
    """
    done = [np.asarray(leaf) for leaf in jax.tree.leaves(rows) if leaf.size]
    if flight is None or any(leaf.is_deleted() for leaf in jax.tree.leaves(flight.state)):
        return Saved(first, done, 0, [])
    leaves = jax.tree.leaves((flight.state, flight.init_params, flight.curve))
    plain = fetch([jax.random.key_data(leaf) if _is_key(leaf) else leaf for leaf in leaves])
    return Saved(first, done, flight.epoch, list(map(np.array, plain)))


def restore(rows: Callable[[int, int], Result], saved: Sequence[Saved]) -> int:
    """Write all members that are done to their rows, and return their number.

    After an interruption between two saves both may hold the same members; these are written twice.

    Args:
      rows: a function of first and last that gives the arrays of the members first … last - 1.

    Raises:
      ValueError: if members are missing, or belong to another population.
    """
    n_done = 0
    for one in saved:
        if one.done:
            last = one.first + len(one.done[-1])
            arrays = [a for a in jax.tree.leaves(rows(one.first, last)) if a.size]
            if one.first > n_done or [a.shape for a in arrays] != [a.shape for a in one.done]:
                raise ValueError("the checkpoints are incomplete, or of another population")
            jax.tree.map(np.copyto, arrays, one.done)
            n_done = max(n_done, last)
    return n_done


def unpack(
    config: Config,
    mesh: Mesh,
    hparams: Hparams,
    keys: jax.Array,
    data: Dataset,
    saved: Sequence[Saved],
) -> Flight | None:
    """The members in flight, back on their devices; None if no such wave was saved last.

    Args:
      hparams: those of the wave [D·M, …].
      keys: those of the wave [D·M].

    Example:
      >>> from dropout_jax.populations.blocks import advance, start
      >>> from dropout_jax.populations.devices import mesh_of, share
      >>> from dropout_jax.data import load_dataset
      >>> from dropout_jax.networks.mlp import MLP
      >>> from dropout_jax.populations.population import stack_conditions
      >>> config, mesh = Config(MLP((4, 10)), epochs=2), mesh_of(jax.devices()[:1])
      >>> data, hparams = share(mesh, load_dataset("digits")), stack_conditions([Hparams()])
      >>> keys = jax.random.split(jax.random.key(0), 1)
      >>> flight = advance(config, mesh, hparams, start(config, mesh, hparams, keys, data), data)
      >>> saved = [pack(0, Result({}, {}, Curve((), ())), flight)]
      >>> print(unpack(config, mesh, hparams, jax.random.clone(keys), data, saved).epoch)
      1
    """
    if not saved or not saved[-1].flight or len(saved[-1].flight[0]) != len(keys):
        return None
    last = saved[-1]
    state = jax.eval_shape(partial(init_blocks, config, mesh), hparams, keys, data)
    metrics = Metrics(state.step, state.step)
    leaves, structure = jax.tree.flatten((state, state.params, Curve(metrics, metrics)))
    impl = jax.random.key_impl(keys)
    state, init_params, curve = structure.unflatten(
        jax.random.wrap_key_data(jnp.asarray(leaf), impl=impl) if _is_key(of) else leaf
        for of, leaf in zip(leaves, last.flight, strict=True)
    )
    return Flight(last.epoch, deal(mesh, state), init_params, curve)


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
      >>> done = Result({"kernel": np.ones((2, 3))}, {}, Curve((), ()))  # of two members
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     save(Path(folder, "way"), pack(0, done, None))
      ...     saved = load(Path(folder, "way"))
      >>> kept = Result({"kernel": np.zeros((2, 3))}, {}, Curve((), ()))
      >>> print(restore(lambda first, last: kept, saved), kept.params["kernel"].sum())
      2 6.0
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
        raise OSError(f"the checkpoint could not be saved: {_first_line(error)}") from error
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


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _load(folder: Path, number: int) -> Saved:
    """One checkpoint; ValueError if it is damaged, before orbax has seen it."""
    path = folder / str(number)
    try:
        if _summary(folder, number)["checksums"] != _checksums(path):
            raise ValueError("its files are not those that were written")
        tree = _orbax().restore(path.resolve())
    except Exception as error:  # orbax, tensorstore and json raise many kinds
        raise ValueError(f"the checkpoint {path} is damaged: {_first_line(error)}") from error
    return Saved(**{"done": [], "flight": [], **tree})


def load(folder: Path) -> list[Saved]:
    """All checkpoints in a folder, in order; none if there is no folder. Nothing is changed.

    Raises:
      ValueError: if a checkpoint is damaged.
    """
    return [_load(folder, number) for number in _numbers(folder, _COMPLETE)]


def remove(folder: Path) -> None:
    """Remove all checkpoints in a folder, and the folder if nothing else is in it.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     save(Path(folder, "way"), pack(0, Result({}, {}, Curve((), ())), None))
      ...     remove(Path(folder, "way"))
      ...     print(list(Path(folder).iterdir()))
      []
    """
    for path in folder.glob("*"):
        if re.fullmatch(_BEGUN, path.name, re.ASCII):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()
