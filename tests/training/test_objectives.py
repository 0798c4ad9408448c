"""The objectives against SciPy and NumPy, one example at a time."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dropout_jax.training.objectives import cross_entropy, error_rate, squared_error

K = 5
VECTORS = hnp.arrays(np.float32, K, elements=st.floats(-50, 50, width=32, allow_subnormal=False))
LABELS = st.integers(0, K - 1)
compiled_slope = jax.jit(jax.grad(cross_entropy))


@given(logits=VECTORS, label=LABELS)
def test_cross_entropy_is_the_negative_log_softmax_at_the_label(logits, label):
    expected = -scipy.special.log_softmax(logits.astype(np.float64))[label]
    actual = cross_entropy(jnp.asarray(logits), jnp.asarray(label))
    assert actual.shape == ()
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=2e-5)


@given(logits=VECTORS, label=LABELS)
def test_the_gradient_of_cross_entropy_is_softmax_less_one_hot(logits, label):
    slope = compiled_slope(jnp.asarray(logits), jnp.asarray(label))
    expected = scipy.special.softmax(logits.astype(np.float64)) - np.eye(K)[label]
    np.testing.assert_allclose(slope, expected, atol=2e-5)


def test_cross_entropy_of_equal_logits_is_the_logarithm_of_their_number():
    np.testing.assert_allclose(cross_entropy(jnp.zeros(10), jnp.array(3)), np.log(10), rtol=1e-6)


def test_cross_entropy_of_huge_logits_is_finite():
    logits = jnp.array([1e30, -1e30, 0.0])
    assert cross_entropy(logits, jnp.array(0)) == 0
    assert jnp.isfinite(cross_entropy(logits, jnp.array(1)))


@given(prediction=VECTORS, target=VECTORS)
def test_squared_error_is_the_sum_of_squared_differences(prediction, target):
    expected = np.sum((prediction.astype(np.float64) - target) ** 2)
    actual = squared_error(jnp.asarray(prediction), jnp.asarray(target))
    assert actual.shape == ()
    np.testing.assert_allclose(actual, expected, rtol=1e-5, atol=1e-6)


@given(logits=VECTORS, label=LABELS)
def test_the_error_is_one_exactly_where_another_class_is_more_probable(logits, label):
    error = error_rate(jnp.asarray(logits), jnp.asarray(label))
    assert (error.shape, error.dtype) == ((), jnp.float32)
    assert error == float(np.argmax(logits) != label)


def test_the_caller_vmaps():
    logits = jax.random.normal(jax.random.key(0), (200, K))
    labels = jax.random.randint(jax.random.key(1), (200,), 0, K)
    expected = np.mean(np.argmax(logits, axis=-1) != np.asarray(labels))
    assert 0 < expected < 1
    np.testing.assert_allclose(
        jax.jit(jax.vmap(error_rate))(logits, labels).mean(), expected, rtol=1e-6
    )
    losses = -scipy.special.log_softmax(np.asarray(logits), axis=-1)[np.arange(200), labels]
    actual = jax.jit(jax.vmap(cross_entropy))(logits, labels)
    np.testing.assert_allclose(actual, losses, atol=1e-5)


@pytest.mark.parametrize("objective", [cross_entropy, error_rate])
@pytest.mark.parametrize(("logits", "label"), [((2, K), (2,)), ((2, K), ()), ((K,), (1,))])
def test_a_batch_of_logits_or_labels_is_refused(objective, logits, label):
    with pytest.raises(ValueError, match=r"rank .*\[logits must be \[K\], label one class\]"):
        objective(jnp.zeros(logits), jnp.zeros(label, jnp.int32))


def test_the_target_of_one_output_may_be_a_number():
    assert squared_error(jnp.array([1.0]), jnp.array(3.0)) == 4


@pytest.mark.parametrize(
    ("prediction", "target", "message"),
    [
        ((2, K), (2, K), "rank"),
        ((), (), "rank"),
        ((K,), (K + 1,), "shape"),
        ((K,), (1,), "shape"),
        ((K,), (), "shape"),
    ],
)
def test_predictions_and_targets_must_be_vectors_of_one_length(prediction, target, message):
    rule = r".*\[prediction and target must both be \[K\]\]"
    with pytest.raises(ValueError, match=message + rule):
        squared_error(jnp.zeros(prediction), jnp.zeros(target))
