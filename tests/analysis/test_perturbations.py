import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dropout_jax.analysis.perturbations import (
    background,
    dimmed,
    drop_pixels,
    gaussian_noise,
    reduce_contrast,
    shift,
)

X = jax.random.uniform(jax.random.key(0), (25,), minval=0.1)
N = 40_000
ALL = (gaussian_noise, drop_pixels, shift, reduce_contrast, dimmed, background)


def over_keys(perturb):
    return jax.jit(jax.vmap(perturb, (0, None, None)))


@pytest.mark.parametrize("perturb", ALL)
def test_strength_0_is_the_identity_also_when_traced(perturb):
    for of in (perturb, jax.jit(perturb)):
        np.testing.assert_array_equal(of(jax.random.key(1), X, jnp.float32(0)), X)


@pytest.mark.parametrize("perturb", ALL[:3])
def test_other_keys_give_other_inputs(perturb):
    strength = 0.5 if perturb is drop_pixels else 1  # at 1 no pixel is left
    moved = over_keys(perturb)(jax.random.split(jax.random.key(2), 20), X, strength)
    assert len(np.unique(moved, axis=0)) >= 4


def test_noise_has_the_deviation_asked_for():
    noise = np.asarray(gaussian_noise(jax.random.key(3), jnp.zeros(N), 0.5)) / 0.5
    assert abs(noise.mean()) < 5 / np.sqrt(N)
    assert abs((noise**2).mean() - 1) < 5 * np.sqrt(2 / N)


def test_the_share_asked_for_is_dropped_and_the_rest_stays():
    kept = np.asarray(drop_pixels(jax.random.key(4), jnp.full(N, 0.7), 0.3))
    assert set(np.unique(kept)) == {np.float32(0), np.float32(0.7)}
    assert abs((kept == 0).mean() - 0.3) < 5 * np.sqrt(0.3 * 0.7 / N)


def test_a_shift_moves_the_picture_by_whole_pixels_and_zeros_come_in():
    picture = np.asarray(X).reshape(5, 5)
    zeros = np.zeros((2, 5), np.float32)
    down, up = np.vstack([zeros, picture[:3]]), np.vstack([picture[2:], zeros])
    right, left = np.hstack([zeros.T, picture[:, :3]]), np.hstack([picture[:, 2:], zeros.T])
    expected = {of.tobytes() for of in (down, up, right, left)}
    keys = jax.random.split(jax.random.key(5), 40)
    moved = np.asarray(over_keys(shift)(keys, X, jnp.int32(2)))
    assert {of.reshape(5, 5).tobytes() for of in moved} == expected


def test_a_shift_as_wide_as_the_picture_leaves_nothing():
    assert not shift(jax.random.key(6), X, jnp.int32(5)).any()


def test_a_picture_that_is_not_square_cannot_be_shifted():
    with pytest.raises(ValueError, match=r"flattened square picture, got shape \(24,\)"):
        shift(jax.random.key(7), X[:24], jnp.int32(1))


def test_contrast_keeps_the_mean_and_scales_the_deviation():
    less = reduce_contrast(jax.random.key(8), X, 0.8)
    np.testing.assert_allclose(less.mean(), X.mean(), rtol=1e-5)
    np.testing.assert_allclose(less.std(), 0.2 * X.std(), rtol=1e-4)


def test_less_contrast_is_dimmed_on_a_background():
    key = jax.random.key(0)
    for x in X[:3]:
        both = background(key, dimmed(key, x, 0.6), 0.6 * x.mean())
        np.testing.assert_allclose(reduce_contrast(key, x, 0.6), both, rtol=1e-6)


def test_intensity_and_background_by_hand():
    key, x = jax.random.key(0), jnp.array([0.0, 0.5, 1.0])
    np.testing.assert_allclose(dimmed(key, x, 0.2), [0, 0.4, 0.8], rtol=1e-6)
    np.testing.assert_allclose(background(key, x, 0.2), [0.2, 0.7, 1.2], rtol=1e-6)
