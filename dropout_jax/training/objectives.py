"""Losses and errors of one example; the caller vmaps. Shapes: K outputs."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import optax

_assert_rank = partial(chex.assert_rank, exception_type=ValueError)


def cross_entropy(logits: jax.Array, label: jax.Array) -> jax.Array:
    """Negative log-likelihood -log softmax(logits)[label], in nats, of logits [K] and a class.

    Raises:
      ValueError: if they have other shapes.

    Example:
      >>> print(jnp.exp(-cross_entropy(jnp.zeros(4), jnp.array(2))))  # one in four
      0.25
    """
    _assert_rank([logits, label], [1, 0], custom_message="logits must be [K], label one class")
    return optax.softmax_cross_entropy_with_integer_labels(logits, label)


def squared_error(prediction: jax.Array, target: jax.Array) -> jax.Array:
    """Sum over outputs of (prediction - target)^2, for vectors [K]; one output takes a number too.

    Raises:
      ValueError: if they have other shapes.

    Example:
      >>> print(squared_error(jnp.array([1.0, 2.0]), jnp.array([1.0, 5.0])))
      9.0
    """
    rule = "prediction and target must both be [K]"
    _assert_rank([prediction, target], [1, {0, 1}], custom_message=rule)
    target = jnp.atleast_1d(target)
    chex.assert_equal_shape([prediction, target], custom_message=rule, exception_type=ValueError)
    return jnp.sum((prediction - target) ** 2)


def error_rate(logits: jax.Array, label: jax.Array) -> jax.Array:
    """1.0 if the most probable class of logits [K] is not `label`, else 0.0.

    Raises:
      ValueError: if they have other shapes.

    Example:
      >>> print(error_rate(jnp.array([0.1, 0.9]), jnp.array(0)))
      1.0
    """
    _assert_rank([logits, label], [1, 0], custom_message="logits must be [K], label one class")
    return (jnp.argmax(logits) != label).astype(jnp.float32)
