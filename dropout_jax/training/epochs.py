"""Training one network from epoch to epoch, as pure functions of its state.

A new `Config` compiles a new program. New values of `Hparams` never do (None in place of one does),
and vmap runs over them. `fit` is a whole training. A population is `fit` under vmap, or
`populations.population.fit_population` for progress, many devices and bounded memory.

Shapes: B batch, D inputs, L layers, E epochs, n examples.
"""

from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from dropout_jax.data import Array, Dataset
from dropout_jax.networks.mlp import MLP
from dropout_jax.networks.protocol import Params
from dropout_jax.noise import check_key
from dropout_jax.training import objectives
from dropout_jax.training.batches import batch_indices
from dropout_jax.training.checks import check_hparams, check_training
from dropout_jax.training.config import Config, Hparams, as_arrays
from dropout_jax.training.examples import check_examples
from dropout_jax.training.step import TrainState, init, train_step, vary_like

EVALUATION_BATCH = 1_000  # examples


class Metrics(NamedTuple):
    """Mean loss (nats for cross entropy) and error of deterministic passes.

    The error is the mean of `Config.error_fn`. Without one it is the error rate, a fraction, or NaN
    if labels are no classes, one integer per example, or there is one output alone.
    """

    loss: jax.Array
    error: jax.Array


class Curve(NamedTuple):
    """Metrics on training and test data: of a moment, of epochs [E], or along curves [C, S, P]."""

    train: Metrics
    test: Metrics

    def by_name(self) -> dict[str, Any]:
        """{"train_loss": …, "train_error": …, "test_loss": …, "test_error": …}."""
        return {
            f"{split}_{metric}": values
            for split, metrics in self._asdict().items()
            for metric, values in metrics._asdict().items()
        }


def train_epoch(
    config: Config, hparams: Hparams, state: TrainState, x: Array, y: Array
) -> tuple[TrainState, jax.Array]:
    """One pass over the data [n, D], [n]: the next state, and the mean loss of its steps.

    The order of the examples is drawn with fold_in(shuffle_key, epoch).

    Example:
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


def evaluate(config: Config, params: Params, x: Array, y: Array) -> Metrics:
    """Mean loss and error (`Metrics`) over data [n, D], [n], in passes of 1,000 examples.

    Raises:
      ValueError: if there are no examples, an input is not finite, an example has another number of
        inputs than the parameters, or a label is not a class of the network.

    Example:
      >>> from dropout_jax.networks.mlp import MLP
      >>> config = Config(MLP((4, 10)))
      >>> params = jax.tree.map(jnp.zeros_like, config.model.init(jax.random.key(0), jnp.zeros(64)))
      >>> print(evaluate(config, params, jnp.ones((4, 64)), jnp.array([0, 0, 0, 1])).error)
      0.25
    """
    check_examples(x, y, config.n_classes, vectors=isinstance(config.model, MLP))
    return _evaluate(config, params, x, y)


@partial(jax.jit, static_argnames="config")
def _evaluate(config: Config, params: Params, x: Array, y: Array) -> Metrics:
    """`evaluate`, compiled."""

    def one(example: tuple[jax.Array, jax.Array]) -> Metrics:
        inputs, label = example
        outputs = cast(jax.Array, config.model.apply(params, inputs))
        is_class = label.ndim == 0 and jnp.issubdtype(label.dtype, jnp.integer) and outputs.size > 1
        error_fn = config.error_fn or (objectives.error_rate if is_class else None)
        error = error_fn(outputs, label) if error_fn else jnp.full((), jnp.nan)
        return Metrics(config.loss_fn(outputs, label), error)

    each = jax.lax.map(one, (x, y), batch_size=min(EVALUATION_BATCH, len(x)))
    return Metrics(each.loss.mean(), each.error.mean())


def learning_point(config: Config, params: Params, data: Dataset) -> Curve:
    """The metrics of one network on the training and the test data, which are not checked.

    Example:
      >>> from dropout_jax import MLP, load_dataset
      >>> config = Config(MLP((4, 10)))
      >>> params = jax.tree.map(jnp.zeros_like, config.model.init(jax.random.key(0), jnp.zeros(64)))
      >>> print(learning_point(config, params, load_dataset("digits")).test.loss)  # ln 10
      2.303
    """
    return Curve(
        _evaluate(config, params, data.x_train, data.y_train),
        _evaluate(config, params, data.x_test, data.y_test),
    )


def fit(
    config: Config, hparams: Hparams, key: jax.Array, data: Dataset
) -> tuple[TrainState, Curve]:
    """Train one network alone from the first epoch to the last: its state, and its metrics [E].

    `key` is the member's, `fold_in(root, seed)` in a population; it is consumed. The metrics are
    measured after every epoch. Populations do not call it: there `populations.blocks` trains.

    Raises:
      TypeError: if `key` is not a typed key, `hparams` no `Hparams`, `data` no `Dataset`, or rates
        are not real numbers.
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
