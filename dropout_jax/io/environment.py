"""The versions and the machine that a number depends on."""

import contextlib
import os
import platform
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax

_PACKAGES = ("dropout_jax", "jax", "jaxlib", "flax", "optax", "numpy", "scipy")
_VECTORS = {"avx512f": 512, "avx2": 256, "avx": 256, "sse2": 128, "asimd": 128}  # widest first


def _processor() -> tuple[str, int | None]:
    """Its name, or its architecture, and the bits of its widest vectors, if Linux tells them.

    Clouds give unlike processors one name, so that of an x86 also has the family and the model.
    """
    try:
        info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        info = ""
    facts: dict[str, str] = {}  # of the first core
    for key, _, value in (line.partition(":") for line in info.splitlines()):
        facts.setdefault(key.strip(), value.strip())
    name = facts.get("model name") or platform.processor() or platform.machine()
    if "cpu family" in facts:
        name += f" (family {facts['cpu family']}, model {facts.get('model')})"
    flags = info.split()
    return name, next((bits for flag, bits in _VECTORS.items() if flag in flags), None)


def n_threads() -> int:
    """The threads that XLA starts for its products: a core of the process's affinity each."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def n_cores() -> int:
    """The CPU cores that this process may use, by its affinity and the quota of its container.

    Example:
      >>> print(1 <= n_cores() <= (os.cpu_count() or 1))
      True
    """
    cores = n_threads()
    with contextlib.suppress(OSError, ValueError):  # there is no such file, or its quota is "max"
        quota, period = map(int, Path("/sys/fs/cgroup/cpu.max").read_text(encoding="utf-8").split())
        cores = max(1, min(cores, quota // period))
    return cores


def versions() -> dict[str, str]:
    """The version of this package, and of each that numbers depend on."""
    return {name: version(name) for name in _PACKAGES}


def environment(key: jax.Array) -> dict[str, Any]:
    """Versions, machine, devices and generator: what a number of this run depends on.

    Example:
      >>> print(environment(jax.random.key(0))["prng"])
      threefry2x32
    """
    processor, vector_bits = _processor()
    return {
        "python": platform.python_version(),
        "versions": versions(),
        "machine": f"{processor}, {os.cpu_count()} cores",
        "vector_bits": vector_bits,
        "platform": platform.system(),
        "devices": [
            f"{device.platform}:{device.id} {device.device_kind}" for device in jax.devices()
        ],
        "prng": str(jax.random.key_impl(key)),
    }
