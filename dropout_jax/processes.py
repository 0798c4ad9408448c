"""Several processes, each with its own devices, that train one population together.

All of them run the same program on the same arguments and data. Between two epochs they exchange
what was measured and whether to stop; training itself communicates nothing. Everything here is the
identity, or nearly, where there is one process.
"""

import pickle
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding

Result = TypeVar("Result")

HEARTBEAT_SECONDS = 30  # after which a process that says nothing counts as dead
START_SECONDS = 120  # within which all processes have to come


def connect(
    coordinator: str | None = None, n_processes: int | None = None, process: int | None = None
) -> None:
    """Join the other processes, before JAX has started.

    If they do not come in two minutes, JAX ends this one.

    Args:
      coordinator: HOST:PORT of process 0; all three are found out on Slurm, Open MPI, Kubernetes
        and Cloud TPU.
      n_processes: how many there are.
      process: which of them this is, from 0.

    Raises:
      ValueError: if the three cannot be found out.
    """
    try:
        jax.distributed.initialize(
            coordinator,
            n_processes,
            process,
            initialization_timeout=START_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            "distributed needs the other processes, which it finds on Slurm, Open MPI, Kubernetes "
            "and Cloud TPU; elsewhere give --coordinator HOST:PORT, --num-processes and "
            f"--process-id; got {error}"
        ) from error


def is_first() -> bool:
    """Whether this is process 0, which alone prints and writes.

    Example:
      >>> print(is_first())
      True
    """
    return jax.process_index() == 0


def anywhere(flag: bool) -> bool:
    """Whether the flag is true in any process; all of them have to ask.

    Example:
      >>> print(anywhere(False))
      False
    """
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.array([flag])).any())


def together(fn: Callable[[], Result]) -> Result:
    """fn() in every process; what one refuses, by a ValueError or OSError, all refuse.

    Example:
      >>> print(together(lambda: 3))
      3
    """
    result, refused = None, None
    try:
        result = fn()
    except (ValueError, OSError) as error:
        refused = error
    if anywhere(refused is not None):
        raise refused or ValueError("another process could not start, and says why")
    return cast(Result, result)


def of_first(value: Any) -> Any:
    """The value that process 0 has, any that can be pickled; all of them have to ask.

    Example:
      >>> print(of_first({"seeds": 3}))
      {'seeds': 3}
    """
    if jax.process_count() == 1:
        return value
    message = np.frombuffer(pickle.dumps(value), np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.array(len(message))))
    message = np.resize(message, size)  # what the others have is not looked at
    return pickle.loads(multihost_utils.broadcast_one_to_all(message).tobytes())


def put(tree: Any, sharding: NamedSharding) -> Any:
    """A tree of arrays that every process holds, on the devices of all."""
    if sharding.is_fully_addressable:
        return jax.device_put(tree, sharding)

    def one(leaf: Any) -> jax.Array:
        if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
            data = one(jax.random.key_data(leaf))
            return jax.random.wrap_key_data(data, impl=jax.random.key_impl(leaf))
        whole = np.asarray(leaf)
        return jax.make_array_from_callback(whole.shape, sharding, whole.__getitem__)

    return jax.tree.map(one, tree)


def fetch(tree: Any) -> Any:
    """A tree of arrays on the devices of all processes as NumPy arrays, in every process.

    Example:
      >>> print(type(fetch(jnp.ones(2))).__name__)
      ndarray
    """

    def one(leaf: Any) -> np.ndarray:
        if getattr(leaf, "is_fully_addressable", True):
            return np.asarray(leaf)
        return multihost_utils.process_allgather(leaf, tiled=True)

    return jax.tree.map(one, tree)
