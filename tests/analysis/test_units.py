import itertools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropout_jax.analysis import units

N, IN, U, O = 20, 3, 4, 2
# compiled once for arrays of one shape
contribution, path_norm = jax.jit(units.contribution), jax.jit(units.path_norm)
mean_correlation, mean_cosine = jax.jit(units.mean_correlation), jax.jit(units.mean_cosine)
TOL = 16 * 2.0**-23  # some 16 roundings in float32: sums of at most N squares, roots, products


def layers():
    """Inputs x [N, IN], incoming kernel and bias of U hidden units, outgoing kernel [U, O]."""
    rng = np.random.default_rng(0)
    shapes = (N, IN), (IN, U), (U,), (U, O)
    return [rng.normal(size=shape).astype(np.float32) for shape in shapes]


def relu_layer(x, kernel, bias):
    return np.maximum(x @ kernel + bias, 0)


@given(st.floats(1e-3, 1e3), st.integers(0, U - 1))
def test_rescaling_a_relu_unit_changes_neither_measure(scale, unit):
    x, kernel, bias, outgoing = layers()
    scales = np.where(np.arange(U) == unit, np.float32(scale), np.float32(1))
    scaled = kernel * scales[None, :], bias * scales, outgoing / scales[:, None]
    hidden, scaled_hidden = relu_layer(x, kernel, bias), relu_layer(x, *scaled[:2])

    np.testing.assert_allclose(scaled_hidden @ scaled[2], hidden @ outgoing, TOL, 8 * TOL)
    np.testing.assert_allclose(
        contribution(scaled_hidden, scaled[2]), contribution(hidden, outgoing), TOL
    )
    np.testing.assert_allclose(path_norm(*scaled), path_norm(kernel, bias, outgoing), TOL)


@given(st.floats(0.01, 100))
def test_both_measures_are_linear_in_either_side_alone(scale):
    x, kernel, bias, outgoing = layers()
    hidden = relu_layer(x, kernel, bias)
    scale = np.float32(scale)
    c, p = (
        np.asarray(of) for of in (contribution(hidden, outgoing), path_norm(kernel, bias, outgoing))
    )
    np.testing.assert_allclose(contribution(scale * hidden, outgoing), scale * c, TOL)
    np.testing.assert_allclose(contribution(hidden, -scale * outgoing), scale * c, TOL)
    np.testing.assert_allclose(path_norm(scale * kernel, scale * bias, outgoing), scale * p, TOL)
    np.testing.assert_allclose(path_norm(kernel, bias, -scale * outgoing), scale * p, TOL)


@pytest.mark.parametrize("rate", [0.2, 0.5, 0.8])
def test_dropout_adds_to_the_squared_error_what_contributions_say(rate):
    x, kernel, bias, outgoing = layers()
    hidden = relu_layer(x, kernel, bias)
    h, w = np.asarray(hidden, np.float64), np.asarray(outgoing, np.float64)
    y = np.random.default_rng(1).normal(size=(N, O))

    def half_mean_squared_error(mask):
        return 0.5 * np.mean(np.sum((y - (mask * h) @ w) ** 2, axis=1))

    # Examples draw their masks alone, but the loss is their mean: one mask for all has the same
    # expectation, and 2^U masks instead of 2^(UN).
    kept = np.array(list(itertools.product([0, 1], repeat=U)))
    probability = np.prod(np.where(kept, 1 - rate, rate), axis=1)
    losses = [half_mean_squared_error(k / (1 - rate)) for k in kept]
    added = probability @ losses - half_mean_squared_error(np.ones(U))

    penalty = rate / (1 - rate) / 2 * np.sum(np.float64(contribution(hidden, outgoing)) ** 2)
    assert added == pytest.approx(penalty, rel=2 * TOL)


def test_contribution_is_rms_activation_times_outgoing_norm():
    x, kernel, bias, outgoing = layers()
    hidden = relu_layer(x, kernel, bias)
    h, w = np.asarray(hidden, np.float64), np.asarray(outgoing, np.float64)
    expected = [np.sqrt(sum(h[:, j] ** 2) / N) * np.sqrt(sum(w[j] ** 2)) for j in range(U)]
    np.testing.assert_allclose(contribution(hidden, outgoing), expected, TOL)


def test_path_norm_counts_the_bias_as_one_more_incoming_weight():
    _, *tree = layers()
    kernel, bias, outgoing = (np.asarray(leaf, np.float64) for leaf in tree)
    incoming = np.vstack([kernel, bias])
    expected = [np.linalg.norm(incoming[:, j]) * np.linalg.norm(outgoing[j]) for j in range(U)]
    np.testing.assert_allclose(path_norm(*tree), expected, TOL)


@pytest.mark.parametrize("side", ["incoming", "outgoing"])
def test_a_unit_cut_off_on_one_side_counts_for_nothing(side):
    x, kernel, bias, outgoing = layers()
    if side == "incoming":
        kernel[:, 1], bias[1] = 0, 0
    else:
        outgoing[1] = 0
    hidden = relu_layer(x, kernel, bias)
    for measure in (contribution(hidden, outgoing), path_norm(kernel, bias, outgoing)):
        assert measure[1] == 0
        assert np.all(np.asarray(measure)[[0, 2, 3]] > 0)


def test_vmap_over_members_is_the_loop():
    x, kernel, bias, outgoing = layers()
    members = np.array([1, 2, 3], np.float32)[:, None, None]
    kernels, outs = members * kernel, members + outgoing
    batched = jax.vmap(path_norm, in_axes=(0, None, 0))(kernels, bias, outs)
    loop = [path_norm(k, bias, o) for k, o in zip(kernels, outs, strict=True)]
    np.testing.assert_allclose(batched, loop, TOL)
    hiddens = np.stack([relu_layer(x, k, bias) for k in kernels])
    loop = [contribution(h, o) for h, o in zip(hiddens, outs, strict=True)]
    np.testing.assert_allclose(jax.vmap(contribution)(hiddens, outs), loop, TOL)


def test_correlation_is_numpys_over_the_pairs_of_units_that_vary():
    h = np.random.default_rng(5).normal(size=(40, 5)).astype(np.float32)
    h[:, 3] = 2.0  # dead
    alive = np.abs(np.corrcoef(h[:, [0, 1, 2, 4]].T))
    expected = (alive.sum() - 4) / 12
    np.testing.assert_allclose(mean_correlation(h), expected, rtol=1e-4)


def test_units_that_are_alike_correlate_and_point_the_same_way():
    h = np.outer(np.arange(5), [1, -2, 3]).astype(np.float32)
    np.testing.assert_allclose(mean_correlation(h), 1, rtol=1e-5)
    np.testing.assert_allclose(mean_cosine(h), 1, rtol=1e-5)
    np.testing.assert_allclose(mean_cosine(jnp.eye(3)), 0, atol=1e-6)


@pytest.mark.parametrize("seed", range(5))
def test_fewer_than_two_units_have_no_pairs_to_be_alike(seed):
    one = np.float32(np.random.default_rng(seed).normal(size=(7, 1)))
    for h in (one, np.pad(one, ((0, 0), (1, 1))), np.zeros((7, 3)), np.zeros((7, 0))):
        assert np.isnan(mean_correlation(np.float32(h)))
        assert np.isnan(mean_cosine(np.float32(h)))


@pytest.mark.parametrize(
    ("measure", "shapes", "message"),
    [
        (contribution, [(U,), (U, O)], "activations [n, U] and outgoing [U, O] must be of the"),
        (contribution, [(N, U), (U,)], "activations [n, U] and outgoing [U, O] must be of the"),
        (contribution, [(N, U), (U + 1, O)], "activations [n, U] and outgoing [U, O] must be"),
        (contribution, [(5, 1), (4, 2)], "same units, got shapes (5, 1) and (4, 2)"),
        (path_norm, [(IN,), (), (U, O)], "[incoming must be [in, U], bias [U], outgoing [U, O]]"),
        (mean_correlation, [(N,)], "[activations must be [n, U]]"),
        (mean_cosine, [(IN,)], "[incoming must be [in, U]]"),
    ],
)
def test_arrays_of_other_shapes_are_refused(measure, shapes, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        measure(*map(jnp.ones, shapes))


@pytest.mark.parametrize("power", [-80, 80])  # of float32's -126 … 127: squares are out of range
def test_large_and_small_numbers_keep_their_measures(power):
    x, kernel, bias, outgoing = layers()
    scale = np.float32(2.0**power)
    hidden = relu_layer(x, kernel, bias)
    for measure in (mean_correlation, mean_cosine):
        assert measure(hidden * scale) == measure(hidden)
    np.testing.assert_array_equal(
        contribution(hidden * scale, outgoing), np.asarray(contribution(hidden, outgoing)) * scale
    )
    np.testing.assert_array_equal(
        path_norm(kernel * scale, bias * scale, outgoing),
        np.asarray(path_norm(kernel, bias, outgoing)) * scale,
    )


def test_half_precision_is_measured_in_single():
    large = jnp.full((500, 2), 300, jnp.float16)  # its squares, and their sum, overflow
    assert units.mean_cosine(large) == pytest.approx(1, rel=TOL)
    assert units.contribution(large, large[:2])[0] == pytest.approx(300 * 300 * 2**0.5, rel=TOL)
