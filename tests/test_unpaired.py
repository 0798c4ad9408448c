import numpy as np
import pytest

from dropout_jax import unpaired


def test_the_permutation_test_is_exact_and_symmetric():
    x, y = np.array([1.0, 2.0, 3.0, 4.0]), np.array([11.0, 12.0, 13.0, 14.0])
    assert unpaired.permutation_test(x, y) == pytest.approx(2 / 70)
    assert unpaired.permutation_test(y, x) == pytest.approx(2 / 70)
    assert unpaired.permutation_test(x, y[:2]) == pytest.approx(1 / 15)
    assert unpaired.permutation_test(x, x) == 1
    assert np.isnan(unpaired.permutation_test(x, np.array([1.0, np.nan])))


def test_welchs_interval_covers():
    rng = np.random.default_rng(0)
    n, covered = 400, 0
    for _ in range(n):
        x, y = rng.normal(size=(5, 1)), 3 * rng.normal(size=(8, 1))
        (one,) = unpaired.compare(x, y)
        covered += one.ci_low <= 0 <= one.ci_high
    assert abs(covered / n - 0.95) < 4 * np.sqrt(0.05 * 0.95 / n)


def test_unpaired_groups_are_two_networks_or_more_each():
    with pytest.raises(ValueError, match="baseline must be of 2 seeds or more"):
        unpaired.compare(np.ones((1, 2)), np.ones((3, 2)))
    with pytest.raises(ValueError, match=r"must both be \[networks, comparisons\]"):
        unpaired.compare(np.ones((3, 2)), np.ones((3, 1)))
    (equal,) = unpaired.compare(np.ones((3, 1)), np.ones((3, 1)))
    assert (equal.difference, equal.ci_low, equal.ci_high, equal.verdict) == (
        0,
        0,
        0,
        "no difference",
    )
