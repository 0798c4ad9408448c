"""Co-adaptation measured directly: what a network loses when units of a layer are set to 0.

Each function takes `loss_fn`, the loss of a network as a function of the activations of one hidden
layer, so nothing here knows networks. All are pure, and made to be vmapped over members.

Shapes: n examples, U units of the layer, P pairs, R orders, F fractions.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp

LossFn = Callable[[jax.Array], jax.Array]  # of activations [n, U]
_AT_ONCE = 16  # ablated networks


def damages(loss_fn: LossFn, hidden: jax.Array) -> jax.Array:
    """d_j = loss without unit j - loss, for every unit [U] of activations [n, U].

    A damage has the units of the loss; it is negative where the network does better without the
    unit. This is single-unit ablation, as in Morcos et al. (2018), §3.

    Example:
      >>> h = jnp.array([[1.0, 2.0]])
      >>> print(damages(lambda h: (3 - h.sum()) ** 2, h))  # 3 - 2 and 3 - 1, squared
      [1. 4.]
    """
    return _damages_without(loss_fn, hidden, jnp.arange(hidden.shape[1])[:, None])


def pair_interactions(
    loss_fn: LossFn, hidden: jax.Array, damage: jax.Array, pairs: jax.Array
) -> jax.Array:
    """d_ij - d_i - d_j for pairs of units [P, 2]: what two units are worth only together [P].

    d_i is the damage [U] that `damages` gives, d_ij the damage without both. The interaction is 0
    where two units act on the loss independently. It is positive where one stands in for the other,
    and negative where neither is of use alone. Co-adapted units are far from 0.

    Example:
      >>> h = jnp.array([[1.0, 2.0]])
      >>> def loss_fn(h):
      ...     return (3 - h.sum()) ** 2
      >>> damage, pairs = jnp.array([1.0, 4.0]), jnp.array([[0, 1]])
      >>> print(pair_interactions(loss_fn, h, damage, pairs))  # 9 - 1 - 4
      [4.]
    """
    both = _damages_without(loss_fn, hidden, pairs)
    return both - damage[pairs[:, 0]] - damage[pairs[:, 1]]


def _damages_without(loss_fn: LossFn, hidden: jax.Array, units: jax.Array) -> jax.Array:
    """The damage without each of the sets of units [A, k]."""

    def without(of_set: jax.Array) -> jax.Array:
        return loss_fn(hidden.at[:, of_set].set(0))

    return jax.lax.map(without, units, batch_size=_AT_ONCE) - loss_fn(hidden)


def ablation_curve(
    loss_fn: LossFn, hidden: jax.Array, orders: jax.Array, fractions: jax.Array
) -> jax.Array:
    """The loss without the first ⌊fU⌉ units of an order, averaged over orders, for each f [F].

    Args:
      loss_fn: the loss, or error rate, from activations [n, U].
      hidden: the activations [n, U].
      orders: random permutations of the units [R, U].
      fractions: the shares of the units that are ablated [F].

    Example:
      >>> h, orders = jnp.ones((1, 4)), jnp.array([[0, 1, 2, 3]])
      >>> print(ablation_curve(lambda h: 4 - h.sum(), h, orders, jnp.array([0.0, 0.5, 1.0])))
      [0. 2. 4.]
    """
    n_units = hidden.shape[1]
    ranks = jnp.argsort(orders, axis=1)  # of each unit in each order
    counts = jnp.round(fractions * n_units)

    def at(count: jax.Array) -> jax.Array:
        return jax.vmap(lambda rank: loss_fn(jnp.where(rank >= count, hidden, 0)))(ranks).mean()

    return jax.lax.map(at, counts)


def effective_number(damage: jax.Array) -> jax.Array:
    """(Σ|d|)² / Σd²: how many units [U] the network relies on, from 1 to U.

    It is the participation number of the damages: 1 if only one unit matters, U if all matter
    alike, NaN if none does.

    Example:
      >>> print(effective_number(jnp.ones(3)), effective_number(jnp.array([0.0, 2.0])))
      3.0 1.0
    """
    return jnp.sum(jnp.abs(damage)) ** 2 / jnp.sum(damage**2)
