"""Checkpoints of a population on its way: what is done, and what is in flight.

A checkpoint is a folder, written by orbax under another name and renamed, and a file of checksums:
without them it does not count, and what they do not fit is damaged. Each holds the members done
since the one before; together they hold all, and the last one those in flight, so that the way goes
on in the middle of a training.
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

COMPLETE = r"(\d{1,9})\.json"  # the last file of a checkpoint
BEGUN = r"(\d{1,9})(\.json|\.orbax.*)?"  # what one is called, also before it is renamed


class Saved(NamedTuple):
    """One checkpoint: leaves of trees, as NumPy arrays.

    Attributes:
      first: the first of the members [n] that were done since the checkpoint before.
      done: leaves of their rows of the population's arrays, but for empty ones.
      epoch: how many epochs the members in flight have behind them.
      flight: leaves of what they are, keys as their data; empty if none are in flight.
    """

    first: int
    done: list[np.ndarray]
    epoch: int
    flight: list[np.ndarray]


class Checkpoints(NamedTuple):
    """How to save a population on its way, and what was saved of it before.

    Attributes:
      save: called after an epoch if the last time is `seconds` ago, and when interrupted.
      saved: all that `save` was given in an earlier run of the same arguments, in order.
      seconds: between two saves.
    """

    save: Callable[[Saved], None]
    saved: Sequence[Saved] = ()
    seconds: float = 60.0


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def pack(first: int, rows: Result, flight: Flight | None) -> Saved:
    """A checkpoint of members from `first` on, and of those in flight.

    An interruption within an epoch leaves no state to save: its memory was given to the next.
    """
    done = [np.asarray(leaf) for leaf in jax.tree.leaves(rows) if leaf.size]
    if flight is None or any(leaf.is_deleted() for leaf in jax.tree.leaves(flight.state)):
        return Saved(first, done, 0, [])
    leaves = jax.tree.leaves((flight.state, flight.init_params, flight.curve))
    plain = fetch([jax.random.key_data(leaf) if _is_key(leaf) else leaf for leaf in leaves])
    return Saved(first, done, flight.epoch, list(map(np.array, plain)))


def restore(rows: Callable[[int, int], Result], saved: Sequence[Saved]) -> int:
    """Write all members that are done to their rows, and return how many they are.

    Members that two checkpoints hold, as after an interruption between them, are written twice.

    Args:
      rows: the arrays of the members first … last - 1, as a function of first and last.

    Raises:
      ValueError: if members are missing, or of another population.
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
    config: Config, mesh: Mesh, hparams: Hparams, keys: jax.Array, data: Dataset, saved: Saved
) -> Flight | None:
    """The members in flight, back on their devices; None if there are none for as many devices.

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
      >>> saved = pack(0, Result({}, {}, Curve((), ())), flight)
      >>> print(unpack(config, mesh, hparams, jax.random.clone(keys), data, saved).epoch)
      1
    """
    if not saved.flight or len(saved.flight[0]) != len(keys):
        return None
    state = jax.eval_shape(partial(init_blocks, config, mesh), hparams, keys, data)
    like = (
        state,
        state.params,
        Curve(Metrics(state.step, state.step), Metrics(state.step, state.step)),
    )
    leaves, structure = jax.tree.flatten(like)
    impl = jax.random.key_impl(keys)
    tree = structure.unflatten(
        jax.random.wrap_key_data(jnp.asarray(leaf), impl=impl) if _is_key(of) else leaf
        for of, leaf in zip(leaves, saved.flight, strict=True)
    )
    return Flight(saved.epoch, deal(mesh, tree[0]), *tree[1:])


def _orbax() -> Any:
    """Orbax's way to write and read one tree, by this process alone, whoever else there is."""
    import orbax.checkpoint as ocp  # takes a second to import

    me = jax.process_index()
    alone = ocp.options.MultiprocessingOptions(
        primary_host=me, active_processes={me}, barrier_sync_key_prefix=str(me)
    )
    handler = ocp.PyTreeCheckpointHandler(multiprocessing_options=alone)
    return ocp.Checkpointer(handler, multiprocessing_options=alone)


def save(folder: Path, saved: Saved) -> None:
    """Write a checkpoint, and remove those that it supersedes.

    Raises:
      OSError: if it cannot be written; those that are there stay.

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

    earlier = _numbers(folder, COMPLETE)
    number = 1 + max(_numbers(folder, BEGUN), default=0)
    tree = {name: value for name, value in saved._asdict().items() if value != []}
    path = folder.resolve() / str(number)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _orbax().save(path, args=ocp.args.PyTreeSave(tree))
        told = {"holds_members": bool(saved.done), "checksums": _checksums(path)}
        writers.write_text(path.with_suffix(".json"), _with_checksum(json.dumps(told)))
        superseded = [number for number in earlier if not _told(folder, number)["holds_members"]]
    except Exception as error:  # orbax and tensorstore have their own for a full disk
        raise OSError(f"the checkpoint could not be saved: {_first_line(error)}") from error
    for number in superseded:  # those that hold nothing but members that were in flight
        (folder / f"{number}.json").unlink()
        shutil.rmtree(folder / str(number))


def _with_checksum(line: str) -> str:
    """A line of text, and a second one with its checksum."""
    return f"{line}\n{zlib.crc32(line.encode())}\n"


def _told(folder: Path, number: int) -> dict[str, Any]:
    """What the file beside a checkpoint tells of it; ValueError if a bit of it has changed."""
    path = folder / f"{number}.json"
    writers.check_target(path)  # a pipe would be waited for
    text = path.read_bytes().decode()
    line, _, _ = text.partition("\n")
    if text != _with_checksum(line):
        raise ValueError(f"{number}.json is not what was written")
    return json.loads(line)


def _numbers(folder: Path, pattern: str) -> list[int]:
    """The numbers of what the folder holds whose names match."""
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
        if _told(folder, number)["checksums"] != _checksums(path):
            raise ValueError("its files are not those that were written")
        tree = _orbax().restore(path.resolve())
    except Exception as error:  # whatever orbax, tensorstore and json raise for what they find
        raise ValueError(f"the checkpoint {path} is damaged: {_first_line(error)}") from error
    return Saved(**{"done": [], "flight": [], **tree})


def load(folder: Path) -> list[Saved]:
    """All checkpoints in a folder, in order, none if it is not there; nothing is changed.

    Raises:
      ValueError: if one is damaged.
    """
    return [_load(folder, number) for number in _numbers(folder, COMPLETE)]


def remove(folder: Path) -> None:
    """Remove all checkpoints of a folder, and the folder if nothing else is in it.

    Example:
      >>> import tempfile
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     save(Path(folder, "way"), pack(0, Result({}, {}, Curve((), ())), None))
      ...     remove(Path(folder, "way"))
      ...     print(list(Path(folder).iterdir()))
      []
    """
    for path in folder.glob("*"):
        if re.fullmatch(BEGUN, path.name, re.ASCII):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    with contextlib.suppress(OSError):
        folder.rmdir()
