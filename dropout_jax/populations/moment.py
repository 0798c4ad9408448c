"""What a callback of `fit_population` is told after every epoch.

Shapes: N members of a wave, P points of a curve.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from dropout_jax.networks.protocol import Params
from dropout_jax.populations.blocks import Flight
from dropout_jax.populations.processes import fetch
from dropout_jax.training.evaluation import Curve


class Moment(NamedTuple):
    """The members of one wave after an epoch.

    A population is trained wave by wave, each from its first epoch to its last. If all members of a
    wave are stopped, its other epochs count as done, and the callback is still called after each.

    Attributes:
      done: epochs trained so far, summed over the members of the population.
      total: their number at the end.
      conditions: the number of each member's condition [N].
      seeds: the seed of each member [N].
      flight: the wave in training; after these members others may follow, to fill the devices.

    Example:
      >>> from dropout_jax import MLP, Config, Hparams, fit_population, ginis, load_dataset
      >>> def log(moment):
      ...     gini = jax.vmap(ginis)(moment.params)["params.layer_0.kernel"].mean()
      ...     print(f"epoch {moment.epoch} of seeds {moment.seeds}: Gini {gini:.2f}")
      >>> config, data = Config(MLP((4, 10)), epochs=2), load_dataset("digits")
      >>> _ = fit_population(config, [Hparams()], 1, jax.random.key(0), data, callback=log)
      epoch 1 of seeds [0]: Gini 0.39
      epoch 2 of seeds [0]: Gini 0.40
    """

    done: int
    total: int
    conditions: np.ndarray
    seeds: np.ndarray
    flight: Flight

    @property
    def epoch(self) -> int:
        """The number of epochs that the wave is trained for."""
        return self.flight.epoch

    @property
    def params(self) -> Params:
        """The parameters [N, …] as NumPy arrays; if one of several processes asks, all have to."""
        return self._of_members(fetch(self.flight.state.params))

    @property
    def curve(self) -> Curve:
        """Metrics so far [N, P], measured at the first points of `Population.epochs`."""
        return self._of_members(self.flight.curve)

    @property
    def stopped(self) -> np.ndarray:
        """Which members are not trained any further [N]."""
        return self._of_members(self.flight.last_epoch < self.flight.epoch)

    def _of_members(self, tree: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf[: len(self.seeds)], tree)


Callback = Callable[[Moment], np.ndarray | None]  # which members to stop [N]; None for none
