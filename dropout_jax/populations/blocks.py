"""Blocks of members, the unit of compiled work: every device runs one program on its block.

A block is `vmap` of training over its members. `shard_map` gives every device a block of the same
shape, and the devices never communicate. So for the same block size the weights of a member are the
same bit for bit, whatever else is trained beside it.

Shapes: D devices, M members of a block, P points of a learning curve.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from dropout_jax.data import Dataset
from dropout_jax.networks.protocol import Params
from dropout_jax.populations.devices import map_over_devices, shard_members
from dropout_jax.populations.processes import fetch
from dropout_jax.training.config import Config, Hparams
from dropout_jax.training.epochs import train_epoch
from dropout_jax.training.evaluation import Curve, learning_point
from dropout_jax.training.step import TrainState, init


class Flight(NamedTuple):
    """Members in training [D·M, …].

    Attributes:
      epoch: the number of epochs that they were trained for.
      state: the state after that epoch, on the devices.
      init_params: their parameters before training.
      curve: metrics so far [D·M, P'].
      last_epoch: the epoch after which each is trained no further [D·M].
    """

    epoch: int
    state: TrainState
    init_params: Params
    curve: Curve
    last_epoch: np.ndarray


@partial(jax.jit, static_argnames=("config", "mesh"))
def init_blocks(
    config: Config, mesh: Mesh, hparams: Hparams, keys: jax.Array, data: Dataset
) -> TrainState:
    """`step.init` for hyper-parameters [D·M, …] and member keys [D·M], which are consumed."""

    def one(hparams: Hparams, key: jax.Array, data: Dataset) -> TrainState:
        return init(config, hparams, key, data.x_train.shape[1:])

    return map_over_devices(mesh, one, (hparams, keys), data)


@partial(jax.jit, static_argnames=("config", "mesh"), donate_argnames="state")
def train_blocks(
    config: Config,
    mesh: Mesh,
    hparams: Hparams,
    state: TrainState,
    data: Dataset,
    stopped: jax.Array | None = None,
) -> TrainState:
    """The next state of members [D·M, …], an epoch later; it reuses the memory of `state`.

    Members that are `stopped` [D·M] keep their state.
    """

    def one(
        hparams: Hparams, state: TrainState, stopped: jax.Array | None, data: Dataset
    ) -> TrainState:
        trained, _ = train_epoch(config, hparams, state, data.x_train, data.y_train)
        if stopped is None:
            return trained
        # Not the keys: they never change, and a choice between two would consume them.
        before, now = ((s.params, s.opt_state, s.step) for s in (state, trained))
        params, opt_state, step = jax.tree.map(partial(jnp.where, stopped), before, now)
        return trained._replace(params=params, opt_state=opt_state, step=step)

    return map_over_devices(mesh, one, (hparams, state, stopped), data)


@partial(jax.jit, static_argnames=("config", "mesh"))
def _evaluate_blocks(config: Config, mesh: Mesh, params: Params, data: Dataset) -> Curve:
    """`training.evaluation.learning_point` of params [D·M, …]: metrics [D·M]."""
    return map_over_devices(mesh, partial(learning_point, config), (params,), data)


def curve_epochs(n_epochs: int) -> np.ndarray:
    """The epochs [P] at which curves are measured: 0, the last, and up to nine between them."""
    n_points = 1 + min(n_epochs, 10)
    return np.unique(np.linspace(0, n_epochs, n_points).round().astype(int))


def start(config: Config, mesh: Mesh, hparams: Hparams, keys: jax.Array, data: Dataset) -> Flight:
    """Members [D·M, …] before their first epoch.

    The hyper-parameters and the keys, which are consumed, are on the members' devices
    (`devices.shard_members`), the data on every device (`devices.share`).
    """
    state = init_blocks(config, mesh, hparams, keys, data)
    curve = fetch(_evaluate_blocks(config, mesh, state.params, data))
    curve = jax.tree.map(lambda metric: metric[:, None], curve)
    # Copied, as training reuses the memory behind a view.
    init_params = jax.tree.map(np.array, fetch(state.params))
    return Flight(0, state, init_params, curve, np.full(len(keys), config.epochs))


def advance(config: Config, mesh: Mesh, hparams: Hparams, flight: Flight, data: Dataset) -> Flight:
    """The members after one more epoch; training reuses the memory of `flight.state`."""
    epoch, curve, state = flight.epoch + 1, flight.curve, flight.state
    stopped = flight.last_epoch < epoch
    if not stopped.all():
        on_devices = shard_members(mesh, stopped) if stopped.any() else None
        state = jax.block_until_ready(train_blocks(config, mesh, hparams, state, data, on_devices))
    if epoch in curve_epochs(config.epochs):
        point = fetch(_evaluate_blocks(config, mesh, state.params, data))
        curve = jax.tree.map(lambda before, now: np.c_[before, now], curve, point)
    return flight._replace(epoch=epoch, state=state, curve=curve)


def stop(flight: Flight, which: np.ndarray | None, n: int) -> Flight:
    """The same wave, in which the members marked in `which` [n] are trained no further.

    The wave has n members; those after them only fill the devices, and stop too.

    Raises:
      ValueError: unless `which` is None, or holds n bools.
    """
    if which is None:
        return flight
    if np.shape(which) != (n,) or np.asarray(which).dtype != bool:
        got = f"{np.asarray(which).dtype} of shape {np.shape(which)}"
        raise ValueError(f"a callback must return None or a bool for each member, got {got}")
    fillers = np.ones(len(flight.last_epoch) - n, bool)
    now = np.minimum(flight.last_epoch, flight.epoch)
    last_epoch = np.where(np.r_[which, fillers], now, flight.last_epoch)
    return flight._replace(last_epoch=last_epoch)
