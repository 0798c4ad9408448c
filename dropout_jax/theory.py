"""Closed forms that dropout is known to have, to check trained networks against and to teach with.

Shapes: n examples, D features.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def dropout_penalty(x: jax.Array, rate: ArrayLike) -> jax.Array:
    """What dropout of features adds to squared error, per wⱼ²: λ ‖Xⱼ‖² [D], λ = rate/(1 - rate).

    E‖y - (X∘m) w‖² = ‖y - X w‖² + λ Σⱼ wⱼ² ‖Xⱼ‖² for inverted masks m, column norms of X [n, D] not
    centred (Srivastava et al. 2014, §9.1; Wager, Wang & Liang 2013). Infinite at rate 1.
    """
    rate = jnp.asarray(rate, jnp.float32)
    return rate / (1 - rate) * jnp.sum(x**2, axis=0)


def ridge(x: jax.Array, y: jax.Array, penalty: ArrayLike) -> jax.Array:
    """The minimiser [D] of ‖y - X w‖² + Σⱼ penaltyⱼ wⱼ², for X [n, D], y [n] and a penalty > 0.

    With `dropout_penalty` it is what linear regression with dropout tends to; with one number, what
    it tends to under an L2 penalty. The two are one where all columns are of one norm.
    """
    penalty = jnp.broadcast_to(jnp.asarray(penalty, jnp.float32), x.shape[1:])
    return jnp.linalg.solve(x.T @ x + jnp.diag(penalty), x.T @ y)
