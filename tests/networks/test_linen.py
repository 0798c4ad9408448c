from typing import Any

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dropout_jax.networks.flax_dropout import never_drops
from dropout_jax.networks.linen import Dropout
from dropout_jax.noise import dropout

MODULES: list[Any] = [nn.Dropout, Dropout]
BOTH = pytest.mark.parametrize("module", MODULES)
X = jnp.arange(1, 4001, dtype=jnp.float32).reshape(40, 100)


def rngs(seed=0, name="dropout"):
    return {name: jax.random.key(seed)}


@BOTH
@pytest.mark.parametrize("rate", [0.2, 0.5, 0.8])
def test_entries_are_dropped_at_the_rate_and_the_others_scaled(module, rate):
    y = np.asarray(module(rate, deterministic=False).apply({}, X, rngs=rngs()))
    kept = y != 0
    np.testing.assert_allclose(y[kept], np.asarray(X)[kept] / (1 - rate), rtol=1e-6)
    assert abs(kept.mean() - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / X.size)


@BOTH
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
def test_the_dtype_and_the_shape_stay(module, dtype):
    y = module(0.5, deterministic=False).apply({}, X.astype(dtype), rngs=rngs())
    assert (y.dtype, y.shape) == (dtype, X.shape)


@BOTH
def test_a_deterministic_pass_returns_the_inputs_and_needs_no_key(module):
    for layer, call in ((module(0.5, deterministic=True), None), (module(0.5), True)):
        assert layer.apply({}, X, deterministic=call) is X
    variables = module(0.5).init(jax.random.key(0), X, deterministic=True)
    assert not variables


@BOTH
def test_rate_0_needs_no_key_and_rate_1_leaves_nothing(module):
    assert module(0.0, deterministic=False).apply({}, X) is X
    layer = module(1.0, deterministic=False)
    np.testing.assert_array_equal(layer.apply({}, X, rngs=rngs()), 0)
    gradient = jax.grad(lambda x: layer.apply({}, x, rngs=rngs()).sum())(X)
    np.testing.assert_array_equal(gradient, 0)


@BOTH
def test_whether_to_drop_is_said_exactly_once(module):
    with pytest.raises(ValueError, match="deterministic"):
        module(0.5).apply({}, X, rngs=rngs())
    with pytest.raises(ValueError, match="deterministic"):
        module(0.5, deterministic=True).apply({}, X, deterministic=True)


@BOTH
def test_without_a_key_there_is_no_pass(module):
    with pytest.raises(flax.errors.InvalidRngError):
        module(0.5, deterministic=False).apply({}, X)


@BOTH
@pytest.mark.parametrize("make_key", [jax.random.key, jax.random.PRNGKey])
def test_the_key_may_come_with_the_call_or_from_another_collection(module, make_key):
    layer = module(0.5, deterministic=False)
    y = layer.apply({}, X, rng=make_key(3))
    np.testing.assert_array_equal(y, layer.apply({}, X, rng=make_key(3)))
    assert not np.array_equal(y, layer.apply({}, X, rng=make_key(4)))
    other = module(0.5, deterministic=False, rng_collection="noise")
    y = other.apply({}, X, rngs={"noise": make_key(3)})
    np.testing.assert_array_equal(y, other.apply({}, X, rngs={"noise": make_key(3)}))


@BOTH
@pytest.mark.parametrize("dims", [(0,), (-1,), (0, 1)])
def test_entries_along_broadcast_dimensions_share_their_fate(module, dims):
    layer = module(0.5, broadcast_dims=dims, deterministic=False)
    kept = np.asarray(layer.apply({}, X, rngs=rngs()) != 0)
    for dim in dims:
        np.testing.assert_array_equal(kept, np.broadcast_to(kept.take([0], dim), kept.shape))
    if dims != (0, 1):
        assert 0.2 < kept.mean() < 0.8


class Network(nn.Module):
    """What has `nn.Dropout` in it, twice."""

    dropout: Any

    @nn.compact
    def __call__(self, x, train):
        x = self.dropout(0.5, deterministic=not train)(nn.Dense(16)(x))
        return nn.Dense(3)(self.dropout(0.5)(x, deterministic=not train))


@BOTH
def test_layers_of_one_network_draw_keys_of_their_own(module):
    x = jnp.ones((2, 8))
    network: Any = Network(module)
    variables = network.init(jax.random.key(0), x, train=False)
    same = Network(nn.Dropout).init(jax.random.key(0), x, train=False)
    jax.tree.map(np.testing.assert_array_equal, variables, same)
    first, again, other = (
        network.apply(variables, x, train=True, rngs=rngs(seed)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_the_mask_is_that_of_the_pure_function():
    layer: Any = Dropout(0.3, deterministic=False)
    y = layer.apply({}, X, rng=jax.random.key(3))
    np.testing.assert_array_equal(y, dropout(jax.random.key(3), X, 0.3))


def test_the_rate_may_be_traced_where_flax_refuses_it():
    def pass_with(module, rate):
        return module(rate, deterministic=False).apply({}, X, rng=jax.random.key(3))

    rates = jnp.array([0.0, 0.3, 1.0])
    ys = jax.vmap(lambda rate: pass_with(Dropout, rate))(rates)
    for rate, y in zip(rates, ys, strict=True):
        np.testing.assert_array_equal(y, pass_with(Dropout, float(rate)))
    with pytest.raises(jax.errors.ConcretizationTypeError):
        jax.vmap(lambda rate: pass_with(nn.Dropout, rate))(rates)


def test_a_rate_outside_0_to_1_is_refused():
    with pytest.raises(ValueError, match=r"rate must lie in \[0, 1\], got 1.2"):
        Dropout(1.2, deterministic=False).apply({}, X, rngs=rngs())


def test_a_rate_of_0_that_a_program_closes_over_never_drops():
    rate = jnp.zeros(())
    assert jax.jit(lambda x: x if never_drops(rate) else x + 1)(jnp.ones(2)).tolist() == [1, 1]
