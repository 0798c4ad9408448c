"""Loss and error of one network on data, in deterministic passes.

Shapes: n examples, D inputs, E epochs, C conditions, S seeds, P points of a curve.
"""

from functools import partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp

from dropout_jax.data import Array, Dataset
from dropout_jax.networks.mlp import MLP
from dropout_jax.networks.protocol import Params
from dropout_jax.training import objectives
from dropout_jax.training.checks import check_config
from dropout_jax.training.config import Config
from dropout_jax.training.examples import check_examples

EVALUATION_BATCH = 1_000  # examples


class Metrics(NamedTuple):
    """Mean loss (nats for cross entropy) and error of deterministic passes.

    The error is the mean of `Config.error_fn`. Without one it is the error rate, a fraction. It is
    NaN if labels are not classes (one integer per example), or if there is one output alone.
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


def evaluate(config: Config, params: Params, x: Array, y: Array) -> Metrics:
    """Mean loss and error (`Metrics`) over data [n, D], [n], in passes of 1,000 examples.

    Raises:
      TypeError: if `config` is no `Config`.
      ValueError: if there are no examples, an input is not finite, an example has another number of
        inputs than the parameters, or a label is not a class of the network.

    Example:
      >>> from dropout_jax.networks.mlp import MLP
      >>> config = Config(MLP((4, 10)))
      >>> params = jax.tree.map(jnp.zeros_like, config.model.init(jax.random.key(0), jnp.zeros(64)))
      >>> print(evaluate(config, params, jnp.ones((4, 64)), jnp.array([0, 0, 0, 1])).error)
      0.25
    """
    check_config(config)
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
