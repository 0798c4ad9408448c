"""Will a run be exact, will it be fast, and how long will it take? Findings on this machine.

What can be measured is measured, by training a few networks of the very run that is asked about.
"""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dropout_jax.data import Dataset
from dropout_jax.io import writers
from dropout_jax.networks.mlp import MLP
from dropout_jax.populations.blocks import curve_epochs
from dropout_jax.populations.memory import block_size, n_parameters
from dropout_jax.populations.population import fit_population
from dropout_jax.training.config import Config, Hparams

ENOUGH_SECONDS = 5.0
SMALL = Config(MLP((32, 10)), epochs=1, batch_size=64)
SLOWS = {  # option of JAX: what it does
    "jax_disable_jit": "nothing is compiled",
    "jax_disable_most_optimizations": "XLA hardly optimises",
    "jax_debug_nans": "every result is searched for NaN",
    "jax_debug_infs": "every result is searched for infinities",
}
ACCELERATORS = {"/dev/nvidia0": "cuda13", "/dev/accel0": "tpu"}  # device file: extra


class Machine(NamedTuple):
    """What the speed of a processor depends on, and its speed at float32 products of 2048."""

    cores: int
    vector_bits: int | None
    gflops: float


RECORD = Machine(2, 512, 200.0)  # of experiments/results/benchmark, whose speeds the README shows
ABOUT_AS_FAST = 0.9


class Finding(NamedTuple):
    """A fact (`good` is None), or what stands in the way of a good run (`good` is False)."""

    about: str
    good: bool | None
    said: str


class Pace(NamedTuple):
    """How long a population takes to train, in seconds: before its first step, and after."""

    compilation: float
    training: float


def examine(
    config: Config,
    conditions: Sequence[Hparams],
    n_seeds: int,
    key: jax.Array,
    data: Dataset,
    options: Mapping[str, Any],
    memory: float | None = None,
) -> Iterator[Finding]:
    """All findings, one after another; the arguments are `fit_population`'s and JAX's options."""
    environment = writers.environment(key)
    packages = ", ".join(f"{name} {v}" for name, v in environment["versions"].items())
    yield Finding("versions", None, f"Python {environment['python']}, {packages}")
    bits = environment["vector_bits"]
    vectors = f"vectors of {bits} bits, " if bits else ""
    machine = f"{environment['machine']}, {vectors}{environment['platform']}"
    yield Finding("machine", None, machine)
    yield Finding("devices", None, ", ".join(environment["devices"]))
    yield Finding("generator", None, f"{environment['prng']}, whatever JAX's default is")
    platforms = {device.platform for device in jax.devices()}
    free = shutil.disk_usage(Path.cwd()).free
    yield room(config, len(conditions), n_seeds, data.x_train.shape[1], free)
    yield from fast(options, platforms)
    yield speed(Machine(os.cpu_count() or 1, bits, product_speed()))
    yield from exact(key, options, platforms)
    took = pace(config, conditions, n_seeds, key, data, memory)
    yield Finding(
        "time",
        None,
        f"to train {len(conditions)} × {n_seeds} networks takes about {duration(took.training)}, "
        f"after {duration(took.compilation)} of compilation; analysis and figures come on top",
    )


def exact(key: jax.Array, options: Mapping[str, Any], platforms: set[str]) -> list[Finding]:
    """Whether the same run gives the same bits, here and elsewhere; networks are trained for it.

    `options` are JAX's; the key is only folded into.
    """
    rng = np.random.default_rng(0)
    y = np.arange(512) % 10
    x = rng.normal(size=(512, 64)).astype(np.float32)
    data = Dataset(x, y, x, y)
    conditions = [Hparams(rates=(0.2, 0.5))]

    def bits(seeds: Sequence[int]) -> bytes:
        params = fit_population(SMALL, conditions, seeds, key, data).params
        return b"".join(np.asarray(leaf)[:, 0].tobytes() for leaf in jax.tree.leaves(params))

    first = bits([0, 1])
    others = {"again": bits([0, 1]), "alone": bits([0])}
    differ = [how for how, other in others.items() if other != first]
    same = (
        f"other bits when trained {differ[0]}"
        if differ
        else "the same bits when trained again, and alone"
    )
    found = [Finding("exact", not differ, f"a network has {same}")]
    if not options["jax_threefry_partitionable"]:
        said = "jax_threefry_partitionable is off: masks and batches are others than with it on"
        found.append(Finding("exact", False, said))
    if options["jax_enable_x64"]:
        said = "jax_enable_x64 is on: what is not float32 by itself is float64, unlike elsewhere"
        found.append(Finding("exact", False, said))
    if platforms - {"cpu"} and options["jax_default_matmul_precision"] not in (
        "float32",
        "highest",
    ):
        said = "products may be rounded (TF32, bfloat16), so that digits differ from a CPU's; "
        said += "JAX_DEFAULT_MATMUL_PRECISION=highest keeps float32, and takes longer"
        found.append(Finding("exact", False, said))
    return found


def fast(options: Mapping[str, Any], platforms: set[str]) -> list[Finding]:
    """What makes a run slower than it could be."""
    found = [
        Finding("fast", False, f"{name} is on: {what}")
        for name, what in SLOWS.items()
        if options.get(name)
    ]
    if platforms == {"cpu"}:
        for device, extra in ACCELERATORS.items():
            if Path(device).exists():
                said = f"{device} is there, but JAX does not use it: "
                said += f"pip install 'dropout_jax[{extra}]'"
                found.append(Finding("fast", False, said))
    load, cores = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0, os.cpu_count() or 1
    if load > 0.5 * cores:
        said = f"the machine is busy: a load of {load:.1f} on {cores} cores"
        found.append(Finding("fast", False, said))
    return found or [Finding("fast", True, "no option of JAX slows it, and the machine is idle")]


def matrix_product(n: int) -> Callable[[], None]:
    """A float32 product [n, n] on every device at once, to be called and timed."""
    multiply = jax.jit(jnp.matmul)
    matrix = np.random.default_rng(0).random((n, n), np.float32)
    operands = [jax.device_put(matrix, device) for device in jax.local_devices()]
    return lambda: jax.block_until_ready([multiply(a, a) for a in operands]) and None


def product_speed(n: int = 2048, turns: int = 3) -> float:
    """GF/s of all devices together at products [n, n]: the fastest of some turns."""
    multiply = matrix_product(n)
    multiply()  # compiles
    seconds = []
    for _ in range(turns):
        start = perf_counter()
        multiply()
        seconds.append(perf_counter() - start)
    return 2 * n**3 * len(jax.local_devices()) / min(seconds) / 1e9


def speed(here: Machine, record: Machine = RECORD) -> Finding:
    """Whether products are about as fast as on the machine of the README's speeds; if not, why.

    Example:
      >>> print(speed(Machine(2, 256, 100.0), Machine(2, 512, 200.0)).said)
      products at 100 GF/s, 0.50 times the README's machine: its vectors have 512 bits, not 256
    """
    ratio = here.gflops / record.gflops
    said = f"products at {here.gflops:.0f} GF/s, {ratio:.2f} times the README's machine"
    if ratio >= ABOUT_AS_FAST:
        return Finding("speed", True, said)
    reasons = []
    if here.cores < record.cores:
        reasons.append(f"it has {record.cores} cores, not {here.cores}")
    if here.vector_bits and record.vector_bits and here.vector_bits < record.vector_bits:
        reasons.append(f"its vectors have {record.vector_bits} bits, not {here.vector_bits}")
    why = " and ".join(reasons) or "another clock, or other programs that run"
    return Finding("speed", False, f"{said}: {why}")


class _EnoughError(Exception):
    """Enough epochs were timed."""


def pace(
    config: Config,
    conditions: Sequence[Hparams],
    n_seeds: int,
    key: jax.Array,
    data: Dataset,
    memory: float | None = None,
    enough_seconds: float = ENOUGH_SECONDS,
) -> Pace:
    """How long conditions × seeds would take, from the first epochs of the first wave of members.

    Epochs after which the curve is measured take longer, so both kinds are timed where both come.
    """
    devices, n_members = jax.devices(), len(conditions) * n_seeds
    n_inputs = data.x_train.shape[1]
    block = block_size(config, n_inputs, devices, memory)
    wave = min(block * len(devices), n_members)
    measured = set(curve_epochs(config.epochs).tolist())
    times = [perf_counter()]

    def clock(*_: int) -> None:
        times.append(perf_counter())
        enough = times[-1] - times[1] > enough_seconds
        if len(times) > config.epochs or (enough and len(times) > 4):
            raise _EnoughError

    try:
        seeds = range(-(-wave // len(conditions)))
        fit_population(config, conditions, seeds, key, data, block=block, progress=clock)
    except _EnoughError:
        pass
    first, *others = np.diff(times)
    seconds = {True: [], False: []}
    for epoch, duration in enumerate(others, start=2):
        seconds[epoch in measured].append(duration)
    everything = others or [first]
    of_epoch = {kind: np.mean(some or everything) for kind, some in seconds.items()}
    of_wave = sum(of_epoch[epoch in measured] for epoch in range(1, config.epochs + 1))
    n_waves = -(-n_members // wave)
    compilation = max(0.0, first - of_epoch[True]) if others else 0.0
    return Pace(float(compilation), float(n_waves * of_wave))


def room(config: Config, n_conditions: int, n_seeds: int, n_inputs: int, free: float) -> Finding:
    """Whether the file of weights, of trained networks and their init, fits into `free` bytes.

    Example:
      >>> print(room(Config(MLP((10,))), 3, 10, 64, free=1e9).good)
      True
    """
    needed = 4 * n_parameters(config, n_inputs) * n_seeds * (n_conditions + 1)
    said = f"the weights take {needed / 1e6:,.1f} MB, and {free / 1e6:,.0f} MB are free"
    return Finding("room", needed < free, said)


def duration(seconds: float) -> str:
    """Seconds in words, to the digits that an estimate has.

    Example:
      >>> print(duration(9_000))
      2.5 hours
    """
    for unit, size in (("days", 86_400), ("hours", 3_600), ("minutes", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.2g} {unit}"
    return f"{seconds:.0f} seconds"
