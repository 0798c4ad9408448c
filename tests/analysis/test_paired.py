import itertools
import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from scipy import stats

from dropout_jax.analysis import groups, paired
from dropout_jax.analysis.paired import (
    compare,
    describe_interval,
    effect_size,
    interval,
    negligible_test,
    sign_flip_test,
    smallest_p,
)
from dropout_jax.analysis.statistics import VERDICTS, verdict
from tests.analysis.toys import coverage
from tests.drawn import NOT_NUMBERS, anything
from tests.refusals import outcome

EXACT = 1e-12  # float64, some 10³ roundings
# Whole numbers add up exactly in any order, and ties and zeros are likely among so few.
whole = st.integers(-20, 20)
differences = arrays(np.float64, st.integers(2, 9), elements=whole, fill=st.nothing())


def normal(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def p_of(differences, **how):
    """The p-value of one column."""
    (alone,), (adjusted,) = sign_flip_test(np.asarray(differences)[:, None], **how)
    assert alone == adjusted or math.isnan(alone)
    return alone


# The sign-flip test


@given(differences)
def test_the_sign_flip_test_counts_all_patterns(d):
    sums = [np.dot(signs, d) for signs in itertools.product([-1, 1], repeat=len(d))]
    assert p_of(d) == np.mean(np.abs(sums) >= abs(d.sum()))
    assert p_of(d, two_sided=False) == np.mean(sums >= d.sum())


@pytest.mark.parametrize("seed", range(5))
def test_the_sign_flip_test_is_scipys(seed):
    d = normal(8, seed=seed) + 0.5
    expected = stats.permutation_test((d,), np.mean, permutation_type="samples", n_resamples=10**6)
    assert p_of(d) == pytest.approx(expected.pvalue, rel=EXACT)


@given(differences, st.sampled_from([-1000, -1, 0.001]))
def test_the_sign_flip_test_ignores_scale_sign_and_order(d, scale):
    assert p_of(scale * d[::-1]) == p_of(d) >= 2.0 ** (1 - len(d))


@pytest.mark.parametrize("n", [2, 6, 10, 16])
def test_differences_of_one_sign_reach_the_smallest_p_value(n):
    assert p_of(np.arange(n) + 0.1) == 2.0 ** (1 - n)
    assert p_of(np.full(n, 0.1)) == 2.0 ** (1 - n)  # though no sum of these is exact
    assert p_of(np.zeros(n)) == 1


@pytest.mark.parametrize("n", [17, 24, 40])
def test_beyond_16_seeds_random_patterns_come_close_to_all(n):
    d = np.random.default_rng(n).integers(-10, 16, n)
    count = {0: 1.0}  # of each sum, over all patterns of the signs, one sign after the other
    for x in d:
        flipped = [(total + sign * x, c / 2) for total, c in count.items() for sign in (-1, 1)]
        count = {}
        for total, c in flipped:
            count[total] = count.get(total, 0) + c
    exact = sum(c for total, c in count.items() if abs(total) >= abs(d.sum()))
    assert 0.01 < exact < 0.5
    bound = 4 * math.sqrt(exact * (1 - exact) / 2**15) + 2**-15  # 4 sd, and the observed pattern
    assert p_of(d / 1.0) == pytest.approx(exact, abs=bound)


def test_beyond_16_seeds_the_observed_pattern_counts_and_p_is_never_0():
    assert p_of(np.arange(1, 41) / 1.0) == pytest.approx(1 / (2**15 + 1), rel=EXACT)


@pytest.mark.parametrize("law", [stats.norm, stats.cauchy, stats.uniform(-1, 2)])
def test_the_sign_flip_test_keeps_its_level(law):
    n_tests = 2000
    samples = law.rvs(size=(n_tests, 8), random_state=0)
    rejected = np.mean([p_of(d) <= 0.05 for d in samples])
    level = math.floor(0.05 * 2**7) / 2**7  # the p-value is uniform on the multiples of 2⁻⁷
    sd = math.sqrt(level * (1 - level) / n_tests)
    assert level - 4 * sd <= rejected <= min(0.05, level) + 4 * sd


def test_a_column_without_a_difference_has_a_p_value_of_nan():
    assert math.isnan(p_of(np.full(7, math.nan)))


def test_a_seed_that_is_missing_in_a_column_is_left_out_of_it():
    d = normal(7, 2)
    d[3, 0] = math.nan
    alone, adjusted = sign_flip_test(d)
    assert alone[0] == p_of(np.delete(d[:, 0], 3))
    assert alone[1] == p_of(d[:, 1])
    assert np.all(adjusted >= alone)


# Families


@given(arrays(np.float64, st.tuples(st.integers(2, 7), st.integers(1, 4)), elements=whole))
def test_a_family_is_the_closed_test_of_the_largest_standardised_sum(d):
    signs = np.array(list(itertools.product([-1, 1], repeat=len(d))))
    norms = np.linalg.norm(d, axis=0)
    statistics = np.abs(signs @ d) / np.where(norms > 0, norms, 1)
    observed, k = statistics[-1], d.shape[1]
    subsets = [list(s) for r in range(1, k + 1) for s in itertools.combinations(range(k), r)]
    _, adjusted = sign_flip_test(d)
    for i in range(k):
        expected = max(
            np.mean(statistics[:, s].max(axis=1) >= observed[s].max() - 1e-9)
            for s in subsets
            if i in s
        )
        assert adjusted[i] == pytest.approx(expected, rel=EXACT)


@given(st.integers(0, 1000), st.sampled_from([1e-200, 0.01, 1e200]))
def test_a_family_ignores_the_scale_and_the_order_of_its_columns(seed, scale):
    d, order = normal(8, 4, seed=seed) + 0.4, [2, 0, 3, 1]
    scaled = d * np.array([1, scale, 1, -scale])
    np.testing.assert_array_equal(sign_flip_test(scaled)[1], sign_flip_test(d)[1])
    np.testing.assert_allclose(sign_flip_test(d[:, order])[1], sign_flip_test(d)[1][order], EXACT)


@pytest.mark.parametrize("n_columns", [1, 3, 78])
def test_the_smallest_p_value_does_not_depend_on_the_size_of_the_family(n_columns):
    found = compare(np.zeros((6, n_columns)), np.ones((6, n_columns)))
    assert {c.p_value for c in found} == {c.p_adjusted for c in found} == {smallest_p(6)}
    assert {c.verdict for c in found} == {"less uniform"}
    assert smallest_p(10) == 1 / 512
    assert smallest_p(40) == p_of(np.ones(40))


def correlated(rng, n, k):
    """Differences [n, k] of mean 0; half of each column's variance is shared."""
    return np.sqrt(0.5) * (rng.normal(size=(n, 1)) + rng.normal(size=(n, k)))


@pytest.mark.parametrize("n", [6, 9])
def test_a_family_without_differences_shows_one_in_at_most_a_twentieth(n):
    rng, n_families = np.random.default_rng(n), 1000
    shown = [sign_flip_test(correlated(rng, n, 13))[1].min() < 0.05 for _ in range(n_families)]
    assert np.mean(shown) <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / n_families)
    assert np.mean(shown) >= 0.01  # it has power: Holm's smallest here would be 13/32 and 13/256


@pytest.mark.parametrize("n", [6, 9])
def test_differences_at_the_margin_are_called_negligible_in_at_most_a_twentieth(n):
    rng, n_families = np.random.default_rng(n), 1000
    called = []
    for _ in range(n_families):
        at_margin = np.where(rng.random(13) < 0.5, -1.0, 1.0)
        d = at_margin + 0.2 * correlated(rng, n, 13)
        called.append(negligible_test(d, 1.0).min() < 0.05)
    assert np.mean(called) <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / n_families)
    assert np.mean(called) >= 0.01


def test_small_differences_are_negligible_and_large_ones_are_not():
    d = 0.1 * normal(8, 3) + np.array([0, 0.9, 5])
    p = negligible_test(d, [1.0, 1.0, 1.0])
    assert p[0] == 2 * 2.0**-8  # the flip of all signs makes the third as large
    assert p[0] < p[1] < p[2] == 1
    assert negligible_test(d[:, :1], 1.0) == 2.0**-8
    assert np.isnan(negligible_test(d, math.nan)).all()


# The interval


@given(st.integers(-1000, 1000), st.integers(1, 1000))
def test_an_interval_moves_and_stretches_with_the_differences(shift, scale):
    d = np.array([3.0, -1, 4, 1, -5, 9, 2, -6])
    expected = shift + scale * np.array(interval(d))
    np.testing.assert_allclose(interval(shift + scale * d), expected, rtol=0, atol=1e-8 * scale)


@given(arrays(np.float64, st.integers(6, 12), elements=whole, unique=True, fill=st.nothing()))
def test_an_interval_is_reproducible_and_contains_the_mean(d):
    low, high = interval(d)
    assert d.min() <= low < d.mean() < high <= d.max()
    assert interval(d) == (low, high)
    assert interval(2.0**-60 * d) == (2.0**-60 * low, 2.0**-60 * high)


@pytest.mark.parametrize("exponent", [-1060, -400, 400, 1018])  # of float64's -1074 … 1023
def test_an_interval_and_an_effect_size_have_no_smallest_or_largest_scale(exponent):
    d = np.array([1.0, 2, 1, 1, 30, 1, 2, 1])
    at = np.ldexp(d, exponent)
    np.testing.assert_array_equal(interval(at), np.ldexp(interval(d), exponent))
    assert effect_size(at) == effect_size(d)


@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_differences_that_are_not_finite_have_no_effect_size(wrong):
    assert math.isnan(effect_size(np.array([1.0, 2.0, wrong])))


@pytest.mark.parametrize("value", [0.0, 0.1, -1e-30, 1e30])
def test_equal_differences_have_no_spread(value):
    d = np.full(7, value)
    assert interval(d) == (d.mean(), d.mean())
    assert math.isnan(effect_size(d))


@pytest.mark.parametrize("n", [8, 10, 20])
def test_for_near_normal_differences_the_interval_is_students(n):
    d = stats.norm.ppf((np.arange(n) + 0.5) / n)
    half = stats.t.ppf(0.975, n - 1) * d.std(ddof=1) / math.sqrt(n)
    # Expanded it is t's to the order of 1/n; not expanded, .78, .83 and .92 of it.
    np.testing.assert_allclose(interval(d), [-half, half], rtol=0.6 / n)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_below_six_seeds_the_interval_is_students(n):
    d = normal(n) + 1.0
    half = stats.t.ppf(0.975, n - 1) * d.std(ddof=1) / math.sqrt(n)
    np.testing.assert_allclose(interval(d), (d.mean() - half, d.mean() + half), EXACT)


def test_students_interval_by_hand():
    # mean 2, sd 1, t(2 degrees, .975) = 4.3027
    assert interval(np.array([1.0, 2.0, 3.0])) == pytest.approx(
        (2 - 4.3027 / math.sqrt(3), 2 + 4.3027 / math.sqrt(3)), rel=1e-4
    )


@pytest.mark.parametrize("exponent", [-1060, -400, 400, 1018])  # of float64's -1074 … 1023
def test_students_interval_has_no_smallest_or_largest_scale(exponent):
    values = np.array([1.0, 2.0, 4.0])
    scaled = interval(np.ldexp(values, exponent))
    np.testing.assert_allclose(scaled, np.ldexp(interval(values), exponent), EXACT)


def test_the_coverage_that_is_said_is_that_of_the_record():
    from experiments import interval_coverage

    recorded = json.loads((interval_coverage.RESULTS / "summary.json").read_text("utf-8"))
    assert coverage(recorded["coverage"]) == paired.COVERAGE
    assert min(paired.COVERAGE) == 3
    normal_6, least_6 = paired.COVERAGE[6]
    assert f"6 seeds it covered {100 * normal_6:.1f} % of normal" in describe_interval(6)
    assert f"and {100 * least_6:.1f} % of the worst law tried" in describe_interval(6)
    assert describe_interval(5).startswith("95 % t interval (with 5 seeds")
    assert describe_interval(10_000).startswith("95 % BCa bootstrap interval (with 100 seeds")
    assert "with 10 seeds" in describe_interval(14)
    assert describe_interval(2) == "95 % t interval"


@pytest.mark.parametrize(
    ("n", "n_repetitions", "claim"), [(6, 500, 0.93), (10, 1000, 0.944)], ids=["6", "10"]
)
def test_the_interval_covers_what_it_claims_of_normal_differences(n, n_repetitions, claim):
    low, high = np.array([interval(d) for d in normal(n_repetitions, n)]).T
    sd = math.sqrt(claim * (1 - claim) / n_repetitions)
    assert np.mean((low <= 0) & (high >= 0)) >= claim - 4 * sd
    assert np.mean((low <= 0) & (high >= 0)) <= 0.95 + 4 * sd


def test_the_interval_of_skewed_differences_is_bca_at_a_raised_level():
    d = stats.expon.ppf((np.arange(10) + 0.5) / 10)
    # t = 2.2622 at 9 degrees of freedom; 1 - 2 Φ(-√(10/9) · 2.2622) = .9829
    bca = stats.bootstrap((d,), np.mean, confidence_level=0.9829, rng=np.random.default_rng(0))
    np.testing.assert_allclose(interval(d), bca.confidence_interval, rtol=2e-3)


def test_two_seeds_have_an_interval_without_a_warning():
    low, high = interval(np.array([1.0, 2.0]))
    assert low <= 1 < 2 <= high


# Effect sizes


def test_effect_size_by_hand():
    # mean 3, sd 1, J = 1 - 3/(4·2 - 1)
    assert effect_size(np.array([2.0, 3, 4])) == pytest.approx(3 * 4 / 7, rel=EXACT)
    assert math.isnan(effect_size(np.array([1.0, 2.0])))


@given(differences.filter(lambda d: len(d) > 2 and np.ptp(d) > 0), st.sampled_from([-2, 0.1, 50]))
def test_an_effect_size_has_a_sign_but_no_scale(d, scale):
    expected = math.copysign(1, scale) * effect_size(d)
    assert effect_size(scale * d) == pytest.approx(expected, rel=EXACT, abs=EXACT)


# Comparisons


def test_a_comparison_puts_its_parts_together():
    baseline, condition = normal(8, 3), normal(8, 3, seed=1) + np.array([0, 2, -5])
    differences, margin = condition - baseline, np.array([0.1, 9, 0.1])
    alone, adjusted = sign_flip_test(differences)
    negligible = negligible_test(differences, margin)
    found = compare(baseline, condition, higher_is_uniform=True, margin=margin)
    for k, c in enumerate(found):
        b, d = baseline[:, k], condition[:, k] - baseline[:, k]
        numbers = 8, b.mean(), condition[:, k].mean(), d.mean(), *interval(d)
        numbers = *numbers, alone[k], adjusted[k], negligible[k], effect_size(d)
        np.testing.assert_allclose(c[:-1], numbers, EXACT)
        assert c.verdict == verdict(d.mean(), adjusted[k], negligible[k], higher_is_uniform=True)
        assert [type(x) for x in c] == [int] + [float] * 9 + [str]
    assert [c.verdict for c in found] == ["undecided", "negligibly more uniform", "less uniform"]


def test_what_both_members_of_a_seed_share_changes_nothing():
    baseline = np.random.default_rng(0).integers(0, 100, (7, 2)) / 1.0
    condition = baseline + np.random.default_rng(1).integers(-10, 30, (7, 2))
    shared = np.arange(7)[:, None] * 1000.0 - 3000  # of mean 0, so that margins stay
    before, after = compare(baseline, condition), compare(baseline + shared, condition + shared)
    np.testing.assert_allclose([c[3:-1] for c in after], [c[3:-1] for c in before], EXACT)
    assert [c.verdict for c in after] == [c.verdict for c in before]
    unpaired = compare(baseline + shared, condition)
    assert all(u.effect_size != b.effect_size for u, b in zip(unpaired, before, strict=True))


@pytest.mark.parametrize(
    ("difference", "expected"),
    [(0.0098, "negligibly less uniform"), (0.0102, "less uniform"), (0.0, "negligible")],
)
def test_the_margin_is_absolute_and_the_same_in_both_directions(difference, expected):
    for scale, turned in itertools.product((1, 1000), (False, True)):
        of = (np.full((6, 1), scale + 0.0), np.full((6, 1), scale + difference))
        (found,) = compare(*(of[::-1] if turned else of), higher_is_uniform=turned, margin=0.01)
        assert found.verdict == expected


def test_comparing_float32_measures_loses_nothing():
    baseline, condition = normal(2, 6, 1).astype(np.float32)
    found = compare(baseline, condition, margin=1.0)
    doubled = (of.astype(np.float64) for of in (baseline, condition))
    assert found == compare(*doubled, margin=1.0)


def test_a_missing_quantity_spoils_only_itself():
    baseline, condition = np.ones((8, 2)), np.ones((8, 2)) - np.arange(1, 9)[:, None] / 10
    baseline[0, 0] = math.nan
    missing, present = compare(baseline, condition, margin=0.01)
    assert missing.verdict == "undecided"
    assert missing.n == 0
    assert np.isnan(missing[1:-1]).all()
    assert present.verdict == "more uniform"


def test_pairs_that_do_not_count_are_left_out_and_the_others_are_counted():
    baseline, condition = normal(8, 2), normal(8, 2, seed=1)
    counts = np.ones((8, 2), bool)
    counts[2, 0] = False
    baseline[2, 0] = math.nan
    left, whole = compare(baseline, condition, margin=1.0, counts=counts)
    others = np.arange(8) != 2
    (alone,) = compare(baseline[others, :1], condition[others, :1], margin=1.0)
    assert (left.n, whole.n) == (7, 8)
    assert left[:7] == alone[:7]
    assert left.effect_size == alone.effect_size


def test_what_counts_is_told_by_booleans():
    with pytest.raises(TypeError, match=r"^counts must hold booleans, got int64"):
        compare(normal(6, 2), normal(6, 2, seed=1), counts=np.ones((6, 2), int))


@pytest.mark.parametrize(
    ("test", "shape", "message"),
    [
        (sign_flip_test, (6,), r"be \[S, K\], got shape \(6,\)"),
        (sign_flip_test, (0, 2), r"hold 1 or more on its first axis, got shape \(0, 2\)"),
        (lambda d: negligible_test(d, 0.1), (6,), r"be \[S, K\], got shape \(6,\)"),
        (interval, (6, 2), r"be a vector, got shape \(6, 2\)"),
        (effect_size, (1,), r"hold 2 or more on its first axis, got shape \(1,\)"),
    ],
)
def test_differences_of_another_shape_are_refused(test, shape, message):
    with pytest.raises(ValueError, match=f"^differences must {message}$"):
        test(np.zeros(shape))


def test_a_comparison_checks_its_arrays_but_not_each_quantity(monkeypatch):
    checked, real = [], paired.as_float64
    monkeypatch.setattr(paired, "as_float64", lambda *a, **n: checked.append(a[1]) or real(*a, **n))
    compare(normal(6, 4), normal(6, 4, seed=1), margin=1.0)
    assert checked == ["baseline", "condition", "margin"]


@pytest.mark.parametrize("shape", [(3,), (1,), (6, 2)])
@pytest.mark.parametrize(
    "compared",
    [
        lambda x, margin: paired.compare(x, -x, margin=margin),
        lambda x, margin: groups.compare(x, -x, margin=margin),
        negligible_test,
    ],
)
def test_a_margin_is_a_number_or_one_for_each_quantity(compared, shape):
    message = r"margin must be a number or one for each of the 2 quantities, got shape \("
    with pytest.raises(ValueError, match=message):
        compared(normal(6, 2), np.ones(shape))


def test_beyond_16_seeds_the_smallest_p_value_is_a_bound():
    assert p_of(np.ones(18)) > smallest_p(18)


@pytest.mark.parametrize(
    ("baseline", "condition"),
    [((6, 2), (6, 3)), ((6, 2), (5, 2)), ((6,), (6,)), ((1, 2), (1, 2)), ((6, 2, 1), (6, 2, 1))],
)
def test_what_cannot_be_paired_is_refused_with_its_shape(baseline, condition):
    with pytest.raises(ValueError, match=r"at least two seeds, got \(") as error:
        compare(np.zeros(baseline), np.zeros(condition))
    assert str(baseline) in str(error.value)
    assert str(condition) in str(error.value)


# Input, most of it bad


real32 = st.sampled_from([np.float32, np.float64, np.int32, bool]).flatmap(
    lambda dtype: arrays(
        dtype,
        array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=7),
        elements=st.floats(width=32) if np.issubdtype(dtype, np.floating) else None,
    )
)


@given(baseline=real32 | anything, shift=st.sampled_from([0.0, 1.0, np.nan, np.inf]))
def test_a_comparison_is_of_two_seeds_and_more_or_refused(baseline: Any, shift: float):
    small: Any = np.zeros(()) if isinstance(baseline, int) and abs(baseline) > 2**60 else baseline
    try:
        with np.errstate(invalid="ignore"):
            condition = np.asarray(small, np.float64) + shift
    except (ValueError, TypeError):
        condition: Any = baseline
    with np.errstate(invalid="ignore"):
        result = outcome(compare, small, condition)
    good = isinstance(small, np.ndarray) and small.ndim == 2 and len(small) >= 2
    assert (result is not None) == good
    if result is not None:
        assert len(result) == small.shape[1]
        for k, row in enumerate(result):
            assert row.verdict in VERDICTS
            if not np.isfinite(condition[:, k]).all():
                assert row.verdict == "undecided"
            else:
                assert row.ci_low <= row.ci_high
                assert 0 < row.p_value <= row.p_adjusted <= 1


@pytest.mark.parametrize(
    ("function", "least", "rank"),
    [("interval", 2, 1), ("effect_size", 2, 1), ("sign_flip_test", 1, 2)],
)
@given(values=real32 | st.sampled_from(NOT_NUMBERS))
def test_a_statistic_is_of_enough_numbers_or_refused(function, least, rank, values):
    array = values if isinstance(values, np.ndarray) else np.zeros(())
    array = np.zeros(0) if isinstance(values, tuple) else array
    good = array.ndim == rank and len(array) >= least
    with np.errstate(all="ignore"):
        assert (outcome(getattr(paired, function), values) is not None) == good


@pytest.mark.parametrize("function", [paired.interval, paired.sign_flip_test])
def test_statistics_take_real_numbers_alone(function):
    with pytest.raises(TypeError, match="differences must hold real numbers, got complex128"):
        function(np.ones(3) * 1j)
