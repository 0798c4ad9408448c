"""How long a population takes to train, estimated from its first epochs."""

from collections.abc import Sequence
from time import perf_counter
from typing import NamedTuple

import jax
import numpy as np

from dropout_jax.data import Dataset
from dropout_jax.populations.blocks import advance, curve_epochs, start
from dropout_jax.populations.devices import shard_members, share
from dropout_jax.populations.members import make_members, stack_conditions
from dropout_jax.populations.memory import wave_of_blocks
from dropout_jax.training.config import Config, Hparams

_ENOUGH_SECONDS = 5.0
_MIN_EPOCHS = 4  # so that both kinds are timed


class Pace(NamedTuple):
    """Seconds that a population takes: before its first step, and after."""

    compilation: float
    training: float


def pace(
    config: Config,
    conditions: Sequence[Hparams],
    n_seeds: int,
    key: jax.Array,
    data: Dataset,
    memory: float | None = None,
) -> Pace:
    """Time the first epochs of the first wave of members, for all of conditions × seeds.

    Epochs after which the curve is measured take longer, so both kinds are timed if both occur.
    The key is only folded into.
    """
    devices, n_members = jax.devices(), len(conditions) * n_seeds
    mesh, wave = wave_of_blocks(config, data.x_train.shape[1], n_members, devices, memory)
    seeds = range(-(-wave // len(conditions)))
    members = make_members(stack_conditions(conditions), seeds, key)
    first_wave = jax.tree.map(lambda leaf: leaf[:wave], members)
    times = [perf_counter()]
    (hparams, keys), shared = shard_members(mesh, first_wave), share(mesh, data)
    flight = start(config, mesh, hparams, keys, shared)
    while flight.epoch < config.epochs:
        flight = advance(config, mesh, hparams, flight, shared)
        times.append(perf_counter())
        if flight.epoch >= _MIN_EPOCHS and times[-1] - times[1] > _ENOUGH_SECONDS:
            break
    first, *others = np.diff(times)
    measured = set(curve_epochs(config.epochs).tolist())
    timed = {True: [], False: []}  # epochs that are measured, and others
    for epoch, seconds in enumerate(others, start=2):
        timed[epoch in measured].append(seconds)
    means = {kind: np.mean(some or others or [first]) for kind, some in timed.items()}
    wave_seconds = sum(means[epoch in measured] for epoch in range(1, config.epochs + 1))
    n_waves = -(-n_members // wave)
    compilation = max(0.0, first - means[True]) if others else 0.0
    return Pace(float(compilation), float(n_waves * wave_seconds))


def duration(seconds: float) -> str:
    """Seconds in words, with the digits of an estimate."""
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{float(f'{seconds / size:.2g}'):g} {unit}"  # 100, not 1e+02
    return "a second" if round(seconds) == 1 else f"{seconds:.0f} seconds"
