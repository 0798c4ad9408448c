"""Networks other than the MLP, trained as populations: what `networks.protocol` promises."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import flax.linen as nn
import jax
import numpy as np
import optax
import pytest
from flax import nnx

from dropout_jax import MLP, Config, Dataset, Hparams, compare, fit, fit_population, ginis
from dropout_jax.networks.linen import Dropout
from dropout_jax.noise import dropout
from dropout_jax.populations.members import member_key
from dropout_jax.training.objectives import squared_error
from dropout_jax.training.step import train_step
from tests.starts import init, uniform

pytestmark = pytest.mark.slow
KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
Y = np.arange(96, dtype=np.int32) % 3
X = (RNG.normal(size=(96, 6, 6, 2)) + 2 * np.eye(6)[Y, :, None, None]).astype(np.float32)
DATA = Dataset(X[:64], Y[:64], X[64:], Y[64:])
CONDITIONS = [Hparams(rates=(0.0, 0.0)), Hparams(rates=(0.2, 0.5))]

dense = partial(nn.Dense, kernel_init=uniform)
ginis_of_members = jax.jit(jax.vmap(jax.vmap(ginis)))


class Convolutional(nn.Module):
    """Whole channels are dropped."""

    features: tuple[int, ...] = (4, 3)

    @nn.compact
    def __call__(self, x, *, key=None, rates=None):
        keys = None if key is None else jax.random.split(key)
        for l, layer in enumerate((nn.Conv(4, (3, 3)), nn.Conv(3, (3, 3)))):
            if keys is not None and rates is not None:
                x = dropout(keys[l], x, rates[l], broadcast_dims=(-3, -2))
            x = layer(x) if l else nn.relu(layer(x))
        return x.mean((-3, -2))


class Normed(nn.Module):
    """Layer norm, and dropout by the Linen module, whose rate is traced."""

    features: tuple[int, ...] = (8, 3)

    @nn.compact
    def __call__(self, x, *, key=None, rates=None):
        x = x.reshape(*x.shape[:-3], -1)
        keys = None if key is None else jax.random.split(key)
        for l, width in enumerate(self.features):
            x = nn.LayerNorm()(nn.relu(x)) if l else x
            if keys is not None and rates is not None:
                x = Dropout(rates[l], deterministic=False)(x, rng=keys[l])
            x = dense(width)(x)
        return x


class BatchNormed(nn.Module):
    """Batch norm, whose running averages a pass of training changes."""

    features: tuple[int, ...] = (8, 3)

    @nn.compact
    def __call__(self, x, *, key=None, rates=None):
        x = x.reshape(*x.shape[:-3], -1)
        keys = None if key is None else jax.random.split(key)
        training = self.is_mutable_collection("batch_stats")
        for l, width in enumerate(self.features):
            x = nn.relu(nn.BatchNorm(not training, momentum=0.9)(x)) if l else x
            if keys is not None and rates is not None:
                x = dropout(keys[l], x, rates[l])
            x = dense(width)(x)
        return x


class Transformer(nn.Module):
    """One block on the rows of an image as tokens; the residual branches are dropped."""

    features: tuple[int, ...] = (8, 3)

    @nn.compact
    def __call__(self, x, *, key=None, rates=None):
        x = dense(8)(x.reshape(*x.shape[:-2], -1))
        keys = None if key is None else jax.random.split(key)
        attention = nn.MultiHeadDotProductAttention(2, kernel_init=uniform)
        for l, branch in enumerate((attention, dense(8))):
            h = branch(nn.LayerNorm()(x))
            if keys is not None and rates is not None:
                h = dropout(keys[l], h, rates[l])
            x = x + h
        return dense(3)(x.mean(-2))


class NnxNetwork(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(72, 8, kernel_init=uniform, rngs=rngs)
        self.out = nnx.Linear(8, 3, kernel_init=uniform, rngs=rngs)

    def __call__(self, x, *, key=None, rates=None):
        x = x.reshape(*x.shape[:-3], -1)
        keys = None if key is None else jax.random.split(key)
        for l, layer in enumerate((self.hidden, self.out)):
            if keys is not None and rates is not None:
                x = dropout(keys[l], x, rates[l])
            x = layer(x) if l else nnx.relu(layer(x))
        return x


@dataclass(frozen=True)
class Split:
    """An NNX module as pure functions, by `split` and `merge`."""

    make: Callable[[nnx.Rngs], Any]
    features: tuple[int, ...] = (8, 3)

    def init(self, key, x, /):
        return nnx.state(self.make(nnx.Rngs(key)), nnx.Param)

    def apply(self, params, x, /, **noise):
        graph, _ = nnx.split(nnx.eval_shape(lambda: self.make(nnx.Rngs(0))), nnx.Param)
        return nnx.merge(graph, params)(x, **noise)


NETWORKS = [Convolutional(), Normed(), BatchNormed(), Transformer(), Split(NnxNetwork)]


@pytest.fixture(scope="module", params=NETWORKS, ids=lambda network: type(network).__name__)
def trained(request):
    config = Config(request.param, epochs=8, batch_size=16)
    return config, fit_population(config, CONDITIONS, 2, KEY, DATA)


def test_any_network_learns_and_its_conditions_start_alike(trained):
    _, population = trained
    loss = population.curve.train.loss
    assert (loss[..., -1] < loss[..., 0]).all()
    assert (loss[0, :, -1] < 0.8 * loss[0, :, 0]).all()
    np.testing.assert_array_equal(loss[0, :, 0], loss[1, :, 0])
    assert (loss[0, :, -1] != loss[1, :, -1]).all()


def test_a_member_is_the_same_alone_and_in_the_population(trained):
    config, population = trained
    state, curve = fit(config, CONDITIONS[1], member_key(KEY, 1), DATA)
    of_member = jax.tree.map(lambda leaf: leaf[1, 1], population.params)
    for alone, together in zip(*map(jax.tree.leaves, (state.params, of_member)), strict=True):
        np.testing.assert_allclose(alone, together, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(curve.test.loss[-1], population.curve.test.loss[1, 1, -1], rtol=1e-4)


def test_kernels_of_all_members_are_measured_at_once(trained):
    found = jax.tree.map(np.asarray, ginis_of_members(trained[1].params))
    kernels = [leaf for leaf in jax.tree.leaves(trained[1].params) if leaf.ndim > 3]
    assert 2 <= len(found) <= len(kernels)
    for values in found.values():
        assert values.shape == (2, 2)
        assert ((values > 0) & (values < 1)).all()


def test_any_network_is_compared_by_the_weights_of_its_kernels(trained):
    config, population = trained
    found = compare(config, dict(zip("ab", CONDITIONS, strict=True)), 2, KEY, DATA)
    again = ginis_of_members(population.params)
    names = found.summary["layers"]
    assert set(names) == set(again)
    for l, views in found.measured.values.items():
        assert set(views) == {"entries", "columns", "change"}
        if found.measured.live_inputs[l].all():
            np.testing.assert_allclose(views["entries"]["gini"], again[names[l]], rtol=1e-5)
    rows = {(row["layer"], row["view"]) for row in found.summary["comparisons"]}
    assert len(rows) == 3 * len(names)
    assert found.verdict[-1].startswith("Weights alone are compared: ")
    assert "contribute" not in " ".join(found.verdict)


def test_max_norm_of_mlps_refuses_another_network_in_a_line(trained):
    config, _ = trained
    with pytest.raises(ValueError, match=r"^max_norm serves an MLP alone, got \w+$"):
        fit(config, CONDITIONS[0]._replace(max_norm=1.0), KEY, DATA)


@pytest.mark.parametrize(
    ("model", "data", "message"),
    [
        (Convolutional((4, 5)), DATA, r"must make 5 outputs.*shape \(6, 6, 2\), got \(3,\)"),
        (Convolutional(), DATA._replace(x_test=X[64:, :5]), "must have the same inputs"),
        (MLP((4, 3)), DATA, r"x_train must be an array \[n, D\].*got \(64, 6, 6, 2\)"),
    ],
    ids=["outputs", "inputs", "images"],
)
def test_a_network_and_data_that_do_not_fit_together_are_refused(model, data, message):
    with pytest.raises(ValueError, match=message):
        fit_population(Config(model, epochs=1, batch_size=16), CONDITIONS, 2, KEY, data)


def test_own_loss_and_own_optimizer_serve_regression():
    targets = X[:, 0, 0, :1].astype(np.float32)
    data = Dataset(X[:64], targets[:64], X[64:], targets[64:])
    config = Config(
        Convolutional((4, 3)),
        epochs=1,
        batch_size=16,
        loss_fn=lambda outputs, target: squared_error(outputs[:1], target),
        make_optimizer=lambda hparams: optax.adam(hparams.learning_rate),
    )
    population = fit_population(config, CONDITIONS, 2, KEY, data)
    assert np.isfinite(population.curve.test.loss).all()
    assert np.isnan(population.curve.test.error).all()


def test_an_own_metric_takes_the_place_of_the_error_rate():
    def off_by(outputs, label):
        return abs(outputs.argmax() - label).astype(float)

    config = Config(Normed((3,)), epochs=1, batch_size=16, error_fn=off_by)
    state, curve = fit(config, Hparams(rates=(0.0,)), jax.random.key(0), DATA)
    chosen = np.asarray(config.model.apply(state.params, DATA.x_test)).argmax(-1)
    assert float(curve.test.error[0]) == pytest.approx(np.abs(chosen - DATA.y_test).mean())


def test_a_step_moves_the_running_averages_of_batch_norm_towards_the_batch_and_trains_the_rest():
    config = Config(BatchNormed(), epochs=1, batch_size=16)
    hparams = Hparams(rates=(0.0, 0.0), weight_decay=0.1)
    state = init(config, hparams, jax.random.key(0), X.shape[1:])
    after, _ = train_step(config, hparams, state, X[:16], Y[:16])
    first = jax.tree.map(np.asarray, state.params["params"]["Dense_0"])
    h = X[:16].reshape(16, -1) @ first["kernel"] + first["bias"]
    stats = after.params["batch_stats"]["BatchNorm_0"]
    np.testing.assert_allclose(stats["mean"], 0.1 * h.mean(0), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(stats["var"], 0.9 + 0.1 * h.var(0), rtol=1e-4)
    before, then = (np.asarray(of.params["params"]["Dense_1"]["kernel"]) for of in (state, after))
    assert (before != then).all()
