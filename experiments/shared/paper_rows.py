"""Training of one row of the papers' tables: its configuration, its learning rate, its seeds.

Shapes: S seeds, P points of the curves, N numbers of passes.
"""

import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dropout_jax.analysis import ensemble
from dropout_jax.data import Dataset
from dropout_jax.io import writers
from dropout_jax.io.environment import environment
from dropout_jax.networks.mlp import MLP, Params
from dropout_jax.populations import checkpoints
from dropout_jax.populations.devices import map_members
from dropout_jax.populations.population import fit_population
from dropout_jax.training.config import Config, Hparams
from experiments.shared import differences, recipes, study
from experiments.shared.ensemble_scores import scores
from experiments.shared.published import ROWS, SCRIPT, SCRIPT_RANGES, TABLES, Row

MOMENTUM, MAX_NORM, L2 = 0.95, 2.0, 1e-4
LEARNING_RATES = (0.01, 0.03, 0.1, 0.3)
RATES = (0.2, 0.5, 0.5, 0.5)
AVERAGED = "ReLU, dropout, max-norm"  # whose passes are averaged
PASSES = (1, 2, 5, 10, 20, 50, 100)
PASSES_SEED = 1  # apart from the keys that members descend from
CHECKPOINT_SECONDS = 60.0


@dataclass(frozen=True)
class Size(study.Size):
    """How much to train; `divided_by` makes every layer so many times narrower."""

    epochs: int = 20
    seeds: int = 4
    batch_size: int = 100
    divided_by: int = 1
    n_inputs: int = 784
    data_dir: Path | None = None
    cache: Path | None = Path("runs", "srivastava")


def configure(row: Row, size: Size, n_examples: int, n_classes: int, epochs: int) -> Config:
    """The configuration of a row's training."""
    features = tuple(width // size.divided_by for width in TABLES[row.table])
    steps = n_examples // size.batch_size
    if row.table == SCRIPT:
        inputs = (size.n_inputs, *features)
        kernel_init = recipes.uniform(inputs, SCRIPT_RANGES)
        make_optimizer = recipes.pylearn2(steps, row.bounds or ())
    else:
        kernel_init = recipes.scaled(row.scale)
        make_optimizer = recipes.decaying(epochs * steps, row.bounds)
    model = MLP((*features, n_classes), activation=row.activation, kernel_init=kernel_init)
    return Config(model, epochs, size.batch_size, make_optimizer=make_optimizer)


def condition(row: Row, learning_rate: float) -> Hparams:
    """The hyper-parameters of a row."""
    n_layers = len(TABLES[row.table]) + 1
    rates = RATES[:n_layers] if row.dropout else (0.0,) * n_layers
    max_norm = MAX_NORM if row.max_norm else np.inf
    return Hparams(rates, learning_rate, MOMENTUM, L2 if row.l2 else 0.0, max_norm)


def tune(row: Row, size: Size, data: Dataset) -> dict[float, float]:
    """Loss on held-out training images by learning rate, of a seed that is not used again."""
    held_out = study.last_sixth_held_out(data)
    config = configure(row, size, len(held_out.x_train), data.n_classes, row.tuning)
    conditions = [condition(row, learning_rate) for learning_rate in LEARNING_RATES]
    tuned = fit_population(config, conditions, [size.seeds], study.root_key(), held_out)
    losses = np.asarray(tuned.curve.test.loss)[:, 0, -1]
    return dict(zip(LEARNING_RATES, np.nan_to_num(losses, nan=np.inf).tolist(), strict=True))


def average_passes(model: MLP, params: Params, key: jax.Array, data: Dataset) -> jax.Array:
    """Test errors of the mean over the first of random masks [P]; the key is consumed."""

    def one_pass(key: jax.Array, x: jax.Array) -> Any:
        return model.apply(params, x, key=key, rates=RATES)

    passes = ensemble.mc_predictions(one_pass, key, jnp.asarray(data.x_test), PASSES[-1])
    quantities = scores(PASSES, ensemble.arithmetic_mean, passes, jnp.asarray(data.y_test))
    return quantities["error"]


def train(name: str, seeds: list[int], rate: float, size: Size, data: Dataset) -> dict[str, Any]:
    """Seeds of a row: errors in per cent along training [S, P], and of averaged passes [S, N]."""
    row, start = ROWS[name], perf_counter()
    epochs = size.epochs * row.times
    config = configure(row, size, len(data.x_train), data.n_classes, epochs)
    checkpointing = None
    if size.cache is not None:
        folder = size.cache / slug(name) / "-".join(map(str, seeds))
        save = partial(checkpoints.save, folder)
        checkpointing = checkpoints.Checkpoints(save, checkpoints.load(folder), CHECKPOINT_SECONDS)
    root, conditions = study.root_key(), [condition(row, rate)]
    trained = fit_population(config, conditions, seeds, root, data, checkpoints=checkpointing)
    passes = {}
    if name == AVERAGED:
        passes_key = jax.random.key(PASSES_SEED, impl=study.PRNG)
        keys = jax.random.split(passes_key, (1, size.seeds))[:, np.array(seeds)]
        pass_errors = map_members(average_passes, (config.model,), (trained.params, keys), data)
        passes = {"passes": differences.percent(pass_errors)[0].tolist()}
    errors = differences.percent(trained.curve.test.error)[0]
    training_environment = environment(root)
    return {
        "errors": errors[:, -1].tolist(),
        "curve": errors.tolist(),
        "curve_train": differences.percent(trained.curve.train.error)[0].tolist(),
        **passes,
        "made": [{k: training_environment[k] for k in ("versions", "machine")}] * len(seeds),
        "seconds": [round((perf_counter() - start) / len(seeds), 1)] * len(seeds),
        "epochs": trained.epochs.tolist(),
    }


def slug(name: str) -> str:
    """The name of a row as one of a file."""
    return name.replace(", ", "_").replace(" ", "-").replace("'", "")


def train_row(path: Path, name: str, n_seeds: int, size: Size, data: Dataset) -> None:
    """Train what the file of a row lacks of the first seeds."""
    record = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    if not record:
        losses = tune(ROWS[name], size, data) if ROWS[name].table != SCRIPT else {}
        rate = min(losses, key=lambda rate: losses[rate]) if losses else recipes.LEARNING_RATE
        tuning = [[rate, loss if np.isfinite(loss) else None] for rate, loss in losses.items()]
        updates = size.epochs * ROWS[name].times * (len(data.x_train) // size.batch_size)
        record = {"row": name, "learning_rate": rate, "tuning": tuning, "updates": updates}
    if seeds := list(range(n_seeds))[len(record.get("errors", [])) :]:
        results = train(name, seeds, record["learning_rate"], size, data)
        epochs = results.pop("epochs")
        record |= {key: record.get(key, []) + value for key, value in results.items()}
        writers.write_json(path, record | {"epochs": epochs})
