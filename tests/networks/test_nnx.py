import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx

from dropout_jax.networks import mlp
from dropout_jax.networks.nnx import MLP, from_linen, to_linen
from dropout_jax.noise import drop_connect, gaussian_dropout

X = jnp.linspace(-1, 1, 24).reshape(6, 4)
RATES = (0.2, 0.5)


@pytest.fixture(params=[{}, {"activation": jnp.tanh, "noise": gaussian_dropout}])
def linen(request):
    model = mlp.MLP((5, 3), **request.param)
    return model, model.init(jax.random.key(0), X)


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


def test_noise_on_kernels_is_refused():
    model = mlp.MLP((5, 3), noise=drop_connect, noise_on_kernels=True)
    with pytest.raises(ValueError, match="noise_on_kernels must be False, got True"):
        from_linen(model, model.init(jax.random.key(0), X))
