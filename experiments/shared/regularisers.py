"""Networks trained with none, dropout, tuned L2 and max-norm, and with other kinds of noise."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from dropout_jax.data import Dataset
from dropout_jax.networks.mlp import MLP, Params
from dropout_jax.populations.population import fit_population
from dropout_jax.training.config import Config, Hparams
from experiments.shared import study

RATE = 0.5
MAX_NORMS = (0.2, 0.3, 0.5, 0.75, 1.0, 1.5)
TUNING_SEEDS = 3


def train(
    model: MLP, noisy: Mapping[str, MLP], size: study.Size, data: Dataset
) -> tuple[list[str], Params, dict[str, Any]]:
    """The names of the conditions, params [C, S, …] after training, and how each was set.

    `noisy` are models with other noise, at the rate of dropout; each is a further condition.
    """
    none = Hparams(study.layer_rates(0.0, len(size.features)), max_norm=np.inf)
    dropped = none._replace(rates=study.layer_rates(RATE, len(size.features)))
    tuned = tune_max_norm(Config(model, epochs=size.epochs), none, data)
    settings = {**tuned, "l2": study.tuned_l2(), "rate": RATE}
    conditions = {
        "none": none,
        "dropout": dropped,
        "L2": none._replace(weight_decay=settings["l2"]),
        "max-norm": none._replace(max_norm=settings["max_norm"]),
    }

    def fit(model: MLP, conditions: list[Hparams]) -> Params:
        config = Config(model, epochs=size.epochs)
        return fit_population(config, conditions, range(size.seeds), study.root_key(), data).params

    parts = [
        fit(model, list(conditions.values())),
        *(fit(noisy_model, [dropped]) for noisy_model in noisy.values()),
    ]
    params = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    return [*conditions, *noisy], params, settings


def tune_max_norm(config: Config, base: Hparams, data: Dataset) -> dict[str, Any]:
    """The bound of least validation loss, on a fifth of the training data."""
    candidates = [base._replace(max_norm=bound) for bound in MAX_NORMS]
    loss, _ = study.validate(config, candidates, TUNING_SEEDS, data)
    return {
        "max_norm": MAX_NORMS[int(loss.argmin())],
        "max_norm_candidates": MAX_NORMS,
        "max_norm_validation_loss": loss.tolist(),
    }
