"""Co-adaptation measured directly: what a network loses when units of a layer are set to 0.

`loss_fn` is the loss of a network as a function of the activations [n, U] of one hidden layer. All
functions are pure, and made to be vmapped over members.

Shapes: n examples, U units of the layer, P pairs, A sets of k units, K outputs,
R orders, F fractions.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

_Fn = Callable[[jax.Array], jax.Array]  # of activations [n, U]


def damages(loss_fn: _Fn, hidden: jax.Array, strength: ArrayLike = 1.0) -> jax.Array:
    """d_j = loss without unit j - loss, for every unit [U] of activations [n, U].

    It is negative where the network does better without the unit. This is single-unit ablation, as
    in Morcos et al. (2018), §3. A `strength` below 1 shrinks units by the factor 1 - strength.

    Example:
      >>> h = jnp.array([[1.0, 2.0]])
      >>> print(damages(lambda h: (3 - h.sum()) ** 2, h))  # 3 - 2 and 3 - 1, squared
      [1. 4.]
    """
    return effects(loss_fn, hidden, jnp.arange(hidden.shape[1])[:, None], strength)


def pair_interactions(
    loss_fn: _Fn,
    hidden: jax.Array,
    damage: jax.Array,
    pairs: jax.Array,
    strength: ArrayLike = 1.0,
) -> jax.Array:
    """d_ij - d_i - d_j for pairs of units [P, 2]: what two units are worth only together [P].

    d_i is the damage [U] that `damages` gives, d_ij the damage without both. It is 0 where two
    units act on the loss independently, positive where one stands in for the other, and negative
    where neither is of use alone. Co-adapted units are far from 0. So are units that only add up in
    the logits of a softmax, as cross entropy is curved.

    Example:
      >>> h, damage, pairs = jnp.array([[1.0, 2.0]]), jnp.array([1.0, 4.0]), jnp.array([[0, 1]])
      >>> print(pair_interactions(lambda h: (3 - h.sum()) ** 2, h, damage, pairs))  # 9 - 1 - 4
      [4.]
    """
    both = effects(loss_fn, hidden, pairs, strength)
    return both - damage[pairs[:, 0]] - damage[pairs[:, 1]]


def effects(fn: _Fn, hidden: jax.Array, sets: jax.Array, strength: ArrayLike = 1.0) -> jax.Array:
    """`fn` without each set of units [A, k], minus `fn` with all units: [A, …].

    16 sets are computed at once; `strength` is that of `damages`.

    Example:
      >>> h = jnp.array([[1.0, 2.0]])
      >>> print(effects(lambda h: h.sum(), h, jnp.array([[0], [1]])))
      [-1. -2.]
    """

    def without(units: jax.Array) -> jax.Array:
        return fn(hidden.at[:, units].multiply(1 - strength))

    return jax.lax.map(without, sets, batch_size=16) - fn(hidden)[None]


def output_interactions(outputs_fn: _Fn, hidden: jax.Array, pairs: jax.Array) -> jax.Array:
    """Mean over examples of ‖z_ij - z_i - z_j + z‖ for pairs of units [P, 2]: [P].

    z are the outputs [n, K] with all units, z_i those without unit i. It is 0 where units add up,
    as those of the last hidden layer do in the logits. The curvature of the loss plays no part.

    Example:
      >>> h, pairs = jnp.array([[1.0, 2.0]]), jnp.array([[0, 1]])
      >>> print(output_interactions(lambda h: h.prod(axis=1, keepdims=True), h, pairs))
      [2.]
    """
    both, first, second = (
        effects(outputs_fn, hidden, sets) for sets in (pairs, pairs[:, :1], pairs[:, 1:])
    )
    return jnp.linalg.norm(both - first - second, axis=-1).mean(axis=-1)


def ablation_curve(
    loss_fn: _Fn, hidden: jax.Array, orders: jax.Array, fractions: jax.Array
) -> jax.Array:
    """The loss without the first ⌊fU⌉ units of an order, averaged over orders, for each f [F].

    Orders are permutations of the units [R, U].

    Example:
      >>> h, orders = jnp.ones((1, 4)), jnp.array([[0, 1, 2, 3]])
      >>> print(ablation_curve(lambda h: 4 - h.sum(), h, orders, jnp.array([0.0, 0.5, 1.0])))
      [0. 2. 4.]
    """
    ranks = jnp.argsort(orders, axis=1)  # of each unit in each order

    def mean_loss(count: jax.Array) -> jax.Array:
        return jax.vmap(lambda rank: loss_fn(jnp.where(rank >= count, hidden, 0)))(ranks).mean()

    return jax.lax.map(mean_loss, jnp.round(fractions * hidden.shape[1]))


def effective_number(damage: jax.Array) -> jax.Array:
    """(Σ|d|)² / Σd²: how many units [U] the network relies on, by their damages.

    It is 1 if only one unit matters, U if all matter alike, NaN if none does.

    Example:
      >>> print(effective_number(jnp.ones(3)), effective_number(jnp.array([0.0, 2.0])))
      3.0 1.0
    """
    return jnp.sum(jnp.abs(damage)) ** 2 / jnp.sum(damage**2)
