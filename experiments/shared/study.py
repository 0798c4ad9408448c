"""What all studies share: the setting, the key, the data and how a strength is tuned."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from dropout_jax.data import Dataset, load_dataset, split
from dropout_jax.populations.population import fit_population
from dropout_jax.training.config import Config, Hparams

ROOT_SEED = 0
PRNG = "threefry2x32"  # JAX's default, which an environment variable could change
RESULTS = Path(__file__).parent.parent / "results"
FIRST_TUNING_SEED = 1000  # the seeds compared stay below


@dataclass(frozen=True)
class Size:
    """The setting of the main study: 784-256-256-10 on mnist5k, SGD with momentum, 30 epochs."""

    dataset: str = "mnist5k"
    features: tuple[int, ...] = (256, 256)
    epochs: int = 30
    seeds: int = 10


QUICK = Size("digits", (16, 16), epochs=2, seeds=3)


def layer_rates(hidden: float, n_hidden: int, pixels: float = 0.0) -> tuple[float, ...]:
    """The rate of every layer's inputs: that of the pixels, then the one of all hidden units."""
    return (pixels, *(hidden,) * n_hidden)


def root_key() -> jax.Array:
    """The key that the members of every study descend from; only folded into."""
    return jax.random.key(ROOT_SEED, impl=PRNG)


def tuned_l2() -> float:
    """The coefficient of least validation loss, from the record of `weight_uniformity`."""
    config = RESULTS / "weight_uniformity" / "config.json"
    return json.loads(config.read_text(encoding="utf-8"))["l2"]


def validation_split(data: Dataset) -> Dataset:
    """The training data alone, a fifth of it held out as test data."""
    return split(np.asarray(data.x_train), np.asarray(data.y_train), "validation")


def last_sixth_held_out(data: Dataset) -> Dataset:
    """The training data alone, the last sixth of it as test data: 10,000 images of full MNIST."""
    n = len(data.x_train) - len(data.x_train) // 6
    (x, x_test), (y, y_test) = (np.split(array, [n]) for array in (data.x_train, data.y_train))
    return Dataset(x, y, x_test, y_test)


def with_test_digits(data: Dataset, folder: Path | None) -> Dataset:
    """The data, tested on the 10,000 test digits of full MNIST in a folder, if one is given.

    None of them is among the digits of `mnist5k`, which are training digits of full MNIST.
    """
    if folder is None:
        return data
    full = load_dataset("mnist", folder)
    return data._replace(x_test=full.x_test, y_test=full.y_test)


def clothes(folder: Path | None) -> Dataset:
    """The first pictures of Fashion-MNIST, as many as of `mnist5k`, from their folder."""
    data = load_dataset("fashion_mnist", folder)
    n, n_test = 4_000, 1_000
    return Dataset(data.x_train[:n], data.y_train[:n], data.x_test[:n_test], data.y_test[:n_test])


class Tuned(NamedTuple):
    """The candidate of least validation loss; mean validation loss and error of each."""

    best: Hparams
    loss: np.ndarray
    error: np.ndarray


def tune(config: Config, candidates: Sequence[Hparams], n_seeds: int, data: Dataset) -> Tuned:
    """Train candidates on seeds that no study compares. One that diverged is not chosen."""
    seeds = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + n_seeds)
    trained = fit_population(config, candidates, seeds, root_key(), validation_split(data))
    loss, error = (np.asarray(metric)[..., -1].mean(axis=1) for metric in trained.curve.test)
    return Tuned(candidates[int(np.nanargmin(loss))], loss, error)
