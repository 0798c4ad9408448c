"""Checkpoints of a population on its way: what is done, and what is in flight.

A checkpoint is a folder, written by orbax under another name and renamed, and a file of checksums:
without them it does not count, and what they do not fit is damaged. Each holds the members done
since the one before; together they hold all, and the last one those in flight, so that the way goes
on in the middle of a training.
"""

import json
import shutil
import zlib
from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from dropout_jax import records
from dropout_jax.blocks import Flight, Result, deal, init_blocks
from dropout_jax.data import Dataset
from dropout_jax.processes import fetch
from dropout_jax.training import Config, Curve, Hparams, Metrics

IDENTITY = "identity.json"  # of the run


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

    Args:
      rows: the arrays of the members first … last - 1, as a function of first and last.

    Raises:
      ValueError: if the checkpoints do not follow each other, or are of another population.
    """
    n_done = 0
    for one in filter(itemgetter(1), saved):
        last = n_done + len(one.done[-1])
        arrays = [a for a in jax.tree.leaves(rows(n_done, last)) if a.size]
        if one.first != n_done or [a.shape for a in arrays] != [a.shape for a in one.done]:
            raise ValueError("the checkpoints are incomplete, or of another population")
        jax.tree.map(np.copyto, arrays, one.done)
        n_done = last
    return n_done


def unpack(
    config: Config, mesh: Mesh, hparams: Hparams, keys: jax.Array, data: Dataset, saved: Saved
) -> Flight | None:
    """The members in flight, back on their devices; None if there are none for as many devices.

    Example:
      >>> from dropout_jax.blocks import advance, mesh_of, share, start
      >>> from dropout_jax.data import load_dataset
      >>> from dropout_jax.networks import MLP
      >>> from dropout_jax.population import stack_conditions
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


def save(folder: Path, identity: dict[str, Any], saved: Saved) -> None:
    """Write a checkpoint of the run that `identity` describes, and remove what it supersedes.

    Raises:
      OSError: if it cannot be written; those that are there stay.

    Example:
      >>> import tempfile
      >>> done = Result({"kernel": np.ones((2, 3))}, {}, Curve((), ()))  # of two members
      >>> with tempfile.TemporaryDirectory() as folder:
      ...     save(Path(folder, "way"), {"epochs": 30}, pack(0, done, None))
      ...     saved = load(Path(folder, "way"), {"epochs": 30})
      >>> kept = Result({"kernel": np.zeros((2, 3))}, {}, Curve((), ()))
      >>> print(restore(lambda first, last: kept, saved), kept.params["kernel"].sum())
      2 6.0
    """
    import orbax.checkpoint as ocp

    earlier = _numbers(folder, "*.json")
    number = 1 + max(_numbers(folder, "*"), default=0)
    tree = {name: value for name, value in saved._asdict().items() if value != []}
    path = folder.resolve() / str(number)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not (folder / IDENTITY).exists():
            records.write_json(folder / IDENTITY, identity)
        _orbax().save(path, args=ocp.args.PyTreeSave(tree))
        told = {"holds_members": bool(saved.done), "checksums": _checksums(path)}
        records.write_json(path.with_suffix(".json"), told)
        superseded = [number for number in earlier if not _told(folder, number)["holds_members"]]
    except Exception as error:  # orbax and tensorstore have their own for a full disk
        raise OSError(f"the checkpoint could not be saved: {_first_line(error)}") from error
    for number in superseded:  # those that hold nothing but members that were in flight
        (folder / f"{number}.json").unlink()
        shutil.rmtree(folder / str(number))


def _told(folder: Path, number: int) -> dict[str, Any]:
    """What the file beside a checkpoint tells of it."""
    return json.loads((folder / f"{number}.json").read_text(encoding="utf-8"))


def _numbers(folder: Path, pattern: str) -> list[int]:
    return sorted(int(path.stem) for path in folder.glob(pattern) if path.stem.isdecimal())


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


def load(folder: Path, identity: dict[str, Any]) -> list[Saved]:
    """All checkpoints of the run that `identity` describes, in order; nothing is changed.

    Raises:
      ValueError: if there are none, they are of another run, or one is damaged.
    """
    try:
        of = dict(json.loads((folder / IDENTITY).read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError, RecursionError):
        raise ValueError(f"there is no run to resume in {folder.parent}") from None
    for name, value in json.loads(json.dumps(identity)).items():
        if of.get(name) != value:
            there = of.get(name)
            raise ValueError(
                f"the run in {folder.parent} is another: its {name} is {there}, got {value}"
            )
    return [_load(folder, number) for number in _numbers(folder, "*.json")]
