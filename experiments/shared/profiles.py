"""Where the time of a training step goes, from a trace of XLA's own profiler.

XLA fuses unlike things into one kernel, whose name says little. So a kernel counts for what the
compiled program says is computed in it. One that does two things bears both names, such as `masks
and batch`.
"""

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
from dropout_jax.populations.devices import device_mesh, shard_members, share
from dropout_jax.training.config import Config, Hparams

_PARTS = {  # what a line of the compiled program has that belongs to a part
    "matrix products": r" dot\(",
    "masks": r"activations/(jit\((_mask|_where)\)|mul\")",
    "activations": r"jit\(relu\)|activations/(gt|select_n|layer_\d+/(add|reduce_sum))\"",
    "loss": r"jvp\(vmap\(",
    "optimizer": r"jit\(_train_step\)/(add|mul)\"",
    "batch": r"while/body/\w+/gather\"",
    "shuffle": r" sort\(",
}
WHOLE = "ThunkExecutor::Execute (wait for completion)"


def parts_of(program: str) -> dict[str, str]:
    """The part, or the parts, of a training step that each kernel of a compiled program computes.

    Masks are made, applied and scaled. Activations are ReLU, biases and the sums that are their
    gradients. Copies and the keys of masks have no part.
    """
    bodies = dict(re.findall(r"^(?:ENTRY )?%(\S+) .*?\{\n(.*?)^\}", program, re.M | re.S))
    found = {}
    for body in bodies.values():
        for name, line in re.findall(r"^  (?:ROOT )?%(\S+) = (.*)$", body, re.M):
            if re.search(r" (while|conditional|call)\(", line):
                continue  # its kernels are in other bodies
            fused = re.search(r" fusion\(.* calls=%([^\s,]+)", line)
            text = bodies[fused[1]] if fused else line
            parts = [part for part, pattern in _PARTS.items() if re.search(pattern, text)]
            found[name] = " and ".join(parts)
    return found


def profile(width: int, rates: tuple[float, ...] | None, data: Dataset) -> dict[str, float]:
    """Microseconds a step of a member, by part and in all, while every device trains one."""
    config = Config(MLP((width, width, 10)))
    mesh = device_mesh(jax.local_devices())
    member = Hparams(rates and np.array(rates))
    hparams = jax.tree.map(lambda v: np.full((mesh.size, *np.shape(v)), v, np.float32), member)
    hparams, keys = shard_members(mesh, (hparams, jax.random.split(jax.random.key(0), mesh.size)))
    shared = share(mesh, data)
    state = init_blocks(config, mesh, hparams, keys, shared)
    train = train_blocks.lower(config, mesh, hparams, state, shared).compile()
    for _ in range(3):
        state = jax.block_until_ready(train(hparams, state, shared))
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            jax.block_until_ready(train(hparams, state, shared))
        (trace,) = Path(folder).rglob("*.trace.json.gz")
        events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    durations: Counter[str] = Counter()
    for event in events:
        if event.get("ph") == "X":
            durations[event["name"]] += event["dur"]
    steps = len(data.x_train) // config.batch_size * mesh.size
    kernel_parts, whole = parts_of(str(train.as_text())), durations[WHOLE]
    parts: Counter[str] = Counter()
    for name, time in durations.items():
        if part := kernel_parts.get(name):
            parts[part] += time
    all_parts = {**dict(parts.most_common()), "the rest": whole - parts.total(), "in all": whole}
    return {part: time / steps for part, time in all_parts.items()}
