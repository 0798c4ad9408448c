"""JAX, started as the command line needs it."""

import contextlib
import os
from collections.abc import Callable
from typing import Any

import jax

from dropout_jax.io.environment import n_cores


def start(connect: Callable[[], None] | None = None) -> None:
    """Start JAX, with every CPU core as a device.

    Options that users set for their own programs forbid what the library does, such as adding an
    integer to a float, so they are undone. `connect` joins other processes before JAX starts.

    Raises:
      ValueError: if there are no devices, as for a platform that is not there.
    """
    with contextlib.suppress(RuntimeError):  # it has started, when called from Python
        jax.config.update("jax_num_cpu_devices", n_cores())
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    jax.config.update("jax_transfer_guard", "allow")
    if connect:
        connect()
    try:
        jax.devices()
    except RuntimeError as error:
        raise ValueError(f"JAX cannot start: {error}") from error


def options() -> dict[str, Any]:
    """The options of JAX, and those that XLA reads from the environment itself."""
    return {**jax.config.values, "XLA_FLAGS": os.environ.get("XLA_FLAGS", "")}
