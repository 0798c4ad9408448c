"""A run that the command line asks for: from its arguments to its folder.

Several processes all prepare and train; process 0 alone reads and writes.
"""

import json
import tempfile
import zlib
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
from filelock import FileLock

from dropout_jax import data
from dropout_jax.cli import backend
from dropout_jax.cli.arguments import PRNG, ROOT_SEED, Networks, Training
from dropout_jax.cli.conditions import Conditions, make_config, settings
from dropout_jax.io import writers
from dropout_jax.io.environment import n_threads, versions
from dropout_jax.populations import checkpoints, processes
from dropout_jax.populations.memory import block_size
from dropout_jax.populations.moment import Callback
from dropout_jax.runs import folder, run, tensorboard
from dropout_jax.runs.folder import Mark
from dropout_jax.training.checks import check_training
from dropout_jax.training.config import Config, Hparams

_DECIDING_BITS = (  # options of JAX, and what XLA reads itself
    "XLA_FLAGS",
    "jax_default_matmul_precision",
    "jax_disable_most_optimizations",
    "jax_enable_x64",
    "jax_threefry_partitionable",
)


class Job(NamedTuple):
    """A run that was checked and can begin."""

    config: Config
    conditions: dict[str, Hparams]  # by name, the baseline first
    dataset: data.Dataset
    settings: dict[str, Any]  # what `config.json` holds
    identity: dict[str, Any]  # all that decides the run's bits, the same in all processes
    folder: Path  # to write to; in other processes than the first, for scratch files alone
    lock: FileLock | None  # of the folder, held; None in other processes than the first
    mark: Mark | None  # of the run to go on with, None to start one
    saved: list[checkpoints.Saved]  # its checkpoints


def load(arguments: Networks, given: Conditions) -> tuple[data.Dataset, Config, dict[str, Hparams]]:
    """The data, the configuration and the conditions.

    Raises:
      ValueError, OSError: if nothing can be trained with them.
    """
    dataset = data.load_dataset(arguments.dataset, arguments.data_dir)
    config, conditions = make_config(arguments, given, dataset.n_classes)
    check_training(config, dataset)
    n_inputs = dataset.x_train.shape[1]
    # Raises if the memory does not hold one network.
    block_size(config, n_inputs, jax.local_devices(), arguments.memory_bytes)
    return dataset, config, conditions


def prepare(arguments: Training, given: Conditions) -> Job:
    """Load the data; in process 0, lock the folder and read what is to be resumed.

    Raises:
      ValueError, OSError: if the run cannot start with them.
    """
    if arguments.tensorboard:
        tensorboard.check_installed()
    dataset, config, conditions = load(arguments, given)
    record = settings(arguments, given, dataset)
    identity = _identity(arguments, config, dataset, record)
    temporary = Path(tempfile.gettempdir())  # of other processes than the first, for scratch files
    job = Job(config, conditions, dataset, record, identity, temporary, None, None, [])
    if not processes.is_first():
        return job
    out = arguments.out
    if out is None:
        now = datetime.now().strftime("%Y%m%d-%H%M%S")
        try:
            out = folder.new(Path("runs"), f"{Path(arguments.dataset).stem}-{now}")
        except OSError as error:
            why = f"as runs/ cannot be written to: {error.strerror}"
            raise ValueError(f"--out must be given, {why}") from error
    check = partial(folder.check, out, identity, arguments.overwrite, arguments.resume)
    check()  # before anything is written
    lock = folder.lock(out)
    try:
        mark = check()  # nobody else writes to it now
        place = out / folder.CHECKPOINTS
        if mark and mark.done:
            checkpoints.remove(place)  # of a run that was killed after it was marked as done
        saved = checkpoints.load(place) if mark else []
    except BaseException:
        folder.leave(out, lock)
        raise
    return job._replace(folder=out, lock=lock, mark=mark, saved=saved)


def _identity(
    arguments: Training, config: Config, dataset: data.Dataset, record: dict[str, Any]
) -> dict[str, Any]:
    """All that decides the bits of a run: what was asked, the data, the software and devices."""
    devices, options = jax.devices(), backend.options()
    n_inputs = dataset.x_train.shape[1]
    arrays = {name: zlib.crc32(array.tobytes()) for name, array in dataset._asdict().items()}
    identity = {
        **record,
        **arrays,
        **versions(),
        "backend": devices[0].platform,
        "device kind": devices[0].device_kind,
        "block": block_size(config, n_inputs, devices, arguments.memory_bytes),
        **{name: options[name] for name in _DECIDING_BITS},
    }
    if devices[0].platform == "cpu" and config.batch_size >= 512:  # a product's sums are shared out
        identity["threads"] = max(n_threads(), jax.local_device_count())
    return json.loads(json.dumps(identity))  # as other processes and files have it


def train(arguments: Training, job: Job, callback: Callback) -> run.Run:
    """Train and compare, with the folder marked and checkpoints written by process 0."""
    place = job.folder / folder.CHECKPOINTS
    if job.lock:
        if job.mark is None:
            checkpoints.remove(place)  # first: they must not pass for those of the run that begins
        folder.begin(job.folder, job.identity)
    return run.compare(
        job.config,
        job.conditions,
        range(arguments.seeds),
        root_key(),
        job.dataset,
        memory=arguments.memory_bytes,
        allocate=writers.scratch(job.folder),
        checkpoints=checkpoints.Checkpoints(
            partial(checkpoints.save, place) if job.lock else lambda _: None,
            [checkpoints.Saved(*one) for one in job.saved],  # between processes it is a list
            arguments.checkpoint_seconds,
        ),
        callback=callback,
    )


def finish(arguments: Training, job: Job, result: run.Run) -> None:
    """Write the run in place of what the folder held of an earlier one, and mark it as done."""
    from dropout_jax.runs import write  # with what draws, once the answer was shown

    folder.clear(job.folder)
    if arguments.tensorboard:
        events = job.folder / "tensorboard"
        before = set(events.rglob("*"))
        tensorboard.write(events, result)
        written = (path for path in set(events.rglob("*")) - before if path.is_file())
        names = sorted(path.relative_to(job.folder).as_posix() for path in written)
        folder.update(job.folder, files=names)
    write.write(job.folder, result, job.settings)
    folder.update(job.folder, done=not result.interrupted)
    if not result.interrupted:
        checkpoints.remove(job.folder / folder.CHECKPOINTS)


def root_key() -> jax.Array:
    """The key that all others of a run descend from; each call makes the same one."""
    return jax.random.key(ROOT_SEED, impl=PRNG)
