"""The arrays that hold trained members: allocated once, filled wave after wave, read as views.

Members are numbered seed by seed: a seed is complete in every condition before the next one begins.

Shapes: C conditions, S seeds, n members of a wave, P points of a curve.
"""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from dropout_jax.networks.protocol import params_of
from dropout_jax.populations.blocks import Result, curve_epochs
from dropout_jax.training.config import Config
from dropout_jax.training.epochs import Curve, Metrics

Allocate = Callable[[tuple[int, ...], np.dtype], np.ndarray]  # of a shape and a dtype


def make_store(
    config: Config,
    inputs: int | tuple[int, ...],
    n_conditions: int,
    n_seeds: int,
    allocate: Allocate = np.empty,
) -> Result:
    """Arrays with axes [S, C, …]; conditions share the initial parameters of a seed [S, …].

    Example:
      >>> from dropout_jax.networks.mlp import MLP
      >>> store = make_store(Config(MLP((2,)), epochs=1), 4, n_conditions=2, n_seeds=3)
      >>> print(store.params["params"]["layer_0"]["kernel"].shape, store.curve.test.loss.shape)
      (3, 2, 4, 2) (3, 2, 2)
    """
    params = params_of(config.model, inputs)
    metric: Any = jax.ShapeDtypeStruct((len(curve_epochs(config.epochs)),), np.float32)
    curve = Curve(Metrics(metric, metric), Metrics(metric, metric))

    def arrays(leading: tuple[int, ...], tree: Any) -> Any:
        return jax.tree.map(lambda leaf: allocate((*leading, *leaf.shape), leaf.dtype), tree)

    both = (n_seeds, n_conditions)
    return Result(arrays(both, params), arrays((n_seeds,), params), arrays(both, curve))


def rows(store: Result, first: int, last: int) -> Result:
    """Views of the members first … last - 1 [n, …], and of the inits of the seeds they begin.

    Example:
      >>> from dropout_jax.networks.mlp import MLP
      >>> store = make_store(Config(MLP((2,)), epochs=1), 4, n_conditions=2, n_seeds=3)
      >>> print(rows(store, 1, 4).curve.test.loss.shape)  # one of seed 0, both of seed 1
      (3, 2)
    """
    n_conditions = store.curve.train.loss.shape[1]
    begun = slice(-(-first // n_conditions), -(-last // n_conditions))
    params, curve = jax.tree.map(
        lambda a: a.reshape(-1, *a.shape[2:])[first:last], (store.params, store.curve)
    )
    return Result(params, jax.tree.map(lambda a: a[begun], store.init_params), curve)


def keep(store: Result, finished: Result, first: int, last: int) -> None:
    """Write the members first … last - 1 to their rows, and the inits of the seeds they begin.

    Args:
      finished: their wave [n', …], which other members may follow: n' ≥ last - first.

    Example:
      >>> from dropout_jax.networks.mlp import MLP
      >>> config = Config(MLP((2,)), epochs=1)
      >>> finished = jax.tree.map(np.ones_like, rows(make_store(config, 4, 1, 3), 0, 2))
      >>> store = make_store(config, 4, 1, 3, allocate=np.zeros)
      >>> keep(store, finished, 1, 3)
      >>> print(store.curve.test.loss[:, 0, 0])
      [0. 1. 1.]
    """
    n, n_conditions = last - first, store.curve.train.loss.shape[1]
    params, curve = jax.tree.map(lambda leaf: leaf[:n], (finished.params, finished.curve))
    begun = slice(-first % n_conditions, n, n_conditions)
    inits = jax.tree.map(lambda leaf: leaf[begun], finished.init_params)
    jax.tree.map(np.copyto, rows(store, first, last), Result(params, inits, curve))


def by_condition(store: Result, n_seeds: int) -> Result:
    """Views of the first S seeds with axes [C, S, …]; nothing is copied.

    Example:
      >>> from dropout_jax.networks.mlp import MLP
      >>> store = make_store(Config(MLP((2,)), epochs=1), 4, n_conditions=2, n_seeds=3)
      >>> print(by_condition(store, 1).init_params["params"]["layer_0"]["kernel"].shape)
      (2, 1, 4, 2)
    """
    params, curve = jax.tree.map(lambda a: a[:n_seeds].swapaxes(0, 1), (store.params, store.curve))
    n_conditions = len(curve.train.loss)
    init_params = jax.tree.map(
        lambda a: np.broadcast_to(a[:n_seeds], (n_conditions, n_seeds, *a.shape[1:])),
        store.init_params,
    )
    return Result(params, init_params, curve)
