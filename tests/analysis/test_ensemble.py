"""Ensembles of masks: laws of the means and scores, closed forms, and passes against all masks."""

import itertools
import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropout_jax.analysis import ensemble
from dropout_jax.analysis.ensemble import all_masks, mc_predictions
from dropout_jax.networks.mlp import MLP, layers

# Compiled, as whoever uses them would; a test below compares them with themselves as they are.
arithmetic_mean = jax.jit(ensemble.arithmetic_mean)
geometric_mean = jax.jit(ensemble.geometric_mean)
mask_probabilities = jax.jit(ensemble.mask_probabilities)
nll, brier = jax.jit(ensemble.nll), jax.jit(ensemble.brier)
expected_calibration_error = jax.jit(ensemble.expected_calibration_error, static_argnames="n_bins")
predictive_entropy = jax.jit(ensemble.predictive_entropy)
mutual_information = jax.jit(ensemble.mutual_information)

EPS = 2.0**-23
M, N, K = 6, 5, 3  # masked units, examples, classes
TOL = 64 * EPS  # a sum over 2^M products, added pairwise, of logits below 10: some 6 + 8 roundings

rates = st.floats(0, 0.9)
seeds = st.integers(0, 2**32 - 1)


log_softmax = jax.jit(jax.nn.log_softmax)


def softmax_layer(seed=0):
    """Inputs h [N, M], kernel [M, K] and bias [K] of one softmax layer."""
    rng = np.random.default_rng(seed)
    return [rng.normal(size=s).astype(np.float32) for s in ((N, M), (M, K), (K,))]


def enumerated(h, kernel, bias, rate):
    """Log-probabilities [2^M, N, K] of the layer under all masks of its inputs, and weights."""
    masks = all_masks(M)
    return _under_masks(masks / (1 - np.broadcast_to(rate, M)), h, kernel, bias), (
        mask_probabilities(masks, rate)
    )


@jax.jit
def _under_masks(scaled, h, kernel, bias):
    logits = jnp.einsum("tm,nm,mk->tnk", scaled, h, kernel) + bias[None, None, :]
    return jax.nn.log_softmax(logits)


def members(seed, n=4, spread=3.0):
    """Log-probabilities [n, N, K] of members that disagree."""
    rng = np.random.default_rng(seed)
    return log_softmax(np.float32(spread * rng.normal(size=(n, N, K))))


def labels(seed=0):
    return jnp.asarray(np.random.default_rng(seed).integers(0, K, N))


# Masks


def test_all_masks_are_all_of_them_once_and_the_last_keeps_everything():
    masks = all_masks(M)
    assert {tuple(mask) for mask in masks} == set(itertools.product([False, True], repeat=M))
    assert masks.shape == (2**M, M)
    assert masks[-1].all()
    assert all_masks(0).shape == (1, 0)


@pytest.mark.parametrize("n_units", [-1, 21])
def test_masks_too_many_to_enumerate_are_refused(n_units):
    with pytest.raises(ValueError, match=f"0 … 20 units, got {n_units}"):
        all_masks(n_units)


@given(st.lists(st.floats(0, 1, width=32), min_size=M, max_size=M))
def test_probabilities_of_masks_are_those_of_independent_units(rate):
    masks = all_masks(M)
    probability = np.asarray(mask_probabilities(masks, np.float32(rate)), np.float64)
    expected = [
        math.prod(1 - q if kept else q for kept, q in zip(mask, rate, strict=True))
        for mask in masks
    ]
    np.testing.assert_allclose(probability, expected, 2 * M * EPS, atol=1e-37)
    assert probability.sum() == pytest.approx(1, abs=2 * M * EPS)
    np.testing.assert_allclose(probability @ masks, 1 - np.float64(rate), atol=2 * M * EPS)


@pytest.mark.parametrize(("rate", "certain"), [(0.0, -1), (1.0, 0)])
def test_at_rates_0_and_1_one_mask_is_certain(rate, certain):
    probability = np.asarray(mask_probabilities(all_masks(M), rate))
    assert probability[certain] == 1
    assert probability.sum() == 1


# Means


@given(seeds, rates)
def test_over_all_masks_of_a_softmax_layer_the_geometric_mean_is_weight_scaling(seed, rate):
    h, kernel, bias = softmax_layer(seed)
    scaled = log_softmax(h @ kernel + bias[None, :])
    log_probs, weights = enumerated(h, kernel, bias, rate)
    size = float(jnp.abs(log_probs).max())  # what is added up, and rounded
    np.testing.assert_allclose(geometric_mean(log_probs, weights), scaled, rtol=0, atol=size * TOL)


def test_that_holds_for_rates_that_differ_between_units_and_not_for_the_arithmetic_mean():
    h, kernel, bias = softmax_layer()
    rate = np.linspace(0, 0.8, M)
    scaled = log_softmax(h @ kernel + bias[None, :])
    log_probs, weights = enumerated(h, kernel, bias, rate)
    np.testing.assert_allclose(geometric_mean(log_probs, weights), scaled, atol=10 * TOL)
    assert jnp.abs(arithmetic_mean(log_probs, weights) - scaled).max() > 0.01


@pytest.mark.parametrize("mean", [arithmetic_mean, geometric_mean])
@given(seeds)
def test_a_mean_is_normalised_and_a_member_twice_is_a_member_of_twice_the_weight(mean, seed):
    log_probs = members(seed)
    np.testing.assert_allclose(np.exp(mean(log_probs)).sum(axis=-1), np.ones(N), atol=TOL)
    twice = np.concatenate([log_probs, log_probs[:1]])
    weights = np.array([0.4, 0.2, 0.2, 0.2], np.float32)
    np.testing.assert_allclose(mean(log_probs, weights), mean(twice), atol=20 * TOL)


@pytest.mark.parametrize("mean", [arithmetic_mean, geometric_mean])
def test_a_member_of_no_weight_does_not_count_even_where_it_is_infinitely_wrong(mean):
    log_probs = np.array(members(0))
    log_probs[0, 0] = [0, -np.inf, -np.inf]
    weights = np.array([0, 1, 0, 0], np.float32)
    np.testing.assert_allclose(mean(log_probs, weights), log_probs[1], atol=20 * TOL)


def test_the_means_of_two_members_in_closed_form():
    log_probs = np.log(np.array([[[0.9, 0.1]], [[0.5, 0.5]]], np.float32))
    np.testing.assert_allclose(np.exp(arithmetic_mean(log_probs)), [[0.7, 0.3]], TOL)
    odds = 3.0  # √(9 · 1)
    expected = [[odds / (1 + odds), 1 / (1 + odds)]]
    np.testing.assert_allclose(np.exp(geometric_mean(log_probs)), expected, TOL)


@given(seeds)
def test_the_arithmetic_mean_scores_no_worse_than_its_members_on_average(seed):
    log_probs, y = members(seed), labels(seed)
    mean = arithmetic_mean(log_probs)
    for score in (nll, brier):  # both are convex in p
        of_members = np.mean([score(member, y) for member in log_probs])
        assert score(mean, y) <= of_members + 20 * TOL


# Passes


PASSES = 4_000
RATE = 0.3


@pytest.fixture(scope="module")
def network():
    """A network of M hidden units, its passes under masks of them, and the same over all masks."""
    model = MLP((M, K))
    x = jax.random.normal(jax.random.key(1), (N, 4))
    params = model.init(jax.random.key(0), x)

    def apply_fn(key, x):
        return model.apply(params, x, key=key, rates=(0.0, RATE))

    first, second = layers(params)
    hidden = jax.nn.relu(x @ first["kernel"] + first["bias"][None, :])
    draw = jax.jit(
        partial(mc_predictions, apply_fn, n_passes=PASSES), static_argnames="shared_mask"
    )
    return apply_fn, draw, x, enumerated(hidden, second["kernel"], second["bias"], RATE)


@pytest.mark.parametrize("shared_mask", [False, True])
def test_monte_carlo_converges_to_all_masks(network, shared_mask):
    _, draw, x, (log_probs, weights) = network
    drawn = draw(jax.random.key(2), x, shared_mask=shared_mask)
    assert drawn.shape == (PASSES, N, K)
    w = np.asarray(weights, np.float64)
    for values, mc in ((np.exp(log_probs), np.exp(drawn)), (log_probs, drawn)):
        values, mc = np.asarray(values, np.float64), np.asarray(mc, np.float64)
        expected = np.tensordot(w, values, 1)
        sigma = np.sqrt(np.tensordot(w, values**2, 1) - expected**2)
        error = np.abs(mc.mean(axis=0) - expected)
        assert np.all(error < 4.5 * sigma / math.sqrt(PASSES))  # P < 1e-4 for N K = 15 of them
        assert np.any(error > 0.1 * sigma / math.sqrt(PASSES))  # and it is a sample
        spread = mc.std(axis=0)
        np.testing.assert_allclose(spread, sigma, rtol=0.1)  # of PASSES: ± 1 / √(2 · 4000) = 1.1 %


def test_examples_have_their_own_masks_unless_a_draw_shares_one(network):
    _, draw, x, _ = network
    same = np.broadcast_to(x[:1], x.shape)
    shared = np.asarray(draw(jax.random.key(3), same, shared_mask=True))
    np.testing.assert_array_equal(shared, np.broadcast_to(shared[:, :1], shared.shape))
    assert np.ptp(shared[:, 0], axis=0).max() > 0.01  # passes differ
    own = np.asarray(draw(jax.random.key(3), same, shared_mask=False))
    assert np.ptp(own, axis=1).max() > 0.01


def test_a_pass_is_that_of_its_own_key(network):
    apply_fn, draw, x, _ = network
    drawn = draw(jax.random.key(4), x, shared_mask=False)
    alone = jax.jit(apply_fn)(jax.random.split(jax.random.key(4), PASSES)[7], x)
    np.testing.assert_allclose(drawn[7], log_softmax(alone), atol=TOL)


def test_no_pass_is_refused(network):
    apply_fn, _, x, _ = network
    with pytest.raises(ValueError, match="n_passes must be at least 1, got 0"):
        mc_predictions(apply_fn, jax.random.key(0), x, 0)


# Scores


def test_a_network_that_knows_nothing_scores_what_chance_does():
    even = np.full((N, K), -math.log(K), np.float32)
    assert nll(even, labels()) == pytest.approx(math.log(K), abs=TOL)
    assert brier(even, labels()) == pytest.approx(1 - 1 / K, abs=TOL)
    np.testing.assert_allclose(predictive_entropy(even), np.full(N, math.log(K)), TOL)


def test_a_network_that_is_sure_scores_0_if_right_and_2_by_brier_if_wrong():
    sure = np.where(np.eye(K)[labels()] > 0, 0, -np.inf).astype(np.float32)
    assert nll(sure, labels()) == brier(sure, labels()) == 0
    assert brier(sure, (labels() + 1) % K) == 2
    assert nll(sure, (labels() + 1) % K) == np.inf
    np.testing.assert_array_equal(predictive_entropy(sure), np.zeros(N))
    assert expected_calibration_error(sure, labels()) == 0
    assert expected_calibration_error(sure, (labels() + 1) % K) == 1


def test_the_scores_of_one_prediction_in_closed_form():
    log_probs, y = np.log(np.array([[0.7, 0.2, 0.1]])), jnp.array([1])
    assert nll(log_probs, y) == pytest.approx(-math.log(0.2), rel=TOL)
    assert brier(log_probs, y) == pytest.approx(0.7**2 + 0.8**2 + 0.1**2, rel=TOL)
    assert expected_calibration_error(log_probs, y) == pytest.approx(0.7, rel=TOL)
    entropy = -sum(p * math.log(p) for p in (0.7, 0.2, 0.1))
    np.testing.assert_allclose(predictive_entropy(log_probs), [entropy], TOL)


def of_confidence(confidence):
    """Log-probabilities [n, 2] that give class 0 each confidence [n]."""
    p = np.float32(confidence)
    return np.log(np.stack([p, 1 - p], axis=1))


def test_predictions_that_are_right_as_often_as_they_say_are_calibrated():
    log_probs = of_confidence([0.75] * 4 + [0.6] * 5)
    y = np.array([0, 0, 0, 1, 0, 0, 0, 1, 1])
    assert expected_calibration_error(log_probs, y) == pytest.approx(0, abs=TOL)
    # All right: 4 of 9 say a quarter too little, 5 of 9 two fifths.
    expected = (4 * 0.25 + 5 * 0.4) / 9
    assert expected_calibration_error(log_probs, 0 * y) == pytest.approx(expected, abs=TOL)


def test_gaps_cancel_within_a_bin_but_not_across_bins():
    log_probs, y = of_confidence([0.9, 0.6]), np.array([0, 1])
    assert expected_calibration_error(log_probs, y, n_bins=1) == pytest.approx(0.25, abs=TOL)
    assert expected_calibration_error(log_probs, y, n_bins=10) == pytest.approx(0.35, abs=TOL)


def test_the_upper_edge_belongs_to_a_bin():
    log_probs, y = of_confidence([0.75, 0.8125]), np.array([0, 1])  # (.5, .75] and (.75, 1]
    in_two = expected_calibration_error(log_probs, y, n_bins=4)
    assert in_two == pytest.approx((0.25 + 0.8125) / 2, abs=TOL)


# Uncertainty


@given(seeds, st.floats(0.01, 30))
def test_entropy_lies_between_0_and_log_k_and_mutual_information_below_that_of_the_mean(seed, size):
    log_probs = members(seed, spread=size)
    total = predictive_entropy(arithmetic_mean(log_probs))
    disagreement = mutual_information(log_probs)
    assert np.all(predictive_entropy(log_probs) >= 0)
    assert np.all(total <= math.log(K) + TOL)
    assert np.all(disagreement >= -TOL)
    assert np.all(disagreement <= total + TOL)


@given(seeds)
def test_members_that_agree_share_no_information(seed):
    one = members(seed, n=1)
    same = np.broadcast_to(one, (4, N, K))
    np.testing.assert_allclose(mutual_information(same), np.zeros(N), atol=TOL)
    np.testing.assert_allclose(mutual_information(one), np.zeros(N), atol=TOL)


def test_mutual_information_of_sure_members_that_contradict_is_the_entropy_of_their_weights():
    sure = np.where(np.eye(K) > 0, 0, -np.inf).astype(np.float32)[
        :, None, :
    ]  # member t votes for class t
    assert mutual_information(sure)[0] == pytest.approx(math.log(K), rel=TOL)
    weights = np.array([0.5, 0.5, 0.0])
    assert mutual_information(sure, weights)[0] == pytest.approx(math.log(2), rel=TOL)


def test_the_means_are_the_same_without_jit():
    log_probs, weights = members(0), np.array([0.4, 0.2, 0.2, 0.2], np.float32)
    for name in ("arithmetic_mean", "geometric_mean", "mutual_information"):
        as_it_is = getattr(ensemble, name)
        compiled = jax.jit(as_it_is)(log_probs, weights)
        np.testing.assert_allclose(compiled, as_it_is(log_probs, weights), atol=20 * TOL)


def test_weights_count_in_both_entropies_of_the_mutual_information():
    """A sure member of weight .9 and an unsure one of .1, by hand."""

    def entropy(p):
        return -(p * np.log(p)).sum(axis=-1)

    p = np.array([[[0.99, 0.01]], [[0.5, 0.5]]])
    weights = np.array([0.9, 0.1])
    mean = (weights[:, None, None] * p).sum(axis=0)
    expected = entropy(mean) - (weights[:, None] * entropy(p)).sum(axis=0)
    actual = mutual_information(jnp.log(jnp.asarray(p)), jnp.asarray(weights))
    np.testing.assert_allclose(actual, expected, rtol=1e-4)


@pytest.mark.parametrize("score", [nll, brier, expected_calibration_error])
@pytest.mark.parametrize("labels", [jnp.zeros(1, int), jnp.zeros((3, 1), int)])
def test_scores_refuse_labels_that_are_not_one_for_each_prediction(score, labels):
    rule = r"\[log_probs must be \[n, K\], labels \[n\]\]"
    with pytest.raises(ValueError, match=f"(rank|prefix).*{rule}"):
        score(jnp.zeros((3, 4)), labels)
