import dataclasses
from itertools import starmap
from typing import Any, cast

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dropout_jax.data import Dataset
from dropout_jax.networks.mlp import MLP, layers
from dropout_jax.populations.members import stack_conditions
from dropout_jax.training import config, objectives, step
from dropout_jax.training.batches import batch_indices
from dropout_jax.training.config import Config, Hparams
from dropout_jax.training.epochs import fit, train_epoch
from dropout_jax.training.evaluation import evaluate
from dropout_jax.training.step import _batch_loss, train_step
from tests.blobs import blobs
from tests.starts import init, uniform

CONFIG = Config(MLP((8, 6, 3), kernel_init=uniform), epochs=3, batch_size=16)
SMALL = Config(MLP((4, 3), kernel_init=uniform), epochs=1, batch_size=16)
RATES = (0.2, 0.5, 0.5)


DATA = blobs()


def outputs_of(params, x, **noise) -> jax.Array:
    return cast(jax.Array, CONFIG.model.apply(params, x, **noise))


def start(hparams: Hparams = Hparams(), seed: int = 0) -> step.TrainState:  # noqa: B008, it is immutable
    return init(CONFIG, hparams, jax.random.key(seed), 5)


def test_the_member_key_is_split_once_into_init_shuffle_and_dropout_keys():
    state = start()
    init_key, shuffle_key, dropout_key = jax.random.split(jax.random.key(0), 3)
    chex.assert_trees_all_equal(state.params, jax.jit(CONFIG.model.init)(init_key, jnp.zeros(5)))
    assert state.shuffle_key == shuffle_key
    assert state.dropout_key == dropout_key


def test_one_step_is_momentum_sgd_with_l2_on_kernels_alone():
    hparams = Hparams(learning_rate=0.1, momentum=0.7, weight_decay=0.3)
    state = start(hparams)
    x, y = DATA.x_train[:16], DATA.y_train[:16]

    def objective(params):
        outputs = outputs_of(params, x)
        loss = optax.softmax_cross_entropy_with_integer_labels(outputs, y).mean()
        return loss + sum(0.15 * jnp.sum(layer["kernel"] ** 2) for layer in layers(params))

    of_params = jax.jit(jax.grad(objective))
    params = jax.tree.map(np.asarray, state.params)
    velocity = jax.tree.map(np.zeros_like, params)
    for _ in range(3):
        grads = jax.tree.map(np.asarray, of_params(params))
        velocity = jax.tree.map(lambda v, g: np.float32(0.7) * v + g, velocity, grads)
        params = jax.tree.map(lambda p, v: p - np.float32(0.1) * v, params, velocity)
        state, _ = train_step(CONFIG, hparams, state, x, y)
    chex.assert_trees_all_close(state.params, params, rtol=1e-5, atol=1e-6)
    assert state.step == 3


def test_parameters_keep_a_precision_that_is_lower_than_that_of_hyper_parameters():
    def in_half(key, shape, dtype):
        return jax.nn.initializers.lecun_normal()(key, shape, jnp.bfloat16)

    config = Config(MLP((8, 3), kernel_init=in_half), epochs=2, batch_size=16)
    state, curve = fit(config, Hparams(weight_decay=0.1), jax.random.key(0), DATA)
    assert all(layer["kernel"].dtype == jnp.bfloat16 for layer in layers(state.params))
    assert curve.train.loss[1] < curve.train.loss[0]


def test_the_layout_of_narrow_gradients_changes_them_by_rounding_only(monkeypatch):
    hparams = Hparams(rates=jnp.array([0.2, 0.5, 0.5]))
    config = Config(MLP((70, 12, 3), kernel_init=uniform), batch_size=8)
    state = init(config, hparams, jax.random.key(0), 5)
    rng = np.random.default_rng(0)
    batch = rng.normal(size=(8, 5)).astype(np.float32), np.arange(8, dtype=np.int32) % 3
    usual, _ = train_step(config, hparams, state, *batch)
    monkeypatch.setattr(step, "NARROW", 0)
    again, _ = train_step(
        dataclasses.replace(config, epochs=7), hparams, state, *batch
    )  # compiled anew
    chex.assert_trees_all_close(again.params, usual.params, rtol=1e-5, atol=1e-6)


def test_rates_of_zero_train_as_no_dropout_in_the_program():
    absent, _ = fit(CONFIG, Hparams(), jax.random.key(1), DATA)
    zero, _ = fit(CONFIG, Hparams(rates=jnp.zeros(3)), jax.random.key(1), DATA)
    chex.assert_trees_all_close(absent.params, zero.params, rtol=1e-5, atol=1e-6)


def test_the_masks_of_a_step_come_from_the_dropout_key_folded_with_the_step():
    hparams = Hparams(rates=jnp.array(RATES), learning_rate=0.1, momentum=0.0)
    state = start(hparams)._replace(step=jnp.asarray(7))
    x, y = DATA.x_train[:16], DATA.y_train[:16]
    key = jax.random.fold_in(state.dropout_key, 7)

    def objective(params):
        outputs = outputs_of(params, x, key=key, rates=jnp.array(RATES))
        return jax.vmap(objectives.cross_entropy)(outputs, jnp.asarray(y)).mean()

    grads = jax.jit(jax.grad(objective))(state.params)
    before, slopes = (jax.tree.map(np.asarray, of) for of in (state.params, grads))
    expected = jax.tree.map(lambda p, g: p - np.float32(0.1) * g, before, slopes)
    stepped, _ = train_step(CONFIG, hparams, state, x, y)
    chex.assert_trees_all_close(stepped.params, expected, rtol=1e-5, atol=1e-6)


def test_an_epoch_is_the_loop_over_its_batches_in_the_order_of_the_shuffle_key():
    hparams = Hparams(rates=jnp.array(RATES))
    state = looped = start(hparams)
    compiled_indices = jax.jit(batch_indices, static_argnums=(1, 2))
    for epoch in range(2):
        losses = []
        order = compiled_indices(jax.random.fold_in(state.shuffle_key, epoch), 50, 16)
        for rows in np.asarray(order):
            batch = DATA.x_train[rows], DATA.y_train[rows]
            looped, loss = train_step(CONFIG, hparams, looped, *batch)
            losses.append(loss)
        state, mean_loss = jax.jit(train_epoch, static_argnums=0)(
            CONFIG, hparams, state, DATA.x_train, DATA.y_train
        )
        np.testing.assert_allclose(mean_loss, np.mean(losses), rtol=1e-5)
    chex.assert_trees_all_close(state.params, looped.params, rtol=1e-4, atol=1e-5)


def at_max_norm(params, max_norm):
    """The parameters after a step that does nothing but to impose the bound."""
    hparams = Hparams(learning_rate=0.0, max_norm=max_norm)
    state = start(hparams)._replace(params=params)
    return train_step(CONFIG, hparams, state, DATA.x_train[:16], DATA.y_train[:16])[0].params


def test_max_norm_bounds_hidden_columns_and_leaves_short_ones_and_the_output_alone():
    params = start().params
    clipped = layers(at_max_norm(params, 0.9))
    for before, after in zip(layers(params)[:-1], clipped[:-1], strict=True):
        kernel, bounded = np.asarray(before["kernel"]), np.asarray(after["kernel"])
        norms = np.linalg.norm(kernel, axis=0)
        assert np.any(norms > 0.9)
        assert np.any(norms < 0.9)
        np.testing.assert_allclose(bounded, kernel * np.minimum(1, 0.9 / norms), rtol=1e-6)
        np.testing.assert_array_equal(bounded[:, norms <= 0.9], kernel[:, norms <= 0.9])
    chex.assert_trees_all_equal(clipped[-1], layers(params)[-1])


def test_max_norm_holds_after_every_step_and_infinity_changes_nothing():
    state, _ = fit(CONFIG, Hparams(max_norm=0.5), jax.random.key(2), DATA)
    for layer in layers(state.params)[:-1]:
        assert np.linalg.norm(layer["kernel"], axis=0).max() <= 0.5 * (1 + 1e-6)
    unbounded, _ = fit(CONFIG, Hparams(max_norm=jnp.inf), jax.random.key(2), DATA)
    absent, _ = fit(CONFIG, Hparams(), jax.random.key(2), DATA)
    chex.assert_trees_all_close(unbounded.params, absent.params, rtol=1e-5, atol=1e-6)


def test_zero_columns_stay_zero_under_max_norm_with_finite_results():
    params = jax.tree.map(jnp.zeros_like, start().params)
    chex.assert_trees_all_equal(at_max_norm(params, 1.0), params)


def test_fit_learns_and_returns_the_metrics_of_its_last_state():
    config = dataclasses.replace(CONFIG, epochs=20)
    state, curve = fit(config, Hparams(), jax.random.key(3), DATA)
    chex.assert_shape(curve.train.loss, (20,))
    assert curve.train.loss[-1] < 0.5 * curve.train.loss[0]
    assert curve.test.error[-1] < 0.3  # two thirds is chance
    last = evaluate(config, state.params, DATA.x_test, DATA.y_test)
    np.testing.assert_allclose(curve.test.loss[-1], last.loss, rtol=1e-5)


def test_new_hyper_parameters_do_not_compile_again():
    chex.clear_trace_counter()
    traced = jax.jit(
        chex.assert_max_traces(lambda h: fit(CONFIG, h, jax.random.key(0), DATA)[1], n=1)
    )
    curves = [
        traced(Hparams(jnp.full(3, rate), jnp.asarray(lr), jnp.asarray(0.5), jnp.asarray(wd)))
        for rate, lr, wd in [(0.0, 0.1, 0.0), (0.5, 0.05, 1e-3), (1.0, 0.01, 1.0)]
    ]
    assert len({float(curve.train.loss[-1]) for curve in curves}) == 3


def counting(traces: list) -> config.Config:
    """A configuration whose loss tells each time that a program with it is traced."""

    def loss(outputs, label):
        traces.append(1)
        return objectives.cross_entropy(outputs, label)

    return dataclasses.replace(SMALL, loss_fn=loss)


AS_GIVEN: list[tuple[Any, ...]] = [
    ((0, 0.5), 0.1, 0, 0, 2),
    ([0.0, 0.5], np.float64(0.1), np.float32(0), jnp.array(0), np.array(2)),
    (np.array([0, 0.5]), jnp.float32(0.1), 0.0, 0.0, jnp.array(2.0)),
    (jnp.array([0, 0.5]), jnp.asarray(0.1), jnp.zeros(()), np.zeros(()), 2.0),
]


@pytest.mark.parametrize("function", [train_step, train_epoch, fit])
def test_hyper_parameters_compile_one_program_however_they_are_given(function):
    traces, ends, n_traces = [], [], 0
    config = counting(traces)
    for hparams in starmap(Hparams, AS_GIVEN):
        if function is fit:
            state, _ = fit(config, hparams, jax.random.key(0), DATA)
        else:
            n = 16 if function is train_step else 50
            state = init(SMALL, hparams, jax.random.key(0), 5)  # which does not know the loss
            state, _ = function(config, hparams, state, DATA.x_train[:n], DATA.y_train[:n])
        ends.append(state.params)
        n_traces = len(traces) if len(ends) == 1 else n_traces
    assert len(traces) == n_traces > 0
    for params in ends[1:]:
        chex.assert_trees_all_equal(params, ends[0])


@pytest.mark.parametrize("n_targets", [None, 1, 2])
def test_squared_error_learns_real_targets_and_has_no_error_rate(n_targets):
    x = np.random.default_rng(0).normal(size=(64, 2)).astype(np.float32)
    y = x.sum(axis=1) if n_targets is None else x[:, :n_targets]
    model = MLP((n_targets or 1,), kernel_init=uniform)
    config = Config(model, epochs=30, batch_size=16, loss_fn=objectives.squared_error)
    data = Dataset(x, y, x, y)
    state, curve = fit(config, Hparams(), jax.random.key(0), data)
    assert curve.test.loss[-1] < 1e-3 < curve.test.loss[0]  # the targets are linear
    assert np.isnan(curve.test.error).all()
    assert evaluate(config, state.params, x, y).loss == curve.test.loss[-1]


@pytest.mark.parametrize("y", [np.zeros((8, 3, 1)), np.full(8, np.nan), np.array(["a"] * 8)])
def test_targets_that_are_no_finite_numbers_are_refused(y):
    config = Config(MLP((3,)), batch_size=4, loss_fn=objectives.squared_error)
    data = Dataset(np.ones((8, 2), np.float32), y, np.ones((8, 2), np.float32), y)
    with pytest.raises(ValueError, match=r"y_train (one of \[n\] or \[n, K\]|must)"):
        fit(config, Hparams(), jax.random.key(0), data)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("learning_rate", -0.1, "not be negative, got -0.1"),
        ("weight_decay", np.float32(-1), "not be negative, got -1.0"),
        ("momentum", -0.5, r"lie in \[0, 1\), got -0.5"),
        ("momentum", 1, r"lie in \[0, 1\), got 1"),
        ("max_norm", 0, "be positive, got 0"),
        ("max_norm", jnp.array(-1.0), "be positive, got -1.0"),
        *(
            (name, np.nan, "be one real number, got nan")
            for name in ("learning_rate", "momentum", "weight_decay")
        ),
    ],
)
def test_hyper_parameters_out_of_range_are_refused_and_traced_ones_pass(name, value, expected):
    hparams = Hparams()._replace(**{name: value})
    with pytest.raises(ValueError, match=f"{name} must {expected}"):
        fit(CONFIG, hparams, jax.random.key(0), DATA)
    with pytest.raises(ValueError, match=f"{name} must {expected}"):
        stack_conditions([hparams])
    jax.eval_shape(
        lambda v: fit(CONFIG, Hparams()._replace(**{name: v}), jax.random.key(0), DATA), 1.0
    )


def test_vmap_over_hyper_parameters_is_the_loop():
    rates = np.array([[0.0, 0.0, 0.0], [0.2, 0.5, 0.5]], np.float32)
    key = jax.random.key(4)
    together, _ = jax.vmap(lambda r: fit(CONFIG, Hparams(rates=r), key, DATA))(rates)
    params = jax.tree.map(np.asarray, together.params)
    for i in range(2):
        alone, _ = fit(CONFIG, Hparams(rates=rates[i]), jax.random.clone(key), DATA)
        of_member = jax.tree.map(lambda leaf, i=i: leaf[i], params)
        chex.assert_trees_all_close(of_member, alone.params, rtol=1e-4, atol=1e-5)


def test_another_optimizer_and_loss_are_passed_as_functions():
    config = Config(
        MLP((8, 3), kernel_init=uniform),
        epochs=2,
        batch_size=16,
        loss_fn=lambda outputs, label: jnp.sum((outputs - jax.nn.one_hot(label, 3)) ** 2),
        make_optimizer=lambda hparams: optax.adam(hparams.learning_rate),
    )
    _, curve = fit(config, Hparams(learning_rate=0.01), jax.random.key(5), DATA)
    assert curve.train.loss[-1] < curve.train.loss[0]


def test_the_loss_with_dropout_is_that_of_the_masked_network_in_the_mean():
    """5σ/√n over n keys: the stochastic loss of a linear model has the ridge penalty's mean."""
    config = Config(MLP((1,)), loss_fn=lambda out, y: jnp.sum((out - y) ** 2), batch_size=4)
    x: Any = np.array([[1.0, 2.0], [0.5, -1.0], [2.0, 0.0], [1.0, 1.0]], np.float32)
    y: Any = np.arange(4, dtype=np.float32)
    kernel: Any = np.array([[0.7], [-0.3]], np.float32)
    params: Any = {"params": {"layer_0": {"kernel": kernel, "bias": np.zeros(1, np.float32)}}}
    keys = jax.random.split(jax.random.key(6), 4000)
    rates = jnp.array([0.2])
    of_key = jax.jit(jax.vmap(lambda key: _batch_loss(config, params, x, y, key, rates)[0]))
    losses = np.asarray(of_key(keys), np.float64)
    penalty = 0.25 * np.sum((x * kernel[:, 0]) ** 2) / 4  # λ Σ w² ‖x‖² / n, λ = .2/.8
    expected = np.mean((x @ kernel - y[:, None]) ** 2) + penalty
    bound = 5 * losses.std() / np.sqrt(len(losses))
    assert abs(losses.mean() - expected) < bound
    assert penalty > 3 * bound  # so that the test can tell


@pytest.mark.parametrize("impl", ["threefry2x32", "philox2x32"])
def test_training_works_with_any_counter_based_generator(impl):
    _, curve = fit(CONFIG, Hparams(rates=jnp.array(RATES)), jax.random.key(0, impl=impl), DATA)
    assert np.isfinite(curve.train.loss).all()


@pytest.mark.parametrize("varying", [{"key"}, {"hparams"}, {"data"}, {"key", "hparams", "data"}])
def test_members_that_a_mesh_tells_apart_are_trained_as_if_alone(varying):
    """Inside `shard_map`, whatever it is that differs; not even a bias gets a sum of gradients."""
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(100, 5)).astype(np.float32), rng.integers(0, 3, 100).astype(np.int32)
    config = Config(MLP((8, 3), kernel_init=uniform), epochs=2, batch_size=16)
    keys = jax.random.split(jax.random.key(0))
    rates = np.array([[0.0, 0.5], [0.2, 0.5]], np.float32)

    def biases(keys, rates, data):
        params = fit(config, Hparams(rates[0]), keys[0], data)[0].params
        return jnp.concatenate([layer["bias"] for layer in layers(params)])

    whole = {"key": keys, "hparams": rates, "data": Dataset(x, y, x, y)}
    halves = [
        {
            name: jax.tree.map(lambda a, i=i: a[i * len(a) // 2 :][: len(a) // 2], of)
            for name, of in whole.items()
        }
        for i in (0, 1)
    ]
    given = {name: of if name in varying else halves[0][name] for name, of in whole.items()}
    members = [
        {name: (half if name in varying else halves[0])[name] for name in whole} for half in halves
    ]
    mesh = jax.sharding.Mesh(jax.local_devices()[:2], ("d",))
    specs = tuple(jax.sharding.PartitionSpec("d" if name in varying else None) for name in whole)
    out = jax.sharding.PartitionSpec("d")
    sharded = jax.jit(jax.shard_map(biases, mesh=mesh, in_specs=specs, out_specs=out))
    with jax.debug_key_reuse(False):
        together = sharded(*given.values())
        alone = [np.asarray(biases(*member.values())) for member in members]
    np.testing.assert_allclose(together, np.concatenate(alone), rtol=1e-5, atol=1e-6)
    assert np.abs(np.subtract(*alone)).max() > 1e-3
