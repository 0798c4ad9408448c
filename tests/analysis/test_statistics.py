import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dropout_jax.analysis.statistics import error_interval, step_down, verdict

EXACT = 1e-12  # float64, some 10³ roundings
# Whole numbers, so that ties are likely. The first resample is the observed one.
resampled = arrays(
    np.float64,
    st.tuples(st.integers(1, 12), st.integers(1, 5)),
    elements=st.integers(0, 6),
    fill=st.nothing(),
)


# Step-down max-T


@given(resampled)
def test_step_down_is_the_closed_test_of_the_largest_statistic(statistics):
    observed, k = statistics[0], statistics.shape[1]
    subsets = [list(s) for r in range(1, k + 1) for s in itertools.combinations(range(k), r)]
    p_of_subset = [np.mean(statistics[:, s].max(axis=1) >= observed[s].max()) for s in subsets]
    expected = [
        max(p for p, s in zip(p_of_subset, subsets, strict=True) if i in s) for i in range(k)
    ]
    alone, adjusted = step_down(observed, [statistics])
    np.testing.assert_allclose(adjusted, expected, EXACT)
    np.testing.assert_allclose(alone, (statistics >= observed).mean(axis=0), EXACT)


@given(resampled)
def test_chunks_do_not_matter_and_an_adjusted_p_value_is_never_smaller(statistics):
    alone, adjusted = step_down(statistics[0], [statistics])
    by_row = step_down(statistics[0], np.split(statistics, len(statistics)))
    np.testing.assert_allclose(by_row, (alone, adjusted), EXACT)
    assert np.all((alone <= adjusted) & (adjusted <= 1) & (alone > 0))


def test_a_single_hypothesis_is_not_adjusted():
    alone, adjusted = step_down(np.array([2.0]), [np.array([[2.0], [1.0], [3.0], [0.0]])])
    assert alone == adjusted == 0.5


# Verdicts


@pytest.mark.parametrize(
    ("difference", "p_adjusted", "p_negligible", "expected"),
    [
        (-0.2, 0.049, 0.9, "more uniform"),
        (0.2, 0.049, 0.9, "less uniform"),
        (-0.2, 0.05, 0.9, "undecided"),
        (0.001, 0.8, 0.049, "negligible"),
        (0.001, 0.8, 0.05, "undecided"),
        (0.001, 0.001, 0.001, "negligibly less uniform"),
        (-0.001, 0.001, 0.001, "negligibly more uniform"),
    ],
)
def test_a_verdict_has_a_direction_and_says_if_it_is_negligible(
    difference, p_adjusted, p_negligible, expected
):
    assert verdict(difference, p_adjusted, p_negligible, higher_is_uniform=False) == expected
    turned = verdict(-difference, p_adjusted, p_negligible, higher_is_uniform=True)
    assert turned == expected


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_p_values_that_are_not_finite_decide_nothing(value):
    assert verdict(0.1, value, value, higher_is_uniform=False) == "undecided"
    assert verdict(math.nan, math.nan, math.nan, higher_is_uniform=False) == "undecided"


# Intervals


def test_the_interval_of_one_error_is_binomial_and_seeds_widen_it():
    half = 1.959964 * math.sqrt(0.1 * 0.9 / 1000)
    assert error_interval([0.1], 1000) == pytest.approx((0.1 - half, 0.1 + half), rel=1e-6)
    half = 12.7062 * math.sqrt(0.0002 / 2 + 0.5 * 0.5 / 1000)  # t of one degree; s² = .0002
    assert error_interval([0.49, 0.51], 1000) == pytest.approx((0.5 - half, 0.5 + half), rel=1e-5)


def test_the_interval_of_error_rates_stays_between_0_and_1():
    assert error_interval([0.0, 0.01], 1000)[0] == 0
    assert error_interval([1.0, 0.99], 1000)[1] == 1
    assert error_interval([0.0, 0.01], math.inf)[0] < 0
    assert np.isnan(error_interval([np.nan], 1000)).all()


@pytest.mark.parametrize(
    ("errors", "n_examples", "message"),
    [
        ([0.1], 0, "^n_examples must be positive, got 0"),
        ([1.5, 1.6], 100, r"^errors must lie in \[0, 1\], got 1.5 … 1.6"),
    ],
)
def test_what_is_no_error_rate_is_refused(errors, n_examples, message):
    with pytest.raises(ValueError, match=message):
        error_interval(errors, n_examples)


def test_the_interval_of_errors_covers_new_seeds_on_new_examples():
    rng, n, n_examples, covered = np.random.default_rng(0), 6, 200, 0
    n_repetitions = 1000
    for _ in range(n_repetitions):
        hard = rng.random(n_examples) < 0.1  # these are missed by every seed, others by some
        missed = hard | (rng.random((n, n_examples)) < 0.02)
        low, high = error_interval(missed.mean(axis=1), n_examples)
        covered += low <= 1 - 0.9 * 0.98 <= high
    assert covered / n_repetitions >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / n_repetitions)
