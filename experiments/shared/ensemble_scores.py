"""What the mean of an ensemble predicts, by how many of its members are averaged.

Shapes: P numbers of members averaged, T members, n examples, K classes.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dropout_jax.analysis import ensemble

QUANTITIES = ("error", "nll", "brier", "ece", "entropy", "mutual information", "scatter")
Values = dict[str, Any]  # {quantity: array}
Mean = Callable[[jax.Array, jax.Array], jax.Array]  # of log-probabilities and weights


def scores(sizes: tuple[int, ...], mean: Mean, log_probs: jax.Array, y: jax.Array) -> Values:
    """Quantities [P] of the mean over so many of an ensemble's members [T, n, K], the first.

    Error as a fraction; nll, entropy, mutual information and scatter, of members' nll, in nats.
    """
    member_nll = jax.vmap(ensemble.nll, (0, None))(log_probs, y)

    def quantities(n_members: jax.Array) -> Values:
        weights = (jnp.arange(len(log_probs)) < n_members) / n_members
        log_p = mean(log_probs, weights)
        values = (
            jnp.mean(log_p.argmax(axis=-1) != y),
            ensemble.nll(log_p, y),
            ensemble.brier(log_p, y),
            ensemble.expected_calibration_error(log_p, y),
            ensemble.predictive_entropy(log_p).mean(),
            ensemble.mutual_information(log_probs, weights).mean(),
            jnp.sqrt(weights @ (member_nll - weights @ member_nll) ** 2),
        )
        return dict(zip(QUANTITIES, values, strict=True))

    return jax.lax.map(quantities, jnp.array(sizes))
