"""Populations: conditions × seeds trained by one compiled program.

The members are cut into waves of one block a device (`populations.blocks`). The host loop below
runs wave after wave, epoch by epoch, so that progress and Ctrl-C have a place; only a wave is in
flight, and finished members go where the caller says.

Shapes: C conditions, S seeds, N = S·C members, M members of a block, P points of a curve.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from time import perf_counter
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.core import Tracer

from dropout_jax.data import Dataset
from dropout_jax.networks.mlp import Params, check_rates
from dropout_jax.noise import check_key, check_rate
from dropout_jax.populations.blocks import Result, advance, curve_epochs, finish, start
from dropout_jax.populations.checkpoints import Checkpoints, pack, restore, unpack
from dropout_jax.populations.devices import Device, deal, mesh_of, share
from dropout_jax.populations.memory import block_size
from dropout_jax.populations.processes import anywhere
from dropout_jax.training.config import Config, Hparams, check_hparams, check_training
from dropout_jax.training.epochs import Curve, Metrics
from dropout_jax.training.step import init

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


Allocate = Callable[[tuple[int, ...], np.dtype], np.ndarray]


class Interrupted(KeyboardInterrupt):
    """Training was interrupted; `partial` holds the S' < S seeds completed in every condition."""

    def __init__(self, partial_population: Population | None) -> None:
        super().__init__("training was interrupted")
        self.partial = partial_population


def member_key(root: jax.Array, seed: jax.typing.ArrayLike) -> jax.Array:
    """The key of the members of `seed`, in every condition: fold_in(root, seed).

    Raises:
      TypeError: if `root` is not a typed key.
      ValueError: if a concrete `seed` is not an integer in 0 … 2^32 - 1.

    Example:
      >>> root = jax.random.key(0)
      >>> print(member_key(root, 3) == jax.random.fold_in(root, 3))
      True
    """
    check_key(root)
    if not isinstance(seed, Tracer) and not _is_seed(seed):
        raise ValueError(f"seed must be an integer in 0 … 2^32 - 1, got {seed}")
    return jax.random.fold_in(root, seed)


def _is_seed(seed: Any) -> bool:
    return isinstance(seed, int | np.integer) and 0 <= int(seed) < 2**32


def stack_conditions(conditions: Sequence[Hparams]) -> Hparams:
    """Conditions as one Hparams of float32 arrays [C, …].

    Raises:
      TypeError: if one is no `Hparams`.
      ValueError: if there are none, a rate is outside [0, 1], another is not one number of its
        range (`training.check_hparams`), or the conditions do not give the same hyper-parameters
        in the same shapes (rates 0 mean no dropout, max-norm inf no bound).

    Example:
      >>> both = stack_conditions([Hparams((0.0,)), Hparams((0.5,))])
      >>> print(both.rates.ravel())
      [0.  0.5]
    """
    if not conditions:
        raise ValueError("a population needs at least one condition, got none")
    for hparams in conditions:
        if not isinstance(hparams, Hparams):
            raise TypeError(f"conditions must be Hparams, got {type(hparams).__name__}")
        check_hparams(hparams)
        if hparams.rates is not None:
            check_rate(np.asarray(hparams.rates), "rates")
    with np.errstate(over="ignore"):
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


def fit_population(
    config: Config,
    conditions: Sequence[Hparams],
    seeds: Sequence[int],
    key: jax.Array,
    data: Dataset,
    *,
    devices: Sequence[Device] | None = None,
    block: int | None = None,
    memory: float | None = None,
    allocate: Allocate = np.empty,
    checkpoints: Checkpoints | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Population:
    """Train conditions × seeds, paired: a seed fixes init, batches and mask bits in all conditions.

    Args:
      conditions: C hyper-parameter settings of the same structure; values may differ freely.
      seeds: S distinct integers in 0 … 2^32 - 1. A member depends on its seed and hyper-parameters
        alone, so a population can grow without changing its earlier members; on an accelerator its
        last bits depend on the block too, which does not depend on how many they are.
      key: the root key, of a counter-based generator (threefry or philox). Only folded into.
      data: put once on every device and shared by the members there.
      devices: all by default, those of other processes too: each of them makes the same call and is
        given the whole population.
      block: members a device trains at once, the unit of compiled work; see `blocks.block_size`.
      memory: bytes to fill on a device at most, if `block` is not given; see `blocks.block_size`.
      allocate: makes the arrays that hold the trained members, from a shape and a dtype; one that
        maps files keeps a population that is larger than the memory.
      checkpoints: how to save the way, and what to resume from: the bits at the end are those of a
        run that never stopped.
      progress: called with (epochs of members done, in all) as they finish.

    Raises:
      TypeError: for a legacy key, or a condition that is no `Hparams`.
      ValueError: for no or a repeated seed, unlike conditions or another number of rates than of
        layers, data that cannot be trained on (`training.check_training`), a block of no member,
        memory for less than one, a checkpoint of another population, or a key of another generator:
        under vmap `rbg` draws every member's bits from the first key.
      Interrupted: on Ctrl-C, with the seeds completed so far.

    Example:
      >>> from dropout_jax.data import load_dataset
      >>> from dropout_jax.networks.mlp import MLP
      >>> config = Config(MLP((4, 10)), epochs=1)
      >>> conditions = [Hparams(rates=(0.0, rate)) for rate in (0.0, 0.5)]
      >>> trained = fit_population(
      ...     config, conditions, range(3), jax.random.key(0), load_dataset("digits")
      ... )
      >>> print(trained.curve.test.error.shape)  # conditions, seeds, points of the curve
      (2, 3, 2)
    """
    seeds = list(seeds)
    devices = list(devices or jax.devices())
    _check(config, seeds, key, data, devices)
    hparams = stack_conditions(conditions)
    if hparams.rates is not None:
        check_rates(hparams.rates[0], len(config.model.features))
    members = _members(hparams, seeds, key)
    n_members, n_conditions = len(members[1]), len(conditions)
    if block is None:
        block = block_size(config, data.x_train.shape[1], devices, memory)
    if block < 1:
        raise ValueError(f"block must be at least 1 member, got {block}")
    mesh = mesh_of(devices, -(-n_members // block))
    wave = block * mesh.size
    shared = share(mesh, data)
    kept = _room(config, members, data, len(seeds), allocate)
    n_done = n_saved = restore(partial(_rows, kept), checkpoints.saved) if checkpoints else 0
    last = checkpoints.saved[-1] if checkpoints and checkpoints.saved else None
    clock, flight = perf_counter(), None
    try:
        while n_done < n_members:
            rows = np.arange(n_done, n_done + wave) % n_members  # wraps, to fill the last wave
            hparams, keys = deal(mesh, jax.tree.map(lambda leaf, rows=rows: leaf[rows], members))
            n_wave = min(wave, n_members - n_done)
            flight = unpack(config, mesh, hparams, keys, shared, last) if last else None
            flight, last = flight or start(config, mesh, hparams, keys, shared), None
            while flight.epoch < config.epochs:
                flight = advance(config, mesh, hparams, flight, shared)
                progress(n_done * config.epochs + n_wave * flight.epoch, n_members * config.epochs)
                if checkpoints and anywhere(perf_counter() - clock > checkpoints.seconds):
                    checkpoints.save(pack(n_saved, _rows(kept, n_saved, n_done), flight))
                    n_saved, clock = n_done, perf_counter()
            _keep(kept, finish(flight), n_done, n_done + n_wave)
            n_done, flight = n_done + n_wave, None
    except KeyboardInterrupt:
        if checkpoints:
            checkpoints.save(pack(n_saved, _rows(kept, n_saved, n_done), flight))
        n_seeds = n_done // n_conditions
        raise Interrupted(_population(config, kept, n_seeds) if n_seeds else None) from None
    return _population(config, kept, len(seeds))


def _check(
    config: Config, seeds: list[int], key: jax.Array, data: Dataset, devices: list[Device]
) -> None:
    """Raise what `fit_population` says it raises for its arguments."""
    check_key(key)
    impl = str(jax.random.key_impl(key))
    if impl not in _COUNTER_BASED:
        raise ValueError(
            f"a population needs a counter-based key ({', '.join(_COUNTER_BASED)}), got {impl}, "
            "which draws the bits of all members from the first key"
        )
    if "philox" in impl and len(devices) > 1:
        raise ValueError(
            f"{impl} keys serve one device, as XLA does not compile them for several, got "
            f"{len(devices)}; take a threefry key, or give devices"
        )
    wrong = [seed for seed in seeds if not _is_seed(seed)]
    wrong = wrong or [f"{seed} {n} times" for seed, n in Counter(seeds).items() if n > 1]
    if wrong or not seeds:
        shown = wrong[0] if wrong else "none"
        raise ValueError(f"seeds must be distinct integers in 0 … 2^32 - 1, got {shown}")
    check_training(config, data)


def _members(hparams: Hparams, seeds: list[int], key: jax.Array) -> tuple[Hparams, jax.Array]:
    """The members of conditions [C] × seeds, seed by seed: whole pairs are the first to be done."""
    n_conditions = len(jax.tree.leaves(hparams)[0])
    condition_of = np.tile(np.arange(n_conditions), len(seeds))
    seed_of = np.repeat(np.asarray(seeds, np.uint32), n_conditions)
    of_member = jax.tree.map(lambda leaf: leaf[condition_of], hparams)
    return of_member, jax.vmap(partial(member_key, key))(seed_of)


def _room(
    config: Config, members: tuple, data: Dataset, n_seeds: int, allocate: Allocate
) -> Result:
    """Arrays for the members with axes [S, C, …]; conditions share the init of a seed [S, …]."""
    member = jax.tree.map(lambda leaf: leaf[0], members)
    params = jax.eval_shape(partial(init, config, n_inputs=data.x_train.shape[1]), *member).params
    both = (n_seeds, len(members[1]) // n_seeds)

    def room(leading: tuple[int, ...], tree: Any) -> Any:
        return jax.tree.map(lambda leaf: allocate((*leading, *leaf.shape), leaf.dtype), tree)

    metric: Any = jax.ShapeDtypeStruct((len(curve_epochs(config.epochs)),), np.float32)
    curve = Curve(Metrics(metric, metric), Metrics(metric, metric))
    return Result(room(both, params), room(both[:1], params), room(both, curve))


def _rows(kept: Result, first: int, last: int) -> Result:
    """Views of the members first … last - 1 [n, …], and of the inits of the seeds they begin."""
    n_conditions = kept.curve.train.loss.shape[1]
    begun = slice(-(-first // n_conditions), -(-last // n_conditions))
    params, curve = jax.tree.map(
        lambda a: a.reshape(-1, *a.shape[2:])[first:last], (kept.params, kept.curve)
    )
    return Result(params, jax.tree.map(lambda a: a[begun], kept.init_params), curve)


def _keep(kept: Result, finished: Result, first: int, last: int) -> None:
    """Write the members first … last - 1, and the inits of the seeds they begin, to their rows."""
    n, n_conditions = last - first, kept.curve.train.loss.shape[1]
    params, curve = jax.tree.map(lambda leaf: leaf[:n], (finished.params, finished.curve))
    begun = slice(-first % n_conditions, n, n_conditions)
    inits = jax.tree.map(lambda leaf: leaf[begun], finished.init_params)
    jax.tree.map(np.copyto, _rows(kept, first, last), Result(params, inits, curve))


def _population(config: Config, kept: Result, n_seeds: int) -> Population:
    """The first S seeds with axes [C, S]: views, nothing is copied."""
    params, curve = jax.tree.map(lambda a: a[:n_seeds].swapaxes(0, 1), (kept.params, kept.curve))
    n_conditions = len(curve.train.loss)
    init_params = jax.tree.map(
        lambda a: np.broadcast_to(a[:n_seeds], (n_conditions, n_seeds, *a.shape[1:])),
        kept.init_params,
    )
    return Population(params, init_params, curve_epochs(config.epochs), curve)
