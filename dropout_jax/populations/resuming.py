"""Turn members in training into the leaves of a checkpoint, and back."""

from collections.abc import Sequence
from functools import partial
from time import perf_counter
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from dropout_jax.data import Dataset
from dropout_jax.populations.blocks import Flight, init_blocks
from dropout_jax.populations.checkpoints import Checkpoints, Saved
from dropout_jax.populations.devices import shard_members
from dropout_jax.populations.processes import anywhere, fetch
from dropout_jax.populations.store import Trained, rows
from dropout_jax.training.config import Config, Hparams
from dropout_jax.training.evaluation import Curve, Metrics

_OTHER = "the checkpoints are incomplete, or of another population"


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def pack(store: Trained, first: int, last: int, flight: Flight | None) -> Saved:
    """A checkpoint of the members first … last - 1 in the store, and of those in flight.

    An interruption within an epoch leaves no state to save: the next state reuses its memory.
    """
    members = jax.tree.leaves(rows(store, first, last))
    done = [np.asarray(leaf) for leaf in members if leaf.size]
    if flight is None or any(leaf.is_deleted() for leaf in jax.tree.leaves(flight.state)):
        return Saved(first, done, 0, [])
    leaves = jax.tree.leaves(flight._replace(epoch=()))
    plain = fetch([jax.random.key_data(leaf) if _is_key(leaf) else leaf for leaf in leaves])
    return Saved(first, done, flight.epoch, list(map(np.array, plain)))


def restore(store: Trained, saved: Sequence[Saved]) -> int:
    """Write all members that are done to their rows of the store, and return their number.

    After an interruption between two saves both may hold the same members; these are written twice.

    Raises:
      ValueError: if members are missing, or belong to another population.
    """
    n_done = 0
    for one in saved:
        if one.done:
            last = one.first + len(one.done[-1])  # the last leaf is a metric [n, P]
            arrays = [a for a in jax.tree.leaves(rows(store, one.first, last)) if a.size]
            if one.first > n_done or [a.shape for a in arrays] != [a.shape for a in one.done]:
                raise ValueError(_OTHER)
            jax.tree.map(np.copyto, arrays, one.done)
            n_done = max(n_done, last)
    return n_done


def unpack(
    config: Config,
    mesh: Mesh,
    hparams: Hparams,
    keys: jax.Array,
    data: Dataset,
    saved: Sequence[Saved],
) -> Flight | None:
    """The wave in flight, put back on its devices; None if the last save has none of this size.

    Raises:
      ValueError: if the members in flight have other shapes.

    Example:
      >>> from dropout_jax import MLP, load_dataset
      >>> from dropout_jax.populations.blocks import advance, start
      >>> from dropout_jax.populations.devices import device_mesh, share
      >>> from dropout_jax.populations.members import stack_conditions
      >>> from dropout_jax.populations.store import make_store
      >>> config, mesh = Config(MLP((4, 10)), epochs=2), device_mesh(jax.devices()[:1])
      >>> data, hparams = share(mesh, load_dataset("digits")), stack_conditions([Hparams()])
      >>> keys = jax.random.split(jax.random.key(0), 1)
      >>> flight = advance(config, mesh, hparams, start(config, mesh, hparams, keys, data), data)
      >>> store = make_store(config, (64,), n_conditions=1, n_seeds=2)
      >>> saved = [pack(store, 0, 1, flight)]  # one member is done, the other in flight
      >>> resumed = unpack(config, mesh, hparams, jax.random.clone(keys), data, saved)
      >>> print(restore(store, saved), resumed.epoch)
      1 1
    """
    if not saved or not saved[-1].flight or len(saved[-1].flight[0]) != len(keys):
        return None
    last = saved[-1]
    state = jax.eval_shape(partial(init_blocks, config, mesh), hparams, keys, data)
    like = [
        jax.eval_shape(jax.random.key_data, leaf) if _is_key(leaf) else leaf
        for leaf in jax.tree.leaves((state, state.params))
    ]
    if [leaf.shape for leaf in last.flight[: len(like)]] != [leaf.shape for leaf in like]:
        raise ValueError(_OTHER)
    metrics = Metrics(state.step, state.step)  # any leaf: only the structure counts
    flight = Flight(0, state, state.params, Curve(metrics, metrics), state.step)
    leaves, structure = jax.tree.flatten(flight._replace(epoch=()))
    impl = jax.random.key_impl(keys)
    flight = structure.unflatten(
        jax.random.wrap_key_data(jnp.asarray(array), impl=impl) if _is_key(leaf) else array
        for leaf, array in zip(leaves, last.flight, strict=True)
    )
    return flight._replace(epoch=last.epoch, state=shard_members(mesh, flight.state))


class Kept:
    """The members that are done, in the store, and when they were saved last."""

    def __init__(self, store: Trained, checkpoints: Checkpoints | None) -> None:
        """Fill the store with what was saved before."""
        self._store, self._checkpoints = store, checkpoints
        self._saved = checkpoints.saved if checkpoints else ()
        self.n_done = self._n_saved = restore(store, self._saved)
        self._saved_at = perf_counter()

    def resume(
        self, config: Config, mesh: Mesh, hparams: Hparams, keys: jax.Array, data: Dataset
    ) -> Flight | None:
        """`unpack` for the first wave; None for all others."""
        saved, self._saved = self._saved, ()
        return unpack(config, mesh, hparams, keys, data, saved)

    def save_if_due(self, flight: Flight) -> None:
        """Save if enough time has passed in any process."""
        if self._checkpoints is None:
            return
        if anywhere(perf_counter() - self._saved_at > self._checkpoints.seconds):
            self._checkpoints.save(pack(self._store, self._n_saved, self.n_done, flight))
            self._n_saved, self._saved_at = self.n_done, perf_counter()

    def save(self, flight: Flight | None) -> None:
        """Save unless there is nothing new: the checkpoint before says more then."""
        if self._checkpoints is None:
            return
        checkpoint = pack(self._store, self._n_saved, self.n_done, flight)
        if checkpoint.done or checkpoint.flight:
            self._checkpoints.save(checkpoint)
