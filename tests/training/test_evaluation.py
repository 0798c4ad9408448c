import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dropout_jax.networks.mlp import MLP
from dropout_jax.training import objectives
from dropout_jax.training.config import Config
from dropout_jax.training.evaluation import evaluate
from tests.blobs import blobs

CONFIG = Config(MLP((8, 6, 3)))
DATA = blobs()


def parameters():
    return jax.jit(CONFIG.model.init)(jax.random.key(0), jnp.zeros(5))


def test_one_output_has_no_error_rate_as_it_chooses_no_class():
    config = Config(MLP((1,)), loss_fn=objectives.squared_error)
    params = jax.jit(config.model.init)(jax.random.key(0), jnp.zeros(5))
    metrics = evaluate(config, params, DATA.x_test, np.arange(20))
    assert np.isfinite(metrics.loss)
    assert np.isnan(metrics.error)


def test_evaluate_is_the_mean_over_examples_whatever_the_number():
    params = parameters()
    n = 1203  # beyond one pass of 1,000, with a remainder
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(n, 5)).astype(np.float32), rng.integers(0, 3, n).astype(np.int32)
    metrics = evaluate(CONFIG, params, x, y)
    outputs = np.asarray(CONFIG.model.apply(params, x), np.float64)
    log_p = outputs - np.log(np.exp(outputs).sum(-1, keepdims=True))
    np.testing.assert_allclose(metrics.loss, -log_p[np.arange(n), y].mean(), rtol=1e-5)
    np.testing.assert_allclose(metrics.error, (outputs.argmax(-1) != y).mean(), rtol=1e-6)


def test_arrays_on_a_device_are_checked_there(monkeypatch):
    x, y = map(jnp.asarray, (DATA.x_test, DATA.y_test))
    expected = evaluate(CONFIG, parameters(), x, y)
    for wrong, said in (((x * jnp.nan, y), "x must be finite"), ((x, y + 3), "classes 0 … 2")):
        with pytest.raises(ValueError, match=said):
            evaluate(CONFIG, parameters(), *wrong)

    monkeypatch.delattr(np, "isfinite")  # which would fetch them
    chex.assert_trees_all_equal(evaluate(CONFIG, parameters(), x, y), expected)
