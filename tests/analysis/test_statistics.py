import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from dropout_jax.analysis.statistics import Estimate, holm, judge, verdict

EXACT = 1e-12  # float64, some 10³ roundings
p_values = arrays(np.float64, st.integers(1, 6), elements=st.floats(0, 1), fill=st.nothing())


# Holm


@given(p_values)
def test_holm_is_the_closed_test_of_bonferroni(p):
    k = len(p)
    families = [list(f) for r in range(1, k + 1) for f in itertools.combinations(range(k), r)]
    bonferroni = [min(1, len(family) * p[family].min()) for family in families]
    of_all = [max(b for b, f in zip(bonferroni, families, strict=True) if i in f) for i in range(k)]
    np.testing.assert_allclose(holm(p), of_all, EXACT)


@given(p_values)
def test_holm_raises_p_values_keeps_their_order_and_stays_below_one(p):
    adjusted = holm(p)
    assert np.all((p <= adjusted) & (adjusted <= 1))
    assert np.all(np.diff(adjusted[np.argsort(p)]) >= 0)


def test_holm_by_hand():
    adjusted = holm(np.array([0.03, 0.01, 0.04, 0.7]))  # .01·4, .03·3, then max(.09, .04·2), .7
    np.testing.assert_allclose(adjusted, [0.09, 0.04, 0.09, 0.7], EXACT)


# Verdicts


@pytest.mark.parametrize(
    ("low", "high", "p_holm", "expected"),
    [
        (-0.3, -0.1, 0.049, "more uniform"),
        (0.1, 0.3, 0.049, "less uniform"),
        (-0.3, -0.1, 0.05, "undecided"),
        (-0.3, 0.1, 0.8, "undecided"),
        (-0.02, 0.02, 0.8, "no difference"),
        (0.01, 0.02, 0.001, "no difference"),  # sure, but too small to matter
        (0.01, 0.0201, 0.001, "less uniform"),
        (-0.0201, -0.01, 0.001, "more uniform"),
    ],
)
def test_verdicts_of_a_measure_that_falls_to_0(low, high, p_holm, expected):
    opposite = {"more uniform": "less uniform", "less uniform": "more uniform"}
    for baseline in (1, -1, 2**-10, 64):  # the margin is a share of it
        of = [abs(baseline) * end for end in (low, high)]
        assert verdict(of[0], of[1], p_holm, baseline, 6, False) == expected
    assert verdict(low, high, p_holm, 1, 6, higher_is_uniform=True) == opposite.get(
        expected, expected
    )
    assert verdict(low, high, p_holm, 1, 5, higher_is_uniform=False) == "undecided"


@pytest.mark.parametrize("missing", range(4))
@pytest.mark.parametrize("value", [math.nan, math.inf])
@pytest.mark.parametrize("expected", ["more uniform", "no difference"])
def test_what_is_not_finite_decides_nothing(missing, value, expected):
    numbers = [-0.3 if expected == "more uniform" else -0.01, -0.01, 0.001, 1.0]
    assert verdict(*numbers, n_seeds=10, higher_is_uniform=False) == expected
    numbers[missing] = value
    assert verdict(*numbers, n_seeds=10, higher_is_uniform=False) == "undecided"


def test_a_family_is_judged_estimate_by_estimate_with_the_p_values_of_all():
    estimate = Estimate(1.0, 0.8, -0.2, -0.3, -0.1, p_value=0.01, effect_size=-2.0)
    family = [estimate, estimate._replace(p_value=0.04), estimate._replace(p_value=0.9)]
    found = judge(family, n_networks=8, higher_is_uniform=False)
    np.testing.assert_allclose([one.p_holm for one in found], [0.03, 0.08, 0.9], EXACT)
    assert [one.verdict for one in found] == ["more uniform", "undecided", "undecided"]
    for one, of in zip(found, family, strict=True):
        assert {name: getattr(one, name) for name in Estimate._fields} == of._asdict()
    assert judge([], n_networks=8, higher_is_uniform=False) == []
