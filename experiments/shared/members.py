"""Members that a study trains by a loop of its own, and what is measured of them.

Shapes: C conditions, S seeds, Q quantities, M measures.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dropout_jax.analysis.uniformity import MEASURES
from dropout_jax.analysis.views import layer_views
from dropout_jax.data import Array
from dropout_jax.networks.mlp import MLP, Params
from dropout_jax.populations.members import as_seeds, member_key, stack_conditions
from dropout_jax.training.config import Config, Hparams
from dropout_jax.training.epochs import train_epoch
from dropout_jax.training.step import TrainState, init, train_step
from experiments.shared import study

CHOSEN = ("gini", "cv", "participation")
QUANTITIES = (  # view, and role of the layer; several middle layers are averaged
    *(("entries", role) for role in ("first", "middle", "output")),
    *((view, role) for role in ("first", "last") for view in ("contribution", "path_norm")),
)


def measure(model: MLP, x: Array, params: Params) -> jax.Array:
    """All quantities in all measures [Q, M] of a network; inputs constant over x are left out."""
    views = layer_views(model, params, x)
    measures = [MEASURES[name] for name in CHOSEN]
    entries = jnp.array(
        [[m(jnp.abs(layer.kernel), layer.live.entries) for m in measures] for layer in views]
    )
    by_role = jnp.stack([entries[0], entries[1:-1].mean(axis=0), entries[-1]])
    units = [
        jnp.array([[m(v, layer.live.outputs) for m in measures] for v in layer.units.values()])
        for layer in (views[0], views[-2])  # the first and the last hidden layer
    ]
    return jnp.concatenate([by_role, *units])


def keys_of(seeds: Sequence[int] | int) -> jax.Array:
    """The keys [S] of members of the main study, made anew at every call; S means the first S."""
    return jax.vmap(partial(member_key, study.root_key()))(np.array(as_seeds(seeds), np.uint32))


def paired_members(
    conditions: Sequence[Hparams], seeds: Sequence[int] | int
) -> tuple[Hparams, jax.Array]:
    """The hyper-parameters and keys of members [C, S], the same seeds in every condition."""
    keys = keys_of(seeds)
    stacked = stack_conditions(conditions)
    hparams = jax.tree.map(lambda leaf: np.stack([leaf] * len(keys), 1), stacked)
    return hparams, jnp.broadcast_to(keys, (len(conditions), len(keys)))


def fresh_members(
    config: Config,
    hidden_rates: Sequence[float],
    seeds: Sequence[int] | int,
    n_inputs: int,
    learning_rates: Sequence[float] | float = 0.05,
) -> tuple[Hparams, TrainState]:
    """Members [C, S], one condition a rate of hidden units, from the keys of the main study.

    Each condition has its learning rate [C], or all have one.
    """

    @jax.jit
    def fresh(keys: jax.Array) -> TrainState:
        return jax.lax.map(lambda key: init(config, Hparams(), key, n_inputs), keys)

    n_hidden = len(config.model.features) - 1
    learning = np.broadcast_to(learning_rates, len(hidden_rates)).tolist()
    rates = [study.layer_rates(rate, n_hidden) for rate in hidden_rates]
    hparams, keys = paired_members(list(map(Hparams, rates, learning)), seeds)
    return hparams, jax.tree.map(lambda leaf: jnp.stack([leaf] * len(rates)), fresh(keys[0]))


def trained(
    config: Config, hparams: Hparams, state: TrainState, x: jax.Array, y: jax.Array
) -> TrainState:
    """A fresh member after all its epochs on examples x [n, D] with labels or targets y [n, …]."""

    def epoch(state: TrainState, _: None) -> tuple[TrainState, jax.Array]:
        return train_epoch(config, hparams, state, x, y)

    return jax.lax.scan(epoch, state, length=config.epochs)[0]


@partial(jax.jit, static_argnames=("config", "n_steps", "read"))
def average(
    config: Config,
    n_steps: int,
    read: Callable[[Params], jax.Array],
    hparams: Hparams,
    key: jax.Array,
    x: jax.Array,
    y: jax.Array,
) -> jax.Array:
    """`read` of a member's params, averaged over the second half of its training.

    Every step takes all examples; averaging removes the noise of the masks (Polyak & Juditsky
    1992). `key` is consumed.
    """

    def step(state: TrainState, _: None) -> tuple[TrainState, jax.Array]:
        return train_step(config, hparams, state, x, y)

    def step_and_add(carry: tuple[TrainState, jax.Array], _: None) -> tuple[Any, None]:
        state, _loss = step(carry[0], None)
        return (state, carry[1] + read(state.params)), None

    state = init(config, hparams, key, x.shape[1])
    state, _ = jax.lax.scan(step, state, length=n_steps // 2)
    initial = state, jnp.zeros_like(read(state.params))
    (_, total), _ = jax.lax.scan(step_and_add, initial, length=n_steps // 2)
    return total / (n_steps // 2)


def average_all(
    config: Config,
    n_steps: int,
    read: Callable[[Params], jax.Array],
    conditions: Sequence[Hparams],
    n_seeds: int,
    x: Array,
    y: Array,
) -> np.ndarray:
    """`average` of all members, conditions × seeds, at once [C, S, …]."""
    train = partial(average, config, n_steps, read, x=jnp.asarray(x), y=jnp.asarray(y))
    average_members = jax.vmap(jax.vmap(train, (None, 0)), (0, None))
    return np.asarray(average_members(stack_conditions(conditions), keys_of(n_seeds)))
