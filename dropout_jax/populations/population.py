"""Populations: conditions × seeds trained by one compiled program.

The members are trained in waves of one block per device (`populations.blocks`). A loop on the host
runs the waves epoch by epoch, so a callback can follow them, stop members, or interrupt all. Only
one wave is in training at a time; `populations.store` keeps the trained members.

Shapes: C conditions, S seeds, N = S·C members, P points of a curve.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

from dropout_jax.data import Dataset
from dropout_jax.networks.protocol import Params
from dropout_jax.noise import check_key
from dropout_jax.populations.blocks import Flight, advance, curve_epochs, start, stop
from dropout_jax.populations.checkpoints import Checkpoints
from dropout_jax.populations.devices import Device, shard_members, share
from dropout_jax.populations.members import as_seeds, make_members, stack_conditions
from dropout_jax.populations.memory import wave_of_blocks
from dropout_jax.populations.moment import Callback, Moment
from dropout_jax.populations.processes import fetch, from_first_process
from dropout_jax.populations.resuming import Kept
from dropout_jax.populations.store import Allocate, Trained, make_store, map_arrays, write_rows
from dropout_jax.training.checks import check_config, check_training
from dropout_jax.training.config import Config, Hparams
from dropout_jax.training.evaluation import Curve

# threefry4x32 is not among them: XLA's CPU backend does not come to an end with its chained splits.
_COUNTER_BASED = ("threefry2x32", "philox2x32", "philox4x32")


class Population(NamedTuple):
    """Trained members, as NumPy arrays with leading axes [C, S].

    Attributes:
      params: the trained parameters.
      init_params: their parameters before training; the conditions of a seed share them.
      epochs: the numbers of epochs after which the curve was measured [P], 0 first.
      curve: metrics on training and test data [C, S, P].
      last_epoch: the epoch after which each member was trained no further [C, S]; fewer than
        `Config.epochs` if the callback stopped it, and None if that is not known.
    """

    params: Params
    init_params: Params
    epochs: np.ndarray
    curve: Curve
    last_epoch: np.ndarray | None = None


class Interrupted(KeyboardInterrupt):
    """Training was interrupted; `partial` holds the seeds that are complete in every condition.

    It is None if there are none.
    """

    def __init__(self, partial_population: Population | None) -> None:
        super().__init__("training was interrupted")
        self.partial = partial_population


def fit_population(
    config: Config,
    conditions: Sequence[Hparams],
    seeds: Sequence[int] | np.ndarray | int,
    key: jax.Array,
    data: Dataset,
    *,
    devices: Sequence[Device] | None = None,
    block: int | None = None,
    memory: float | None = None,
    allocate: Allocate = np.empty,
    checkpoints: Checkpoints | None = None,
    callback: Callback = lambda moment: None,
) -> Population:
    """Train conditions × seeds. A seed fixes init, batches and mask bits in all conditions.

    Args:
      config: the static settings, the same for all members.
      conditions: C settings of the same hyper-parameters; their values may differ.
      seeds: S distinct integers in 0 … 2^32 - 1, or S alone for the first S. A member depends on
        its seed and hyper-parameters alone, so a population can grow without changing its earlier
        members. On an accelerator its last bits depend on the block too, but the number of members
        does not change the block. On a CPU, with batches of some 512 or more, they depend on the
        number of threads of XLA.
      key: the root key, of a counter-based generator (threefry or philox); only folded into.
      data: put once on every device and shared by the members there.
      devices: all by default, those of other processes too. Each process makes the same call and
        gets the whole population.
      block: members that a device trains at once; by default 1 on a CPU, and on an accelerator 32
        or what fits.
      memory: bytes that members may take on a device, beside the data, if `block` is not given.
      allocate: makes the arrays that hold the trained members, from a shape and a dtype. Arrays
        mapped to files hold a population that is larger than memory.
      checkpoints: how to save the population on its way, and what to resume from. A resumed run
        ends with the bits of a run that never stopped; on an accelerator this was not tried.
      callback: called after every epoch of a wave with a `moment.Moment`: parameters, curve, how
        much is done. It may return which members of the wave to stop for good, a bool each: they
        keep their parameters, and their curves stay flat. Of several processes, the first decides.

    Raises:
      TypeError: for a legacy key, conditions that are no `Hparams`, rates that are not real, data
        that are no `Dataset`, or another argument of a wrong type.
      ValueError: for no seed or a repeated one, or conditions that `stack_conditions` refuses. For
        data that cannot be trained on, or a network or an optimizer that does not take the
        conditions. For no device, or a block or memory for less than one member. For a checkpoint
        of members of other shapes, or a key of another generator. For a callback that returns
        anything but None or a bool for each member of the wave.
      OSError: if a checkpoint cannot be saved.
      Interrupted: on Ctrl-C, with the seeds completed so far.

    Example:
      >>> from dropout_jax import MLP, load_dataset
      >>> config = Config(MLP((4, 10)), epochs=1)
      >>> conditions = [Hparams(rates=(0.0, rate)) for rate in (0.0, 0.5)]
      >>> trained = fit_population(
      ...     config, conditions, range(3), jax.random.key(0), load_dataset("digits")
      ... )
      >>> print(trained.curve.test.error.shape)  # conditions, seeds, points of the curve
      (2, 3, 2)
    """
    check_config(config)
    if not isinstance(checkpoints, Checkpoints | None):
        raise TypeError(f"checkpoints must be Checkpoints, got {type(checkpoints).__name__}")
    if not callable(callback):
        raise TypeError(f"callback must be a function of a Moment, got {callback!r:.80}")
    seeds, devices = as_seeds(seeds), list(jax.devices() if devices is None else devices)
    if not devices:
        raise ValueError("devices must hold at least one, got none")
    _check_population_key(key, len(devices))
    stacked = stack_conditions(conditions, len(config.model.features))
    check_training(config, data, conditions[0])
    inputs, n_members = data.x_train.shape[1:], len(conditions) * len(seeds)
    mesh, wave_size = wave_of_blocks(config, inputs, n_members, devices, memory, block)
    members, shared = make_members(stacked, seeds, key), share(mesh, data)
    store = make_store(config, inputs, len(conditions), len(seeds), allocate)
    kept, flight = Kept(store, checkpoints), None
    try:
        for wave in _waves(kept.n_done, wave_size, len(conditions), seeds):
            of_wave = jax.tree.map(lambda leaf, wave=wave: leaf[wave.places], members)
            hparams, keys = shard_members(mesh, of_wave)
            flight = kept.resume(config, mesh, hparams, keys, shared)
            flight = flight or start(config, mesh, hparams, keys, shared)
            while flight.epoch < config.epochs:
                flight = advance(config, mesh, hparams, flight, shared)
                moment = wave.moment(flight, config.epochs, n_members)
                flight = stop(flight, from_first_process(callback(moment)), len(wave.seeds))
                kept.save_if_due(flight)
            params = fetch(flight.state.params)
            trained = Trained(params, flight.init_params, flight.last_epoch, flight.curve)
            write_rows(store, trained, wave.first, wave.last)
            kept.n_done, flight = wave.last, None  # both at once, for an interruption
    except KeyboardInterrupt:
        n_seeds = kept.n_done // len(conditions)
        interrupted = Interrupted(_population(config, store, n_seeds) if n_seeds else None)
        try:
            kept.save(flight)
        except OSError as error:
            if n_seeds:  # which are not lost with the disk
                raise interrupted from error
            raise
        raise interrupted from None
    return _population(config, store, len(seeds))


class _Wave(NamedTuple):
    """Members that are trained together: the number of the first, conditions and seeds [n]."""

    first: int
    conditions: np.ndarray
    seeds: np.ndarray
    places: np.ndarray  # of the members that fill the devices: others follow the wave's own

    @property
    def last(self) -> int:
        """The number of the member after them."""
        return self.first + len(self.seeds)

    def moment(self, flight: Flight, n_epochs: int, n_members: int) -> Moment:
        """The wave after an epoch; the waves before it are done."""
        done = self.first * n_epochs + len(self.seeds) * flight.epoch
        return Moment(done, n_members * n_epochs, self.conditions, self.seeds, flight)


def _waves(first: int, size: int, n_conditions: int, seeds: Sequence[int]) -> Iterator[_Wave]:
    """The waves from member `first` on, `size` members each; the last may have fewer."""
    n_members = n_conditions * len(seeds)
    for begin in range(first, n_members, size):
        own = np.arange(begin, min(begin + size, n_members))
        seed_index, conditions = np.divmod(own, n_conditions)
        places = np.arange(begin, begin + size) % n_members  # wraps, to fill the last wave
        yield _Wave(begin, conditions, np.array(seeds)[seed_index], places)


def _check_population_key(key: jax.Array, n_devices: int) -> None:
    """Raise what `fit_population` says it raises for its key."""
    check_key(key)
    impl = str(jax.random.key_impl(key))
    if impl not in _COUNTER_BASED:
        raise ValueError(
            f"a population needs a key of {', '.join(_COUNTER_BASED)}, got {impl}: XLA does not "
            "compile threefry4x32, and rbg draws the bits of all members from the first key"
        )
    if "philox" in impl and n_devices > 1:
        raise ValueError(
            f"{impl} keys serve one device, as XLA does not compile them for several, got "
            f"{n_devices}; take a threefry key, or give devices"
        )


def _population(config: Config, store: Trained, n_seeds: int) -> Population:
    """The first seeds of the store, as views with axes [C, S, …]; nothing is copied."""
    n_conditions = store.last_epoch.shape[1]
    members = map_arrays(
        store,
        lambda a: a[:n_seeds].swapaxes(0, 1),
        lambda init: np.broadcast_to(init[:n_seeds], (n_conditions, n_seeds, *init.shape[1:])),
    )
    return Population(epochs=curve_epochs(config.epochs), **members._asdict())
