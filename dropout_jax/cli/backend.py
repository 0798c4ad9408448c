"""JAX, started as the command line needs it."""

import contextlib
import os
from typing import Any

import jax

from dropout_jax.io.environment import n_cores


def configure() -> None:
    """Make JAX treat every CPU core as a device, and allow all that the library does.

    Some options forbid what the library does, such as adding an integer to a float. They are meant
    for programs that users write themselves.
    """
    with contextlib.suppress(RuntimeError):  # it has started, when called from Python
        jax.config.update("jax_num_cpu_devices", n_cores())
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    jax.config.update("jax_transfer_guard", "allow")


def start() -> None:
    """Start JAX on its devices.

    Raises:
      ValueError: if there are none, as for a platform that is not there.
    """
    try:
        jax.devices()
    except RuntimeError as error:
        raise ValueError(f"JAX cannot start: {error}") from error


def options() -> dict[str, Any]:
    """The options of JAX, and those that XLA reads from the environment itself."""
    return {**jax.config.values, "XLA_FLAGS": os.environ.get("XLA_FLAGS", "")}
