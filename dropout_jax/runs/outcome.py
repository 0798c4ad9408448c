"""What a comparison leaves: members, measures and their summary."""

from typing import Any, NamedTuple

from dropout_jax.analysis.members import Measured
from dropout_jax.populations.population import Population
from dropout_jax.training.config import Config, Hparams


class Outcome(NamedTuple):
    """A finished comparison.

    Attributes:
      config: of the networks.
      conditions: by name, the baseline first.
      seeds: the completed ones, fewer than asked if interrupted.
      population: all members, before and after training, and their learning curves.
      measured: all measures of all members.
      summary: as in `summary.json`.
      seconds: spent on compilation, training and analysis. Compilation beside the training counts
        only where it had to be waited for.
      interrupted: whether seeds are missing.
      prng: the generator of the key that all members descend from.
    """

    config: Config
    conditions: dict[str, Hparams]
    seeds: list[int]
    population: Population
    measured: Measured
    summary: dict[str, Any]
    seconds: dict[str, float]
    interrupted: bool
    prng: str
