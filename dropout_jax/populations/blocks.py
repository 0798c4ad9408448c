"""Blocks of members, the unit of compiled work: every device runs one program on its block.

A block is `vmap` of training over its members. `shard_map` gives every device a block of the same
shape, and the devices never communicate. So for the same block size the weights of a member are the
same bit for bit, whatever else is trained beside it.

Shapes: D devices, M members of a block, P points of a learning curve.
"""

from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from dropout_jax.data import Dataset
from dropout_jax.networks.mlp import Params
from dropout_jax.populations.devices import on_every_device
from dropout_jax.populations.processes import fetch
from dropout_jax.training.config import Config, Hparams
from dropout_jax.training.epochs import Curve, learning_point, train_epoch
from dropout_jax.training.step import TrainState, init

_N_CURVE_POINTS = 10


class Result(NamedTuple):
    """Trained members, with leading axes [D·M].

    Attributes:
      params: the trained parameters.
      init_params: their parameters before training.
      curve: metrics on training and test data [D·M, P], at `curve_epochs`.
    """

    params: Params
    init_params: Params
    curve: Curve


class Flight(NamedTuple):
    """Members in training [D·M, …].

    Attributes:
      epoch: the number of epochs that they were trained for.
      state: the state after that epoch, on the devices.
      init_params: their parameters before training.
      curve: metrics so far [D·M, P'].
    """

    epoch: int
    state: TrainState
    init_params: Params
    curve: Curve


@partial(jax.jit, static_argnames=("config", "mesh"))
def init_blocks(
    config: Config, mesh: Mesh, hparams: Hparams, keys: jax.Array, data: Dataset
) -> TrainState:
    """`training.init` for hyper-parameters [D·M, …] and member keys [D·M], which are consumed."""

    def one(hparams: Hparams, key: jax.Array, data: Dataset) -> TrainState:
        return init(config, hparams, key, data.x_train.shape[1:])

    return on_every_device(mesh, one, (hparams, keys), data)


@partial(jax.jit, static_argnames=("config", "mesh"), donate_argnames="state")
def train_blocks(
    config: Config, mesh: Mesh, hparams: Hparams, state: TrainState, data: Dataset
) -> TrainState:
    """The next state of members [D·M, …], an epoch later; it reuses the memory of `state`."""

    def one(hparams: Hparams, state: TrainState, data: Dataset) -> TrainState:
        return train_epoch(config, hparams, state, data.x_train, data.y_train)[0]

    return on_every_device(mesh, one, (hparams, state), data)


@partial(jax.jit, static_argnames=("config", "mesh"))
def evaluate_blocks(config: Config, mesh: Mesh, params: Params, data: Dataset) -> Curve:
    """`training.epochs.learning_point` of params [D·M, …]: metrics [D·M]."""
    return on_every_device(mesh, partial(learning_point, config), (params,), data)


def curve_epochs(n_epochs: int) -> np.ndarray:
    """The epochs [P] at which curves are measured: 0, the last, and up to nine between them.

    Example:
      >>> print(curve_epochs(30))
      [ 0  3  6  9 12 15 18 21 24 27 30]
    """
    n_points = min(n_epochs, _N_CURVE_POINTS) + 1
    return np.unique(np.linspace(0, n_epochs, n_points).round().astype(int))


def start(config: Config, mesh: Mesh, hparams: Hparams, keys: jax.Array, data: Dataset) -> Flight:
    """Members [D·M, …] before their first epoch.

    Args:
      hparams: of the members, on their devices (`devices.deal`).
      keys: of the members, on their devices; consumed.
      data: on every device (`devices.share`).

    Example:
      >>> from dropout_jax.data import load_dataset
      >>> from dropout_jax.networks.mlp import MLP
      >>> from dropout_jax.populations.devices import mesh_of, share
      >>> from dropout_jax.populations.population import stack_conditions
      >>> config, mesh = Config(MLP((4, 10)), epochs=1), mesh_of(jax.devices()[:1])
      >>> data = share(mesh, load_dataset("digits"))
      >>> members = stack_conditions([Hparams((0.0, 0.0)), Hparams((0.0, 0.5))])
      >>> keys = jax.random.split(jax.random.key(0), 2)
      >>> flight = start(config, mesh, members, keys, data)
      >>> while flight.epoch < config.epochs:
      ...     flight = advance(config, mesh, members, flight, data)
      >>> print(finish(flight).curve.test.error.shape)  # two members, before and after
      (2, 2)

      Without a curve, epoch by epoch:

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
    """The members after one more epoch, which reuses the memory of `flight.state`."""
    epoch, curve = flight.epoch + 1, flight.curve
    state = jax.block_until_ready(train_blocks(config, mesh, hparams, flight.state, data))
    if epoch in curve_epochs(config.epochs):
        point = fetch(evaluate_blocks(config, mesh, state.params, data))
        curve = jax.tree.map(lambda before, now: np.c_[before, now], curve, point)
    return Flight(epoch, state, flight.init_params, curve)


def finish(flight: Flight) -> Result:
    """The trained members, after their last epoch."""
    return Result(_copy(flight.state.params), flight.init_params, flight.curve)


def _copy(params: Params) -> Params:
    """The params as NumPy arrays of their own, as training reuses the memory behind a view."""
    return jax.tree.map(np.array, fetch(params))
