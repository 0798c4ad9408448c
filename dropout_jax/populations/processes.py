"""Several processes, each with its own devices, that train one population together.

All of them run the same program on the same arguments and data. Between two epochs they exchange
what was measured and whether to stop; training itself communicates nothing. Everything here is the
identity, or nearly, where there is one process.

JAX neither encrypts what they say nor asks who joins, so all of it belongs in a private network.
What arrives from another process is JSON and numbers: nothing of it is ever run.
"""

import json
import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding

Result = TypeVar("Result")

HEARTBEAT_SECONDS = 30  # after which a process that says nothing counts as dead
START_SECONDS = 120  # within which all processes have to come
ARRAY = "/array"  # in place of an array in JSON; no condition has a slash in its name


def connect(
    coordinator: str | None = None, n_processes: int | None = None, process: int | None = None
) -> None:
    """Join the other processes, before JAX has started.

    If they do not come in two minutes, JAX ends this one; and so it ends one that is too many.

    Args:
      coordinator: HOST:PORT of process 0, which listens there alone; all three are found out on
        Slurm, Open MPI, Kubernetes and Cloud TPU, where it listens on all its addresses.
      n_processes: how many there are.
      process: which of them this is, from 0.

    Raises:
      ValueError: if the three cannot be found out, or another process was told another number.
    """
    try:
        jax.distributed.initialize(
            coordinator,
            n_processes,
            process,
            coordinator_bind_address=coordinator,
            initialization_timeout=START_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            "distributed needs the other processes, which it finds on Slurm, Open MPI, Kubernetes "
            "and Cloud TPU; elsewhere give --coordinator HOST:PORT, --num-processes and "
            f"--process-id; got {error}"
        ) from error
    together(partial(_check_number, n_processes))


def _check_number(n_processes: int | None) -> None:
    """Raise ValueError unless as many came as this process was told, which JAX does not look at."""
    if n_processes not in (None, jax.process_count()):
        raise ValueError(f"--num-processes must be {jax.process_count()}, got {n_processes}")


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
    """The value that process 0 has, JSON in which there may be arrays; all of them have to ask.

    Between processes tuples become lists, as they do in JSON.

    Example:
      >>> print(of_first({"seeds": 3}))
      {'seeds': 3}
    """
    if jax.process_count() == 1:
        return value
    message = _packed(value) if is_first() else b""
    size = _broadcast(len(message).to_bytes(8), 8)
    return _unpacked(_broadcast(message, int.from_bytes(size)))


def _broadcast(message: bytes, size: int) -> bytes:
    """The message of process 0; those of others are not looked at."""
    resized = np.resize(np.frombuffer(message, np.uint8), size)
    return multihost_utils.broadcast_one_to_all(resized).tobytes()


def _packed(value: Any) -> bytes:
    """JSON, its length before it, and behind it the numbers of the arrays that it tells of."""
    arrays = []

    def hold(array: Any) -> dict[str, Any]:
        if not isinstance(array, np.ndarray | np.generic | jax.Array) or array.dtype.hasobject:
            raise TypeError(f"what is sent must be JSON and arrays, got {type(array).__name__}")
        arrays.append(np.asarray(array))
        return {ARRAY: [arrays[-1].dtype.name, arrays[-1].shape]}

    text = json.dumps(value, default=hold).encode()
    return b"".join([len(text).to_bytes(8), text, *(array.tobytes() for array in arrays)])


def _unpacked(message: bytes) -> Any:
    """The value of `_packed`."""
    at = 8 + int.from_bytes(message[:8])
    text = message[8:at]

    def take(found: dict[str, Any]) -> Any:
        nonlocal at
        if ARRAY not in found:
            return found
        dtype, shape = found[ARRAY]
        size = math.prod(shape)
        array = np.frombuffer(message, dtype, size, at if size else 0)
        at += array.nbytes
        return array.reshape(shape).copy()

    return json.loads(text, object_hook=take)


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
