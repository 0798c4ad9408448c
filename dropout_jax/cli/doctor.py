"""`dropout-jax doctor`: will a run be exact, will it be fast, and how long will it take?

What can be measured is measured: a few networks of the very run in question are trained.
"""

import os
import shutil
import timeit
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from dropout_jax.analysis.statistics import MIN_SEEDS
from dropout_jax.cli import backend, jobs, terminal
from dropout_jax.cli.arguments import Doctor
from dropout_jax.cli.conditions import Conditions
from dropout_jax.cli.errors import refuse_bad_input
from dropout_jax.cli.pace import duration, pace
from dropout_jax.cli.tables import Finding
from dropout_jax.data import Dataset
from dropout_jax.io import environment
from dropout_jax.networks.mlp import MLP
from dropout_jax.populations.memory import n_parameters
from dropout_jax.populations.population import fit_population
from dropout_jax.runs.wording import seeds_note
from dropout_jax.training.config import Config, Hparams

_SMALL = Config(MLP((32, 10)), epochs=1, batch_size=64)
_SLOWS = {  # option of JAX: what it does
    "jax_disable_jit": "nothing is compiled",
    "jax_disable_most_optimizations": "XLA hardly optimises",
    "jax_debug_nans": "every result is searched for NaN",
    "jax_debug_infs": "every result is searched for infinities",
}
ACCELERATORS = {"/dev/nvidia0": "cuda13", "/dev/accel0": "tpu"}  # device file: extra


class Machine(NamedTuple):
    """What the speed of a processor depends on, and its speed at float32 products [2048, 2048]."""

    cores: int
    vector_bits: int | None
    gflops: float


RECORD = Machine(2, 512, 470.0)  # of the record of experiments/benchmark.py


def diagnose(arguments: Doctor, given: Conditions) -> int:
    """Print what a run depends on, and whether it will be exact, fast and soon done."""
    with refuse_bad_input():
        backend.start()
        loaded = jobs.load(arguments, given)
    terminal.say(_examine(arguments, *loaded))
    return 0


def _examine(
    arguments: Doctor, data: Dataset, config: Config, conditions: Mapping[str, Hparams]
) -> Iterator[Finding]:
    """All findings, one after another."""
    n_seeds, key, options = arguments.seeds, jobs.root_key(), backend.options()
    here = environment.environment(key)
    packages = ", ".join(f"{name} {v}" for name, v in here["versions"].items())
    yield Finding("versions", None, f"Python {here['python']}, {packages}")
    bits = here["vector_bits"]
    vectors = f"vectors of {bits} bits, " if bits else ""
    yield Finding("machine", None, f"{here['machine']}, {vectors}{here['platform']}")
    yield Finding("devices", None, ", ".join(here["devices"]))
    yield Finding("generator", None, f"{here['prng']}, whatever JAX's default is")
    platforms = {device.platform for device in jax.devices()}
    free = shutil.disk_usage(Path.cwd()).free
    yield check_disk_space(config, len(conditions), n_seeds, data.x_train.shape[1], free)
    yield Finding("seeds", n_seeds >= MIN_SEEDS, seeds_note(n_seeds))
    yield from check_fast(options, platforms)
    yield check_speed(Machine(environment.n_cores(), bits, _product_speed()))
    yield from check_exact(key, options, platforms)
    took = pace(config, [*conditions.values()], n_seeds, key, data, arguments.memory_bytes)
    yield Finding(
        "time",
        None,
        f"training {len(conditions)} × {n_seeds} networks takes about {duration(took.training)}, "
        f"after {duration(took.compilation)} of compilation; analysis and figures come on top",
    )


def check_exact(key: jax.Array, options: Mapping[str, Any], platforms: set[str]) -> list[Finding]:
    """Whether the same run gives the same bits, here and elsewhere: small networks are trained.

    `options` are JAX's; the key is only folded into.
    """
    rng = np.random.default_rng(0)
    y = np.arange(512) % 10
    x = rng.normal(size=(512, 64)).astype(np.float32)
    data = Dataset(x, y, x, y)
    conditions = [Hparams(rates=(0.2, 0.5))]

    def bits(seeds: Sequence[int]) -> bytes:
        params = fit_population(_SMALL, conditions, seeds, key, data).params
        return b"".join(np.asarray(leaf)[:, 0].tobytes() for leaf in jax.tree.leaves(params))

    first = bits([0, 1])
    differ = [how for how, seeds in (("again", [0, 1]), ("alone", [0])) if bits(seeds) != first]
    bits_are = "the same bits when trained again, and alone"
    if differ:
        bits_are = f"other bits when trained {differ[0]}"
    threats = []
    if not options["jax_threefry_partitionable"]:
        threats.append(
            "jax_threefry_partitionable is off: masks and batches differ from those with it on"
        )
    if options["jax_enable_x64"]:
        threats.append(
            "jax_enable_x64 is on: numbers without a type become float64, unlike elsewhere"
        )
    keeps_float32 = options["jax_default_matmul_precision"] in ("float32", "highest")
    if platforms - {"cpu"} and not keeps_float32:
        threats.append(
            "products may be rounded (TF32, bfloat16), so that digits differ from a CPU's; "
            "JAX_DEFAULT_MATMUL_PRECISION=highest keeps float32, and takes longer"
        )
    found = Finding("exact", not differ, f"a network has {bits_are}")
    return [found, *(Finding("exact", False, threat) for threat in threats)]


def check_fast(options: Mapping[str, Any], platforms: set[str]) -> list[Finding]:
    """What makes a run slower than it has to be."""
    slows = [f"{name} is on: {what}" for name, what in _SLOWS.items() if options.get(name)]
    if platforms == {"cpu"}:
        slows += [
            f"{device} is there, but JAX does not use it: pip install 'dropout_jax[{extra}]'"
            for device, extra in ACCELERATORS.items()
            if Path(device).exists()
        ]
    load, cores = os.getloadavg()[0] if hasattr(os, "getloadavg") else None, os.cpu_count() or 1
    if load is not None and load > 0.5 * cores:
        slows.append(f"the machine is busy: a load of {load:.1f} on {cores} cores")
    if not slows:
        half = "" if load is None else ", and at most half of the cores are busy"
        return [Finding("fast", True, f"no option of JAX slows it{half}")]
    return [Finding("fast", False, why) for why in slows]


def matrix_product(n: int) -> Callable[[], None]:
    """A function that computes a float32 product [n, n] on every device at once."""
    multiply = jax.jit(jnp.matmul)
    matrix = np.random.default_rng(0).random((n, n), np.float32)
    operands = [jax.device_put(matrix, device) for device in jax.local_devices()]

    def run() -> None:
        jax.block_until_ready([multiply(a, a) for a in operands])

    return run


def _product_speed() -> float:
    """The GF/s of all devices together at float32 products [2048, 2048], fastest of three."""
    n = 2048
    multiply = matrix_product(n)
    multiply()  # compiles
    seconds = min(timeit.repeat(multiply, repeat=3, number=1))
    return 2 * n**3 * len(jax.local_devices()) / seconds / 1e9


def check_speed(here: Machine, record: Machine = RECORD) -> Finding:
    """Whether products are about as fast as on the benchmark's machine; if not, why."""
    ratio = here.gflops / record.gflops
    message = f"products at {here.gflops:.0f} GF/s, {ratio:.2f} times the benchmark's machine"
    if ratio >= 0.9:  # about as fast
        return Finding("speed", True, message)
    reasons = []
    if here.cores < record.cores:
        reasons.append(f"it has {record.cores} cores, not {here.cores}")
    if here.vector_bits and record.vector_bits and here.vector_bits < record.vector_bits:
        reasons.append(f"its vectors have {record.vector_bits} bits, not {here.vector_bits}")
    unseen = "vectors carried out in halves, a slower clock, or other programs running"
    why = " and ".join(reasons) or unseen
    return Finding("speed", False, f"{message}: {why}")


def check_disk_space(
    config: Config, n_conditions: int, n_seeds: int, n_inputs: int, free: float
) -> Finding:
    """Whether a run fits into `free` bytes on disk.

    Before it ends, it holds the weights of all trained networks and their init thrice: as scratch
    files, in a checkpoint, and in the file that is written.
    """
    needed = 3 * 4 * n_parameters(config, n_inputs) * n_seeds * (n_conditions + 1)
    message = f"the run takes up to {needed / 1e6:,.1f} MB, and {free / 1e6:,.0f} MB are free"
    return Finding("room", needed < free, message)
