"""A run that was asked for on the command line: from its arguments to its folder.

In several processes all prepare and train, and process 0 alone reads and writes.
"""

import json
import shutil
import tempfile
import zlib
from collections.abc import Callable
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax

from dropout_jax import checkpoints, data, processes, records, runs, tensorboard
from dropout_jax.arguments import PRNG, ROOT_SEED, Networks, Training
from dropout_jax.blocks import block_size
from dropout_jax.conditions import configuration, settings
from dropout_jax.training import Config, Hparams, check_training


class Job(NamedTuple):
    """What is to be done, checked."""

    config: Config
    conditions: dict[str, Hparams]
    dataset: data.Dataset
    settings: dict[str, Any]
    identity: dict[str, Any]
    folder: Path
    saved: list[checkpoints.Saved]


def load(arguments: Networks) -> tuple[data.Dataset, Config, dict[str, Hparams]]:
    """The data, the configuration and the conditions.

    Raises:
      ValueError, OSError: for data or numbers that nothing can be trained with.
    """
    dataset = data.load_dataset(arguments.dataset, arguments.data_dir)
    if len(dataset.x_train) < arguments.batch_size:
        raise ValueError(
            f"--batch-size must be at most the {len(dataset.x_train)} training examples of "
            f"{arguments.dataset}, got {arguments.batch_size}"
        )
    config, conditions = configuration(arguments, dataset.n_classes)
    check_training(config, dataset)
    n_inputs = dataset.x_train.shape[1]
    block_size(config, n_inputs, jax.local_devices(), memory(arguments))
    return dataset, config, conditions


def prepare(arguments: Training) -> Job:
    """Load the data, make the folder and read what is to be resumed, the last two in process 0.

    Raises:
      ValueError, OSError: for input that the run cannot start with.
    """
    if arguments.tensorboard:
        tensorboard.check_installed()
    dataset, config, conditions = load(arguments)
    given = settings(arguments, dataset)
    identity = {**given, "data": zlib.crc32(dataset.x_train.tobytes()), "jax": jax.__version__}
    identity = json.loads(json.dumps(identity))  # as other processes and files have it
    now = datetime.now().strftime("%Y%m%d-%H%M%S")
    folder = arguments.out or Path("runs", f"{Path(arguments.dataset).stem}-{now}")
    saved = []
    if processes.is_first():
        if arguments.resume:
            saved = checkpoints.load(folder / records.CHECKPOINT, identity)
        records.check_folder(folder, arguments.overwrite, arguments.resume)
        if not arguments.resume:
            shutil.rmtree(folder / records.CHECKPOINT, ignore_errors=True)
    else:
        folder = Path(tempfile.gettempdir())
    return Job(config, conditions, dataset, given, identity, folder, saved)


def train(arguments: Training, job: Job, progress: Callable[[int, int], None]) -> runs.Run:
    """Train and compare, with checkpoints written by process 0."""
    save = partial(checkpoints.save, job.folder / records.CHECKPOINT, job.identity)
    return runs.run(
        job.config,
        job.conditions,
        range(arguments.seeds),
        root_key(),
        job.dataset,
        memory=memory(arguments),
        allocate=records.scratch(job.folder),
        checkpoints=checkpoints.Checkpoints(
            save if processes.is_first() else lambda _: None,
            [checkpoints.Saved(*one) for one in job.saved],
            arguments.checkpoint_seconds,
        ),
        progress=progress,
    )


def finish(arguments: Training, job: Job, result: runs.Run) -> None:
    """Write the run folder, and remove the checkpoints if nothing is left to do."""
    events = job.folder / "tensorboard"
    shutil.rmtree(events, ignore_errors=True)
    if arguments.tensorboard:
        tensorboard.write(events, result)
    runs.write(job.folder, result, job.settings, root_key())
    if not result.interrupted:
        shutil.rmtree(job.folder / records.CHECKPOINT, ignore_errors=True)


def root_key() -> jax.Array:
    """The key that all others of a run descend from; the same one, made anew."""
    return jax.random.key(ROOT_SEED, impl=PRNG)


def memory(arguments: Networks) -> float | None:
    """Bytes to fill on an accelerator, None for most of what it has."""
    return None if arguments.memory is None else arguments.memory * 2**30
