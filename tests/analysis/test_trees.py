"""The kernels in a tree of parameters."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dropout_jax.analysis.trees import kernels_in
from dropout_jax.inspection.measures import inspect_params


class Mixed(nn.Module):
    """Kernels of every shape, and much that is none."""

    @nn.compact
    def __call__(self, words):
        x = nn.Embed(7, 8)(words)
        x = nn.LayerNorm()(x + nn.MultiHeadDotProductAttention(2)(x))
        x = nn.BatchNorm(use_running_average=True)(nn.Conv(6, (3,))(x))
        return nn.Dense(3)(x.mean(-2))


def test_the_kernels_of_a_tree_are_those_that_inspect_finds_with_leading_axes_too():
    params = jax.jit(Mixed().init)(jax.random.key(0), jnp.zeros((1, 5), int))
    found = kernels_in(params)
    inspected = inspect_params(params).layers
    assert list(found) == list(inspected)
    assert [name.split(".", 1)[1] for name in found] == [
        "Conv_0.kernel",
        "Dense_0.kernel",
        *(f"MultiHeadDotProductAttention_0.{of}.kernel" for of in ("key", "out", "query", "value")),
    ]
    for name, kernel in found.items():
        np.testing.assert_array_equal(kernel, inspected[name].read(0).weights)
    members = jax.tree.map(lambda leaf: np.stack([leaf, 2 * leaf])[None], params)
    for name, kernel in kernels_in(members, 2).items():
        np.testing.assert_array_equal(kernel[0, 1], 2 * found[name])


@pytest.mark.parametrize("name", ["weight", "deconv.weight"])
def test_kernels_of_other_frameworks_are_turned_with_leading_axes_too(name):
    rng = np.random.default_rng(0)
    members = rng.normal(size=(2, 4, 5, 3)).astype(np.float32)  # two members
    alone, together = kernels_in({name: members[1]}), kernels_in({name: members}, 1)
    np.testing.assert_array_equal(alone[name], together[name][1])
    assert alone[name].shape == ((15, 4) if name == "weight" else (12, 5))


def test_layer_10_follows_layer_9():
    tree = {f"layer_{l}": {"kernel": np.ones((2, 2))} for l in range(11)}
    assert list(kernels_in(tree)) == [f"layer_{l}.kernel" for l in range(11)]


def test_the_bias_of_members_tells_the_axes_of_the_outputs_of_each():
    rng = np.random.default_rng(0)
    layer = {"kernel": rng.normal(size=(3, 5, 2, 7)), "bias": np.ones((3, 2, 7))}
    (together,) = kernels_in(layer, 1).values()
    np.testing.assert_array_equal(together, layer["kernel"].reshape(3, 5, 14))


def test_the_moments_of_an_optimizer_are_no_layers_but_a_layer_mu_is_one():
    rng = np.random.default_rng(0)
    params = {"mu": {"kernel": rng.normal(size=(3, 2))}, "std": {"kernel": np.ones((3, 2))}}
    assert list(kernels_in(params)) == ["mu.kernel", "std.kernel"]
    for optimizer in (optax.adam(0.1), optax.sgd(0.1, momentum=0.9), optax.rmsprop(0.1)):
        both = (params, optimizer.init(params))
        assert list(kernels_in(both)) == ["0.mu.kernel", "0.std.kernel"]
