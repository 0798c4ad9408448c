import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dropout_jax.ensemble import all_masks, mask_probabilities
from dropout_jax.theory import dropout_penalty, ridge

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.normal(size=(3, 4)) * [1, 2, 0.5, 3], jnp.float32)
Y = jnp.asarray(RNG.normal(size=3), jnp.float32)


def expected_error(w, rate):
    """E‖y - (X∘m) w‖² over all masks of all entries of X."""
    masks = all_masks(X.size)
    dropped = jnp.where(masks, X.ravel()[None] / (1 - rate), 0).reshape(-1, *X.shape)
    errors = jnp.sum((Y[None] - dropped @ w) ** 2, axis=-1)
    return mask_probabilities(masks, rate) @ errors


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.8])
def test_dropout_of_features_adds_its_penalty_to_the_squared_error(rate):
    w = jnp.asarray(RNG.normal(size=4), jnp.float32)
    penalised = jnp.sum((Y - X @ w) ** 2) + dropout_penalty(X, rate) @ w**2
    np.testing.assert_allclose(expected_error(w, rate), penalised, rtol=1e-4)


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.8])
def test_ridge_with_the_penalty_of_dropout_is_where_its_expected_error_is_least(rate):
    best = ridge(X, Y, dropout_penalty(X, rate))
    gradient = jax.grad(expected_error)(best, rate)
    slope_at_0 = jnp.abs(jax.grad(expected_error)(jnp.zeros(4), rate)).max()
    assert jnp.abs(gradient).max() < 1e-4 * slope_at_0


def test_two_features_of_different_scale_contribute_alike_with_dropout_and_not_under_l2():
    x, y = jnp.array([[10.0, 1.0]]), jnp.array([11.0])
    for rate, each in ((0.2, 11 / 2.25), (0.5, 11 / 3), (0.8, 11 / 6)):
        contributions = x[0] * ridge(x, y, dropout_penalty(x, rate))
        np.testing.assert_allclose(contributions, [each, each], rtol=1e-5)
    np.testing.assert_allclose(x[0] * ridge(x, y, 1.0), [11 * 100 / 102, 11 / 102], rtol=1e-5)


@pytest.mark.parametrize("transform", [lambda fn: fn, jax.jit])
def test_columns_of_one_norm_make_dropout_and_l2_one(transform):
    x = X / jnp.linalg.norm(X, axis=0, keepdims=True)
    dropout = transform(lambda x, y: ridge(x, y, dropout_penalty(x, 0.5)))(x, Y)
    np.testing.assert_allclose(dropout, ridge(x, Y, 1.0), rtol=1e-5)
