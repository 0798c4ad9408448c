import json

import numpy as np
import pytest
from scipy import stats

from dropout_jax.analysis import groups
from tests.analysis.toys import coverage


def test_the_coverage_that_is_said_is_that_of_the_record():
    from experiments import group_coverage

    recorded = json.loads((group_coverage.RESULTS / "summary.json").read_text("utf-8"))
    assert coverage(recorded["coverage"]) == groups.COVERAGE
    normal_3, least_3 = groups.COVERAGE[3]
    said = groups.describe_interval(9, 3)
    assert f"with 3 in the smaller group it covered {100 * normal_3:.1f} % of normal" in said
    assert f"and {100 * least_3:.1f} % of the worst law tried" in said
    assert groups.describe_interval(1, 3) == "no interval"


def p_of(x, y, **how):
    """The p-value of one column."""
    (alone,), (adjusted,) = groups._permutation_test(x[:, None], y[:, None], **how)
    assert alone == adjusted or np.isnan(alone)
    return alone


def test_the_permutation_test_is_exact_and_symmetric():
    x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([11.0, 12.0, 13.0, 14.0])
    assert p_of(x, y) == pytest.approx(2 / 70)
    assert p_of(y, x) == pytest.approx(2 / 70)
    assert p_of(y, x, two_sided=False) == 1
    assert p_of(x, y[:2]) == pytest.approx(1 / 15)
    assert p_of(x, x) == 1
    assert np.isnan(p_of(x, np.array([1.0, np.nan])))


@pytest.mark.parametrize("seed", range(3))
def test_the_permutation_test_is_scipys(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=5), rng.normal(size=6) + 0.8

    def distance(x, y, axis):
        return np.abs(y.mean(axis=axis) - x.mean(axis=axis))

    expected = stats.permutation_test(
        (x, y), distance, vectorized=True, n_resamples=10**6, alternative="greater"
    )
    assert p_of(x, y) == pytest.approx(expected.pvalue)


def test_many_networks_are_dealt_at_random_and_p_is_never_0():
    x = np.arange(20.0)
    assert 1 / 2**16 < p_of(x, x + 100) < 4 / 2**15
    assert p_of(x, x[::-1]) == 1


def test_a_family_of_groups_is_adjusted_over_its_columns():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 3)), rng.normal(size=(5, 3)) + np.array([0, 9, 0])
    alone, adjusted = groups._permutation_test(x, y)
    assert np.all(adjusted >= alone)
    assert adjusted[1] == pytest.approx(2 / 252)  # the smallest, whatever the family
    assert [one.p_adjusted for one in groups.compare(x, y)] == adjusted.tolist()


def test_groups_are_negligibly_different_if_the_margin_is_far():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(5, 2)), rng.normal(size=(6, 2)) + np.array([0, 3])
    near, far = (one.p_negligible for one in groups.compare(x, y, margin=8.0))
    assert near == pytest.approx(1 / 462)
    assert groups.compare(x, y, margin=3.0)[1].verdict == "less uniform"
    assert far < 0.05
    assert groups.compare(x, y, margin=8.0)[1].verdict == "negligibly less uniform"


@pytest.mark.parametrize("seed", range(3))
def test_welchs_interval_is_scipys(seed):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=4), 3 * rng.normal(size=9)
    expected = stats.ttest_ind(y, x, equal_var=False).confidence_interval(0.95)
    np.testing.assert_allclose(groups.welch_interval(x, y), expected, 1e-12)


@pytest.mark.parametrize(
    ("baseline", "condition", "why"),
    [
        ((1, 2), (3, 2), "baseline must hold 2 or more on its first axis"),
        ((3, 2), (1, 2), "condition must hold 2 or more on its first axis"),
        ((3, 2), (3, 1), r"must both be \[networks, comparisons\]"),
    ],
)
def test_unpaired_groups_are_two_networks_or_more_each(baseline, condition, why):
    with pytest.raises(ValueError, match=why):
        groups.compare(np.ones(baseline), np.ones(condition))


def test_groups_that_are_equal_do_not_differ():
    (equal,) = groups.compare(np.ones((4, 1)), np.ones((4, 1)), margin=0.01)
    assert (equal.difference, equal.ci_low, equal.ci_high) == (0, 0, 0)
    assert equal.verdict == "negligible"


def effect_size(x, y):
    (one,) = groups.compare(x[:, None], y[:, None])
    return one.effect_size


def test_the_effect_size_of_groups_is_hedges():
    x = np.array([1.0, 2.0, 3.0])
    assert effect_size(x, x + 1) == pytest.approx(1 - 3 / 15)
    y, pooled = np.array([0.0, 10, 20, 30, 40]), ((2 * 1 + 4 * 250) / 6) ** 0.5
    assert effect_size(x, y) == pytest.approx(18 / pooled * (1 - 3 / 23), rel=1e-12)


@pytest.mark.parametrize("exponent", [-1060, -400, 400, 1022])  # of float64's -1074 … 1023
def test_groups_have_no_smallest_or_largest_scale(exponent):
    x, y = np.array([1.0, 2, 3, -1]) / 4, np.array([2.0, 1, 3, 3]) / 4
    scaled = np.ldexp(x, exponent), np.ldexp(y, exponent)
    assert effect_size(*scaled) == effect_size(x, y)
    expected = np.ldexp(groups.welch_interval(x, y), exponent)
    np.testing.assert_array_equal(groups.welch_interval(*scaled), expected)


def test_constant_groups_have_no_effect_size_also_where_rounding_spreads_them():
    x, y = np.full(5, 0.1), np.array([0.3, 0.1 + 0.2, 0.3])
    assert np.isnan(effect_size(x, x))
    assert np.isnan(effect_size(x, y))


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_not_finite_decides_nothing(wrong):
    (one,) = groups.compare(np.array([[1.0], [2.0], [wrong]]), np.ones((3, 1)))
    assert np.isnan([one.ci_low, one.ci_high, one.p_value, one.effect_size]).all()
    assert one.verdict == "undecided"
