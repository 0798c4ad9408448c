"""Where the time of a training step goes, from a trace of XLA's own profiler."""

import gzip
import json
import re
import tempfile
from collections import Counter
from pathlib import Path

import jax
import numpy as np

from dropout_jax.data import Dataset
from dropout_jax.networks.mlp import MLP
from dropout_jax.populations.blocks import init_blocks, train_blocks
from dropout_jax.populations.devices import deal, mesh_of, share
from dropout_jax.training.config import Config, Hparams

_PARTS = {  # what the CPU backend's thunks are named
    "matrix products": r"^(dot|ynn_fusion)",
    "masks": r"^(broadcast_(and|multiply)|multiply_bitcast|select_select|compare_bitcast)",
    "optimizer": r"^(multiply_add|add_multiply)",
    "batch": r"gather",
    "shuffle": r"^sort",
}
WHOLE = "ThunkExecutor::Execute (wait for completion)"


def profile(width: int, rates: tuple[float, ...] | None, data: Dataset) -> dict[str, float]:
    """Microseconds a step of a member, by part and in all, while every device trains one."""
    config = Config(MLP((width, width, 10)))
    mesh = mesh_of(jax.local_devices())
    member = Hparams(rates and np.array(rates))
    hparams = jax.tree.map(lambda v: np.full((mesh.size, *np.shape(v)), v, np.float32), member)
    hparams, keys = deal(mesh, (hparams, jax.random.split(jax.random.key(0), mesh.size)))
    shared = share(mesh, data)
    state = init_blocks(config, mesh, hparams, keys, shared)
    for _ in range(3):
        state = jax.block_until_ready(train_blocks(config, mesh, hparams, state, shared))
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            jax.block_until_ready(train_blocks(config, mesh, hparams, state, shared))
        (trace,) = Path(folder).rglob("*.trace.json.gz")
        events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    durations: Counter[str] = Counter()
    for event in events:
        if event.get("ph") == "X":
            durations[event["name"]] += event["dur"]
    steps = len(data.x_train) // config.batch_size * mesh.size
    parts = {
        part: sum(time for name, time in durations.items() if re.search(pattern, name)) / steps
        for part, pattern in _PARTS.items()
    }
    whole = durations[WHOLE] / steps
    return {**parts, "the rest": whole - sum(parts.values()), "in all": whole}
