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
H, W, Y = (RNG.normal(size=shape).astype(np.float32) for shape in ((30, 6), (6, 3), (30, 3)))
PAIRS = np.stack(np.triu_indices(6, 1), axis=1)


def squared(hidden):
    """The mean squared error of a linear output, whose ablations are known in closed form."""
    return ((hidden @ W - Y) ** 2).sum(axis=1).mean()


def linear(hidden):
    return (hidden @ W).sum()


damages_of = jax.jit(partial(damages, squared))


@partial(jax.jit, static_argnums=0)
def interactions_of(loss_fn, hidden, pairs, strength=1.0):
    return pair_interactions(loss_fn, hidden, damages(loss_fn, hidden, strength), pairs, strength)


def without(*units):
    return np.where(np.isin(np.arange(6), units), 0, H)


def test_the_damage_of_a_unit_is_the_loss_without_it_minus_the_loss():
    expected = [squared(without(j)) - squared(H) for j in range(6)]
    np.testing.assert_allclose(damages_of(H), expected, rtol=1e-4, atol=1e-5)


def test_the_interaction_under_squared_error_is_the_product_of_both_contributions():
    """‖r - aᵢ - aⱼ‖² - ‖r - aᵢ‖² - ‖r - aⱼ‖² + ‖r‖² = 2 aᵢ·aⱼ, with aⱼ = hⱼ wⱼ."""
    contributions = H[:, :, None] * W[None]
    expected = 2 * np.einsum("nik,njk->nij", contributions, contributions).mean(axis=0)
    actual = interactions_of(squared, H, PAIRS)
    np.testing.assert_allclose(actual, expected[PAIRS[:, 0], PAIRS[:, 1]], rtol=1e-3, atol=1e-4)
    swapped = interactions_of(squared, H, PAIRS[:, ::-1])
    np.testing.assert_allclose(swapped, actual, rtol=1e-3, atol=1e-4)


def test_units_that_act_independently_do_not_interact():
    scale = np.abs(jax.jit(partial(damages, linear))(H)).max()
    assert np.abs(interactions_of(linear, H, PAIRS)).max() < 1e-5 * scale


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_shrinking_a_unit_goes_from_no_effect_to_that_of_removing_it(strength):
    """Under squared error ‖r - s aⱼ‖² - ‖r‖² = s² ‖aⱼ‖² - 2 s r·aⱼ, and pairs 2 s² aᵢ·aⱼ."""
    a, r = H[:, :, None] * W[None], H @ W - Y
    expected = strength**2 * (a**2).sum(2) - 2 * strength * np.einsum("nk,njk->nj", r, a)
    damage = damages_of(H, strength)
    np.testing.assert_allclose(damage, expected.mean(axis=0), rtol=1e-3, atol=1e-4)
    pairs = interactions_of(squared, H, PAIRS, strength)
    products = 2 * strength**2 * np.einsum("nik,njk->nij", a, a).mean(axis=0)
    np.testing.assert_allclose(pairs, products[PAIRS[:, 0], PAIRS[:, 1]], rtol=1e-3, atol=1e-4)


def test_units_that_add_up_in_the_outputs_do_not_interact_there_but_in_the_loss():
    def outputs(h):
        return h @ W

    single = np.linalg.norm(jax.jit(partial(effects, outputs))(H, np.arange(6)[:, None]), axis=-1)
    np.testing.assert_allclose(single.T, np.abs(H) * np.linalg.norm(W, axis=1), rtol=1e-4)
    apart = jax.jit(partial(output_interactions, outputs))(H, PAIRS)
    assert apart.max() < 1e-5 * single.max()
    assert np.abs(interactions_of(squared, H, PAIRS)).min() > 1e-4


def test_the_interaction_of_outputs_that_multiply_units_is_their_product():
    """(z₀z₁, z₂): without both minus each is z₀z₁, and nothing for pairs that do not meet."""

    def outputs(h):
        return jnp.stack([h[:, 0] * h[:, 1], h[:, 2]], axis=1)

    pairs = np.array([[0, 1], [0, 2], [1, 2]])
    found = jax.jit(partial(output_interactions, outputs))(H, pairs)
    np.testing.assert_allclose(found, [np.abs(H[:, 0] * H[:, 1]).mean(), 0, 0], atol=1e-5)


def test_a_unit_that_sends_nothing_does_no_damage_and_does_not_interact():
    silent = without(2)
    np.testing.assert_allclose(damages_of(silent)[2], 0, atol=1e-5)
    touched = np.any(PAIRS == 2, axis=1)
    interactions = np.asarray(interactions_of(squared, silent, PAIRS))
    np.testing.assert_allclose(interactions[touched], 0, atol=1e-5)
    assert np.all(np.abs(interactions[~touched]) > 1e-4)


def test_of_two_units_that_are_each_enough_the_pair_is_worth_what_neither_is():
    """The loss is 1 only without both: no single damage, an interaction of 1."""

    def both_gone(h):
        return jnp.all(h[:, :2] == 0).astype(jnp.float32)

    pair = np.array([[0, 1]])
    assert np.all(np.asarray(jax.jit(partial(damages, both_gone))(np.abs(H) + 1)) == 0)
    assert interactions_of(both_gone, np.abs(H) + 1, pair).tolist() == [1]


def test_damages_go_with_their_units():
    order = np.array([3, 0, 5, 1, 4, 2])

    def permuted(h):
        return squared(h[:, np.argsort(order)])

    found = jax.jit(partial(damages, permuted))(H[:, order])
    np.testing.assert_allclose(found, np.asarray(damages_of(H))[order], rtol=1e-4)


def test_a_curve_begins_with_all_units_and_ends_with_none():
    orders = np.array([[1, 2, 3, 4, 5, 0], [5, 4, 3, 2, 1, 0]])  # the first is no inverse of itself
    curve = jax.jit(partial(ablation_curve, squared))(H, orders, np.array([0.0, 0.3, 0.5, 1.0]))
    two = [squared(without(1, 2)), squared(without(4, 5))]  # 0.3 of six, rounded
    halves = [squared(without(1, 2, 3)), squared(without(3, 4, 5))]
    expected = [squared(H), np.mean(two), np.mean(halves), squared(0 * H)]
    np.testing.assert_allclose(curve, expected, rtol=1e-5)


@pytest.mark.parametrize(("damage", "n"), [([3.0, 0, 0, 0], 1), ([1.0, -1, 1, 1], 4)])
def test_the_effective_number_counts_the_units_relied_on(damage, n):
    assert effective_number(jnp.array(damage)) == n


@pytest.mark.parametrize("compiled", [False, True])
def test_outputs_from_a_layer_are_those_of_the_whole_pass(compiled):
    model, x = MLP((5, 4, 3), activation=jnp.tanh), H[:7, :2]
    params = jax.jit(model.init)(jax.random.key(1), x)
    params = jax.tree.map(lambda w: np.asarray(w) + np.float32(0.1), params)
    *hidden, outputs = cast(tuple, model.apply(params, x, method="activations"))
    resume = jax.jit(outputs_from, static_argnums=(0, 2)) if compiled else outputs_from
    for l, activations in enumerate(hidden):
        np.testing.assert_allclose(resume(model, params, l, activations), outputs, rtol=1e-5)
