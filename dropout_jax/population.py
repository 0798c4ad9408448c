"""Populations: conditions × seeds trained by one compiled program.

The members are cut into blocks of one shape. A block is `vmap` of training over its members and
runs on one device; the host loop below deals blocks to devices, and each device to its next epoch.
Programs span one device each, so nothing is ever communicated, and a member is computed by the same
program whatever population it is in: its weights are the same bit for bit for the same block size.

Shapes: C conditions, S seeds, M members of a block, E epochs.
"""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np

from dropout_jax.data import Dataset
from dropout_jax.dropout import check_key, check_rate
from dropout_jax.networks import Params
from dropout_jax.training import (
    Config,
    Curve,
    Hparams,
    TrainState,
    init,
    learning_point,
    train_epoch,
)

N_CURVE_POINTS = 10
_COUNTER_BASED = ("threefry2x32", "threefry4x32", "philox2x32", "philox4x32")


class Population(NamedTuple):
    """Trained members, as NumPy arrays with leading axes [C, S].

    Attributes:
      params: the trained parameters.
      init_params: the parameters they started from; the same for every condition of a seed.
      epochs: after how many epochs the curve was measured [P], 0 first.
      curve: metrics on training and test data [C, S, P].
    """

    params: Params
    init_params: Params
    epochs: np.ndarray
    curve: Curve


Device = Any  # jax.Device, which type checkers do not take for a type
Members = tuple[Hparams, jax.Array]  # hyper-parameters [M, …] and member keys [M]
Result = tuple[Params, Params, Curve]  # params, init params and curves of a block [M, …]


class Block(NamedTuple):
    """What one device works on: members, and its copy of the data."""

    hparams: Hparams
    keys: jax.Array
    data: Dataset


class Interrupted(KeyboardInterrupt):
    """Training was interrupted; `partial` holds the S' < S seeds completed in every condition."""

    def __init__(self, partial_population: Population | None) -> None:
        super().__init__("training was interrupted")
        self.partial = partial_population


def member_key(root: jax.Array, seed: jax.typing.ArrayLike) -> jax.Array:
    """The key of the members of `seed`, in every condition: fold_in(root, seed)."""
    return jax.random.fold_in(root, seed)


@partial(jax.jit, static_argnames=("config", "n_inputs"))
def init_block(config: Config, hparams: Hparams, keys: jax.Array, n_inputs: int) -> TrainState:
    """`training.init` over a block: hyper-parameters [M, …] and member keys [M], consumed."""
    return jax.vmap(partial(init, config, n_inputs=n_inputs))(hparams, keys)


@partial(jax.jit, static_argnames="config", donate_argnames="state")
def train_block(config: Config, hparams: Hparams, state: TrainState, data: Dataset) -> TrainState:
    """One epoch of a block [M, …] on the shared data; the old state's memory is reused."""
    epoch = partial(train_epoch, config)
    return jax.vmap(epoch, in_axes=(0, 0, None, None))(hparams, state, data.x_train, data.y_train)[
        0
    ]


@partial(jax.jit, static_argnames="config")
def evaluate_block(config: Config, params: Params, data: Dataset) -> Curve:
    """`training.learning_point` over a block of params [M, …]: metrics [M]."""
    return jax.vmap(partial(learning_point, config), in_axes=(0, None))(params, data)


def stack_conditions(conditions: Sequence[Hparams]) -> Hparams:
    """Conditions as one Hparams of float32 arrays [C, …].

    Raises:
      ValueError: if there are none, a rate is outside [0, 1], or the conditions do not give the
        same hyper-parameters in the same shapes (rates 0 mean no dropout, max-norm inf no bound).
    """
    if not conditions:
        raise ValueError("a population needs at least one condition, got none")
    for hparams in conditions:
        if hparams.rates is not None:
            check_rate(np.asarray(hparams.rates), "rates")
    arrays: list[dict[str, Any]] = [
        {
            name: np.asarray(value, np.float32)
            for name, value in hparams._asdict().items()
            if value is not None
        }
        for hparams in conditions
    ]
    shapes = {str({name: array.shape for name, array in one.items()}) for one in arrays}
    if len(shapes) > 1:
        raise ValueError(
            "all conditions must give the same hyper-parameters in the same shapes, got "
            + " and ".join(sorted(shapes))
        )
    return Hparams()._replace(
        **{name: np.stack([one[name] for one in arrays]) for name in arrays[0]}
    )


def default_block(n_members: int, devices: Sequence[Device]) -> int:
    """Members a device works on at once: 1 on a CPU, all of its share on an accelerator.

    XLA's CPU backend runs a batched product as a loop of small ones, so a wider block only costs
    cache there; an accelerator needs the width.
    """
    return 1 if devices[0].platform == "cpu" else -(-n_members // len(devices))


def fit_population(
    config: Config,
    conditions: Sequence[Hparams],
    seeds: Sequence[int],
    key: jax.Array,
    data: Dataset,
    *,
    devices: Sequence[Device] | None = None,
    block: int | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Population:
    """Train conditions × seeds, paired: a seed fixes init, batches and mask bits in all conditions.

    Args:
      conditions: C hyper-parameter settings of the same structure; values may differ freely.
      seeds: S distinct integers in 0 … 2^32 - 1. A member depends on its seed and hyper-parameters
        alone, so a population can grow without changing its earlier members.
      key: the root key, of a counter-based generator (threefry or philox). Only folded into.
      data: put once on every device and shared by the members there.
      devices: all local ones by default.
      block: members a device trains at once, the unit of compiled work; see `default_block`.
      progress: called with (epochs of members done, in all) as they finish.

    Raises:
      ValueError: for an empty or repeated seed, unlike conditions, fewer examples than a batch, or
        a key of another generator: under vmap `rbg` draws every member's bits from the first key.
      Interrupted: on Ctrl-C, with the seeds completed so far.
    """
    seeds = list(seeds)
    _check(config, seeds, key, data)
    devices = list(devices or jax.local_devices())
    members = _members(stack_conditions(conditions), seeds, key)
    n_members, n_conditions = len(members[1]), len(conditions)
    block = min(block or default_block(n_members, devices), n_members)
    shared = [jax.device_put(data, device) for device in devices]
    finished: list[Result] = []
    try:
        for start in range(0, n_members, block * len(devices)):
            wave = [
                Block(*_take(members, np.arange(first, first + block), device), on_device)
                for first, device, on_device in zip(
                    range(start, n_members, block), devices, shared, strict=False
                )
            ]
            n_wave = min(len(wave) * block, n_members - start)
            for epoch, results in _fit_wave(config, wave):
                finished += results
                progress(start * config.epochs + n_wave * epoch, n_members * config.epochs)
    except KeyboardInterrupt:
        n_seeds = min(len(finished) * block, n_members) // n_conditions
        kept = _gather(config, finished, n_conditions, n_seeds) if n_seeds else None
        raise Interrupted(kept) from None
    return _gather(config, finished, n_conditions, len(seeds))


def _check(config: Config, seeds: list[int], key: jax.Array, data: Dataset) -> None:
    """Raise what `fit_population` says it raises for its arguments."""
    check_key(key)
    if str(jax.random.key_impl(key)) not in _COUNTER_BASED:
        raise ValueError(
            f"a population needs a counter-based key ({', '.join(_COUNTER_BASED)}), got "
            f"{jax.random.key_impl(key)}, which draws the bits of all members from the first key"
        )
    if not seeds or len(set(seeds)) < len(seeds) or not 0 <= min(seeds) <= max(seeds) < 2**32:
        raise ValueError(f"seeds must be distinct integers in 0 … 2^32 - 1, got {seeds}")
    if len(data.x_train) < config.batch_size:
        raise ValueError(
            f"a batch needs {config.batch_size} training examples, got {len(data.x_train)}"
        )


def _members(hparams: Hparams, seeds: list[int], key: jax.Array) -> Members:
    """The members of conditions [C] × seeds, seed by seed: whole pairs are the first to be done."""
    n_conditions = len(jax.tree.leaves(hparams)[0])
    condition_of = np.tile(np.arange(n_conditions), len(seeds))
    seed_of = np.repeat(np.asarray(seeds, np.uint32), n_conditions)
    of_member = jax.tree.map(lambda leaf: leaf[condition_of], hparams)
    return of_member, jax.vmap(partial(member_key, key))(seed_of)


def _take(members: Members, rows: np.ndarray, device: Device) -> Members:
    """Some members, on a device; rows beyond the last wrap around, to fill the last block up."""
    rows = rows % len(members[1])
    return jax.device_put(jax.tree.map(lambda leaf: leaf[rows], members), device)


def curve_epochs(n_epochs: int) -> np.ndarray:
    """The epochs [P] at which the curves are measured: 0, the last, and up to nine between."""
    n_points = min(n_epochs, N_CURVE_POINTS) + 1
    return np.unique(np.linspace(0, n_epochs, n_points).round().astype(int))


def _fit_wave(config: Config, blocks: list[Block]) -> Iterator[tuple[int, list[Result]]]:
    """Train one block per device side by side; yields after every epoch, results with the last."""
    n_inputs = blocks[0].data.x_train.shape[1]
    states = [init_block(config, b.hparams, b.keys, n_inputs) for b in blocks]
    initial = [_copy(state.params) for state in states]
    points = set(curve_epochs(config.epochs).tolist())
    curves: list[list[Curve]] = [[] for _ in blocks]
    for epoch in range(config.epochs + 1):
        if epoch:
            states = [
                train_block(config, b.hparams, state, b.data)
                for b, state in zip(blocks, states, strict=True)
            ]
        if epoch in points:
            for curve, state, b in zip(curves, states, blocks, strict=True):
                curve.append(evaluate_block(config, state.params, b.data))
        jax.block_until_ready(states)
        if epoch < config.epochs:
            yield epoch, []
    yield (
        config.epochs,
        [
            (_copy(state.params), first, jax.tree.map(lambda *ms: np.stack(ms, axis=1), *curve))
            for state, first, curve in zip(states, initial, curves, strict=True)
        ],
    )


def _copy(params: Params) -> Params:
    """The params as NumPy arrays of their own; a view would see training reuse the memory."""
    return jax.tree.map(np.array, params)


def _gather(config: Config, blocks: list[Result], n_conditions: int, n_seeds: int) -> Population:
    """Blocks of members in seed-major order as arrays [C, S, …], what is beyond S·C cut off."""

    def gather(*leaves: np.ndarray) -> np.ndarray:
        members = np.concatenate(leaves)[: n_seeds * n_conditions]
        return members.reshape(n_seeds, n_conditions, *members.shape[1:]).swapaxes(0, 1)

    params, init_params, curve = jax.tree.map(gather, *blocks)
    return Population(params, init_params, curve_epochs(config.epochs), curve)
