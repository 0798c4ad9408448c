"""The universes of the multiverse: their choices, and the training of each of them.

Shapes: C conditions, S seeds, T stops, Q quantities, M measures.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from dropout_jax.data import Dataset, load_dataset
from dropout_jax.io import writers
from dropout_jax.io.environment import versions
from dropout_jax.networks.mlp import MLP, Params
from dropout_jax.populations.devices import map_members
from dropout_jax.training.config import Config, Hparams, sgd
from dropout_jax.training.epochs import train_epoch
from dropout_jax.training.evaluation import evaluate
from dropout_jax.training.step import TrainState
from experiments.shared import study
from experiments.shared.members import fresh_members, measure

RATE = 0.5
N_FOLLOWED = 1_000  # training examples whose loss is followed
LEVEL = 0.3  # nats of training loss; the slowest of a pilot, on seeds of its own, reached .24
INITIALIZERS = {
    "lecun": nn.initializers.lecun_normal(),
    "he": nn.initializers.he_normal(),
    "PyTorch": nn.initializers.variance_scaling(1 / 3, "fan_in", "uniform"),
}
STOPS = ("last epoch", "best validation", "equal training loss")


def adam(hparams: Hparams) -> optax.GradientTransformation:
    """Adam (Kingma & Ba 2015) as optax has it, without weight decay."""
    return optax.adam(hparams.learning_rate)


OPTIMIZERS: dict[str, tuple[Callable[[Hparams], optax.GradientTransformation], float]] = {
    "SGD": (sgd, 0.05),
    "Adam": (adam, 0.001),
}


@dataclass(frozen=True)
class Size:
    """What to train: all combinations; at the widths `wide` the first initializer and depth.

    `fashion_dir` is the folder of Fashion-MNIST. `cache` keeps the results of universes, so that
    an interrupted study goes on from there.
    """

    datasets: tuple[str, ...] = ("mnist5k", "digits")
    initializers: tuple[str, ...] = tuple(INITIALIZERS)
    optimizers: tuple[str, ...] = tuple(OPTIMIZERS)
    widths: tuple[int, ...] = (64, 256)
    depths: tuple[int, ...] = (2, 3)
    wide: tuple[int, ...] = (1024,)
    epochs: int = 30
    seeds: int = 10
    fashion_dir: Path | None = None
    cache: Path | None = Path("runs", "multiverse")


QUICK = Size(
    datasets=("digits",),
    initializers=("lecun", "PyTorch"),
    optimizers=("SGD",),
    widths=(8,),
    depths=(2,),
    wide=(),
    epochs=2,
    seeds=3,
    cache=None,
)


class Universe(NamedTuple):
    """The choices that take a training of their own; `depth` counts hidden layers."""

    initializer: str
    optimizer: str
    width: int
    depth: int
    data: str


class Kept(NamedTuple):
    """Parameters at the two stops before the last epoch, and the losses that chose them.

    Attributes:
      best: at the least loss on held-out data, `best_loss`.
      level: at the first loss on training data below `LEVEL`; `level_loss` is above until then.
    """

    best: Params
    best_loss: jax.Array
    level: Params
    level_loss: jax.Array


def universes(size: Size) -> list[Universe]:
    """All universes that are trained."""
    datasets = (*size.datasets, "fashion_mnist") if size.fashion_dir else size.datasets
    full = product(size.initializers, size.optimizers, size.widths, size.depths, datasets)
    wide = product(size.initializers[:1], size.optimizers, size.wide, size.depths[:1], datasets)
    return [Universe(*choices) for choices in (*full, *wide)]


def keep(kept: Kept, params: Params, held_out: jax.Array, train_loss: jax.Array) -> Kept:
    """What is kept after an epoch with these losses on held-out and on training data."""

    def select(new_counts: jax.Array, new: Any, old: Any) -> Any:
        return jax.tree.map(partial(jnp.where, new_counts), new, old)

    better = held_out < kept.best_loss
    reached = (train_loss < LEVEL) & (kept.level_loss >= LEVEL)
    best = select(better, (params, held_out), (kept.best, kept.best_loss))
    level = select(reached, (params, train_loss), (kept.level, kept.level_loss))
    return Kept(*best, *level)


def train(
    config: Config, hparams: Hparams, state: TrainState, data: Dataset
) -> tuple[Params, Kept]:
    """Train a fresh member: its parameters at the end, and those kept on the way."""

    def losses(params: Params) -> tuple[jax.Array, jax.Array]:
        followed = data.x_train[:N_FOLLOWED], data.y_train[:N_FOLLOWED]
        held_out = evaluate(config, params, data.x_test, data.y_test)
        return held_out.loss, evaluate(config, params, *followed).loss

    def epoch(carry: tuple[TrainState, Kept], _: None) -> tuple[tuple[TrainState, Kept], None]:
        state, _loss = train_epoch(config, hparams, carry[0], data.x_train, data.y_train)
        return (state, keep(carry[1], state.params, *losses(state.params))), None

    held_out, train_loss = losses(state.params)
    kept = Kept(state.params, held_out, state.params, train_loss)
    (state, kept), _ = jax.lax.scan(epoch, (state, kept), length=config.epochs)
    return state.params, kept


@partial(jax.jit, static_argnames="config")
def member(
    config: Config, hparams: Hparams, state: TrainState, data: Dataset
) -> tuple[jax.Array, jax.Array]:
    """All numbers [T, Q, M] of a member, NaN at a level that it did not reach, and `level_loss`."""
    last, kept = train(config, hparams, state, data)
    stopped = jax.tree.map(lambda *leaves: jnp.stack(leaves), last, kept.best, kept.level)
    values = jax.lax.map(partial(measure, config.mlp, data.x_train), stopped)
    reached = jnp.array([True, True, False]) | (kept.level_loss < LEVEL)
    return jnp.where(reached[:, None, None], values, jnp.nan), kept.level_loss


def run_universe(universe: Universe, size: Size) -> dict[str, Any]:
    """Train a universe without and with dropout: values [C, S, T, Q, M], losses at the level."""
    start = perf_counter()
    clothes = universe.data == "fashion_mnist"
    data = study.clothes(size.fashion_dir) if clothes else load_dataset(universe.data)
    model = MLP((*(universe.width,) * universe.depth, data.n_classes))
    make_optimizer, learning_rate = OPTIMIZERS[universe.optimizer]
    config = Config(model, epochs=size.epochs, make_optimizer=make_optimizer)
    initializer = INITIALIZERS[universe.initializer]
    begins = replace(config, model=model.clone(kernel_init=initializer))  # and trains as any other
    n_inputs = data.x_train.shape[1]
    members = fresh_members(begins, (0.0, RATE), size.seeds, n_inputs, learning_rate)
    values, level_loss = map_members(member, (config,), members, data)
    return {
        "values": values.tolist(),
        "level_loss": level_loss.tolist(),
        "seconds": perf_counter() - start,
    }


def remembered(universe: Universe, size: Size) -> dict[str, Any]:
    """The result of `run_universe`, from the cache if the same was asked before."""
    if size.cache is None:
        return run_universe(universe, size)
    path = size.cache / f"{'-'.join(map(str, universe))}.json"
    settings = {"epochs": size.epochs, "seeds": size.seeds, "level": LEVEL, **versions()}
    if path.is_file():
        found = json.loads(path.read_text(encoding="utf-8"))
        if found["asked"] == settings:
            return found
    found = {"asked": settings, **run_universe(universe, size)}
    writers.write_json(path, found)
    return found
