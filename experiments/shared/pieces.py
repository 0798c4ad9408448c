"""The rivals of this library and of its pieces in the benchmark.

A training step against its own products; masks against JAX's, measures against NumPy's.
"""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from itertools import pairwise
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from dropout_jax.analysis.members import measure_population
from dropout_jax.analysis.uniformity import MEASURES
from dropout_jax.data import Array, load_dataset
from dropout_jax.networks.mlp import MLP
from dropout_jax.noise import keep_mask
from dropout_jax.populations.devices import device_mesh, map_over_devices, shard_members, share
from dropout_jax.populations.population import Population
from dropout_jax.training.evaluation import Curve, Metrics
from dropout_jax.training.step import NARROW
from experiments.shared.contenders import LIBRARY

Pair = dict[str, Callable[[], Any]]  # this library first, then what it is held against
PRODUCTS = "its own products alone"
MASK, SORT = "jax.random.bernoulli", "numpy.sort of the same numbers once"
_NUMPY: dict[str, Callable[[np.ndarray], Any]] = {  # the measures as one writes them in NumPy
    "gini": lambda a: (np.arange(1 - a.size, a.size, 2) / (a.size - 1)) @ np.sort(a) / a.sum(),
    "cv": lambda a: a.std() / a.mean(),
    "entropy": lambda a: np.mean((u := a / a.mean()) * np.log(u)),
    "participation": lambda a: (s := a * a).sum() ** 2 / (a.size * (s * s).sum()),
    "hoyer": lambda a: (np.sqrt(a.size) - a.sum() / np.sqrt((a * a).sum())) / (np.sqrt(a.size) - 1),
    "top10_share": lambda a: np.sort(a)[-a.size // 10 :].sum() / a.sum(),
}


def products(width: int, members: int, steps: int, block: int, x: Array) -> Callable[[], None]:
    """The matrix products of `steps` steps of 784-H-H-10 on a batch x, and nothing else."""
    mesh = device_mesh(jax.local_devices())
    wave, widths = mesh.size * block, (x.shape[1], width, width, 10)
    rng, shapes = np.random.default_rng(0), pairwise(widths)
    kernels = [rng.normal(size=(wave, i, o), scale=i**-0.5).astype(np.float32) for i, o in shapes]
    sharded_kernels, batch = shard_members(mesh, kernels), share(mesh, x)

    def epoch() -> None:
        for _ in range(-(-members // wave)):
            jax.block_until_ready(_multiply_blocks(mesh, steps, sharded_kernels, batch))

    return epoch


@partial(jax.jit, static_argnames=("mesh", "steps"))
def _multiply_blocks(mesh: Mesh, steps: int, kernels: list[jax.Array], x: jax.Array) -> Any:
    """The products of a step, `steps` times, on every device for its kernels [D·M, …]."""

    def step(total: jax.Array, kernels: list[jax.Array], x: jax.Array) -> jax.Array:
        """The total with an entry of each gradient: a scalar to carry, so no kernel is copied."""
        _, x = jax.lax.optimization_barrier((total, x))  # else all would be made once for all steps
        hidden = [x]
        for kernel in kernels:
            hidden.append(hidden[-1] @ kernel)
        signal, grads = hidden.pop(), []
        for kernel, inputs in reversed(list(zip(kernels, hidden, strict=True))):
            narrow = kernel.shape[1] <= NARROW  # as `train_step` has it
            grads.append(signal.T @ inputs if narrow else inputs.T @ signal)
            signal = signal @ kernel.T  # of the pixels it is not used, nor made
        grads = jax.lax.optimization_barrier(grads)  # else but one entry would be made
        return sum((grad[0, 0] for grad in grads), total)

    def scan_steps(kernels: list[jax.Array], x: jax.Array) -> jax.Array:
        total = 0 * kernels[0][0, 0]  # a zero of this device
        return jax.lax.scan(lambda t, _: (step(t, kernels, x), None), total, length=steps)[0]

    return map_over_devices(mesh, scan_steps, (kernels,), x)


def masks(shape: tuple[int, int]) -> Pair:
    """A mask of a traced rate, by this library and by JAX, both from a key of its default kind."""
    key, rate = jax.random.key(0), jnp.float32(0.5)
    ours = jax.jit(lambda key, rate: keep_mask(key, rate, shape))
    theirs = jax.jit(lambda key, rate: jax.random.bernoulli(key, 1 - rate, shape))
    return {
        LIBRARY: lambda: ours(key, rate).block_until_ready(),
        MASK: lambda: theirs(key, rate).block_until_ready(),
    }


def analyses(features: tuple[int, ...]) -> Pair:
    """All measures and views of a member, and NumPy sorting the numbers of its three views once."""
    x = np.asarray(load_dataset("mnist5k").x_train)
    model, n = MLP(features), 2 * len(jax.local_devices())
    keys = jax.random.split(jax.random.key(0), 2 * n)
    params = jax.tree.map(np.asarray, jax.vmap(lambda key: model.init(key, x[:1]))(keys))
    trained, initial = (jax.tree.map(lambda a, i=i: a[None, i::2], params) for i in (0, 1))
    metrics = Metrics(jnp.zeros((1, n, 1)), jnp.zeros((1, n, 1)))
    population = Population(trained, initial, np.zeros(1), Curve(metrics, metrics))
    kernels = [abs(leaf[0]) for leaf in jax.tree.leaves(trained) if leaf.ndim == 4]

    def sort() -> None:
        for kernel in kernels:
            for member in kernel:
                for _ in ("entries", "change"):
                    np.sort(member, axis=None)
                np.sort(member, axis=0)

    return {LIBRARY: lambda: measure_population(model, population, x), SORT: sort}


_SORT_SCRIPT = """
import timeit
import numpy as np
a = np.random.default_rng(0).normal(size={size}).astype(np.float32)
print(min(timeit.repeat(lambda: np.sort(a), number=1, repeat={turns})))
"""


def numpy_sorts(size: int, turns: int) -> Iterator[dict[str, Any]]:
    """Seconds of NumPy's sort of so many weights, with fewer and fewer vector instructions.

    All that NumPy found, then those of up to 256 bits, then none. It is the fastest turn, in a
    process of its own, as NumPy chooses them at its import.
    """
    configuration: Any = np.show_config("dicts")
    found = configuration["SIMD Extensions"]["found"]  # beyond those that NumPy was built for
    narrow = [name for name in found if name != "X86_V4" and not name.startswith("AVX512")]
    for kept in dict.fromkeys((tuple(found), tuple(narrow), ())):
        off = " ".join(name for name in found if name not in kept)
        environment = {**os.environ, "NPY_DISABLE_CPU_FEATURES": off}
        command = [sys.executable, "-c", _SORT_SCRIPT.format(size=size, turns=turns)]
        seconds = subprocess.check_output(command, env=environment, text=True)
        yield {"vector instructions": " ".join(kept) or "none", "seconds": float(seconds)}


def measures(name: str, size: int) -> Pair:
    """One measure of so many weights, by this library and in NumPy."""
    magnitudes = abs(np.random.default_rng(0).normal(size=size)).astype(np.float32)
    ours, on_device = jax.jit(MEASURES[name]), jnp.asarray(magnitudes)
    return {
        LIBRARY: lambda: ours(on_device).block_until_ready(),
        "NumPy": lambda: _NUMPY[name](magnitudes),
    }
