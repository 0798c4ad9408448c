"""Dropout as an ensemble: predictions averaged over masks or networks, and how sure they are.

An ensemble is an axis of log-probabilities. Its members are passes of one network under random
masks or under all masks, or deterministic passes of the networks of a population. As dropout is
inverted, the deterministic pass is the weight-scaled network (Srivastava et al. 2014, §4).

Shapes: T members of an ensemble (passes, masks, networks), n examples, K classes, M masked units.
"""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike

_MAX_MASKED = 20  # units: their masks are a million


def mc_predictions(
    apply_fn: Callable[[jax.Array, jax.Array], Any],
    key: jax.Array,
    x: jax.Array,
    n_passes: int,
    *,
    shared_mask: bool = False,
) -> jax.Array:
    """Log-probabilities [T, n, K] of T stochastic passes, one after another (Gal 2016).

    `apply_fn` gives logits of (key, x), such as `lambda key, x: model.apply(params, x, key=key,
    rates=rates)`. Its masks must have the shape of its inputs, as those of `MLP` do. With
    `shared_mask` all examples of a pass share one mask, which is one subnetwork; else each has its
    own. Noise on kernels is shared either way. The key is consumed.

    Raises:
      ValueError: if there is no pass.

    Example:
      >>> def apply_fn(key, x):
      ...     return x + jax.random.normal(key, x.shape)
      >>> print(mc_predictions(apply_fn, jax.random.key(0), jnp.zeros((5, 3)), 2).shape)
      (2, 5, 3)
    """
    if n_passes < 1:
        raise ValueError(f"n_passes must be at least 1, got {n_passes}")

    def one_pass(key: jax.Array) -> jax.Array:
        if shared_mask:
            return jax.nn.log_softmax(jax.vmap(lambda example: apply_fn(key, example))(x))
        return jax.nn.log_softmax(apply_fn(key, x))

    return jax.lax.map(one_pass, jax.random.split(key, n_passes))


def all_masks(n_units: int) -> np.ndarray:
    """Every mask of M units, True = kept [2^M, M]; the last one keeps all.

    Raises:
      ValueError: if M is not in 0 … 20.

    Example:
      >>> print(all_masks(2).astype(int).tolist())
      [[0, 0], [1, 0], [0, 1], [1, 1]]
    """
    if not 0 <= n_units <= _MAX_MASKED:
        raise ValueError(f"masks can be enumerated for 0 … {_MAX_MASKED} units, got {n_units}")
    return (np.arange(2**n_units)[:, None] >> np.arange(n_units)[None, :] & 1).astype(bool)


def mask_probabilities(masks: ArrayLike, rate: ArrayLike) -> jax.Array:
    """Probability [T] of each mask [T, M]: Π (1 - rate) over kept units · Π rate over dropped ones.

    The rate is one for all units or one for each [M], and may be traced.

    Example:
      >>> print(mask_probabilities(all_masks(2), 0.2).round(2))
      [0.04 0.16 0.16 0.64]
    """
    kept = jnp.asarray(masks)
    rate = jnp.broadcast_to(jnp.asarray(rate, jnp.float32), kept.shape)
    return jnp.prod(jnp.where(kept, 1 - rate, rate), axis=-1)


def _weights(log_probs: jax.Array, weights: ArrayLike | None) -> jax.Array:
    """The weights of the members [T, 1, …], to multiply log-probabilities [T, …] with."""
    n = len(log_probs)
    of_members = jnp.full(n, 1 / n) if weights is None else jnp.asarray(weights)
    return of_members.reshape(n, *[1] * (log_probs.ndim - 1))


def arithmetic_mean(log_probs: jax.Array, weights: ArrayLike | None = None) -> jax.Array:
    """Log of the mean probability over members, log Σₜ wₜ pₜ, of log-probabilities [T, …, K].

    Weights [T] are of sum 1, such as `mask_probabilities`; by default all are equal.

    Example:
      >>> log_p = jnp.log(jnp.array([[0.2, 0.8], [0.6, 0.4]]))
      >>> print(jnp.exp(arithmetic_mean(log_p)).round(3))
      [0.4 0.6]
    """
    weights = _weights(log_probs, weights)
    return jax.nn.logsumexp(log_probs, axis=0, b=jnp.broadcast_to(weights, log_probs.shape))


def geometric_mean(log_probs: jax.Array, weights: ArrayLike | None = None) -> jax.Array:
    """Log of the normalised geometric mean, Π pₜ^wₜ / Σₖ Π pₜ^wₜ, of log-probabilities [T, …, K].

    Over all masks of the inputs of one softmax layer it is exactly the weight-scaled layer, as the
    mean logit is the logit of the mean input. For deeper networks this holds approximately (Baldi &
    Sadowski 2013; Warde-Farley et al. 2014). Weights are those of `arithmetic_mean`.

    Example:
      >>> log_p = jnp.log(jnp.array([[0.2, 0.8], [0.8, 0.2]]))
      >>> print(jnp.exp(geometric_mean(log_p)).round(3))
      [0.5 0.5]
    """
    weights = _weights(log_probs, weights)
    counted = jnp.where(weights > 0, weights * log_probs, 0)  # a weight of 0 outweighs log 0
    return jax.nn.log_softmax(counted.sum(axis=0))


def _check_labels(log_probs: jax.Array, labels: jax.Array) -> None:
    """Raise ValueError unless log-probabilities are [n, K] and labels [n]."""
    how = {"custom_message": "log_probs must be [n, K], labels [n]", "exception_type": ValueError}
    chex.assert_rank([log_probs, labels], [2, 1], **how)
    chex.assert_equal_shape_prefix([log_probs, labels], 1, **how)


def nll(log_probs: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean negative log-likelihood of labels [n] under log-probabilities [n, K], in nats.

    Raises:
      ValueError: if the shapes are others.

    Example:
      >>> log_p = jnp.log(jnp.array([[0.25, 0.75]]))
      >>> print(nll(log_p, jnp.array([0])).round(4))  # ln 4
      1.3863
    """
    _check_labels(log_probs, labels)
    return -jnp.mean(jnp.take_along_axis(log_probs, labels[:, None], axis=-1))


def brier(log_probs: jax.Array, labels: jax.Array) -> jax.Array:
    """Mean of Σₖ (pₖ - 1[k = label])², in 0 … 2 (Brier 1950); shapes and errors as of `nll`.

    Example:
      >>> log_p = jnp.log(jnp.array([[0.5, 0.5]]))
      >>> print(brier(log_p, jnp.array([0])).round(4))  # .25 + .25
      0.5
    """
    _check_labels(log_probs, labels)
    truth = jax.nn.one_hot(labels, log_probs.shape[-1])
    return jnp.mean(jnp.sum((jnp.exp(log_probs) - truth) ** 2, axis=-1))


def expected_calibration_error(
    log_probs: jax.Array, labels: jax.Array, n_bins: int = 15
) -> jax.Array:
    """Mean distance of accuracy from confidence, |Σ correct - Σ confidence| / n summed over bins.

    Confidence is the largest probability; bins have equal width, ((b - 1)/B, b/B] (Guo et al. 2017,
    §2). An estimate from few examples is too high, as its noise does not cancel. Shapes and errors
    are those of `nll`.

    Example:
      >>> log_p = jnp.log(jnp.array([[0.8, 0.2], [0.8, 0.2]]))
      >>> print(expected_calibration_error(log_p, jnp.array([0, 1])).round(2))  # .8 sure, .5 right
      0.3
    """
    _check_labels(log_probs, labels)
    confidence = jnp.exp(log_probs.max(axis=-1))
    gap = (log_probs.argmax(axis=-1) == labels) - confidence
    bin_of = jnp.clip(jnp.ceil(confidence * n_bins).astype(jnp.int32) - 1, 0, n_bins - 1)
    return jnp.abs(jax.ops.segment_sum(gap, bin_of, n_bins)).sum() / len(labels)


def predictive_entropy(log_probs: jax.Array) -> jax.Array:
    """Entropy -Σₖ pₖ log pₖ of log-probabilities [..., K], in 0 … log K nats.

    Example:
      >>> print(predictive_entropy(jnp.log(jnp.full(4, 0.25))).round(4))  # ln 4
      1.3863
    """
    p = jnp.exp(log_probs)
    return -jnp.sum(jnp.where(p > 0, p * log_probs, 0), axis=-1)


def mutual_information(log_probs: jax.Array, weights: ArrayLike | None = None) -> jax.Array:
    """How much members [T, …, K] disagree: entropy of their mean minus their mean entropy, in nats.

    It is the information that the label would give about which member is right (Houlsby et al.
    2011; Gal 2016, §3.3). It is 0 if all members agree, sure or not; rounding may take it below 0
    by some 1e-7.

    Example:
      >>> sure = jnp.log(jnp.array([[1.0, 1e-9], [1e-9, 1.0]]))  # of opposite things
      >>> print(mutual_information(sure).round(4))  # ln 2
      0.6931
    """
    mean_entropy = jnp.sum(
        _weights(log_probs[..., 0], weights) * predictive_entropy(log_probs), axis=0
    )
    return predictive_entropy(arithmetic_mean(log_probs, weights)) - mean_entropy
