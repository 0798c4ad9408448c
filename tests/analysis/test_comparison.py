import jax
import numpy as np
import pytest

from dropout_jax.analysis import paired
from dropout_jax.analysis.comparison import (
    compare_conditions,
    did_not_diverge,
    differing_settings,
    summarise,
)
from dropout_jax.analysis.statistics import error_interval
from dropout_jax.analysis.uniformity import MARGINS, MEASURES
from dropout_jax.training.config import Hparams
from tests.analysis.toys import NAMES, OF_HIDDEN, OF_OUTPUT, random_measures, toy_population

CONDITIONS = {
    "none": Hparams(rates=(0.0, 0.0)),
    "dropout": Hparams(rates=(0.0, 0.5)),
    "l2": Hparams(rates=(0.0, 0.0), weight_decay=0.01),
}


@pytest.fixture(scope="module")
def measured():
    return random_measures()


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


def test_settings_are_told_where_conditions_differ_in_them():
    told = differing_settings(
        {
            "a": Hparams((0.0,), max_norm=np.inf),
            "b": Hparams((0.5,), learning_rate=0.5, max_norm=2.0),
        }
    )
    assert told == {"a": {"learning_rate": 0.05}, "b": {"learning_rate": 0.5, "max_norm": 2.0}}
    assert not any(differing_settings(CONDITIONS).values())


@pytest.mark.parametrize(("n_conditions", "n_seeds"), [(2, 10), (3, 9), (10, 3)])
def test_a_population_of_other_conditions_or_seeds_is_refused(n_conditions, n_seeds, measured):
    population = toy_population(n_conditions, n_seeds)
    message = f"must be 3 conditions × 10 seeds, got {n_conditions} × {n_seeds}"
    with pytest.raises(ValueError, match=message):
        summarise(CONDITIONS, range(10), population, measured, (50, 400))


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
    assert did_not_diverge(population).all()
    population.curve.train.loss[0, 1, 0] = np.inf
    population.curve.test.loss[1, 2, -1] = np.nan
    np.testing.assert_array_equal(did_not_diverge(population), [[1, 0, 1], [1, 1, 0]])


def test_members_whose_training_loss_rose_far_above_that_of_untrained_ones_have_diverged():
    population = toy_population(1, 4)
    train, test = population.curve.train.loss, population.curve.test.loss
    train[:], test[:] = np.log(10), 90.0  # overfitting, which is no divergence
    train[0, 1, -1], train[0, 2, 1], train[0, 3, -1] = 1.7e9, 30.0, 20.0
    np.testing.assert_array_equal(did_not_diverge(population), [[1, 0, 0, 1]])


def test_a_loss_below_zero_may_fall_and_rise_a_little():
    population = toy_population(1, 3)
    population.curve.train.loss[0, :, 0] = -5
    population.curve.train.loss[0, :, 1:] = np.array([-5.3, -4.9, 41])[:, None]
    assert did_not_diverge(population)[0].tolist() == [True, True, False]


def test_a_loss_may_start_at_0_and_rise_to_ten_times_its_start():
    population = toy_population(1, 3)
    population.curve.train.loss[0] = [[0, 0], [1, 10], [1, 10.1]]
    assert did_not_diverge(population)[0].tolist() == [True, True, False]


def test_where_one_condition_diverged_the_others_keep_their_interval(measured):
    population = toy_population(3, 10)
    population.curve.train.loss[1] = np.nan
    statistics = summarise(CONDITIONS, range(10), population, measured, (50, 400))["statistics"]
    assert statistics["smallest_p"] == 2 / 2**10
    assert statistics["interval"] == paired.describe_interval(10)
    population.curve.train.loss[2, 1:6] = np.nan
    population.curve.train.loss[1, :9] = np.log(10)
    statistics = summarise(CONDITIONS, range(10), population, measured, (50, 400))["statistics"]
    both = [paired.describe_interval(n) for n in (9, 5)]
    assert statistics["interval"] == "; ".join(both)


def test_a_single_network_that_is_left_has_an_error_and_no_interval_for_new_seeds(measured):
    population = toy_population(3, 10)
    population.curve.train.loss[1, 1:] = np.nan
    conditions = summarise(CONDITIONS, range(10), population, measured, (50, 400))["conditions"]
    error = conditions["dropout"]["test_error"]
    assert error["mean"] == pytest.approx(population.curve.test.error[1, 0, -1])
    assert np.isnan([error["sd"], error["ci_low"], error["ci_high"]]).all()


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


def test_a_condition_with_the_networks_of_the_baseline_says_so(measured):
    population = toy_population(3, 10)
    for leaf in jax.tree.leaves(population.params):
        leaf[2] = leaf[0]
    population.params["params"]["layer_0"]["kernel"][[0, 2], 3] = np.nan  # which diverged
    conditions = summarise(CONDITIONS, range(10), population, measured, (50, 400))["conditions"]
    assert [name for name, of in conditions.items() if of.get("same_as_baseline")] == ["l2"]


def test_conditions_whose_training_loss_hardly_fell_did_not_learn(measured):
    population = toy_population(3, 10)
    loss = population.curve.train.loss
    loss[...] = [[[2.3, 0.1]], [[2.3, 2.29]], [[-1.0, -2.0]]]  # a loss of one's own may be negative
    conditions = summarise(CONDITIONS, range(10), population, measured, None)["conditions"]
    assert [name for name, of in conditions.items() if of.get("did_not_learn")] == ["dropout"]


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
