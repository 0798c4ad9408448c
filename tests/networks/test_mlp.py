"""The MLP against a forward pass written by hand, mask by mask."""

from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dropout_jax.networks.mlp import MLP, layers
from dropout_jax.noise import drop_connect, gaussian_dropout, keep_mask
from dropout_jax.training.config import Config
from tests.drawn import anything, dtypes
from tests.refusals import fresh_key, is_real, outcome

FEATURES, D, B = (7, 6, 3), 5, 4
MODEL = MLP(FEATURES)


def inputs():
    return jax.random.normal(jax.random.key(0), (B, D))


def parameters(model=MODEL):
    """Parameters with biases that are not 0, so that forgetting one is seen."""
    params = jax.jit(model.init)(jax.random.key(1), np.zeros((1, D), np.float32))
    return jax.tree.map(lambda w: jnp.asarray(np.asarray(w) + np.float32(0.1)), params)


PARAMS, X = parameters(), inputs()
compiled_mask = jax.jit(keep_mask, static_argnames="shape")
stochastic_pass = jax.jit(lambda key, rates: MODEL.apply(PARAMS, X, key=key, rates=rates))


def by_hand(params, x, noise=lambda l, x: x, activation=lambda x: np.maximum(x, 0)):
    """Outputs of every layer in NumPy; `noise(l, x)` acts on the input of layer l."""
    x, outputs, n_layers = np.asarray(x), [], len(params["params"])
    for l in range(n_layers):
        layer = jax.tree.map(np.asarray, params["params"][f"layer_{l}"])
        x = noise(l, x) @ layer["kernel"] + layer["bias"]
        x = activation(x) if l < n_layers - 1 else x
        outputs.append(x)
    return outputs


def close(actual, expected):
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_without_a_key_the_pass_is_the_plain_network():
    close(MODEL.apply(PARAMS, X), by_hand(PARAMS, X)[-1])


@given(seed=st.integers(0, 2**32 - 1), rates=st.tuples(*[st.floats(0, 0.9375, width=16)] * 3))
def test_with_a_key_every_layer_input_is_masked_by_its_own_split_of_the_key(seed, rates):
    keys = jax.random.split(jax.random.key(seed), len(FEATURES))
    widths = (D, *FEATURES[:-1])
    masks = [compiled_mask(keys[l], rates[l], (B, width)) for l, width in enumerate(widths)]

    def masked(l, x):
        return np.where(masks[l], x, 0) / np.float32(1 - rates[l])

    outputs = stochastic_pass(jax.random.key(seed), jnp.array(rates, jnp.float32))
    close(outputs, by_hand(PARAMS, X, masked)[-1])


def test_rates_of_zero_give_the_deterministic_pass_bit_for_bit():
    noisy = MODEL.apply(PARAMS, X, key=jax.random.key(2), rates=(0, 0, 0))
    chex.assert_trees_all_equal(noisy, MODEL.apply(PARAMS, X))


def test_rates_of_one_leave_the_last_bias_and_finite_gradients():
    def outputs(params) -> Any:
        return MODEL.apply(params, X, key=jax.random.key(2), rates=(1, 1, 1))

    close(outputs(PARAMS), np.broadcast_to(layers(PARAMS)[-1]["bias"], (B, 3)))
    slopes = layers(jax.jit(jax.grad(lambda params: outputs(params).sum()))(PARAMS))
    chex.assert_trees_all_equal(
        [slope["kernel"] for slope in slopes], [np.zeros_like(w["kernel"]) for w in layers(PARAMS)]
    )


def test_different_keys_give_different_passes():
    first, second = (stochastic_pass(jax.random.key(seed), jnp.full(3, 0.5)) for seed in (0, 1))
    assert jnp.any(first != second)


def test_a_sweep_over_rates_is_one_vmap_and_compiles_once():
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def sweep(key, rates):
        return jax.vmap(lambda r: MODEL.apply(PARAMS, X, key=key, rates=r))(rates)

    for top in (0.5, 1.0):
        rates = jnp.linspace(0, top, 4)[:, None] * jnp.ones((1, 3))
        together = sweep(jax.random.key(3), rates)
        for outputs, one in zip(together, rates, strict=True):
            close(outputs, stochastic_pass(jax.random.key(3), one))


def test_activations_are_what_every_layer_sends_on():
    outputs = MODEL.apply(PARAMS, X, method="activations")
    assert isinstance(outputs, tuple)
    chex.assert_shape(outputs, [(B, width) for width in FEATURES])
    jax.tree.map(close, list(outputs), by_hand(PARAMS, X))
    chex.assert_trees_all_equal(outputs[-1], MODEL.apply(PARAMS, X))


def test_activations_of_a_stochastic_pass_end_in_its_outputs():
    rates = (0.2, 0.5, 0.5)
    outputs = MODEL.apply(PARAMS, X, key=jax.random.key(4), rates=rates, method="activations")
    chex.assert_trees_all_equal(
        outputs[-1], MODEL.apply(PARAMS, X, key=jax.random.key(4), rates=rates)
    )


def test_any_leading_axes_will_do():
    expected = np.asarray(MODEL.apply(PARAMS, X))
    close(MODEL.apply(PARAMS, X[0]), expected[0])
    close(MODEL.apply(PARAMS, X.reshape(2, 2, D)), expected.reshape(2, 2, 3))


def test_the_activation_is_the_one_given():
    outputs = MLP(FEATURES, activation=jnp.tanh).apply(PARAMS, X)
    close(outputs, by_hand(PARAMS, X, activation=np.tanh)[-1])


def test_the_kernels_are_drawn_by_the_initializer_given_and_biases_start_at_zero():
    model = MLP(FEATURES, kernel_init=nn.initializers.constant(0.25))
    for layer in layers(model.init(jax.random.key(5), X)):
        assert jnp.all(layer["kernel"] == 0.25)
        assert jnp.all(layer["bias"] == 0)


def test_the_noise_is_the_one_given():
    rates, keys = (0.2, 0.5, 0.5), list(jax.random.split(jax.random.key(6), 3))
    outputs = MLP(FEATURES, noise=gaussian_dropout).apply(
        PARAMS, X, key=jax.random.key(6), rates=rates
    )
    noisy = by_hand(PARAMS, X, lambda l, x: np.asarray(gaussian_dropout(keys[l], x, rates[l])))
    close(outputs, noisy[-1])


def test_noise_on_kernels_is_drop_connect_on_every_layer():
    rates, keys = (0.2, 0.5, 0.5), list(jax.random.split(jax.random.key(6), 3))
    model = MLP(FEATURES, noise=drop_connect, noise_on_kernels=True)
    outputs = model.apply(PARAMS, X, key=jax.random.key(6), rates=rates)
    dropped = {
        f"layer_{l}": layer | {"kernel": drop_connect(keys[l], layer["kernel"], rates[l])}
        for l, layer in enumerate(layers(PARAMS))
    }
    close(outputs, by_hand({"params": dropped}, X)[-1])
    close(model.apply(PARAMS, X), by_hand(PARAMS, X)[-1])


def test_layers_come_in_order_beyond_ten():
    widths = tuple(range(2, 14))
    params = jax.eval_shape(lambda: MLP(widths).init(jax.random.key(7), jnp.zeros((1, D))))
    kernels = [layer["kernel"].shape for layer in layers(params)]
    assert kernels == list(zip((D, *widths[:-1]), widths, strict=True))


def test_layers_leave_leading_axes_as_they_are():
    keys = jax.random.split(jax.random.key(8), 2)
    params = jax.eval_shape(jax.vmap(lambda key: MODEL.init(key, X)), keys)
    assert [layer["bias"].shape for layer in layers(params)] == [(2, u) for u in FEATURES]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"key": 0}, "needs a key and rates, got a key without rates"),
        ({"rates": (0, 0, 0)}, "needs a key and rates, got rates without a key"),
        ({"key": 0, "rates": (0.5, 0.5)}, r"one rate per layer, 3 in all, got shape \(2,\)"),
        ({"key": 0, "rates": 0.5}, r"one rate per layer, 3 in all, got shape \(\)"),
        ({"key": 0, "rates": (0, 1.2, 0)}, r"^rates must lie in \[0, 1\], got 1.2"),
        ({"key": 0, "rates": (0, np.nan, 0)}, r"^rates must lie in \[0, 1\], got nan"),
    ],
)
def test_half_a_request_or_wrong_rates_are_refused(arguments, message):
    if "key" in arguments:
        arguments = {**arguments, "key": jax.random.key(arguments["key"])}
    with pytest.raises(ValueError, match=message):
        MODEL.apply(PARAMS, X, **arguments)


def test_a_legacy_key_is_refused_with_advice():
    with pytest.raises(TypeError, match=r"make one with jax.random.key\(seed\)"):
        MODEL.apply(PARAMS, X, key=jax.random.PRNGKey(0), rates=(0, 0, 0))


@given(
    features=anything.filter(lambda x: type(x) is not bytes)
    | st.lists(st.integers(-1, 9) | st.integers(2**31 - 2, 2**31 + 2))
    | st.lists(anything, max_size=3)
)
def test_widths_are_positive_integers_or_refused(features):
    good = isinstance(features, list) and len(features) > 0
    good = good and all(isinstance(width, int) and 0 < width < 2**31 for width in features)
    assert (outcome(Config, MLP(features)) is not None) == good
    model = MLP(features)
    if not good:
        with pytest.raises(ValueError, match=r"^features must hold integers in .* got"):
            jax.eval_shape(model.init, fresh_key(), jnp.zeros(2))


@given(x=hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6)))
def test_inputs_are_as_many_as_those_of_the_parameters_or_refused(x):
    result = outcome(lambda: jax.eval_shape(MODEL.apply, PARAMS, x))
    assert (result is not None) == (x.ndim > 0 and x.shape[-1] == D)


def test_the_parameters_of_a_population_are_not_those_of_one_network():
    members = jax.tree.map(lambda leaf: leaf[None, None], PARAMS)
    with pytest.raises(ValueError, match=r"params must be those of one network, got \(1, 1\)"):
        MODEL.apply(members, X)


@pytest.mark.parametrize("name", ["activation", "kernel_init", "noise"])
def test_what_is_no_function_is_refused_when_a_network_is_made(name):
    given: Any = {name: "relu"}
    with pytest.raises(TypeError, match=f"{name} must be a function, got 'relu'"):
        MLP(FEATURES, **given)


def test_drop_connect_of_inputs_is_refused_as_it_would_be_plain_dropout():
    with pytest.raises(ValueError, match=r"^noise_on_kernels must be True for drop_connect"):
        MLP(FEATURES, noise=drop_connect)


def test_of_several_rates_some_may_be_traced():
    def outputs(rate) -> Any:
        return MODEL.apply(PARAMS, X, key=jax.random.key(0), rates=(rate, 0.5, 0.5))

    np.testing.assert_allclose(jax.jit(outputs)(0.2), outputs(0.2), rtol=1e-5, atol=1e-6)


@given(rates=anything | st.lists(st.floats(0, 1, width=32), min_size=1, max_size=3))
def test_rates_of_a_pass_are_one_a_layer_or_refused(rates):
    def run():
        return MODEL.apply(PARAMS, jnp.zeros(D), key=fresh_key(), rates=rates)

    good = (
        isinstance(rates, list)
        and len(rates) == len(FEATURES)
        and all(is_real(rate) and 0 <= rate <= 1 for rate in rates)
    )
    assert (outcome(run) is not None) == good


@pytest.mark.parametrize(
    "tree",
    [
        *({}, None, [], 3, {"params": {}}, {"params": {"dense": 1}}),
        *({"params": None}, {"params": {1: 2, "a": 3}}, np.zeros(3)),
    ],
)
def test_params_of_something_else_have_no_layers(tree):
    with pytest.raises(ValueError, match="params must be those of an MLP"):
        layers(tree)
