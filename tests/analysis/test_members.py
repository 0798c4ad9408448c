import contextlib
import itertools
import math
import threading
from typing import Any

import chex
import flax.linen as nn
import jax
import numpy as np
import pytest

from dropout_jax.analysis.members import (
    compile_measures,
    measure_member,
    measure_population,
    tidy,
)
from dropout_jax.analysis.uniformity import MEASURES
from dropout_jax.networks.calls import param_shapes
from dropout_jax.networks.mlp import MLP
from dropout_jax.populations import devices
from dropout_jax.training.config import Config
from tests.analysis.toys import (
    NAMES,
    OF_HIDDEN,
    OF_OUTPUT,
    WIDTHS,
    random_measures,
    random_params,
    toy_population,
)

MODEL = MLP(WIDTHS[1:])


def inputs():
    x = np.random.default_rng(0).normal(size=(20, WIDTHS[0])).astype(np.float32)
    x[:, 2] = 0.5  # a dead input: constant, not zero
    return x


@contextlib.contextmanager
def seconds_of_compilation():
    """A list that grows by the seconds of every program that this thread compiles."""
    seconds, own = [], threading.get_ident()

    def listen(event, duration_secs, **_):
        if "backend_compile" in event and threading.get_ident() == own:
            seconds.append(duration_secs)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        yield seconds
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def gini(a):
    """Half the relative mean difference of all pairs."""
    return np.abs(a[:, None] - a[None, :]).sum() / (2 * (a.size - 1) * a.sum())


def cv(a):
    return a.std() / a.mean()


def participation(a):
    return np.mean(a**2) ** 2 / np.mean(a**4)


@pytest.mark.parametrize("measure", [gini, cv, participation])
def test_a_hand_made_network_is_measured_as_numpy_measures_it(measure):
    params, initial, x = random_params(1), random_params(2), inputs()
    first, second, last = (params["params"][f"layer_{l}"] for l in range(3))
    first["bias"][1] = -100.0  # a unit that is always 0
    first["kernel"][:, 3], first["bias"][3] = 0.0, 1.0  # a unit that is always 1
    hidden = [np.maximum(x @ first["kernel"] + first["bias"], 0)]
    hidden.append(np.maximum(hidden[0] @ second["kernel"] + second["bias"], 0))
    inputs_alive = np.array([True, True, False, True, True, True])
    units_alive = np.array([True, False, True, False, True])
    live = [inputs_alive, units_alive, np.ptp(hidden[1], axis=0) > 0, np.ones(3, bool)]

    measured = measure_member(MODEL, params, initial, x)

    chex.assert_trees_all_equal(measured.live_inputs, live[:-1])
    for l, layer in enumerate((first, second, last)):
        living = np.ix_(live[l], live[l + 1])
        kernel, moved = layer["kernel"], layer["kernel"] - initial["params"][f"layer_{l}"]["kernel"]
        expected = {
            "entries": measure(np.abs(kernel[living]).ravel()),
            "columns": np.mean([measure(column) for column in np.abs(kernel[living]).T]),
            "change": measure(np.abs(moved[living]).ravel()),
        }
        a = np.abs(kernel[living])
        largest = measured.profiles[l]["entries"].relative[-1]
        assert largest == pytest.approx(a.max() / a.mean(), rel=1e-5)
        if l < 2:
            out = np.linalg.norm((second, last)[l]["kernel"], axis=1)
            norm_in = np.sqrt(np.sum(kernel[live[l]] ** 2, axis=0) + layer["bias"] ** 2)
            per_unit = np.sqrt(np.mean(hidden[l] ** 2, axis=0)) * out
            expected["contribution"] = measure(per_unit[live[l + 1]])
            expected["path_norm"] = measure((norm_in * out)[live[l + 1]])
        found = {view: measures[measure.__name__] for view, measures in measured.values[l].items()}
        chex.assert_trees_all_close(found, expected, rtol=2e-5)


def test_a_population_is_measured_by_its_network_and_nothing_else():
    config: Any = Config(MODEL)
    with pytest.raises(TypeError, match="model must be a network"):
        measure_population(config, toy_population(2, 3), inputs())


@pytest.mark.slow
def test_measuring_a_population_is_measuring_its_members_one_by_one():
    population = toy_population(2, 3)
    measured = measure_population(MODEL, population, inputs())
    for c, s in np.ndindex(2, 3):
        params, initial, of_member = jax.tree.map(
            lambda leaf, at=(c, s): leaf[at], (population.params, population.init_params, measured)
        )
        alone = measure_member(MODEL, params, initial, inputs())
        # Processors group sums differently, some roundings in all; and Hoyer's sparsity h of N
        # units loses √N / ((√N - 1) h) of its digits, here up to tenfold.
        rtol = 32 * np.finfo(np.float32).eps
        chex.assert_trees_all_close(of_member, jax.device_get(alone), rtol=rtol)


@pytest.mark.slow
@pytest.mark.parametrize("model", [MODEL, nn.Dense(3)], ids=["an MLP", "another network"])
@pytest.mark.parametrize("shape", [(1, 1), (2, 3)])  # fewer members than devices, and more
def test_what_is_compiled_ahead_is_not_compiled_again(model, shape):
    program: Any = devices._map_blocks  # it is no mere function
    program.clear_cache()
    shapes = param_shapes(model, WIDTHS[0])
    params = jax.tree.map(lambda leaf: np.ones((*shape, *leaf.shape), np.float32), shapes)
    population = toy_population(*shape)._replace(params=params, init_params=params)
    with seconds_of_compilation() as compiled:
        compile_measures(model, shapes, inputs(), n_members=math.prod(shape))
    assert len(compiled) == 1
    with seconds_of_compilation() as compiled:
        measure_population(model, population, inputs())
    assert compiled == []


def test_tidy_rows_hold_every_number_once():
    measured = random_measures()
    population = toy_population(3, 10)
    found = list(tidy(NAMES, range(20, 30), population, measured))
    cells = [(0, view) for view in OF_HIDDEN] + [(1, view) for view in OF_OUTPUT]
    by_cell = {row[:-1]: row[-1] for row in found}
    assert len(found) == len(by_cell) == 3 * 10 * (4 + 2 + len(cells) * len(MEASURES))
    for (c, name), s in [(named, s) for named in enumerate(NAMES) for s in range(10)]:
        key = (name, 20 + s)
        curve = population.curve
        assert by_cell[(*key, "", "", "train_loss")] == curve.train.loss[c, s, -1]
        assert by_cell[(*key, "", "", "test_error")] == curve.test.error[c, s, -1]
        assert by_cell[(*key, 0, "inputs", "dead")] == 6 - measured.live_inputs[0][c, s].sum()
        for layer, view in cells:
            for measure, values in measured.values[layer][view].items():
                assert by_cell[(*key, layer, view, measure)] == values[c, s]


def test_an_input_of_another_network_is_dead_in_all_members_if_a_condition_never_moves_it():
    """A decay moves the weights of a pixel that is always 0: L2 alone would not show it."""
    start = np.random.default_rng(0).normal(size=(1, 3, 4, 5)).astype(np.float32).repeat(2, 0)
    after = start + np.float32(0.1)
    after[0, :, 1] = start[0, :, 1]  # in no seed of the first condition
    after[0, 0, 2] = start[0, 0, 2]  # in one seed alone, as from a unit that is dead there
    before, later = ({"Dense_0": {"kernel": of}, "out": {"kernel": start}} for of in (start, after))
    population = toy_population(2, 3)._replace(params=later, init_params=before)
    model: Any = nn.Dense(5)  # which is no MLP
    measured = measure_population(model, population, inputs())
    live, frozen = measured.live_inputs
    np.testing.assert_array_equal(live, np.broadcast_to([True, False, True, True], (2, 3, 4)))
    assert np.asarray(frozen).all()
    for c, s in itertools.product(range(2), range(3)):
        kept = np.abs(after[c, s][[0, 2, 3]]).ravel()
        assert measured.values[0]["entries"]["gini"][c, s] == pytest.approx(gini(kept), abs=1e-5)
    assert np.isnan(measured.values[1]["change"]["gini"]).all()
