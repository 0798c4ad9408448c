from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dropout_jax.data import Dataset
from dropout_jax.networks.mlp import MLP
from dropout_jax.training.config import Config, Hparams
from dropout_jax.training.epochs import fit, train_epoch
from dropout_jax.training.schedules import curriculum, early, late
from tests.starts import init, uniform

SCHEDULES = (early, late, curriculum)
RNG = np.random.default_rng(0)
MODEL = MLP((4, 2), kernel_init=uniform)
X, Y = RNG.normal(size=(8, 3)).astype(np.float32), np.array([0, 1] * 4, np.int32)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_a_factor_lies_between_0_and_1_and_is_monotone(schedule):
    factors = np.asarray(schedule(np.linspace(0, 1, 101, dtype=np.float32)))
    assert np.all((factors >= 0) & (factors <= 1))
    steps = np.diff(factors)
    assert np.all(steps <= 0) or np.all(steps >= 0)


def test_early_falls_linearly_to_0_at_its_cutoff():
    at = jnp.array([0.0, 0.1, 0.2, 0.4, 0.9])
    np.testing.assert_allclose(early(at, cutoff=0.4), [1, 0.75, 0.5, 0, 0], atol=1e-6)


def test_late_is_0_until_its_cutoff_and_1_from_there():
    np.testing.assert_array_equal(late(jnp.array([0.0, 0.49, 0.5, 0.99])), [0, 0, 1, 1])


def test_curriculum_is_morerios_keep_probability():
    t, n_steps, keep, gamma = np.arange(50), 50, 0.5, 10 / 50
    factor = curriculum(jnp.asarray(t / n_steps), speed=gamma * n_steps)
    rate = (1 - keep) * np.asarray(factor)
    np.testing.assert_allclose(1 - rate, (1 - keep) * np.exp(-gamma * t) + keep, rtol=1e-5)


@pytest.mark.parametrize(("schedule", "factor"), [(early, 0), (late, 1)])
def test_a_cutoff_of_0_is_past_from_the_start(schedule, factor):
    at = jnp.array([0.0, 1e-6, 0.5])
    for cutoff in (0, 0.0, -0.0, 1e-46, 5e-324, jnp.array(0.0)):
        np.testing.assert_array_equal(schedule(at, cutoff=cutoff), jnp.full(3, factor))
        assert schedule(0.5, cutoff=cutoff) == factor


@pytest.mark.parametrize(("schedule", "factor"), [(early, 1), (late, 0), (curriculum, 0)])
def test_at_its_start_a_schedule_is_at_its_end_of_the_range(schedule, factor):
    assert schedule(jnp.array(0.0)) == factor
    assert curriculum(jnp.array(0.5), speed=0.0) == 0


@pytest.mark.parametrize("given", [-0.1, np.nan, np.inf])
@pytest.mark.parametrize(
    ("schedule", "name"), [(early, "cutoff"), (late, "cutoff"), (curriculum, "speed")]
)
def test_what_would_leave_the_range_of_factors_is_refused(schedule, name, given):
    with pytest.raises(ValueError, match=f"{name} must be finite and not negative, got {given}"):
        schedule(jnp.array(0.5), **{name: given})


def trained(schedule, rate, epochs=4):
    config = Config(MODEL, epochs=epochs, batch_size=4, rate_schedule=schedule)
    data = Dataset(X, Y, X, Y)
    return fit(config, Hparams(rates=jnp.array([0.0, rate])), jax.random.key(0), data)


def test_a_schedule_of_1_trains_as_none_does():
    chex.assert_trees_all_equal(trained(jnp.ones_like, 0.5), trained(None, 0.5))


def test_the_rates_of_a_step_are_those_of_its_progress():
    """Late from the middle on: the first half without dropout, the second with it."""
    halves = Config(MODEL, epochs=4, batch_size=4)
    state = init(halves, Hparams(rates=jnp.zeros(2)), jax.random.key(0), 3)
    for rate in (0.0, 0.0, 0.5, 0.5):
        hparams = Hparams(rates=jnp.array([0.0, rate]))
        state, _ = train_epoch(halves, hparams, state, X, Y)
    state_late, _ = trained(partial(late, cutoff=0.5), 0.5)
    chex.assert_trees_all_close(state_late.params, state.params, rtol=1e-6)
    without, _ = trained(None, 0.0)
    with pytest.raises(AssertionError):
        chex.assert_trees_all_close(state_late.params, without.params, rtol=1e-3)
