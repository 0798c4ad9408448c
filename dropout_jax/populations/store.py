"""The arrays that hold trained members: allocated once, filled wave after wave, read as views.

Members are numbered seed by seed: a seed is complete in every condition before the next one begins.

Shapes: C conditions, S seeds, n members of a wave, P points of a curve.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from dropout_jax.networks.calls import param_shapes
from dropout_jax.networks.protocol import Params
from dropout_jax.populations.blocks import curve_epochs
from dropout_jax.training.config import Config
from dropout_jax.training.evaluation import Curve, Metrics

_Map = Callable[[np.ndarray], Any]
Allocate = Callable[[tuple[int, ...], np.dtype], np.ndarray]  # of a shape and a dtype


class Trained(NamedTuple):
    """Trained members, as NumPy arrays.

    Attributes:
      params: the trained parameters.
      init_params: their parameters before training, those of a seed once.
      last_epoch: the epoch after which each was trained no further.
      curve: metrics on training and test data [..., P], at `blocks.curve_epochs`.
    """

    params: Params
    init_params: Params
    last_epoch: np.ndarray
    curve: Curve


def map_arrays(trained: Trained, of_members: _Map, of_inits: _Map) -> Trained:
    """The same with another array for each: inits, which a seed has once, by a map of their own.

    Example:
      >>> trained = Trained({"w": np.ones(4)}, {"w": np.ones(2)}, np.ones(4), np.ones(4))
      >>> map_arrays(trained, len, lambda init: -len(init)).init_params
      {'w': -2}
    """
    members = jax.tree.map(of_members, trained._replace(init_params=None))
    return members._replace(init_params=jax.tree.map(of_inits, trained.init_params))


def make_store(
    config: Config,
    inputs: int | tuple[int, ...],
    n_conditions: int,
    n_seeds: int,
    allocate: Allocate = np.empty,
) -> Trained:
    """Arrays with axes [S, C, …]; conditions share the initial parameters of a seed [S, …].

    Example:
      >>> from dropout_jax.networks.mlp import MLP
      >>> store = make_store(Config(MLP((2,)), epochs=1), 4, n_conditions=2, n_seeds=3)
      >>> print(store.params["params"]["layer_0"]["kernel"].shape, store.curve.test.loss.shape)
      (3, 2, 4, 2) (3, 2, 2)
    """
    params = param_shapes(config.model, inputs)
    metric: Any = jax.ShapeDtypeStruct((len(curve_epochs(config.epochs)),), np.float32)
    curve = Curve(Metrics(metric, metric), Metrics(metric, metric))

    def arrays(leading: tuple[int, ...], tree: Any) -> Any:
        return jax.tree.map(lambda leaf: allocate((*leading, *leaf.shape), leaf.dtype), tree)

    both = (n_seeds, n_conditions)
    last_epoch = np.full(both, config.epochs)
    return Trained(
        arrays(both, params), arrays((n_seeds,), params), last_epoch, arrays(both, curve)
    )


def rows(store: Trained, first: int, last: int) -> Trained:
    """Views of the members first … last - 1 [n, …], and of the inits of the seeds they begin."""
    n_conditions = store.curve.train.loss.shape[1]
    begun = slice(-(-first // n_conditions), -(-last // n_conditions))
    return map_arrays(
        store, lambda a: a.reshape(-1, *a.shape[2:])[first:last], lambda init: init[begun]
    )


def write_rows(store: Trained, wave: Trained, first: int, last: int) -> None:
    """Write the members first … last - 1 to their rows, and the inits of the seeds they begin.

    Args:
      wave: these members, each with its init [n', …]; others may follow them: n' ≥ last - first.

    Example:
      >>> from dropout_jax.networks.mlp import MLP
      >>> config = Config(MLP((2,)), epochs=1)
      >>> wave = jax.tree.map(np.ones_like, rows(make_store(config, 4, 1, 3), 0, 2))
      >>> store = make_store(config, 4, 1, 3, allocate=np.zeros)
      >>> write_rows(store, wave, 1, 3)
      >>> print(store.curve.test.loss[:, 0, 0])
      [0. 1. 1.]
    """
    n, n_conditions = last - first, store.curve.train.loss.shape[1]
    begun = slice(-first % n_conditions, n, n_conditions)
    done = map_arrays(wave, lambda leaf: leaf[:n], lambda init: init[begun])
    jax.tree.map(np.copyto, rows(store, first, last), done)
