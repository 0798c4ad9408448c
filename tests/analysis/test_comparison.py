import itertools
from typing import Any

import chex
import flax.linen as nn
import jax
import numpy as np
import pytest

from dropout_jax.analysis import paired
from dropout_jax.analysis.comparison import (
    VIEWS,
    Measured,
    compare_conditions,
    measure_member,
    measure_population,
    sound,
    summarise,
    tidy,
)
from dropout_jax.analysis.statistics import error_interval
from dropout_jax.analysis.uniformity import MARGINS, MEASURES
from dropout_jax.networks.mlp import MLP
from dropout_jax.populations.population import Population
from dropout_jax.training.config import Hparams
from dropout_jax.training.epochs import Curve, Metrics

WIDTHS = (6, 5, 4, 3)
MODEL = MLP(WIDTHS[1:])
NAMES = ["none", "dropout", "l2"]
CONDITIONS = {
    "none": Hparams(rates=(0.0, 0.0)),
    "dropout": Hparams(rates=(0.0, 0.5)),
    "l2": Hparams(rates=(0.0, 0.0), weight_decay=0.01),
}
OF_HIDDEN = dict.fromkeys(VIEWS)
OF_OUTPUT = dict.fromkeys(VIEWS[:3])


def random_params(seed, *leading):
    rng = np.random.default_rng(seed)
    return {
        "params": {
            f"layer_{l}": {
                "kernel": rng.normal(size=(*leading, i, o)).astype(np.float32),
                "bias": rng.normal(size=(*leading, o)).astype(np.float32),
            }
            for l, (i, o) in enumerate(itertools.pairwise(WIDTHS))
        }
    }


def inputs():
    x = np.random.default_rng(0).normal(size=(20, WIDTHS[0])).astype(np.float32)
    x[:, 2] = 0.5  # a dead input: constant, not zero
    return x


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


def toy_population(n_conditions, n_seeds):
    shape = (n_conditions, n_seeds, 2)
    metric = iter(np.random.default_rng(4).random((4, *shape)).astype(np.float32))
    curve = Curve(Metrics(next(metric), next(metric)), Metrics(next(metric), next(metric)))
    leading = shape[:2]
    return Population(random_params(5, *leading), random_params(6, *leading), np.arange(2), curve)


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


@pytest.fixture(scope="module")
def measured():
    """Random measures of 3 conditions and 10 seeds; of dropout all are larger."""
    rng = np.random.default_rng(7)
    least = np.array([[1.0], [3.0], [1.0]])
    values: Any = {
        l: {view: {m: rng.random((3, 10)) + least for m in MEASURES} for view in views}
        for l, views in enumerate((OF_HIDDEN, OF_OUTPUT))
    }
    live = [rng.random((3, 10, 6)) < 0.5, np.ones((3, 10, 5), bool)]
    return Measured(values, {}, live)


@pytest.fixture(scope="module")
def rows(measured):
    return compare_conditions(NAMES, measured, np.ones((3, 10), bool))


def test_every_condition_is_compared_with_the_first_in_every_cell_and_measure(measured, rows):
    cells = [(0, view) for view in OF_HIDDEN] + [(1, view) for view in OF_OUTPUT]
    found = [(r["baseline"], r["condition"], r["measure"], r["layer"], r["view"]) for r in rows]
    assert found == [("none", c, m, *cell) for c in NAMES[1:] for m in MEASURES for cell in cells]
    for row in rows:
        none, condition = (
            measured.values[row["layer"]][row["view"]][row["measure"]][NAMES.index(row[who])]
            for who in ("baseline", "condition")
        )
        assert row["baseline_mean"] == pytest.approx(none.mean())
        assert row["condition_mean"] == pytest.approx(condition.mean())
        assert row["difference"] == pytest.approx((condition - none).mean())
        assert row["ci_low"] < row["difference"] < row["ci_high"]


def test_a_family_is_all_of_one_measure(measured, rows):
    for measure in MEASURES:
        family = [row for row in rows if row["measure"] == measure]
        assert {row["family"] for row in family} == {f"{measure}, all conditions, layers and views"}
        values = [measured.values[r["layer"]][r["view"]][measure] for r in family]
        differences = [
            of[NAMES.index(r["condition"])] - of[0] for r, of in zip(family, values, strict=True)
        ]
        _, adjusted = paired.sign_flip_test(np.transpose(differences))
        assert [row["p_adjusted"] for row in family] == adjusted.tolist()
        assert len(family) == 2 * (len(OF_HIDDEN) + len(OF_OUTPUT))


def test_what_grows_is_less_uniform_except_for_participation(rows):
    for row in rows:
        if row["condition"] == "dropout":
            grows_with_it = row["measure"] == "participation"
            assert row["verdict"] == ("more uniform" if grows_with_it else "less uniform")


@pytest.mark.parametrize("diverged", [(1, 4), (0, 4)])
def test_a_seed_that_diverged_is_left_out_where_it_would_be_compared(measured, rows, diverged):
    counts = np.ones((3, 10), bool)
    counts[diverged] = False
    affected = NAMES[1:] if diverged[0] == 0 else NAMES[1:2]
    family = ("p_adjusted", "p_negligible", "verdict")  # of which others know
    wild = jax.tree.map(np.copy, measured)
    for leaf in jax.tree.leaves(wild.values):
        leaf[diverged] = np.nan
    left = jax.tree.map(lambda leaf: np.delete(leaf, 4, axis=1), measured)
    without = compare_conditions(NAMES, left, np.ones((3, 9), bool))
    found = compare_conditions(NAMES, wild, counts)
    for row, as_usual, as_without in zip(found, rows, without, strict=True):
        expected = as_without if row["condition"] in affected else as_usual
        assert row.items() - expected.items() <= {(name, row[name]) for name in family}
        assert row["n"] == (9 if row["condition"] in affected else 10)
    if diverged[0] == 0:
        assert found == without


def test_fewer_than_two_pairs_that_count_decide_nothing(measured):
    counts = np.ones((3, 10), bool)
    counts[1, 1:] = False
    for row in compare_conditions(NAMES, measured, counts):
        assert np.isnan(row["difference"]) == (row["condition"] == "dropout")
        assert row["condition"] != "dropout" or row["verdict"] == "undecided"


def test_members_whose_loss_was_ever_infinite_or_nan_have_diverged():
    population = toy_population(2, 3)
    assert sound(population).all()
    population.curve.train.loss[0, 1, 0] = np.inf
    population.curve.test.loss[1, 2, -1] = np.nan
    np.testing.assert_array_equal(sound(population), [[1, 0, 1], [1, 1, 0]])


def test_members_whose_training_loss_rose_far_above_that_of_untrained_ones_have_diverged():
    population = toy_population(1, 4)
    train, test = population.curve.train.loss, population.curve.test.loss
    train[:], test[:] = np.log(10), 90.0  # overfitting, which is no divergence
    train[0, 1, -1], train[0, 2, 1], train[0, 3, -1] = 1.7e9, 30.0, 20.0
    np.testing.assert_array_equal(sound(population), [[1, 0, 0, 1]])


def test_a_loss_below_zero_may_fall_and_rise_a_little():
    population = toy_population(1, 3)
    population.curve.train.loss[0, :, 0] = -5
    population.curve.train.loss[0, :, 1:] = np.array([-5.3, -4.9, 41])[:, None]
    assert sound(population)[0].tolist() == [True, True, False]


def test_where_one_condition_diverged_the_others_keep_their_interval(measured):
    population = toy_population(3, 10)
    population.curve.train.loss[1] = np.nan
    statistics = summarise(CONDITIONS, range(10), population, measured, (50, 400))["statistics"]
    assert statistics["smallest_p"] == 2 / 2**10
    assert statistics["interval"].startswith("95 % BCa bootstrap interval (with 10 seeds")


def test_diverged_members_are_named_and_left_out_of_the_means(measured):
    population = toy_population(3, 10)
    for losses in (population.curve.train.loss, population.curve.test.error):
        losses[1, 3] = np.nan
    conditions = summarise(CONDITIONS, range(20, 30), population, measured, (50, 400))["conditions"]
    assert [one["diverged_seeds"] for one in conditions.values()] == [[], [23], []]
    assert [one["n_compared"] for one in conditions.values()] == [10, 9, 10]
    last = np.delete(population.curve.test.error[1, :, -1], 3)
    assert conditions["dropout"]["test_error"]["mean"] == pytest.approx(last.mean())
    assert conditions["dropout"]["test_error"]["sd"] == pytest.approx(last.std(ddof=1))


def test_tidy_rows_hold_every_number_once(measured):
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


def test_a_summary_holds_the_last_errors_over_seeds_and_what_is_dead(measured):
    population = toy_population(3, 10)
    summary = summarise(CONDITIONS, range(10), population, measured, (50, 400))
    assert summary["n_seeds"] == 10
    assert summary["statistics"]["smallest_p"] == 2 / 2**10
    assert summary["statistics"]["margins"] == MARGINS
    for c, name in enumerate(NAMES):
        of, last = summary["conditions"][name], population.curve.test.error[c, :, -1]
        assert of["rates"] == list(CONDITIONS[name].rates or ())
        assert of["weight_decay"] == CONDITIONS[name].weight_decay
        assert of["test_error"]["mean"] == pytest.approx(last.mean())
        assert of["test_error"]["sd"] == pytest.approx(last.std(ddof=1))
        ends = (of["test_error"]["ci_low"], of["test_error"]["ci_high"])
        assert ends == error_interval(last.astype(np.float64), 400)
        assert of["dead_inputs"] == pytest.approx([6 - measured.live_inputs[0][c].sum() / 10, 0])


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
