"""Training one network from epoch to epoch, as pure functions of its state.

A new `Config` compiles a new program. New values of `Hparams` never do (None in place of one does),
and vmap runs over them. `fit` is a whole training. A population is `fit` under vmap, or
`populations.population.fit_population` for progress, many devices and bounded memory.

Shapes: n examples, D inputs, E epochs.
"""

from functools import partial
from typing import cast

import jax

from dropout_jax.data import Array, Dataset
from dropout_jax.noise import check_key
from dropout_jax.training.batches import batch_indices
from dropout_jax.training.checks import check_config, check_hparams, check_training
from dropout_jax.training.config import Config, Hparams, as_arrays
from dropout_jax.training.evaluation import Curve, learning_point
from dropout_jax.training.step import TrainState, init, train_step, vary_like


def train_epoch(
    config: Config, hparams: Hparams, state: TrainState, x: Array, y: Array
) -> tuple[TrainState, jax.Array]:
    """One pass over the data [n, D], [n]: the next state, and the mean loss of its steps.

    The order of the examples is drawn with fold_in(shuffle_key, epoch).

    Example:
      >>> import jax.numpy as jnp
      >>> from dropout_jax.networks.mlp import MLP
      >>> config = Config(MLP((4, 10)), epochs=1, batch_size=2)
      >>> hparams = Hparams()
      >>> state = init(config, hparams, jax.random.key(0), 64)
      >>> state, loss = train_epoch(config, hparams, state, jnp.ones((6, 64)), jnp.zeros(6, int))
      >>> print(state.step)  # three batches of two
      3
    """
    return _train_epoch(config, as_arrays(hparams), state, x, y)


@partial(jax.jit, static_argnames="config")
def _train_epoch(
    config: Config, hparams: Hparams, state: TrainState, x: Array, y: Array
) -> tuple[TrainState, jax.Array]:
    """`train_epoch`, compiled."""
    steps_per_epoch = len(x) // config.batch_size
    epoch = state.step // steps_per_epoch
    order = batch_indices(jax.random.fold_in(state.shuffle_key, epoch), len(x), config.batch_size)

    def step(state: TrainState, rows: jax.Array) -> tuple[TrainState, jax.Array]:
        now = hparams
        if config.rate_schedule is not None and hparams.rates is not None:
            progress = state.step / (config.epochs * steps_per_epoch)
            factor = config.rate_schedule(progress)
            now = hparams._replace(rates=cast(jax.Array, hparams.rates) * factor)
        return train_step(config, now, state, x[rows], y[rows])

    state, losses = jax.lax.scan(step, state, order)
    return state, losses.mean()


def fit(
    config: Config, hparams: Hparams, key: jax.Array, data: Dataset
) -> tuple[TrainState, Curve]:
    """Train one network alone from the first epoch to the last: its state, and its metrics [E].

    `key` is the member's, `fold_in(root, seed)` in a population; it is consumed. The metrics are
    measured after every epoch. Populations do not call it: there `populations.blocks` trains.

    Raises:
      TypeError: if `config` is no `Config`, `key` no typed key, `hparams` no `Hparams`, `data` no
        `Dataset`, or rates are not real numbers.
      ValueError: if a hyper-parameter is out of its range, or there is not one rate per layer
        (`check_hparams`), if `data` cannot be trained on, or the network or the optimizer does not
        take the hyper-parameters (`check_training`).

    Example:
      >>> from dropout_jax import MLP, load_dataset
      >>> data = load_dataset("digits")
      >>> config = Config(MLP((4, 10)), epochs=1)
      >>> state, curve = fit(config, Hparams(rates=(0.2, 0.5)), jax.random.key(0), data)
      >>> print(state.step, curve.test.error.shape)  # 1437 // 128 steps, an epoch
      11 (1,)
    """
    check_config(config)
    check_key(key)
    check_hparams(hparams, len(config.model.features))
    check_training(config, data, hparams)
    return _fit(config, as_arrays(hparams), key, data)


@partial(jax.jit, static_argnames="config")
def _fit(
    config: Config, hparams: Hparams, key: jax.Array, data: Dataset
) -> tuple[TrainState, Curve]:
    """`fit`, compiled."""

    def epoch(state: TrainState, _: None) -> tuple[TrainState, Curve]:
        state, _loss = train_epoch(config, hparams, state, data.x_train, data.y_train)
        return state, learning_point(config, state.params, data)

    fresh = init(config, hparams, key, data.x_train.shape[1:])
    return jax.lax.scan(epoch, vary_like(fresh, data), length=config.epochs)
