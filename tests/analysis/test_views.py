"""Views of layers, and measures of any tree of parameters."""

import re
from typing import Any, cast

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dropout_jax.analysis import views
from dropout_jax.analysis.uniformity import MEASURES, gini, profile
from dropout_jax.analysis.views import LayerViews, Live, ginis, measure_layer, varying_columns
from dropout_jax.networks.mlp import MLP, layers
from tests.analysis.oracle import GRID, TOL, close, lorenz, oracle
from tests.refusals import outcome

compiled_measures = jax.jit(measure_layer)


def test_the_ginis_of_a_tree_are_those_of_its_kernels_and_compile_once():
    params = jax.jit(MLP((5, 3)).init)(jax.random.key(0), jnp.zeros(4))
    found = ginis(params)
    kernels = {f"params.layer_{l}.kernel": of["kernel"] for l, of in enumerate(layers(params))}
    assert list(found) == list(kernels)
    assert all(found[name] == jax.jit(gini)(kernel) for name, kernel in kernels.items())
    n_programs = cast(Any, views._gini_of_each)._cache_size()
    ginis(jax.tree.map(lambda leaf: leaf + 1, params))
    assert cast(Any, views._gini_of_each)._cache_size() == n_programs


def test_the_ginis_of_a_population_are_those_of_its_members():
    kernels = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
    (of,) = jax.vmap(jax.vmap(ginis))({"layer_0": {"kernel": kernels}}).values()
    assert of.shape == (2, 3)
    (alone,) = ginis({"layer_0": {"kernel": kernels[1, 2]}}).values()
    np.testing.assert_allclose(of[1, 2], alone, rtol=1e-6)


def test_the_ginis_of_a_module_pass_over_what_is_no_array():
    network = eqx.nn.MLP(4, 3, 5, 2, key=jax.random.key(0))
    of_module = {"network": network, "name": "mine", "keys": jax.random.split(jax.random.key(0), 4)}
    assert list(ginis(of_module)) == [f"network.layers.{l}.weight" for l in range(3)]


@pytest.mark.parametrize(
    ("params", "names"),
    [({"W1": np.eye(2), "layer1": {"weights": np.eye(2)}}, "['W1', 'layer1.weights']"), ({}, "[]")],
)
def test_the_ginis_of_a_tree_without_kernels_are_refused_with_the_names_it_has(params, names):
    wanted = f"params must hold a kernel, named kernel, w or weight, got {names}"
    with pytest.raises(ValueError, match=f"^{re.escape(wanted)}$"):
        ginis(params)


@given(x=hnp.arrays(np.float32, st.sampled_from([(), (2,), (0, 2), (2, 0), (3, 2), (1, 1, 1)])))
def test_only_columns_of_examples_vary(x):
    result = outcome(varying_columns, x)
    assert (result is not None) == (x.ndim == 2 and len(x) > 0)


# Views of one kernel

LIVE = np.array([1, 0, 1, 1, 1, 0], bool), np.array([1, 1, 0, 1, 1], bool)


def views_of(kernel, init):
    live = Live(*map(jnp.array, LIVE))
    return jax.device_get(
        compiled_measures(LayerViews(jnp.array(kernel), live, {}), jnp.array(init))[0]
    )


def two_kernels():
    return np.random.default_rng(0).laplace(size=(2, 6, 5)).astype(np.float32)


def test_views_are_loops_over_what_is_live():
    kernel, init = two_kernels().astype(np.float64)
    rows, columns = map(np.flatnonzero, LIVE)
    entries = [(i, j) for i in rows for j in columns]
    found = views_of(kernel, init)
    assert found.keys() == {"entries", "columns", "change"}
    assert found["entries"] == close(oracle([abs(kernel[e]) for e in entries]))
    assert found["change"] == close(oracle([abs(kernel[e] - init[e]) for e in entries]))
    of_units = [oracle(np.abs(kernel[rows, j])) for j in columns]
    assert found["columns"] == close({m: np.mean([of[m] for of in of_units]) for m in MEASURES})


@pytest.mark.parametrize("wild", [1e30, np.inf, np.nan])
def test_wild_weights_of_dead_units_change_no_view(wild):
    kernel, init = two_kernels()
    dead = ~np.logical_and.outer(*LIVE)
    calm = views_of(kernel, init)
    assert np.isfinite(jax.tree.leaves(calm)).all()
    assert views_of(np.where(dead, wild, kernel), np.where(dead, -wild, init)) == calm


def test_a_profile_of_entries_leaves_dead_units_out():
    kernel, _ = two_kernels()
    wild = np.where(np.logical_and.outer(*LIVE), kernel, np.nan)
    found = jax.jit(profile)(wild, Live(*map(jnp.array, LIVE)).entries)
    selected = np.abs(kernel[LIVE[0]][:, LIVE[1]]).ravel().astype(np.float64)
    np.testing.assert_allclose(found.lorenz, lorenz(selected, GRID), TOL, TOL)


def test_a_column_varies_if_any_of_its_rows_differs():
    x = jnp.array([[0.0, 3, 1, -1], [0, 3, 1, 1], [0, 3, 2, -1]])
    np.testing.assert_array_equal(varying_columns(x), [False, False, True, True])
