"""The pure `dropout` in other frameworks, written as their users would write it."""

import inspect

import chex
import equinox as eqx
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from dropout_jax.noise import dropout

X = jnp.linspace(-1, 1, 32).reshape(8, 4)


class NnxNet(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(4, 16, rngs=rngs)
        self.out = nnx.Linear(16, 3, rngs=rngs)

    def __call__(self, x, key, rate):
        return self.out(dropout(key, nnx.relu(self.hidden(x)), rate))


class EquinoxNet(eqx.Module):
    hidden: eqx.nn.Linear
    out: eqx.nn.Linear

    def __init__(self, key):
        hidden_key, out_key = jax.random.split(key)
        self.hidden = eqx.nn.Linear(4, 16, key=hidden_key)
        self.out = eqx.nn.Linear(16, 3, key=out_key)

    def __call__(self, x, key, rate):
        """Of one example."""
        return self.out(dropout(key, jax.nn.relu(self.hidden(x)), rate))


def haiku_net(x, rate):
    h = jax.nn.relu(hk.Linear(16)(x))
    return hk.Linear(3)(dropout(hk.next_rng_key(), h, rate))


def nnx_network():
    net = NnxNet(nnx.Rngs(0))
    graph, params = nnx.split(net)
    return params, lambda params, key, rate: nnx.merge(graph, params)(X, key, rate)


def equinox_network():
    params, static = eqx.partition(EquinoxNet(jax.random.key(0)), eqx.is_array)

    def apply(params, key, rate):
        keys = jax.random.split(key, len(X))
        return jax.vmap(eqx.combine(params, static), (0, 0, None))(X, keys, rate)

    return params, apply


def haiku_network():
    net = hk.transform(haiku_net)
    return net.init(jax.random.key(0), X, 0.0), lambda p, key, rate: net.apply(p, key, X, rate)


@pytest.fixture(scope="module", params=[nnx_network, equinox_network, haiku_network])
def network(request):
    """Parameters, and the outputs of (params, key, rate)."""
    params, apply = request.param()
    return params, jax.jit(apply)


def test_one_key_gives_one_pass_and_another_another(network):
    params, apply = network
    first, again, other = (apply(params, jax.random.key(seed), 0.5) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


def test_at_rate_0_the_key_does_not_matter_and_at_rate_1_nothing_but_the_bias_is_left(network):
    params, apply = network
    first, other = (apply(params, jax.random.key(seed), 0.0) for seed in (1, 2))
    np.testing.assert_array_equal(first, other)
    alone = apply(params, jax.random.key(1), 1.0)
    np.testing.assert_array_equal(alone, np.broadcast_to(alone[:1], alone.shape))


def test_it_is_compiled_once_for_all_rates_and_vmap_runs_over_them(network):
    params, apply = network
    rates = jnp.array([0.0, 0.2, 0.5, 1.0])
    compiled = jax.jit(chex.assert_max_traces(inspect.unwrap(apply), n=1))
    one_by_one = [compiled(params, jax.random.key(1), rate) for rate in rates]
    at_once = jax.vmap(apply, (None, None, 0))(params, jax.random.key(1), rates)
    np.testing.assert_allclose(at_once, np.stack(one_by_one), atol=1e-6)


def test_the_mean_over_masks_is_the_pass_without(network):
    """Dropout stands before the last affine layer, so the mean is exact but for the sample."""
    params, apply = network
    n = 2000
    keys = jax.random.split(jax.random.key(3), n)
    passes = np.asarray(jax.vmap(apply, (None, 0, None))(params, keys, 0.5), np.float64)
    exact = apply(params, jax.random.key(0), 0.0)
    deviation = passes.std(axis=0) / np.sqrt(n)
    assert np.all(np.abs(passes.mean(axis=0) - exact) < 5 * deviation + 1e-6)


def test_gradients_reach_the_parameters(network):
    params, apply = network
    grads = jax.jit(jax.grad(lambda p: (apply(p, jax.random.key(1), 0.5) ** 2).sum()))(params)
    for leaf in map(np.asarray, jax.tree.leaves(grads)):
        assert np.isfinite(leaf).all()
        assert np.any(leaf != 0)
