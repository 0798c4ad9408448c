"""Several processes, each with its own devices, that train one population together.

All processes run the same program on the same arguments and data. Between two epochs they exchange
metrics, which members stop, and whether to save; training itself communicates nothing. In a single
process all but `connect` do nothing, or nearly.

JAX neither encrypts messages nor checks who joins, so use a private network. Messages are JSON and
numbers; no code in them is ever run.
"""

import json
import math
from collections.abc import Callable
from typing import Any, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import NamedSharding

_T = TypeVar("_T")

_HEARTBEAT_SECONDS = 30  # after which a silent process counts as dead
_ARRAY = "/array"  # stands for an array in JSON; no name of a condition has a slash


def connect(
    coordinator: str | None = None, n_processes: int | None = None, process: int | None = None
) -> None:
    """Join the other processes, before JAX has started.

    JAX ends this process if the others do not join within two minutes, or if it is one too many.
    On Slurm, Open MPI, Kubernetes and Cloud TPU, JAX finds all three arguments itself. A program
    should end with `jax.distributed.shutdown()`, which waits for the other processes: a process
    that ends without it cuts off those that are still reading from it.

    Args:
      coordinator: HOST:PORT of process 0, which listens at this address alone; by default at all
        its addresses.
      n_processes: the number of processes.
      process: the number of this process, from 0.

    Raises:
      ValueError: if JAX cannot find what is not given, or the processes were given other numbers.
    """
    try:
        jax.distributed.initialize(
            coordinator,
            n_processes,
            process,
            coordinator_bind_address=coordinator,
            initialization_timeout=120,
            heartbeat_timeout_seconds=_HEARTBEAT_SECONDS,
        )
    except (ValueError, RuntimeError) as error:
        raise ValueError(
            "distributed needs the other processes, which it finds on Slurm, Open MPI, Kubernetes "
            "and Cloud TPU; elsewhere give --coordinator HOST:PORT, --num-processes and "
            f"--process-id; got {error}"
        ) from error

    def check_number() -> None:  # JAX does not
        if n_processes not in (None, jax.process_count()):
            raise ValueError(f"--num-processes must be {jax.process_count()}, got {n_processes}")

    together(check_number)


def is_first() -> bool:
    """Whether this is process 0, the only one that prints and writes."""
    return jax.process_index() == 0


def anywhere(flag: bool) -> bool:
    """Whether the flag is true in any process; all processes have to call this."""
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.array([flag])).any())


def together(fn: Callable[[], _T]) -> _T:
    """fn() in every process; if one raises a ValueError or an OSError, all raise."""
    result, refused = None, None
    try:
        result = fn()
    except (ValueError, OSError) as error:
        refused = error
    if anywhere(refused is not None):
        raise refused or ValueError("another process could not start, and says why")
    return cast(_T, result)


def from_first_process(value: Any) -> Any:
    """The value of process 0, JSON that may hold arrays; all processes have to call this.

    Between processes tuples become lists, as in JSON.
    """
    if jax.process_count() == 1:
        return value
    message = _pack_message(value) if is_first() else b""
    size = _broadcast(len(message).to_bytes(8), 8)
    return _unpack_message(_broadcast(message, int.from_bytes(size)))


def _broadcast(message: bytes, size: int) -> bytes:
    """The message of process 0; those of other processes are ignored."""
    resized = np.resize(np.frombuffer(message, np.uint8), size)
    return multihost_utils.broadcast_one_to_all(resized).tobytes()


def _pack_message(value: Any) -> bytes:
    """The length of the JSON, the JSON, and the bytes of its arrays."""
    arrays = []

    def hold(array: Any) -> dict[str, Any]:
        if not isinstance(array, np.ndarray | np.generic | jax.Array) or array.dtype.hasobject:
            raise TypeError(f"a message must be JSON and arrays, got {type(array).__name__}")
        arrays.append(np.asarray(array))
        return {_ARRAY: [arrays[-1].dtype.name, arrays[-1].shape]}

    text = json.dumps(value, default=hold).encode()
    return b"".join([len(text).to_bytes(8), text, *(array.tobytes() for array in arrays)])


def _unpack_message(message: bytes) -> Any:
    """The value of `_pack_message`."""
    at = 8 + int.from_bytes(message[:8])
    text = message[8:at]

    def take(found: dict[str, Any]) -> Any:
        nonlocal at
        if _ARRAY not in found:
            return found
        dtype, shape = found[_ARRAY]
        size = math.prod(shape)
        array = np.frombuffer(message, dtype, size, at if size else 0)
        at += array.nbytes
        return array.reshape(shape).copy()

    return json.loads(text, object_hook=take)


def put(tree: Any, sharding: NamedSharding) -> Any:
    """A tree of arrays that every process holds, put on the devices of all processes."""
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
    """A tree of arrays, on the devices of all processes, as NumPy arrays in every process."""

    def one(leaf: Any) -> np.ndarray:
        if getattr(leaf, "is_fully_addressable", True):
            return np.asarray(leaf)
        return multihost_utils.process_allgather(leaf, tiled=True)

    return jax.tree.map(one, tree)
