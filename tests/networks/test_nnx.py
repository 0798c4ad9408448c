import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from dropout_jax.networks import mlp
from dropout_jax.networks.nnx import MLP, Dropout, from_linen, to_linen
from dropout_jax.noise import drop_connect, dropout, gaussian_dropout

X = jnp.linspace(-1, 1, 24).reshape(6, 4)
RATES = (0.2, 0.5)
MANY = jnp.arange(1, 4001, dtype=jnp.float32).reshape(40, 100)
BOTH = pytest.mark.parametrize("layer", [nnx.Dropout, Dropout])


@pytest.fixture(params=[{}, {"activation": jnp.tanh, "noise": gaussian_dropout}])
def linen(request):
    model = mlp.MLP((5, 3), **request.param)
    return model, jax.jit(model.init)(jax.random.key(0), X)


def test_a_converted_network_gives_the_same_bits_without_and_with_a_key(linen):
    model, params = linen
    converted = from_linen(model, params)
    np.testing.assert_array_equal(converted(X), model.apply(params, X))
    noise = {"key": jax.random.key(1), "rates": RATES}
    again = {"key": jax.random.key(1), "rates": RATES}
    np.testing.assert_array_equal(converted(X, **noise), model.apply(params, X, **again))


def test_there_and_back_nothing_changes(linen):
    model, params = linen
    same_model, same_params = to_linen(from_linen(model, params))
    assert same_model == model
    jax.tree.map(np.testing.assert_array_equal, same_params, params)


def test_a_fresh_network_has_the_law_and_the_names_of_linear_layers():
    fresh = MLP(400, (300, 3), rngs=nnx.Rngs(0))
    paths = [path for path, _ in nnx.to_flat_state(nnx.state(fresh))]
    assert sorted(map(str, paths)) == [
        str(("layers", l, part)) for l in (0, 1) for part in ("bias", "kernel")
    ]
    kernel = np.asarray(fresh.layers[0].kernel[...])
    assert abs(kernel.std() * np.sqrt(400) - 1) < 5 / np.sqrt(2 * kernel.size)
    bias = fresh.layers[0].bias
    assert bias is not None
    np.testing.assert_array_equal(bias[...], 0)


def test_a_network_is_trained_with_explicit_keys():
    model = MLP(4, (8, 2), rngs=nnx.Rngs(0))
    optimizer = nnx.Optimizer(model, optax.sgd(0.1), wrt=nnx.Param)
    y = jnp.arange(6) // 3

    @nnx.jit
    def step(model, optimizer, key, rates):
        def loss_fn(model):
            logits = model(X, key=key, rates=rates)
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        optimizer.update(model, nnx.grad(loss_fn)(model))

    def loss():
        return optax.softmax_cross_entropy_with_integer_labels(model(X), y).mean()

    before = loss()
    for key in jax.random.split(jax.random.key(1), 50):
        step(model, optimizer, key, jnp.array([0.0, 0.2]))
    assert loss() < 0.9 * before


def test_only_one_of_key_and_rates_is_refused_as_by_linen():
    with pytest.raises(ValueError, match="rates"):
        MLP(4, (5, 3), rngs=nnx.Rngs(0))(X, key=jax.random.key(0))


@pytest.mark.parametrize(
    ("features", "options", "message"),
    [
        ((0, 2), {}, "features must hold integers in 1"),
        ((3, 2), {"noise": drop_connect}, "noise must act on inputs, .* got drop_connect"),
    ],
)
def test_what_no_pass_could_take_is_refused_when_it_is_made(features, options, message):
    with pytest.raises(ValueError, match=message):
        MLP(4, features, rngs=nnx.Rngs(0), **options)


def test_noise_on_kernels_is_refused():
    model = mlp.MLP((5, 3), noise=drop_connect, noise_on_kernels=True)
    with pytest.raises(ValueError, match="noise_on_kernels must be False, got True"):
        from_linen(model, model.init(jax.random.key(0), X))


@BOTH
@pytest.mark.parametrize("rate", [0.2, 0.5, 0.8])
def test_entries_are_dropped_at_the_rate_and_the_others_scaled(layer, rate):
    y = np.asarray(layer(rate, rngs=nnx.Rngs(0))(MANY))
    kept = y != 0
    np.testing.assert_allclose(y[kept], np.asarray(MANY)[kept] / (1 - rate), rtol=1e-6)
    assert abs(kept.mean() - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / MANY.size)


@BOTH
def test_rate_0_and_a_deterministic_call_return_the_inputs_without_a_key(layer):
    assert layer(0.0)(MANY) is MANY
    assert layer(0.5, deterministic=True)(MANY) is MANY
    assert layer(0.5)(MANY, deterministic=True) is MANY


@BOTH
def test_rate_1_leaves_nothing_and_finite_gradients(layer):
    def kept(x):
        return layer(1.0, rngs=nnx.Rngs(0))(x).sum()

    np.testing.assert_array_equal(jax.grad(kept)(MANY), 0)


@BOTH
def test_train_and_eval_switch_and_a_call_comes_before_both(layer):
    module = layer(0.5, rngs=nnx.Rngs(0))
    module.eval()
    assert module(MANY) is MANY
    assert (module(MANY, deterministic=False) == 0).any()
    module.train()
    assert (module(MANY) == 0).any()
    assert nnx.view(module, deterministic=True)(MANY) is MANY


@BOTH
@pytest.mark.parametrize("wrap", [lambda rngs: rngs, lambda rngs: rngs.noise, lambda rngs: rngs()])
def test_the_key_is_of_the_call_or_of_a_stream_that_goes_on(layer, wrap):
    module = layer(0.5, rng_collection="noise", rngs=nnx.Rngs(noise=3))
    first, second = module(MANY), module(MANY)
    assert not np.array_equal(first, second)
    given, again = (layer(0.5)(MANY, rngs=wrap(nnx.Rngs(4))) for _ in range(2))
    np.testing.assert_array_equal(given, again)


@BOTH
def test_entries_along_broadcast_dimensions_share_their_fate(layer):
    kept = np.asarray(layer(0.5, broadcast_dims=(0,), rngs=nnx.Rngs(0))(MANY) != 0)
    np.testing.assert_array_equal(kept, np.broadcast_to(kept[:1], kept.shape))
    assert 0.2 < kept.mean() < 0.8


@BOTH
@pytest.mark.parametrize(
    ("how", "call", "error", "message"),
    [
        ({"deterministic": None, "rngs": nnx.Rngs(0)}, {}, ValueError, "deterministic"),
        ({}, {}, ValueError, "rngs"),
        ({}, {"rngs": "key"}, TypeError, "rngs must be"),
    ],
    ids=["not told", "no key", "a string"],
)
def test_nothing_to_tell_whether_to_drop_and_no_key_are_refused(layer, how, call, error, message):
    with pytest.raises(error, match=message):
        layer(0.5, **how)(MANY, **call)


@pytest.mark.parametrize("make_key", [jax.random.key, jax.random.PRNGKey])
def test_the_mask_of_the_layer_is_that_of_the_pure_function(make_key):
    y = Dropout(0.3)(MANY, rngs=make_key(3))
    np.testing.assert_array_equal(y, dropout(jax.random.key(3), MANY, 0.3))


def test_the_rate_of_the_layer_may_be_traced_where_flax_refuses_it():
    def pass_with(layer, rate):
        return layer(rate)(MANY, rngs=jax.random.key(3))

    rates = jnp.array([0.0, 0.3, 1.0])
    ys = jax.vmap(lambda rate: pass_with(Dropout, rate))(rates)
    for rate, y in zip(rates, ys, strict=True):
        np.testing.assert_array_equal(y, pass_with(Dropout, float(rate)))
    with pytest.raises(jax.errors.ConcretizationTypeError):
        jax.vmap(lambda rate: pass_with(nnx.Dropout, rate))(rates)


def test_a_rate_of_the_layer_outside_0_to_1_is_refused():
    with pytest.raises(ValueError, match=r"rate must lie in \[0, 1\], got 1.2"):
        Dropout(1.2, rngs=nnx.Rngs(0))(MANY)
