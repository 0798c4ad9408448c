"""What others proved about dropout, as checks of the library's own functions."""

from functools import partial
from itertools import pairwise
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dropout_jax.analysis.theory import (
    dropout_penalty,
    expected_loss,
    linear_network_optimum,
    logistic_penalty,
    output_penalty,
    ridge,
    soft_threshold,
    softmax_penalty,
    variance,
)
from dropout_jax.analysis.uniformity import gini
from dropout_jax.analysis.units import contribution
from dropout_jax.networks.mlp import MLP, layers
from dropout_jax.noise import dropout, gaussian_dropout
from dropout_jax.training.config import Config
from dropout_jax.training.objectives import cross_entropy, squared_error
from dropout_jax.training.step import _batch_loss

RNG = np.random.default_rng(0)
X: Any = (RNG.normal(size=(3, 4)) * [1, 2, 0.5, 3]).astype(np.float32)
Y: Any = RNG.normal(size=(3, 2)).astype(np.float32)
RATES = (0.2, 0.5, 0.8)
BIAS = np.array([1.0, 0.0, -1.0], np.float32)

compiled_loss = jax.jit(expected_loss, static_argnums=(0, 4, 5))  # but for model, loss_fn and rates
compiled_ridge = jax.jit(lambda x, y, penalty: ridge(x, y, penalty))
compiled_dropout = jax.jit(dropout)
compiled_dropout_penalty = jax.jit(dropout_penalty)
compiled_logistic_penalty = jax.jit(logistic_penalty)
compiled_softmax_penalty = jax.jit(softmax_penalty)
hidden_activations = jax.jit(
    lambda model, params: model.apply(params, X, method="activations")[-2], static_argnums=0
)


def linear(width):
    """A linear map of `width` outputs without bias to speak of, and its fresh parameters."""
    return MLP((width,)), random_params(4, width)


def with_kernels(*kernels):
    """Parameters of an MLP with these kernels and no biases."""
    of_layers = {
        f"layer_{l}": {
            "kernel": jnp.asarray(k, jnp.float32),
            "bias": np.zeros(np.shape(k)[1], np.float32),
        }
        for l, k in enumerate(kernels)
    }
    return {"params": of_layers}


def random_params(*widths):
    """Parameters of an MLP with these widths, its inputs first, and no biases."""
    rng = np.random.default_rng(0)
    shapes = pairwise(widths)
    return with_kernels(*(rng.normal(size=shape) / np.sqrt(shape[0]) for shape in shapes))


def descent(loss, steps, learning_rate=0.02):
    """Makes of parameters the end of Adam on a loss without noise, its step falling to 0."""
    optimizer = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))

    @jax.jit
    def run(params):
        def step(carry, _):
            params, state = carry
            updates, state = optimizer.update(jax.grad(loss)(params), state)
            return (optax.apply_updates(params, updates), state), None

        return jax.lax.scan(step, (params, optimizer.init(params)), length=steps)[0][0]

    return run


# Expectations over masks


@pytest.mark.parametrize("noise_free", [(0.0, 0.0), (0.5, 0.0)])
def test_the_gradients_of_training_are_in_the_mean_those_of_the_expected_loss(noise_free):
    model, rates = MLP((3, 2)), (noise_free[0], 0.3)
    params = random_params(4, 3, 2)
    config = Config(model, epochs=1, batch_size=3, loss_fn=squared_error)
    of_params = jax.grad(lambda p: expected_loss(model, p, X, Y, squared_error, rates))
    expected = jax.jit(of_params)(params)
    keys = jax.random.split(jax.random.key(2), 4_000)
    grad = jax.grad(partial(_batch_loss, config), has_aux=True)
    of_keys, _ = jax.jit(jax.vmap(lambda key: grad(params, X, Y, key, rates)))(keys)
    for drawn, exact in zip(*map(jax.tree.leaves, (of_keys, expected)), strict=True):
        drawn = np.asarray(drawn, np.float64)
        bound = 5 * drawn.std(axis=0) / np.sqrt(len(keys)) + 1e-5
        assert np.all(np.abs(drawn.mean(axis=0) - exact) < bound)


@pytest.mark.parametrize(
    ("rates", "expected"),
    [
        ((0.5,), "one rate per layer, 2"),
        ((0.0, 1.0), "below 1"),
        ((0.0, 1.2), r"\[0, 1\]"),
        ((0.5, 0.5), "0 … 20 units, got 104"),
    ],
)
def test_what_cannot_be_enumerated_is_refused(rates, expected):
    model = MLP((100, 2))
    params = random_params(4, 100, 2)
    with pytest.raises(ValueError, match=expected):
        expected_loss(model, params, X, Y, squared_error, rates)


@pytest.mark.parametrize(
    "noise", [{"noise": gaussian_dropout}, {"noise_on_kernels": True}], ids=["Gaussian", "kernels"]
)
def test_the_expected_loss_of_other_noise_is_refused(noise):
    model, params = linear(2)
    with pytest.raises(ValueError, match=r"^the noise of the model must be dropout of inputs"):
        expected_loss(model.clone(**noise), params, X, Y, squared_error, (0.5,))


# Linear regression


@pytest.mark.parametrize("rate", RATES)
def test_dropout_of_features_adds_its_penalty_to_the_squared_error(rate):
    model, params = linear(1)
    (w,) = (np.asarray(layer["kernel"])[:, 0] for layer in layers(params))
    y = Y[:, :1]
    expected = compiled_loss(model, params, X, y, squared_error, (rate,))
    penalty = np.asarray(compiled_dropout_penalty(X, rate))
    penalised = np.sum((y[:, 0] - X @ w) ** 2) + penalty @ w**2
    np.testing.assert_allclose(float(expected) * len(X), penalised, rtol=1e-4)


@pytest.mark.parametrize("rate", RATES)
def test_ridge_with_the_penalty_of_dropout_is_where_its_expected_error_is_least(rate):
    model, y = MLP((1,)), Y[:, :1]

    def loss(w):
        return expected_loss(model, with_kernels(w[:, None]), X, y, squared_error, (rate,))

    best = compiled_ridge(X, y[:, 0], compiled_dropout_penalty(X, rate))
    slope = jax.jit(jax.grad(loss))
    slope_at_0 = np.abs(slope(np.zeros(4, np.float32))).max()
    assert np.abs(slope(best)).max() < 1e-4 * slope_at_0


@pytest.mark.parametrize(("rate", "squared_norm"), [(0.2, 24.1), (0.5, 13.6), (0.8, 3.39)])
def test_two_features_contribute_alike_with_dropout_whatever_their_scale(rate, squared_norm):
    x, y = np.array([[10.0, 1.0]], np.float32), np.array([11.0], np.float32)
    w = np.asarray(compiled_ridge(x, y, compiled_dropout_penalty(x, rate)))
    np.testing.assert_allclose(x[0] * w, 11 / (2 + np.asarray(variance(rate))), rtol=1e-5)
    np.testing.assert_allclose(w @ w, squared_norm, rtol=5e-3)
    # n/(n - 1) times the plain form
    np.testing.assert_allclose(jax.jit(gini)(w), 2 * 0.409, rtol=1e-3)
    with_l2, with_little = (np.asarray(compiled_ridge(x, y, of)) for of in (1.0, 1e-3))
    np.testing.assert_allclose(x[0] * with_l2, [11 * 100 / 102, 11 / 102], rtol=1e-5)
    np.testing.assert_allclose(np.sum(with_little**2), 1.198, rtol=1e-3)


@pytest.mark.parametrize("transform", [lambda fn: fn, jax.jit])
def test_columns_of_one_norm_make_dropout_and_l2_one(transform):
    x, y = X / np.linalg.norm(X, axis=0, keepdims=True), Y[:, 0]
    with_dropout = transform(lambda x, y: ridge(x, y, dropout_penalty(x, 0.5)))(x, y)
    np.testing.assert_allclose(with_dropout, ridge(x, y, 1.0), rtol=1e-5)


# Logistic regression


def added_by_dropout(x, w, labels, rate):
    """What dropout adds to the summed logistic loss, two logits (0, x·w), by enumeration."""
    model, params = MLP((2,)), with_kernels(np.stack([np.zeros_like(w), w], axis=1))
    losses = [compiled_loss(model, params, x, labels, cross_entropy, (of,)) for of in (rate, 0.0)]
    return float(losses[0] - losses[1]) * len(x)


@pytest.mark.parametrize("rate", RATES)
def test_the_quadratic_penalty_of_logistic_regression_is_exact_for_small_contributions(rate):
    w, labels = np.array([1.0, -0.5, 2.0, 0.3], np.float32), np.array([0, 1, 1])
    gaps = []
    for scale in (0.3, 0.1):
        exact = added_by_dropout(X, scale * w, labels, rate)
        gaps.append(abs(exact / float(compiled_logistic_penalty(X, scale * w, rate)) - 1))
    assert gaps[1] < 0.05
    assert gaps[1] < gaps[0] / 3 + 5e-4  # of second order, 9 times less in the limit; and rounding


def test_the_quadratic_penalty_of_logistic_regression_is_not_exact_for_small_rates():
    w, labels = np.array([1.0, -0.5, 2.0, 0.3], np.float32), np.array([0, 1, 1])
    ratios = [
        added_by_dropout(X, w, labels, rate) / float(compiled_logistic_penalty(X, w, rate))
        for rate in (0.02, 0.005)
    ]
    assert all(abs(ratio - 1) > 0.03 for ratio in ratios)


# The last hidden layer, and a linear network


@pytest.mark.parametrize("activation", [nn.relu, nn.sigmoid])
@pytest.mark.parametrize("rate", RATES)
def test_dropout_of_the_last_hidden_layer_adds_the_squared_contributions(rate, activation):
    model = MLP((5, 6, 2), activation=activation)
    params = random_params(4, 5, 6, 2)
    hidden = hidden_activations(model, params)
    added = jax.jit(contribution)(hidden, layers(params)[-1]["kernel"])
    loss = partial(compiled_loss, model, params, X, Y, squared_error)
    losses = [loss((0.0, 0.0, last)) for last in (rate, 0.0)]
    penalty = jax.jit(output_penalty)(added, rate)
    np.testing.assert_allclose(losses[0] - losses[1], penalty, rtol=1e-4)


@pytest.mark.parametrize("rate", RATES)
def test_the_quadratic_penalty_of_a_softmax_is_exact_for_small_contributions(rate):
    """Its error is of third order: tenfold smaller contributions bring it tenfold nearer."""
    model, labels, apart = MLP((5, 3)), np.array([0, 2, 1]), []
    params = random_params(4, 5, 3)
    hidden = hidden_activations(model, params)
    for scale in (1.0, 0.1):
        kernel = np.float32(scale) * np.asarray(layers(params)[1]["kernel"])
        last = {"params": {"layer_0": {"kernel": kernel, "bias": BIAS}}}
        losses = [
            compiled_loss(MLP((3,)), last, hidden, labels, cross_entropy, (of,))
            for of in (rate, 0.0)
        ]
        penalty = compiled_softmax_penalty(hidden, kernel, BIAS, rate)
        apart.append(abs(float((losses[0] - losses[1]) / penalty) - 1))
    assert apart[1] < 0.1
    assert apart[1] < 0.3 * apart[0]


def test_of_two_classes_the_penalty_of_a_softmax_is_the_logistic_one():
    rng = np.random.default_rng(0)
    w = rng.normal(size=4).astype(np.float32)
    kernel = np.stack([w, np.zeros_like(w)], axis=1)
    found = compiled_softmax_penalty(X, kernel, np.zeros(2, np.float32), 0.5)
    expected = np.asarray(compiled_logistic_penalty(X, w, 0.5)) / len(X)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


TARGET: Any = RNG.normal(size=(3, 4)).astype(np.float32)
N_UNITS = 5
WHITE: Any = np.concatenate([np.eye(4), -np.eye(4)]).astype(np.float32) * 2  # mean 0, covariance 1


def fit_linear_network(penalised):
    """Kernels [4, r] and [r, 3] at the optimum of a loss of parameters, from random ones."""
    model = MLP((N_UNITS, 3), activation=lambda h: h)
    params = random_params(4, N_UNITS, 3)
    fitted = layers(descent(partial(penalised, model), 3_000)(params))
    return [np.asarray(layer["kernel"]) for layer in fitted]


@pytest.mark.parametrize("rate", RATES)
def test_a_linear_network_with_dropout_ends_at_its_closed_form_with_equal_units(rate):
    optimum = jax.jit(linear_network_optimum, static_argnums=1)(TARGET, N_UNITS, rate)
    product, of_unit = map(np.asarray, optimum)
    incoming, outgoing = fit_linear_network(
        lambda model, params: expected_loss(
            model, params, WHITE, WHITE @ TARGET.T, squared_error, (0.0, rate)
        )
    )
    scale = np.abs(product).max()
    np.testing.assert_allclose(outgoing.T @ incoming.T, product, atol=2e-3 * scale)
    norms = np.linalg.norm(incoming, axis=0) * np.linalg.norm(outgoing, axis=1)
    np.testing.assert_allclose(norms, np.full(N_UNITS, of_unit), rtol=5e-3)


def test_under_l2_a_linear_network_shrinks_alike_and_its_units_are_not_equal():
    penalty = 0.3

    def loss(model, params):
        outputs = model.apply(params, WHITE)
        decay = sum(jnp.sum(layer["kernel"] ** 2) for layer in layers(params))
        return jnp.mean(jnp.sum((WHITE @ TARGET.T - outputs) ** 2, axis=-1)) + penalty * decay

    incoming, outgoing = fit_linear_network(loss)
    product = np.asarray(soft_threshold(jnp.asarray(TARGET), penalty))
    scale = np.abs(product).max()
    np.testing.assert_allclose(outgoing.T @ incoming.T, product, atol=2e-3 * scale)
    norms = np.linalg.norm(incoming, axis=0) * np.linalg.norm(outgoing, axis=1)
    assert norms.max() > 1.5 * norms.min()


# Interactions, and dropout that creates co-adaptation


@pytest.mark.parametrize("k", [1, 2, 3, 4])
@pytest.mark.parametrize("rate", RATES)
def test_the_best_coefficient_on_a_product_of_k_dropped_inputs_is_keep_to_the_k(rate, k):
    # Lengerich et al. (2022); for inputs and a target of 1 least squares is E p / E p².
    q = (1 - rate) ** k  # E p = 1 and E p² = 1/q, so q is best
    dropped = compiled_dropout(jax.random.key(8), np.ones((20_000, 4), np.float32), rate)
    product = np.prod(np.asarray(dropped, np.float64)[:, :k], axis=1)
    assert abs(product.mean() - 1) < 5 * np.sqrt((1 / q - 1) / len(product))


@pytest.mark.parametrize(("signed", "least"), [(False, 4 / 3), (True, 1.0)])
def test_on_two_copies_of_an_input_only_signed_weights_reach_below_four_thirds(signed, least):
    # After Helmbold & Long (2017): x = (1, 1), y = 2, half of the inputs dropped.
    model = MLP((4, 1))
    x: Any = np.ones((1, 2), np.float32)
    y: Any = np.full((1, 1), 2, np.float32)

    def loss(kernels):
        kernels = kernels if signed else jax.tree.map(jnp.abs, kernels)
        return expected_loss(model, with_kernels(*kernels), x, y, squared_error, (0.5, 0.0))

    ends, compiled, run = [], jax.jit(loss), descent(loss, 1_000)
    for seed in range(8):
        rng = np.random.default_rng(seed)
        kernels = tuple(rng.normal(size=s).astype(np.float32) for s in ((2, 4), (4, 1)))
        ends.append(float(compiled(run(kernels))))
    np.testing.assert_allclose(min(ends), least, atol=1e-3)
    assert min(ends) > least - 1e-5
    by_hand = with_kernels([[1, -1], [0, 1]], [[1], [1]])
    reached = compiled_loss(MLP((2, 1)), by_hand, x, y, squared_error, (0.5, 0.0))
    np.testing.assert_allclose(reached, 1.0, rtol=1e-6)


# Rescaling


def test_rescaling_units_changes_no_output_under_any_mask():
    rng = np.random.default_rng(0)
    model = MLP((6, 5, 2))
    params = random_params(4, 6, 5, 2)
    factor = (2.0 ** rng.integers(-3, 4, size=6)).astype(np.float32)
    first, second, last = jax.tree.map(np.asarray, layers(params))
    first = {"kernel": first["kernel"] * factor[None], "bias": first["bias"] * factor}
    second = {**second, "kernel": second["kernel"] / factor[:, None]}
    rescaled = {"params": {"layer_0": first, "layer_1": second, "layer_2": last}}
    noisy_pass = jax.jit(lambda of, key: model.apply(of, X, key=key, rates=(0.2, 0.5, 0.5)))
    for key in jax.random.split(jax.random.key(6), 20):
        passes = [np.asarray(noisy_pass(of, jax.random.clone(key))) for of in (params, rescaled)]
        np.testing.assert_allclose(passes[0], passes[1], rtol=1e-5, atol=1e-5)


def test_the_variance_of_a_rate_in_double_precision_is_of_that():
    with jax.enable_x64(True):
        assert variance(0.1) == pytest.approx(1 / 9, rel=1e-15)
