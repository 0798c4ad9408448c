"""The members of a population: conditions × seeds, and their keys.

Shapes: C conditions, S seeds, N = S·C members.
"""

import operator
from collections import Counter
from collections.abc import Sequence
from functools import partial
from typing import Any, cast

import jax
import numpy as np
from jax.core import Tracer

from dropout_jax.noise import check_key
from dropout_jax.training.checks import check_hparams
from dropout_jax.training.config import Hparams, as_arrays


def as_seeds(seeds: Sequence[int] | np.ndarray | int) -> list[int]:
    """The seeds as a list; a number S means the first S of them.

    Raises:
      ValueError: unless they are distinct integers in 0 … 2^32 - 1, one or more.

    Example:
      >>> print(as_seeds(3), as_seeds([5, 7]))
      [0, 1, 2] [5, 7]
    """
    if isinstance(seeds, int | np.integer) and not isinstance(seeds, bool):
        seeds = range(seeds)
    try:
        found = list(map(operator.index, cast(Sequence[int], seeds)))
        wrong = [seed for seed in found if not _is_seed(seed)]
        wrong = wrong or [f"{seed} more than once" for seed, n in Counter(found).items() if n > 1]
    except TypeError:
        found, wrong = [], [f"{seeds!r:.80}"]
    if wrong or not found:
        shown = wrong[0] if wrong else "none"
        raise ValueError(f"seeds must be distinct integers in 0 … 2^32 - 1, got {shown}")
    return found


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
    try:
        return 0 <= operator.index(seed) < 2**32
    except TypeError:
        return False


def stack_conditions(conditions: Sequence[Hparams], n_layers: int | None = None) -> Hparams:
    """Conditions as one Hparams of float32 arrays [C, …]; `n_layers` asks for one rate per layer.

    Raises:
      TypeError: if they are no sequence of `Hparams`, or rates are not real numbers.
      ValueError: if there are no conditions, a hyper-parameter is out of its range
        (`checks.check_hparams`), or the conditions do not give the same hyper-parameters in the
        same shapes (rates 0 mean no dropout, max-norm inf no bound).

    Example:
      >>> both = stack_conditions([Hparams((0.0,)), Hparams((0.5,))])
      >>> print(both.rates.ravel())
      [0.  0.5]
    """
    listed = isinstance(conditions, Sequence) and not isinstance(conditions, Hparams)
    if not listed:
        raise TypeError(f"conditions must be a list of Hparams, got {type(conditions).__name__}")
    if wrong := [c for c in conditions if not isinstance(c, Hparams)]:
        raise TypeError(f"each condition must be an Hparams, got {type(wrong[0]).__name__}")
    if not conditions:
        raise ValueError("a population needs at least one condition, got none")
    shapes = [
        {name: np.shape(value) for name, value in hparams._asdict().items() if value is not None}
        for hparams in conditions
    ]
    if any(others != shapes[0] for others in shapes):
        raise ValueError(
            "all conditions must give the same hyper-parameters in the same shapes, got "
            + " and ".join(sorted(set(map(str, shapes))))
        )
    for hparams in conditions:
        check_hparams(hparams, n_layers)
    return jax.tree.map(lambda *values: np.stack(values), *map(as_arrays, conditions))


def make_members(
    hparams: Hparams, seeds: Sequence[int], key: jax.Array
) -> tuple[Hparams, jax.Array]:
    """Hyper-parameters [N, …] and keys [N] of the members: conditions [C] × seeds.

    They go seed by seed, so whole pairs are trained first. The key is only folded into.

    Example:
      >>> both = stack_conditions([Hparams((0.0,)), Hparams((0.5,))])
      >>> hparams, keys = make_members(both, range(2), jax.random.key(0))
      >>> print(hparams.rates.ravel(), keys.shape)
      [0.  0.5 0.  0.5] (4,)
    """
    n_conditions = len(jax.tree.leaves(hparams)[0])
    conditions = np.tile(np.arange(n_conditions), len(seeds))
    keys = jax.vmap(partial(member_key, key))(np.repeat(np.asarray(seeds, np.uint32), n_conditions))
    return jax.tree.map(lambda leaf: leaf[conditions], hparams), keys
