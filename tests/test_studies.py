"""What studies compute beside the library."""

from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn
from scipy.stats import spearmanr

from dropout_jax.data import Dataset, load_dataset
from dropout_jax.networks.mlp import MLP, layers
from dropout_jax.populations.blocks import init_blocks, train_blocks
from dropout_jax.populations.devices import device_mesh, shard_members, share
from dropout_jax.populations.population import fit_population
from dropout_jax.training.config import Config, Hparams
from experiments import data_size, multiverse, optimizers, second_domain
from experiments.shared import (
    courses,
    members,
    pairs,
    pieces,
    profiles,
    recipes,
    regression,
    study,
    universes,
)
from experiments.shared.members import CHOSEN, QUANTITIES, fresh_members
from experiments.shared.specifications import by_choice, count, say
from tests.starts import uniform


def test_fresh_members_are_those_that_a_population_begins_with():
    rng = np.random.default_rng(0)
    config = Config(MLP((4, 3)), epochs=1, batch_size=8)
    x, y = rng.normal(size=(16, 5)).astype(np.float32), rng.integers(0, 3, 16).astype(np.int32)
    conditions = [Hparams(rates=(0.0, rate)) for rate in (0.0, 0.5)]
    data = Dataset(x, y, x, y)
    trained = fit_population(config, conditions, range(3), study.root_key(), data)
    _, state = fresh_members(config, (0.0, 0.5), 3, 5)
    chex.assert_trees_all_close(state.params, trained.init_params, rtol=1e-6)


def test_what_is_kept_is_of_the_least_held_out_loss_and_of_the_first_below_the_level():
    held_out, seen = [3.0, 1.0, 2.0, 1.5], [2.0, 0.5, 0.2, 0.1]
    kept = universes.Kept(jnp.array(-1), jnp.array(9.0), jnp.array(-1), jnp.array(9.0))
    for epoch, losses in enumerate(zip(held_out, seen, strict=True)):
        kept = universes.keep(kept, jnp.array(epoch), *map(jnp.array, losses))
    assert int(kept.best) == 1
    assert float(kept.best_loss) == 1.0
    assert int(kept.level) == 2
    np.testing.assert_allclose(kept.level_loss, 0.2)


def found_in_a_universe(fall):
    """Values [C, S, T, Q, M] of 10 seeds; Gini and CV fall by a share, participation rises by it.

    One seed did not reach the last stop.
    """
    rng = np.random.default_rng(0)
    none = 0.4 + 0.01 * rng.random((10, 3, len(QUANTITIES), len(CHOSEN)))
    rises = np.array([name == "participation" for name in CHOSEN])
    dropout = none * np.where(rises, 1 + fall, 1 - fall)
    values = np.stack([none, dropout])
    values[1, 0, -1] = np.nan
    return values


def test_a_universe_says_the_direction_whatever_way_its_measure_points():
    universe = universes.Universe("lecun", "SGD", 64, 2, "digits")
    rows = multiverse.specify(universe, found_in_a_universe(0.1))
    assert len(rows) == 3 * len(QUANTITIES) * len(CHOSEN)
    assert {row["verdict"] for row in rows} == {"more uniform"}
    np.testing.assert_allclose([row["percent"] for row in rows], -10, rtol=1e-6)
    assert all(row["low"] <= row["percent"] <= row["high"] for row in rows)
    assert {row["n"] for row in rows if row["stopping"] == "equal training loss"} == {9}


def test_universes_are_counted_by_verdict_and_by_choice_and_put_in_words():
    rows = []
    for optimizer, fall in (("SGD", 0.1), ("Adam", -0.1)):
        universe = universes.Universe("lecun", optimizer, 64, 2, "digits")
        rows += multiverse.specify(universe, found_in_a_universe(fall))
    assert count(rows)["more uniform"] == count(rows)["less uniform"] == 0.5
    assert by_choice(rows)["optimizer"]["SGD"]["more uniform"] == 1
    assert "depends most on optimizer (SGD 100 %, Adam 0 %)" in say("weights", rows)


def test_a_universe_that_other_versions_trained_is_trained_again(tmp_path, monkeypatch):
    trained = []
    monkeypatch.setattr(universes, "run_universe", lambda *_: trained.append("") or {"values": []})
    size = replace(universes.QUICK, cache=tmp_path)
    for package, n_trained in (("", 1), ("", 1), ("numpy", 2), ("dropout_jax", 3)):
        monkeypatch.setattr(universes, "versions", lambda package=package: {package: "0.0"})
        universes.remembered(universes.universes(size)[0], size)
        assert len(trained) == n_trained


@pytest.mark.parametrize("seed", range(5))
def test_the_rank_correlation_is_spearmans(seed):
    one, other = np.random.default_rng(seed).normal(size=(2, 6)).round(0 if seed else 9)
    expected = float(np.asarray(spearmanr(one, other))[0])
    np.testing.assert_allclose(data_size.rank_correlation(one, other), expected)
    assert data_size.rank_correlation(np.ones(6), other) == 0


def test_features_have_the_scales_asked_for_and_matter_alike():
    for scales in regression.SCALES.values():
        x, y = regression.examples(scales)
        np.testing.assert_allclose(x.std(axis=0), scales, rtol=1e-5)
        np.testing.assert_allclose(x.mean(axis=0), 0, atol=1e-6)
        best = np.linalg.lstsq(x, y, rcond=None)[0]
        noise = 5 * 0.1 / np.sqrt(regression.N_EXAMPLES)
        np.testing.assert_allclose(scales * best, 1, atol=noise)
        assert jax.numpy.asarray(x).dtype == jnp.float32


def test_linear_regression_that_is_trained_with_dropout_ends_at_its_ridge():
    for weights in regression.run(n_seeds=3, n_steps=4_000).values():
        for which in ("dropout", "L2"):
            exact = weights[f"{which}, closed form"]
            apart = np.linalg.norm(weights[which] - exact[None], axis=1) / np.linalg.norm(exact)
            assert apart.max() < 0.02  # the noise that 2,000 masks of 200 examples leave


# Kernels of a training step


@pytest.mark.parametrize("rates", [None, np.full(3, 0.5, np.float32)])
def test_kernels_count_for_what_is_computed_in_them_and_masks_are_only_where_units_drop(rates):
    mesh = device_mesh(jax.local_devices()[:1])
    config, data = Config(MLP((8, 8, 10)), batch_size=16), share(mesh, load_dataset("digits"))
    hparams = jax.tree.map(lambda value: np.asarray(value, np.float32)[None], Hparams(rates))
    hparams, keys = shard_members(mesh, (hparams, jax.random.split(jax.random.key(0), 1)))
    state = jax.eval_shape(partial(init_blocks, config, mesh), hparams, keys, data)
    program = str(train_blocks.lower(config, mesh, hparams, state, data).compile().as_text())
    found = set(" and ".join(profiles.parts_of(program).values()).split(" and "))
    parts = {"matrix products", "activations", "loss", "optimizer", "batch", "shuffle"}
    assert found - {""} == parts | ({"masks"} if rates is not None else set())


def test_a_kernel_that_does_two_things_bears_both_names():
    program = """%both (a: f32[2]) -> f32[2] {
  %gather.1 = f32[2]{0} gather(%a), metadata={op_name="jit(f)/while/body/call/gather"}
  ROOT %mul.1 = f32[2]{0} multiply(%gather.1, %a), metadata={op_name="MLP.activations/mul"}
}

ENTRY %main (b: f32[2]) -> f32[2] {
  %b = f32[2]{0} parameter(0)
  ROOT %loop_fusion = f32[2]{0} fusion(%b), kind=kLoop, calls=%both, metadata={op_name="jit(f)"}
}
"""
    assert profiles.parts_of(program)["loop_fusion"] == "masks and batch"


def test_a_task_that_begins_no_kernel_is_the_share_of_one_begun_elsewhere():
    def event(name: str, ts: float, dur: float = 0, tid: int = 1) -> dict[str, object]:
        return {"name": name, "ts": ts, "dur": dur, "tid": tid}

    start, stop = "ThreadpoolListener::StartRegion", "ThreadpoolListener::StopRegion"
    alone = [event(start, 10), event(stop, 15)]
    with_a_kernel = [event(start, 20), event("dot.1", 21, 7), event(stop, 29)]
    within_a_kernel = [event("dot.1", 30, 9), event(start, 32), event(stop, 35)]
    over_its_end = [event("dot.1", 40, 9), event(start, 45), event(stop, 51)]
    elsewhere = [event("dot.1", 0, 99, tid=2), event(stop, 99, tid=2)]
    events = [*elsewhere, *over_its_end, *within_a_kernel, *with_a_kernel, *alone]
    assert profiles.unnamed(events, {"dot.1"}) == 5 + 2


def test_the_products_of_the_benchmark_are_those_of_a_step():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(4, 6)).astype(np.float32)
    kernels = [rng.normal(size=(1, *shape)).astype(np.float32) for shape in ((6, 5), (5, 3))]
    mesh = device_mesh(jax.local_devices()[:1])
    total = pieces._multiply_blocks(mesh, 3, shard_members(mesh, kernels), share(mesh, x))
    first, last = (kernel[0] for kernel in kernels)
    hidden = x @ first
    signal = hidden @ last
    grads = x.T @ (signal @ last.T), hidden.T @ signal
    np.testing.assert_allclose(total, [3 * sum(grad[0, 0] for grad in grads)], rtol=1e-4)


# Courses of training


def test_a_course_ends_where_a_population_ends_and_stretched_by_one_is_its_end():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(24, 5)).astype(np.float32), rng.integers(0, 3, 24).astype(np.int32)
    data, hparams = Dataset(x, y, x[:6], y[:6]), Hparams(rates=(0.0, 0.5))
    config = Config(MLP((4, 3), kernel_init=uniform), epochs=3, batch_size=8)
    trained = fit_population(config, [hparams], range(1), study.root_key(), data)
    at = courses.moments(3, 3)
    assert (at[0], at[-1]) == (0, 9)
    assert 3 in at  # the end of the first epoch
    (key,) = members.keys_of(1)
    looks, stretched = jax.jit(courses.course, static_argnums=(0, 1, 2))(
        config, at, (1.0,), hparams, key, jnp.float32(1), data
    )
    loss = trained.curve.train.loss[0, 0, -1]
    np.testing.assert_allclose(looks.numbers["train loss"][-1], loss, rtol=1e-5)
    np.testing.assert_allclose(stretched.numbers["train loss"][0], loss, rtol=1e-5)
    kernel, start = (
        np.asarray(of["params"]["layer_0"]["kernel"])[0, 0]
        for of in (trained.params, trained.init_params)
    )
    distance = np.linalg.norm(kernel - start) / np.linalg.norm(start)
    np.testing.assert_allclose(looks.numbers["distance, layer 0"][-1], distance, rtol=1e-5)
    assert looks.numbers["distance, layer 0"][0] == 0


def test_the_law_of_distance_is_linear_in_the_logarithm_and_knows_nothing_outside():
    distance, values = np.array([0.0, 1, 10, 100]), np.array([9.0, 1, 2, 4])
    found = courses.law(distance, values, np.array([1.0, np.sqrt(10), 1000**0.5, 0.5, 200, 0]))
    np.testing.assert_allclose(found, [1, 1.5, 3, np.nan, np.nan, np.nan])


def test_a_value_at_a_level_is_read_off_where_the_loss_first_falls_to_it():
    loss, values = np.array([1.0, 0.1, 0.5, 0.01]), np.array([0.0, 1, 5, 3])
    assert courses.at_level(loss, values, np.sqrt(0.1)) == 0.5
    assert courses.at_level(loss, values, 0.1) == 1
    assert np.isnan(courses.at_level(loss, values, 0.001))
    assert np.isnan(courses.at_level(loss, values, 2.0))


def test_the_looks_of_a_course_are_a_factor_apart_and_end_at_the_end():
    at = np.array(optimizers.looks_at(930))
    assert (at[0], at[-1]) == (4, 930)
    assert np.all(at[1:] <= 1.3 * at[:-1] + 1)


# Pairs of units


def test_a_fitted_temperature_scales_with_the_logits():
    rng = np.random.default_rng(0)
    model = MLP((3,))
    x = rng.normal(size=(200, 4)).astype(np.float32)
    kernel = rng.normal(size=(4, 3)).astype(np.float32)
    y = (x @ kernel + rng.gumbel(size=(200, 3))).argmax(axis=1).astype(np.int32)  # T = 1

    def fitted(scale):
        layer = {"kernel": jnp.asarray(scale * kernel), "bias": jnp.zeros(3)}
        return float(
            pairs.fitted_temperature(model, {"params": {"layer_0": layer}}, jnp.asarray(x), y)
        )

    step = float(pairs.TEMPERATURES[1] / pairs.TEMPERATURES[0])
    assert 0.6 < fitted(1) < 1.6
    assert fitted(2) / fitted(1) == pytest.approx(2, rel=step - 1)


@pytest.mark.slow
def test_matched_damage_is_the_target_and_all_units_are_removed_where_it_is_their_own():
    rng = np.random.default_rng(0)
    data = Dataset(
        *(rng.normal(size=(40, 4)).astype(np.float32), np.arange(40, dtype=np.int32) % 3) * 2
    )
    model, widths = MLP((6, 5, 3)), (4, 6, 5, 3)
    kernels = [rng.normal(size=shape) / np.sqrt(shape[0]) for shape in pairwise(widths)]
    params: Any = {
        "params": {
            f"layer_{l}": {"kernel": jnp.asarray(k, jnp.float32), "bias": jnp.zeros(k.shape[1])}
            for l, k in enumerate(kernels)
        }
    }
    examined = pairs.examination(data, (6, 5))
    together = jax.jit(partial(pairs.together, model))(params, examined)
    own = np.stack([layer["mean damage"] for layer in together])
    at_matched_damage = jax.jit(partial(pairs.at_matched_damage, model))
    found = at_matched_damage(params, own, examined)
    np.testing.assert_allclose(found["strength"], 1, atol=2.0**-pairs.HALVINGS)
    weaker = at_matched_damage(params, own / 2, examined)
    strength = np.asarray(weaker["strength"])
    assert np.all((strength > 0.2) & (strength < 0.8))


def test_features_are_standardised_by_the_part_that_trains():
    rng = np.random.default_rng(0)
    x = rng.normal(3, 5, size=(100, 4))
    data = second_domain.standardised(x, np.arange(100) % 2)
    np.testing.assert_allclose(data.x_train.mean(axis=0), 0, atol=1e-5)
    np.testing.assert_allclose(data.x_train.std(axis=0), 1, rtol=1e-5)
    assert len(data.x_test) == 20


def test_columns_above_the_bound_of_their_layer_end_at_it_and_others_where_they_went():
    kernel = jnp.array([[3.0, 0.1], [4.0, 0.1]])
    params = {"params": {f"layer_{l}": {"kernel": kernel, "bias": jnp.ones(2)} for l in (0, 1)}}
    steps = jax.tree.map(jnp.ones_like, params)
    optimizer = recipes.bounded((1.0, 100.0))
    updates, _ = optimizer.update(steps, optimizer.init(params), params)
    first, last = layers(optax.apply_updates(params, updates))
    chex.assert_trees_all_close(jnp.linalg.norm(first["kernel"], axis=0), jnp.ones(2))
    chex.assert_trees_all_close(last["kernel"], kernel + 1)
    chex.assert_trees_all_close(first["bias"], jnp.full(2, 2.0))


def test_the_scripts_optimizer_is_its_recursion_with_rate_and_momentum_by_epoch():
    params = {"params": {"layer_0": {"kernel": jnp.zeros((1, 1)), "bias": jnp.zeros(1)}}}
    grads = jax.tree.map(jnp.ones_like, params)
    optimizer = recipes.pylearn2(2, (1e9,))(Hparams())  # two steps an epoch

    def step(carry, _):
        updates, state = optimizer.update(grads, carry[1], carry[0])
        params = optax.apply_updates(carry[0], updates)
        return (params, state), layers(params)[0]["bias"][0]

    _, found = jax.lax.scan(step, (params, optimizer.init(params)), length=1600)
    w, velocity, expected = 0.0, 0.0, []
    for n in range(1600):
        fall, rise = min(n // 2 / 560, 1), min(n // 2 / 698, 1)
        rate = 0.097259 * (1 - (1 - 0.022292) * fall)
        velocity = (0.5 + (0.699217 - 0.5) * rise) * velocity - rate
        w += velocity
        expected.append(w)
    np.testing.assert_allclose(found, expected, rtol=1e-4)  # 1,600 sums in float32


def test_initial_kernels_have_the_range_of_their_layer_or_are_lecuns_times_a_factor():
    init = recipes.uniform((50, 40), (0.1, 0.0))
    assert 0.09 < float(jnp.abs(init(jax.random.key(0), (50, 30))).max()) <= 0.1
    assert float(jnp.abs(init(jax.random.key(1), (40, 30))).max()) == 0
    lecun = nn.initializers.lecun_normal()(jax.random.key(2), (50, 30))
    fourfold = recipes.scaled(4.0)(jax.random.key(2), (50, 30))
    chex.assert_trees_all_close(fourfold, 4 * lecun, rtol=1e-6)
