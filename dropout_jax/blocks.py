"""Blocks of members, the unit of compiled work: one program, run by every device on its block.

A block is `vmap` of training over its members; `shard_map` gives every device a block of one shape,
and nothing is ever communicated. So a member is computed in the same way whoever is trained beside
it: its weights are the same bit for bit for the same block size.

Shapes: D devices, M members of a block, P points of a learning curve.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from operator import itemgetter
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from dropout_jax.data import Dataset
from dropout_jax.networks import Params
from dropout_jax.processes import fetch, put
from dropout_jax.training import (
    EVALUATED_AT_ONCE,
    Config,
    Curve,
    Hparams,
    TrainState,
    init,
    learning_point,
    train_epoch,
)

Device = Any  # jax.Device, which type checkers do not take for a type
N_CURVE_POINTS = 10
MEMORY_SHARE = 0.8  # of a device's memory, where nobody says how much to take
BLOCK = 32  # members of an accelerator: of 256 units a layer, products enough to keep it busy


class Result(NamedTuple):
    """What members have come to, with leading axes [D·M].

    Attributes:
      params: the trained parameters.
      init_params: the parameters they started from.
      curve: metrics on training and test data [D·M, P], at `curve_epochs`.
    """

    params: Params
    init_params: Params
    curve: Curve


class Flight(NamedTuple):
    """Members in training [D·M, …].

    Attributes:
      epoch: how many epochs they have behind them.
      state: what the next epoch needs, on the devices.
      init_params: the parameters they started from.
      curve: metrics so far [D·M, P'].
    """

    epoch: int
    state: TrainState
    init_params: Params
    curve: Curve


def mesh_of(devices: Sequence[Device] | None = None, n_blocks: int | None = None) -> Mesh:
    """Devices [D] in a row, along which members are dealt; all there are by default.

    No more than `n_blocks` if they are of one process; of several, each has to take part.

    Example:
      >>> print(mesh_of(jax.devices()[:1]).size)
      1
    """
    devices = list(devices or jax.devices())
    if jax.process_count() == 1:
        devices = devices[:n_blocks]
    return Mesh(np.array(devices), ("members",))


def deal(mesh: Mesh, members: Any) -> Any:
    """Put a tree of members [D·M, …] on the devices, M on each.

    Example:
      >>> print(tuple(deal(mesh_of(jax.devices()[:1]), np.arange(2)).sharding.spec))
      ('members',)
    """
    return put(members, NamedSharding(mesh, P("members")))


def share(mesh: Mesh, data: Any) -> Any:
    """Put a tree of arrays on every device.

    Example:
      >>> print(share(mesh_of(jax.devices()[:1]), np.arange(2)).sharding.is_fully_replicated)
      True
    """
    return put(data, NamedSharding(mesh, P()))


def on_every_device(mesh: Mesh, fn: Callable[..., Any], members: tuple, data: Any) -> Any:
    """fn(*member, data) for all members [D·M, …]: on each device, vmap over its M of them.

    A block of one member is not batched: an axis of length 1 keeps XLA from folding the transposes
    of gradients into its products.

    Example:
      >>> mesh = mesh_of(jax.devices()[:1])
      >>> double = jax.jit(lambda member: on_every_device(mesh, jnp.multiply, (member,), 2.0))
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


@partial(jax.jit, static_argnames=("config", "mesh"))
def init_blocks(
    config: Config, mesh: Mesh, hparams: Hparams, keys: jax.Array, data: Dataset
) -> TrainState:
    """`training.init` for hyper-parameters [D·M, …] and member keys [D·M], which are consumed."""

    def one(hparams: Hparams, key: jax.Array, data: Dataset) -> TrainState:
        return init(config, hparams, key, data.x_train.shape[1])

    return on_every_device(mesh, one, (hparams, keys), data)


@partial(jax.jit, static_argnames=("config", "mesh"), donate_argnames="state")
def train_blocks(
    config: Config, mesh: Mesh, hparams: Hparams, state: TrainState, data: Dataset
) -> TrainState:
    """One epoch of members [D·M, …] on the shared data; the old state's memory is reused."""

    def one(hparams: Hparams, state: TrainState, data: Dataset) -> TrainState:
        return train_epoch(config, hparams, state, data.x_train, data.y_train)[0]

    return on_every_device(mesh, one, (hparams, state), data)


@partial(jax.jit, static_argnames=("config", "mesh"))
def evaluate_blocks(config: Config, mesh: Mesh, params: Params, data: Dataset) -> Curve:
    """`training.learning_point` of params [D·M, …]: metrics [D·M]."""
    return on_every_device(mesh, partial(learning_point, config), (params,), data)


def map_members(
    fn: Callable[..., Any],
    static: tuple,
    members: tuple,
    shared: Any,
    devices: Sequence[Device] | None = None,
) -> Any:
    """fn(*static, *member, shared) for all members [C, S, …], one after another on each device.

    Args:
      fn: a function of one member, such as a measure; the same object compiles once.
      static: what it is compiled for, hashable.
      members: trees with leading axes [C, S].
      shared: a tree of arrays, the same for all, such as data.
      devices: all by default.

    Returns:
      What it gives, as NumPy arrays with leading axes [C, S].

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
    n_conditions, n_seeds = min(leading)
    n_members = n_conditions * n_seeds
    mesh = mesh_of(devices, n_members)
    shared, results = share(mesh, shared), []
    for first in range(0, n_members, mesh.size):
        wave = np.arange(first, first + mesh.size) % n_members  # wraps, to fill the last one
        of_wave = jax.tree.map(itemgetter(np.divmod(wave, n_seeds)), members)
        results.append(fetch(_map_blocks(fn, static, mesh, deal(mesh, of_wave), shared)))

    def stack(*leaves: np.ndarray) -> np.ndarray:
        of_members = np.concatenate(leaves)[:n_members]
        return of_members.reshape(n_conditions, n_seeds, *of_members.shape[1:])

    return jax.tree.map(stack, *results)


@partial(jax.jit, static_argnames=("fn", "static", "mesh"))
def _map_blocks(
    fn: Callable[..., Any], static: tuple, mesh: Mesh, members: tuple, shared: Any
) -> Any:
    """fn(*static, *member, shared) for members [D·M, …] on their devices."""
    return on_every_device(mesh, partial(fn, *static), members, shared)


def n_parameters(config: Config, n_inputs: int) -> int:
    """The weights and biases of a member; none is made to count them.

    Example:
      >>> from dropout_jax.networks import MLP
      >>> print(n_parameters(Config(MLP((3, 2))), 4))  # 5 · 3 + 4 · 2
      23
    """
    params = jax.eval_shape(partial(config.model.init, x=jnp.zeros(n_inputs)), jax.random.key(0))
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def member_bytes(config: Config, n_inputs: int) -> int:
    """Device memory that a member in training needs, at most, beyond the shared data.

    Four copies of its P parameters (with momentum, gradient and update), and two of what its layers
    take in and send on, for a batch in training or for the examples that are evaluated at once.

    Example:
      >>> from dropout_jax.networks import MLP
      >>> print(member_bytes(Config(MLP((256, 256, 10))), 784))
      8485152
    """
    units = sum(config.model.features)
    passed_on = max(config.batch_size * (n_inputs + units), EVALUATED_AT_ONCE * units)
    return 4 * (4 * n_parameters(config, n_inputs) + 2 * passed_on)


def block_size(
    config: Config, n_inputs: int, devices: Sequence[Device], memory: float | None = None
) -> int:
    """Members a device works on at once: 1 on a CPU, 32 on an accelerator, or as many as fit.

    The last bits of a member depend on the block on an accelerator, so how many members there are
    has no say: a population can grow without changing its earlier ones. XLA's CPU backend runs a
    batched product as a loop of small ones, so a wider block only costs cache there; an accelerator
    takes about as long for a few members as for a block. There the last wave is filled by members
    that are trained once more, which for a population just beyond a wave doubles the time.

    Args:
      memory: bytes to fill on a device at most; by default .8 of what it says it has.

    Raises:
      ValueError: if `memory` does not hold one member, or there is no device.

    Example:
      >>> from dropout_jax.networks import MLP
      >>> print(block_size(Config(MLP((8, 10))), 64, jax.devices("cpu")))
      1
    """
    if not devices:
        raise ValueError("devices must hold at least one, got none")
    needed = member_bytes(config, n_inputs)
    if memory is not None and not memory >= needed:  # NaN is too little
        raise ValueError(
            f"memory must hold one network in training, {needed / 2**30:.3g} GiB, got "
            f"{memory / 2**30:.3g} GiB"
        )
    if devices[0].platform == "cpu":
        return 1
    here = next(device for device in devices if device.process_index == jax.process_index())
    limit = (here.memory_stats() or {}).get("bytes_limit", math.inf)
    fitting = (MEMORY_SHARE * limit if memory is None else memory) / needed
    return max(1, int(min(BLOCK, fitting)))


def curve_epochs(n_epochs: int) -> np.ndarray:
    """The epochs [P] at which the curves are measured: 0, the last, and up to nine between.

    Example:
      >>> print(curve_epochs(30))
      [ 0  3  6  9 12 15 18 21 24 27 30]
    """
    n_points = min(n_epochs, N_CURVE_POINTS) + 1
    return np.unique(np.linspace(0, n_epochs, n_points).round().astype(int))


def start(config: Config, mesh: Mesh, hparams: Hparams, keys: jax.Array, data: Dataset) -> Flight:
    """Members [D·M, …], already dealt, before their first epoch.

    Example:
      >>> from dropout_jax.data import load_dataset
      >>> from dropout_jax.networks import MLP
      >>> from dropout_jax.population import stack_conditions
      >>> config, mesh = Config(MLP((4, 10)), epochs=1), mesh_of(jax.devices()[:1])
      >>> data = share(mesh, load_dataset("digits"))
      >>> members = stack_conditions([Hparams((0.0, 0.0)), Hparams((0.0, 0.5))])
      >>> keys = jax.random.split(jax.random.key(0), 2)
      >>> flight = start(config, mesh, members, keys, data)
      >>> while flight.epoch < config.epochs:
      ...     flight = advance(config, mesh, members, flight, data)
      >>> print(finish(flight).curve.test.error.shape)  # of two members, before and after
      (2, 2)

      Or by hand, measured when one likes:

      >>> state = init_blocks(config, mesh, members, jax.random.clone(keys), data)
      >>> state = train_blocks(config, mesh, members, state, data)
      >>> print(state.step, evaluate_blocks(config, mesh, state.params, data).test.error.shape)
      [11 11] (2,)
    """
    state = init_blocks(config, mesh, hparams, keys, data)
    curve = fetch(evaluate_blocks(config, mesh, state.params, data))
    return Flight(
        0, state, _copy(state.params), jax.tree.map(lambda metric: metric[:, None], curve)
    )


def advance(config: Config, mesh: Mesh, hparams: Hparams, flight: Flight, data: Dataset) -> Flight:
    """The members after one more epoch; the state given is used up."""
    epoch, curve = flight.epoch + 1, flight.curve
    state = jax.block_until_ready(train_blocks(config, mesh, hparams, flight.state, data))
    if epoch in curve_epochs(config.epochs):
        point = fetch(evaluate_blocks(config, mesh, state.params, data))
        curve = jax.tree.map(lambda way, now: np.c_[way, now], curve, point)
    return Flight(epoch, state, flight.init_params, curve)


def finish(flight: Flight) -> Result:
    """What the members have come to after their last epoch."""
    return Result(_copy(flight.state.params), flight.init_params, flight.curve)


def _copy(params: Params) -> Params:
    """The params as NumPy arrays of their own; a view would see training reuse the memory."""
    return jax.tree.map(np.array, fetch(params))
