"""Networks trained with none, dropout, tuned L2 and max-norm, and with other kinds of noise."""

from collections.abc import Mapping, Sequence
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
L2_COEFFICIENTS = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2)
TUNING_SEEDS = 3


def train(
    model: MLP,
    noisy: Mapping[str, MLP],
    size: study.Size,
    data: Dataset,
    l2: float | None = None,
) -> tuple[list[str], Params, dict[str, Any]]:
    """The names of the conditions, params [C, S, …] after training, and how each was set.

    `noisy` are models with other noise, at the rate of dropout; each is a further condition. An L2
    coefficient that is not given is tuned, as max-norm is.
    """
    none = Hparams(study.layer_rates(0.0, len(size.features)), max_norm=np.inf)
    dropped = none._replace(rates=study.layer_rates(RATE, len(size.features)))
    config = Config(model, epochs=size.epochs)
    tuned = tune(config, none, "max_norm", MAX_NORMS, data)
    if l2 is None:
        tuned |= tune(config, none, "weight_decay", L2_COEFFICIENTS, data)
    settings = {**tuned, "l2": tuned.get("weight_decay", l2), "rate": RATE}
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


def tune(
    config: Config, base: Hparams, name: str, values: Sequence[float], data: Dataset
) -> dict[str, Any]:
    """The value of a hyper-parameter with the least validation loss, and the loss of each."""
    candidates = [base._replace(**{name: value}) for value in values]
    tuned = study.tune(config, candidates, TUNING_SEEDS, data)
    return {
        name: getattr(tuned.best, name),
        f"{name}_candidates": values,
        f"{name}_validation_loss": tuned.loss.tolist(),
    }
