"""Devices in a row, each with its share of members, which it maps over without communication.

Shapes: D devices, M members of a block, C conditions, S seeds.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from dropout_jax.populations.processes import fetch, put

Device = Any  # jax.Device, which type checkers do not take for a type


def device_mesh(devices: Sequence[Device] | None = None, n_blocks: int | None = None) -> Mesh:
    """Devices [D] in a row, all by default, along which members are dealt.

    A single process takes at most `n_blocks` of them; of several processes each has to take part.
    """
    devices = list(jax.devices() if devices is None else devices)
    if jax.process_count() == 1:
        devices = devices[:n_blocks]
    return Mesh(np.array(devices), ("members",))


def shard_members(mesh: Mesh, members: Any) -> Any:
    """Put a tree of members [D·M, …] on the devices, M on each.

    Example:
      >>> print(tuple(shard_members(device_mesh(jax.devices()[:1]), np.arange(2)).sharding.spec))
      ('members',)
    """
    return put(members, NamedSharding(mesh, P("members")))


def share(mesh: Mesh, data: Any) -> Any:
    """Put a tree of arrays on every device.

    Example:
      >>> print(share(device_mesh(jax.devices()[:1]), np.arange(2)).sharding.is_fully_replicated)
      True
    """
    return put(data, NamedSharding(mesh, P()))


def map_over_devices(mesh: Mesh, fn: Callable[..., Any], members: tuple, data: Any) -> Any:
    """fn(*member, data) for all members [D·M, …]: each device vmaps over its M members.

    A block of one member is not batched, as an axis of length 1 keeps XLA from folding the
    transposes of gradients into its products.

    Example:
      >>> import jax.numpy as jnp
      >>> mesh = device_mesh(jax.devices()[:1])
      >>> double = jax.jit(lambda member: map_over_devices(mesh, jnp.multiply, (member,), 2.0))
      >>> print(double(np.arange(3.0)))
      [0. 2. 4.]
    """

    def block(members: tuple, data: Any) -> Any:
        if len(jax.tree.leaves(members)[0]) > 1:
            return jax.vmap(lambda *member: fn(*member, data))(*members)
        member = jax.tree.map(lambda leaf: leaf[0], members)
        return jax.tree.map(lambda leaf: leaf[None], fn(*member, data))

    spread = jax.shard_map(block, mesh=mesh, in_specs=(P("members"), P()), out_specs=P("members"))
    return spread(members, data)


def map_members(
    fn: Callable[..., Any],
    static: tuple,
    members: tuple,
    shared: Any,
    devices: Sequence[Device] | None = None,
) -> Any:
    """fn(*static, *member, shared) for all members, as NumPy arrays with leading axes [C, S].

    Each device computes one member after another.

    Args:
      fn: a function of one member, such as a measure; the same object compiles once.
      static: its first arguments, hashable; other values compile anew.
      members: trees with leading axes [C, S].
      shared: a tree of arrays for all members, such as data.
      devices: all by default.

    Raises:
      ValueError: if the members' leading axes differ, or there is no member.

    Example:
      >>> def add(scale, member, shared):
      ...     return scale * member + shared
      >>> print(map_members(add, (10,), (np.arange(4.0).reshape(2, 2),), np.array(1.0)))
      [[ 1. 11.]
       [21. 31.]]
    """
    leading = {np.shape(leaf)[:2] for leaf in jax.tree.leaves(members)}
    if len(leading) != 1 or 0 in min(leading) or len(min(leading)) < 2:
        raise ValueError(f"members must share leading axes [C, S], got {sorted(leading)}")
    n_conditions, n_seeds = leading.pop()
    n_members = n_conditions * n_seeds
    mesh = device_mesh(devices, n_members)
    shared, results = share(mesh, shared), []
    for first in range(0, n_members, mesh.size):
        places = np.arange(first, first + mesh.size) % n_members  # wraps, to fill the last wave
        cells = np.divmod(places, n_seeds)
        wave = shard_members(mesh, jax.tree.map(lambda leaf, cells=cells: leaf[cells], members))
        results.append(fetch(_map_blocks(fn, static, mesh, wave, shared)))

    def stack(*leaves: np.ndarray) -> np.ndarray:
        rows = np.concatenate(leaves)[:n_members]
        return rows.reshape(n_conditions, n_seeds, *rows.shape[1:])

    return jax.tree.map(stack, *results)


def compile_ahead(
    fn: Callable[..., Any], static: tuple, member: tuple, shared: Any, n_members: int
) -> None:
    """Compile what `map_members` needs for n_members on all devices, known by their shapes.

    A later call does not compile again, if its shapes, devices and options of JAX are the same.

    Args:
      fn: as for `map_members`.
      static: as for `map_members`.
      member: trees of the shapes and types of one member.
      shared: a tree of the shapes and types of what all members share.
      n_members: C·S; more members than devices do not matter.

    Example:
      >>> number = jax.ShapeDtypeStruct((), np.float32)
      >>> compile_ahead(jax.lax.add, (), (number,), number, n_members=6)
    """
    mesh = device_mesh(None, n_members)

    def on_devices(spec: P, *leading: int) -> Callable[[Any], jax.ShapeDtypeStruct]:
        where = NamedSharding(mesh, spec)
        return lambda x: jax.ShapeDtypeStruct((*leading, *x.shape), x.dtype, sharding=where)

    wave = jax.tree.map(on_devices(P("members"), mesh.size), member)
    _map_blocks.lower(fn, static, mesh, wave, jax.tree.map(on_devices(P()), shared)).compile()


@partial(jax.jit, static_argnames=("fn", "static", "mesh"))
def _map_blocks(
    fn: Callable[..., Any], static: tuple, mesh: Mesh, members: tuple, shared: Any
) -> Any:
    """fn(*static, *member, shared) for a wave of members [D, …] on their devices."""
    return map_over_devices(mesh, partial(fn, *static), members, shared)
