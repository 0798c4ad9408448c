"""Where the time of a training step goes, from a trace of XLA's own profiler.

XLA fuses unlike things into one kernel, whose name says little. So a kernel counts for what the
compiled program says is computed in it. One that does two things bears both names, such as `masks
and batch`. XLA shares a large product out over its threads, and a trace names only the share of the
thread that begins it. The others are `shares on other threads`.
"""

import gzip
import json
import re
import tempfile
from collections import defaultdict
from collections.abc import Container, Iterable
from pathlib import Path
from typing import Any

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
TURNS = 3


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


def unnamed(events: Iterable[dict[str, Any]], kernels: Container[str]) -> float:
    """Microseconds of tasks of XLA's threads that begin no kernel: shares of one begun elsewhere.

    A task that a thread takes up while it waits within a kernel counts for that kernel.
    """
    total, begun, busy = 0.0, {}, defaultdict(float)  # by thread; `busy` until its kernel ends
    for event in sorted(events, key=lambda event: event["ts"]):
        thread, time = event["tid"], event["ts"]
        if event["name"] == "ThreadpoolListener::StartRegion":
            begun[thread] = max(time, busy[thread])
        elif event["name"] == "ThreadpoolListener::StopRegion":
            total += max(0.0, time - begun.pop(thread, time))
        elif event["name"] in kernels:
            begun.pop(thread, None)
            busy[thread] = max(busy[thread], time + event["dur"])
    return total


def profile(width: int, rates: tuple[float, ...] | None, data: Dataset) -> dict[str, float]:
    """Microseconds a step of a member, by part and in all, while every device trains one.

    They are those of the fastest of three turns.
    """
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
    kernel_parts = parts_of(str(train.as_text()))
    turns = []
    for _ in range(TURNS):
        with tempfile.TemporaryDirectory() as folder:
            with jax.profiler.trace(folder):
                state = jax.block_until_ready(train(hparams, state, shared))
            (trace,) = Path(folder).rglob("*.trace.json.gz")
            events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
        timed = [event for event in events if event.get("ph") == "X"]
        parts: dict[str, float] = defaultdict(float)
        for event in timed:
            if part := kernel_parts.get(event["name"]):
                parts[part] += event["dur"]
        parts["shares on other threads"] = unnamed(timed, kernel_parts)
        whole = sum(event["dur"] for event in timed if event["name"] == WHOLE)
        largest_first = dict(sorted(parts.items(), key=lambda part: -part[1]))
        rest = {"the rest": whole - sum(parts.values()), "in all": whole}
        turns.append({**largest_first, **rest})
    steps = len(data.x_train) // config.batch_size * mesh.size
    fastest = min(turns, key=lambda turn: turn["in all"])
    return {part: time / steps for part, time in fastest.items()}
