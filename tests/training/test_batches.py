"""An epoch is a permutation of the examples, any with the same probability, cut into batches."""

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dropout_jax.training.batches import batch_indices
from tests.refusals import fresh_key

compiled_indices = jax.jit(batch_indices, static_argnums=(1, 2))


def permutation(key, n):
    return compiled_indices(key, n, n)[0]


@pytest.mark.parametrize(("n", "batch_size"), [(23, 5), (7, 7), (8, 1)])
def test_an_epoch_visits_no_example_twice_and_leaves_less_than_a_batch(n, batch_size):
    batches = np.asarray(compiled_indices(jax.random.key(0), n, batch_size))
    assert batches.shape == (n // batch_size, batch_size)
    assert len(np.unique(batches)) == batches.size
    assert (batches.min() >= 0) & (batches.max() < n)


@pytest.mark.parametrize("n", [1, 2, 3, 8, 9, 1000])
def test_a_permutation_holds_every_index_once(n):
    order = np.asarray(permutation(jax.random.key(n), n))
    assert order.dtype == np.int32
    np.testing.assert_array_equal(np.sort(order), np.arange(n))


def test_every_permutation_is_as_probable_as_any_other():
    keys = jax.random.split(jax.random.key(0), 24_000)
    orders = np.asarray(jax.vmap(lambda key: permutation(key, 4))(keys))
    _, counts = np.unique(orders, axis=0, return_counts=True)
    assert len(counts) == 24
    chi2 = np.sum((counts - 1_000) ** 2 / 1_000)
    assert abs(chi2 - 23) < 5 * np.sqrt(2 * 23)


def test_every_index_comes_to_every_place_as_often_as_to_any_other():
    keys = jax.random.split(jax.random.key(1), 4_000)
    orders = np.asarray(jax.vmap(lambda key: permutation(key, 200))(keys))
    tenths = np.array(
        [[np.sum(orders[:, 20 * i : 20 * i + 20] // 20 == j) for j in range(10)] for i in range(10)]
    )
    chi2 = np.sum((tenths - 8_000) ** 2 / 8_000)
    assert abs(chi2 - 81) < 5 * np.sqrt(2 * 81)


def test_a_permutation_of_several_digits_rises_as_often_as_it_falls():
    n = 2**16  # beside its index a word has room for 16 bits: by one digit alone many would tie
    order = np.asarray(permutation(jax.random.key(0), n))
    rises = np.mean(order[1:] > order[:-1])
    assert abs(rises - 0.5) < 5 / np.sqrt(12 * n)  # (n + 1) / 12 is the variance of their number


def test_the_order_of_an_epoch_is_the_keys():
    first, again, other = (permutation(jax.random.key(s), 100) for s in (0, 0, 1))
    np.testing.assert_array_equal(first, again)
    assert np.any(first != other)
    assert np.any(np.asarray(first) != np.arange(100))


@given(n=st.sampled_from([0, 1, 2, 7]), batch_size=st.integers(1, 9))
def test_batches_hold_every_index_at_most_once(n, batch_size):
    batches = batch_indices(fresh_key(), n, batch_size)
    assert batches.shape == (n // batch_size, batch_size)
    assert len(np.unique(batches)) == batches.size
