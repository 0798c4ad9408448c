import math
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropout_jax.data import Dataset
from dropout_jax.networks.mlp import MLP
from dropout_jax.noise import dropout
from dropout_jax.populations import devices
from dropout_jax.populations.blocks import Flight, curve_epochs, stop, train_blocks
from dropout_jax.populations.devices import (
    device_mesh,
    map_members,
    map_over_devices,
    shard_members,
    share,
)
from dropout_jax.populations.memory import block_size, member_bytes
from dropout_jax.training.config import Config, Hparams, as_arrays
from dropout_jax.training.epochs import train_epoch
from dropout_jax.training.evaluation import learning_point
from dropout_jax.training.step import init
from tests.refusals import outcome

MESH = device_mesh(jax.local_devices()[:2])
CONFIG = Config(MLP((64, 64, 10)))


class Accelerator:
    platform, process_index = "gpu", 0

    def __init__(self, holds):
        self.holds = holds

    def memory_stats(self):
        return {"bytes_limit": self.holds * member_bytes(CONFIG, 784)}


@pytest.mark.parametrize("block", [1, 3])
def test_every_member_is_computed_as_if_alone(block):
    x = np.arange(2 * block, dtype=np.float32)
    compute = jax.jit(lambda x, d: map_over_devices(MESH, lambda m, d: m * d.sum(), (x,), d))
    y = compute(shard_members(MESH, x), share(MESH, jnp.ones(3)))
    np.testing.assert_array_equal(y, 3 * x)
    assert len(y.sharding.device_set) == 2


def scaled_sum(power, member, data):
    return {"sum": (member * data**power).sum(), "member": member}


@pytest.mark.parametrize(("n_conditions", "n_seeds"), [(1, 1), (2, 3), (5, 1)])
def test_a_function_mapped_over_members_is_a_loop_over_them(n_conditions, n_seeds):
    members = np.arange(n_conditions * n_seeds, dtype=np.float32).reshape(n_conditions, n_seeds)
    data = np.array([1.0, 2.0], np.float32)
    mapped = map_members(scaled_sum, (2,), (members,), data)
    np.testing.assert_array_equal(mapped["sum"], 5 * members)
    np.testing.assert_array_equal(mapped["member"], members)


def noisy_sum(key, data):
    return dropout(key, data, 0.5).sum()


def test_a_function_mapped_over_members_may_put_their_masks_on_what_they_share():
    keys = jax.random.split(jax.random.key(0), (1, 4))
    mapped = map_members(noisy_sum, (), (keys,), np.ones(1000, np.float32))
    loop = [noisy_sum(key, jnp.ones(1000)) for key in jax.random.split(jax.random.key(0), 4)]
    np.testing.assert_array_equal(mapped[0], loop)
    assert len(set(mapped[0].tolist())) > 1


@pytest.mark.parametrize("n_devices", [1, 2, 8])
def test_a_cpu_takes_members_one_by_one_and_an_accelerator_32_or_what_fits(n_devices):
    assert block_size(CONFIG, 784, jax.devices("cpu")) == 1
    assert block_size(CONFIG, 784, [Accelerator(1e4)] * n_devices) == 32
    assert block_size(CONFIG, 784, [Accelerator(10)] * n_devices) == 8  # .8 of memory for ten
    three = 3.5 * member_bytes(CONFIG, 784)
    assert block_size(CONFIG, 784, [Accelerator(10)] * n_devices, three) == 3


@pytest.mark.parametrize(
    ("memory", "message"),
    [
        (1, r"memory must hold one network .* got 9.31e-10 GiB"),
        (math.nan, "memory must hold one network .* got nan GiB"),
    ],
)
def test_a_block_needs_memory_for_a_member(memory, message):
    with pytest.raises(ValueError, match=message):
        block_size(CONFIG, 784, jax.devices("cpu"), memory)


@given(shapes=st.lists(st.lists(st.integers(0, 4), max_size=3).map(tuple), max_size=3))
def test_members_share_their_leading_axes_or_are_refused(shapes):
    members = tuple(np.zeros(shape, np.float32) for shape in shapes)
    good = bool(shapes) and len({shape[:2] for shape in shapes}) == 1
    good = good and len(shapes[0]) >= 2 and 0 not in shapes[0][:2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "_map_blocks", lambda fn, static, mesh, members, shared: members)
        result = outcome(map_members, None, (), members, 0)
    assert (result is not None) == good
    if result is not None:
        assert [leaf.shape for leaf in result] == shapes


@pytest.mark.parametrize(("width", "batch_size"), [(64, 128), (256, 128), (256, 512)])
def test_a_member_needs_no_more_memory_than_is_said_and_more_than_a_third_of_it(width, batch_size):
    config = Config(MLP((width, width, 10)), batch_size=batch_size)
    data = Dataset(*[jnp.zeros((600, 784)), jnp.zeros(600, jnp.int32)] * 2)

    def member(key):
        hparams = as_arrays(Hparams(rates=(0.5, 0.5, 0.5)))
        return jax.tree.map(lambda leaf: leaf[None], (hparams, init(config, hparams, key, 784)))

    members = jax.eval_shape(member, jax.random.key(0))
    program = train_blocks.lower(config, device_mesh(jax.devices()[:1]), *members, data)
    used = program.compile().memory_analysis()
    assert used is not None
    needed = used.temp_size_in_bytes + used.output_size_in_bytes
    assert member_bytes(config, 784) / 3 < needed < member_bytes(config, 784)


class Convolutional(nn.Module):
    features: tuple[int, ...] = (8, 10)

    @nn.compact
    def __call__(self, x, *, key=None, rates=None):
        x = nn.relu(nn.Conv(8, (3, 3))(x))
        x = x if key is None or rates is None else dropout(key, x, rates[1])
        return nn.Dense(10)(x.reshape(*x.shape[:-3], -1))


def test_a_further_member_of_any_network_needs_no_more_memory_than_is_said():
    config = Config(Convolutional(), batch_size=64)
    x, y = jnp.zeros((1000, 16, 16, 1)), jnp.zeros(1000, jnp.int32)
    hparams = as_arrays(Hparams(rates=(0.0, 0.5)))
    member = hparams, init(config, hparams, jax.random.key(0), (16, 16, 1))

    def bytes_of(n, function):
        members = jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((n, *leaf.shape), leaf.dtype), member
        )
        used = jax.jit(jax.vmap(function)).lower(*members).compile().memory_analysis()
        assert used is not None
        return used.temp_size_in_bytes + used.output_size_in_bytes

    def train(hparams, state):
        return train_epoch(config, hparams, state, x, y)

    def measure(_, state):
        return learning_point(config, state.params, Dataset(x, y, x, y))

    needed = max(bytes_of(3, function) - bytes_of(2, function) for function in (train, measure))
    said = member_bytes(config, (16, 16, 1))
    assert said / 3 < needed < said


def test_a_loop_in_a_network_counts_as_often_as_it_turns():
    class Looped:
        features = (8, 8)

        def init(self, key, x, /):
            return jnp.ones((8, 8))

        def apply(self, params, x, /, **noise):
            return jax.lax.fori_loop(0, 5, lambda _, x: jnp.tanh(x @ params), x)

    once = member_bytes(Config(MLP((8,))), 8) - 4 * 4 * 72  # of its parameters
    assert member_bytes(Config(Looped()), 8) - 4 * 4 * 64 == 5 * once


def test_a_member_is_stopped_once_and_what_fills_the_devices_with_any():
    nothing: Any = ()
    flight = Flight(3, nothing, nothing, nothing, np.array([2, 9, 9]))
    assert stop(flight, np.array([True, False]), n=2).last_epoch.tolist() == [2, 9, 3]


def test_curves_are_measured_first_last_and_evenly_between():
    assert curve_epochs(3).tolist() == [0, 1, 2, 3]
    assert curve_epochs(30).tolist() == list(range(0, 31, 3))
    assert len(curve_epochs(1000)) == 11
