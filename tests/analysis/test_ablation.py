from functools import partial
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dropout_jax.analysis.ablation import (
    ablation_curve,
    damages,
    effective_number,
    effects,
    output_interactions,
    pair_interactions,
)
from dropout_jax.networks.mlp import MLP, outputs_from

RNG = np.random.default_rng(0)
H = jnp.asarray(RNG.normal(size=(30, 6)), jnp.float32)
W = jnp.asarray(RNG.normal(size=(6, 3)), jnp.float32)
Y = jnp.asarray(RNG.normal(size=(30, 3)), jnp.float32)
PAIRS = jnp.asarray(np.stack(np.triu_indices(6, 1), axis=1))


def squared(hidden):
    """The mean squared error of a linear output, whose ablations are known in closed form."""
    return jnp.sum((hidden @ W - Y) ** 2, axis=1).mean()


def linear(hidden):
    return (hidden @ W).sum()


damages_of = jax.jit(partial(damages, squared))


@partial(jax.jit, static_argnums=0)
def interactions_of(loss_fn, hidden, pairs):
    return pair_interactions(loss_fn, hidden, damages(loss_fn, hidden), pairs)


def test_the_damage_of_a_unit_is_the_loss_without_it_minus_the_loss():
    expected = [squared(H.at[:, j].set(0)) - squared(H) for j in range(6)]
    np.testing.assert_allclose(damages_of(H), expected, rtol=1e-4, atol=1e-5)


def test_the_interaction_under_squared_error_is_the_product_of_both_contributions():
    """‖r - aᵢ - aⱼ‖² - ‖r - aᵢ‖² - ‖r - aⱼ‖² + ‖r‖² = 2 aᵢ·aⱼ, with aⱼ = hⱼ wⱼ."""
    contributions = H[:, :, None] * W[None]
    expected = 2 * jnp.einsum("nik,njk->nij", contributions, contributions).mean(axis=0)
    actual = interactions_of(squared, H, PAIRS)
    np.testing.assert_allclose(actual, expected[PAIRS[:, 0], PAIRS[:, 1]], rtol=1e-3, atol=1e-4)
    swapped = interactions_of(squared, H, PAIRS[:, ::-1])
    np.testing.assert_allclose(swapped, actual, rtol=1e-3, atol=1e-4)


def test_units_that_act_independently_do_not_interact():
    scale = float(jnp.abs(damages(linear, H)).max())
    assert jnp.abs(interactions_of(linear, H, PAIRS)).max() < 1e-5 * scale


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_shrinking_a_unit_goes_from_no_effect_to_that_of_removing_it(strength):
    """Under squared error ‖r - s aⱼ‖² - ‖r‖² = s² ‖aⱼ‖² - 2 s r·aⱼ, and pairs 2 s² aᵢ·aⱼ."""
    a, r = H[:, :, None] * W[None], H @ W - Y
    expected = strength**2 * (a**2).sum(2) - 2 * strength * jnp.einsum("nk,njk->nj", r, a)
    damage = damages(squared, H, strength)
    np.testing.assert_allclose(damage, expected.mean(axis=0), rtol=1e-3, atol=1e-4)
    pairs = pair_interactions(squared, H, damage, PAIRS, strength)
    products = 2 * strength**2 * jnp.einsum("nik,njk->nij", a, a).mean(axis=0)
    np.testing.assert_allclose(pairs, products[PAIRS[:, 0], PAIRS[:, 1]], rtol=1e-3, atol=1e-4)


def test_units_that_add_up_in_the_outputs_do_not_interact_there_but_in_the_loss():
    single = jnp.linalg.norm(effects(lambda h: h @ W, H, jnp.arange(6)[:, None]), axis=-1)
    np.testing.assert_allclose(single.T, jnp.abs(H) * jnp.linalg.norm(W, axis=1)[None], rtol=1e-4)
    apart = output_interactions(lambda h: h @ W, H, PAIRS)
    assert apart.max() < 1e-5 * single.max()
    assert jnp.abs(interactions_of(squared, H, PAIRS)).min() > 1e-4


def test_the_interaction_of_outputs_that_multiply_units_is_their_product():
    """(z₀z₁, z₂): without both minus each is z₀z₁, and nothing for pairs that do not meet."""

    def outputs(h):
        return jnp.stack([h[:, 0] * h[:, 1], h[:, 2]], axis=1)

    found = output_interactions(outputs, H, jnp.array([[0, 1], [0, 2], [1, 2]]))
    np.testing.assert_allclose(found, [float(jnp.abs(H[:, 0] * H[:, 1]).mean()), 0, 0], atol=1e-5)


def test_a_unit_that_sends_nothing_does_no_damage_and_does_not_interact():
    silent = H.at[:, 2].set(0)
    np.testing.assert_allclose(damages_of(silent)[2], 0, atol=1e-5)
    touched = jnp.any(PAIRS == 2, axis=1)
    interactions = interactions_of(squared, silent, PAIRS)
    np.testing.assert_allclose(interactions[touched], 0, atol=1e-5)
    assert jnp.all(jnp.abs(interactions[~touched]) > 1e-4)


def test_of_two_units_that_are_each_enough_the_pair_is_worth_what_neither_is():
    """The loss is 1 only without both: no single damage, an interaction of 1."""

    def both_gone(h):
        return jnp.all(h[:, :2] == 0).astype(jnp.float32)

    pair = jnp.array([[0, 1]])
    assert jnp.all(damages(both_gone, jnp.abs(H) + 1) == 0)
    assert interactions_of(both_gone, jnp.abs(H) + 1, pair).tolist() == [1]


def test_damages_go_with_their_units():
    order = jnp.array([3, 0, 5, 1, 4, 2])

    def permuted(h):
        return squared(h[:, jnp.argsort(order)])

    np.testing.assert_allclose(damages(permuted, H[:, order]), damages_of(H)[order], rtol=1e-4)


def test_a_curve_begins_with_all_units_and_ends_with_none():
    orders = jnp.stack([jnp.arange(6), jnp.arange(6)[::-1]])
    fractions = jnp.array([0.0, 0.5, 1.0])
    curve = ablation_curve(squared, H, orders, fractions)
    halves = [squared(H.at[:, :3].set(0)), squared(H.at[:, 3:].set(0))]
    expected = [squared(H), np.mean(halves), squared(0 * H)]
    np.testing.assert_allclose(curve, expected, rtol=1e-5)


@pytest.mark.parametrize(("damage", "n"), [([3.0, 0, 0, 0], 1), ([1.0, -1, 1, 1], 4)])
def test_the_effective_number_counts_the_units_relied_on(damage, n):
    assert effective_number(jnp.array(damage)) == n


@pytest.mark.parametrize("compiled", [False, True])
def test_outputs_from_a_layer_are_those_of_the_whole_pass(compiled):
    model = MLP((5, 4, 3), activation=jnp.tanh)
    x = jax.random.normal(jax.random.key(0), (7, 2))
    params = jax.tree.map(lambda w: w + 0.1, model.init(jax.random.key(1), x))
    *hidden, outputs = cast(tuple, model.apply(params, x, method="activations"))
    resume = jax.jit(outputs_from, static_argnums=(0, 2)) if compiled else outputs_from
    for l, activations in enumerate(hidden):
        np.testing.assert_allclose(resume(model, params, l, activations), outputs, rtol=1e-5)
