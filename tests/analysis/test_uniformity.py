import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats

from dropout_jax.analysis import uniformity
from dropout_jax.analysis.uniformity import MEASURES
from tests.analysis.oracle import GRID, TOL, M, close, lorenz, oracle
from tests.refusals import outcome

# Whole numbers are exact in float32, and a tie or a 0 is likely among so few of them.
magnitudes = arrays(np.float32, M, elements=st.integers(0, 100), fill=st.nothing())
masks = st.just(np.ones(M, bool)) | arrays(bool, M, fill=st.nothing())
sets = st.tuples(magnitudes, masks).filter(lambda s: s[1].sum() >= 2 and s[0][s[1]].any())


@jax.jit
def every_measure(a, where=None):
    return {name: measure(a, where) for name, measure in MEASURES.items()}


def measured(a, where=None):
    return {name: float(value) for name, value in every_measure(a, where).items()}


compiled_profile = jax.jit(uniformity.profile)


def of_equal_entries(n):
    return dict.fromkeys(MEASURES, 0) | {"participation": 1, "top10_share": 0.1}


def of_one_entry(n):
    most = {"cv": math.sqrt(n - 1), "entropy": math.log(n), "participation": 1 / n}
    return dict.fromkeys(MEASURES, 1) | most | {"top10_share": min(1, 0.1 * n)}


# Laws of every measure


@given(sets, st.integers(-30, 30))
def test_scaling_changes_nothing_from_1e_minus_30_to_1e30(a_set, power):
    a, where = a_set
    assert measured(a * np.float32(10.0**power), where) == close(measured(a, where))


def at_all_scales(dtype):
    """The powers of two by which integers up to 100 stay exact in a type, subnormal ones too."""
    of = jnp.finfo(dtype)
    least, most = int(of.minexp) - of.nmant, int(of.maxexp) - 7
    return st.integers(least, most) | st.integers(least, least + 30) | st.integers(most - 9, most)


@pytest.mark.parametrize("dtype", [jnp.float64, jnp.float32, jnp.float16, jnp.bfloat16])
@given(sets, st.data())
def test_no_bit_changes_with_the_scale_over_the_whole_range_of_a_type(dtype, a_set, data):
    a, where = a_set
    scaled = np.ldexp(a.astype(np.float64), data.draw(at_all_scales(dtype)))
    with jax.enable_x64(dtype == jnp.float64):
        for compiled in (every_measure, compiled_profile):
            found, expected = (compiled(b.astype(dtype), where) for b in (scaled, a))
            jax.tree.map(np.testing.assert_array_equal, found, expected)


@given(sets, st.integers(-300, 300))
def test_scaling_changes_nothing_from_1e_minus_300_to_1e300_in_float64(a_set, power):
    a, where = a_set
    with jax.enable_x64(True):
        assert measured(a * np.float64(10) ** (power - 2), where) == close(measured(a, where))


def test_subnormal_entries_keep_their_part_beside_normal_ones():
    a = np.array([3, 1, 2, 40], np.float32)
    for scale in (2.0**-149, 2.0**-127, 2.0**-130):  # all of them are subnormal, one, two
        assert measured(a * np.float32(scale)) == measured(a)


@given(sets, st.permutations(range(M)))
def test_order_changes_nothing(a_set, order):
    a, where = a_set
    assert measured(a[order], where[order]) == close(measured(a, where))


@given(sets)
def test_a_measure_lies_between_its_values_for_equal_entries_and_for_one(a_set):
    a, where = a_set
    ends = of_equal_entries(where.sum()), of_one_entry(where.sum())
    for name, value in measured(a, where).items():
        low, high = sorted(end[name] for end in ends)
        assert low - TOL <= value <= high * (1 + TOL) + TOL, name


@given(sets, st.permutations(range(M)), st.integers(2, 100), st.data())
def test_taking_from_the_rich_for_the_poor_evens_all_but_participation(a_set, order, gap, data):
    a, where = (x.copy() for x in a_set)
    rich, poor = order[:2]
    where[[rich, poor]] = True
    a[rich] = a[poor] + gap
    gift = data.draw(st.integers(1, gap - 1))
    n, total = where.sum(), a[where].sum()
    before = measured(a, where)
    a[rich], a[poor] = a[rich] - gift, a[poor] + gift
    after = measured(a, where)

    least_fall = 2 * min(gift, gap - gift) / ((n - 1) * total)  # by the two alone
    assert least_fall > 2 * TOL  # so that the next line means strictly
    assert after["gini"] <= before["gini"] - least_fall + TOL
    variance_fall = 2 * gift * (gap - gift) / n
    assert before["cv"] ** 2 - after["cv"] ** 2 == pytest.approx(
        variance_fall / (total / n) ** 2, abs=2 * TOL * max(1, before["cv"] ** 2)
    )
    for name in ("entropy", "hoyer", "top10_share"):
        assert after[name] <= before[name] + TOL, name


def test_participation_can_fall_when_the_rich_give_to_the_poor():
    assert measured(np.array([1, 1, 1, 0], np.float32))["participation"] == close(0.75)
    assert measured(np.array([1, 1, 0.7, 0.3], np.float32))["participation"] < 0.741


@given(sets, st.integers(2, 3))
def test_cloning_the_set_changes_only_what_corrects_for_its_size(a_set, copies):
    a, where = a_set

    def uncorrected(k):
        n = k * where.sum()
        of = measured(np.tile(a, k), np.tile(where, k))
        of["gini"] *= (n - 1) / n
        of["hoyer"] *= (math.sqrt(n) - 1) / math.sqrt(n)
        return of

    assert uncorrected(copies) == close(uncorrected(1), copies * TOL)


# Values


@given(sets)
def test_a_measure_is_its_definition_on_the_entries_that_count(a_set):
    a, where = a_set
    assert measured(np.where(where, a, np.nan), where) == close(oracle(a[where]))


@given(magnitudes.filter(np.any))
def test_without_a_mask_every_entry_counts_whatever_the_shape(a):
    assert measured(a) == close(oracle(a))
    assert measured(a.reshape(4, 6)) == close(oracle(a))


@pytest.mark.parametrize("n", [2, 10, M])
def test_extremes_are_equal_entries_and_one_entry(n):
    where = np.arange(M) < n
    assert measured(np.full(M, 3, np.float32), where) == close(of_equal_entries(n))
    assert measured(np.float32(7) * (np.arange(M) == 1), where) == close(of_one_entry(n))


N = 2**18
# Each measure is a ratio of moments up to this order. The midpoint rule errs in the moment of a
# law by at most the last term over N; of these laws it is largest for Laplace's, where it is
# ln(2N)^p / N, next to a moment of p!.
ORDER = {"gini": 1, "cv": 2, "entropy": 2, "participation": 4, "hoyer": 2, "top10_share": 1}
Z95 = stats.norm.ppf(0.95)
LAWS = {  # of |w|: quantile function; measures in the order of ORDER; rounding of these
    "constant": (np.ones_like, (0, 0, 0, 1, 0, 0.1), 0),
    "uniform": (
        stats.uniform.ppf,
        (1 / 3, 3**-0.5, math.log(2) - 0.5, 5 / 9, 1 - 3**0.5 / 2, 0.19),
        0,
    ),
    "truncated normal": (
        stats.truncnorm(0, 2).ppf,
        (0.392, 0.694, 0.255, 0.423, 0.179, 0.235),
        0.5e-3,
    ),
    "Gaussian": (
        stats.halfnorm.ppf,
        (
            2**0.5 - 1,
            (math.pi / 2 - 1) ** 0.5,
            (math.log(math.pi) - np.euler_gamma) / 2,
            1 / 3,
            1 - (2 / math.pi) ** 0.5,
            math.exp(-(Z95**2) / 2),
        ),
        0,
    ),
    "Laplace": (
        stats.expon.ppf,
        (0.5, 1, 1 - np.euler_gamma, 1 / 6, 1 - 0.5**0.5, 0.1 * (1 + math.log(10))),
        0,
    ),
}


@pytest.mark.parametrize("law", LAWS)
def test_measures_of_known_laws_are_their_closed_forms(law):
    quantile, values, rounding = LAWS[law]
    found = measured(np.float32(quantile((np.arange(N) + 0.5) / N)))
    found["hoyer"] *= 1 - N**-0.5  # closed forms are for N → ∞, which it alone nears slowly
    for (name, p), value in zip(ORDER.items(), values, strict=True):
        tol = math.log(2 * N) ** p / (math.factorial(p) * N)
        assert found[name] == pytest.approx(value, rel=tol, abs=tol + rounding), name


def test_margins_are_half_of_what_separates_the_usual_initial_laws():
    laws = (LAWS[name][1] for name in ("Gaussian", "truncated normal"))
    for name, normal, truncated in zip(ORDER, *laws, strict=True):
        half = abs(normal - truncated) / 2
        assert uniformity.MARGINS[name] == pytest.approx(half, rel=0.2), name  # one or two digits


def test_there_is_no_measure_of_nothing():
    a = np.ones(M, np.float32)
    nothing = pytest.approx(dict.fromkeys(MEASURES, math.nan), nan_ok=True)
    assert measured(a, np.zeros(M, bool)) == nothing
    assert measured(0 * a) == nothing
    assert measured(np.float32(np.arange(M)), np.arange(M) == 0) == nothing


# What JAX does to them


@pytest.mark.parametrize("name", MEASURES)
def test_jit_and_vmap_change_nothing(name):
    rng = np.random.default_rng(0)
    a, where = rng.exponential(size=(3, M)).astype(np.float32), rng.random((3, M)) < 0.7
    loop = [float(MEASURES[name](*member)) for member in zip(a, where, strict=True)]
    assert len(set(loop)) == 3
    compiled = jax.jit(MEASURES[name])
    np.testing.assert_allclose([compiled(*m) for m in zip(a, where, strict=True)], loop, TOL)
    np.testing.assert_allclose(jax.jit(jax.vmap(MEASURES[name]))(a, where), loop, TOL)


DIFFERENTIATED = {
    **MEASURES,
    "relative": lambda a, where: uniformity.profile(a, where, n_points=9).relative,
    "lorenz": lambda a, where: uniformity.profile(a, where, n_points=9).lorenz,
}


@pytest.mark.parametrize("name", DIFFERENTIATED)
def test_derivatives_are_differences_whether_forward_backward_or_by_vmap(name):
    rng = np.random.default_rng(0)
    # far from where magnitudes meet, where there are kinks; one is 0, which has its own
    w = rng.permuted(np.tile(np.arange(2, M + 2), (2, 1)), axis=1) * rng.choice([-1.0, 1.0], (2, M))
    w[:, 3] = 0
    where = np.array([np.arange(M) % 5 > 0, np.ones(M, bool)])
    h = 2.0**-17  # ε^⅓, at which rounding ε/h is as large as what h² of the series misses
    with jax.enable_x64(True):
        function = jax.jit(DIFFERENTIATED[name])
        of_both = jax.jit(
            lambda a, where: (jax.jacfwd(function)(a, where), jax.jacrev(function)(a, where))
        )
        for row, counted in zip(w, where, strict=True):
            steps = [h * (np.arange(M) == i) * (row != 0) for i in range(M)]
            ends = [
                [np.asarray(function(row + sign * step, counted)) for step in steps]
                for sign in (1, -1)
            ]
            differences = [(after - before) / (2 * h) for after, before in zip(*ends, strict=True)]
            expected = pytest.approx(np.stack(differences, -1), rel=1e-6, abs=1e-9)
            assert np.any(np.abs(differences) > 1e-3)
            for jacobian in of_both(row, counted):
                assert np.asarray(jacobian) == expected
        by_vmap = np.asarray(jax.jit(jax.vmap(jax.jacrev(DIFFERENTIATED[name])))(w, where))
        _, backward = of_both(w[1], where[1])
        np.testing.assert_allclose(by_vmap[1], backward, 1e-9, 1e-12)


@pytest.mark.parametrize("name", ["cv", "entropy", "participation", "hoyer"])
def test_the_gradient_of_uniform_magnitudes_is_0(name):
    slope = jax.jit(jax.grad(MEASURES[name]))(np.ones(4, np.float32))
    np.testing.assert_allclose(slope, 0, atol=1e-6)


@pytest.mark.parametrize("name", MEASURES)
def test_a_gradient_is_one_over_the_scale_from_1e_minus_30_to_1e30(name):
    w = np.float32(np.random.default_rng(0).laplace(size=M))
    gradient = jax.jit(jax.grad(MEASURES[name]))
    for scale in (2.0**-100, 2.0**100):
        scaled = np.asarray(gradient(np.float32(scale * w)))
        np.testing.assert_array_equal(np.float32(scale) * scaled, gradient(w))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_half_precision_costs_only_its_own_rounding(dtype):
    a = np.random.default_rng(0).integers(0, 100, M)  # exact in both
    assert measured(a.astype(dtype)) == close(oracle(a), 8 * float(jnp.finfo(dtype).eps))


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16, jnp.float32])
@given(arrays(np.float32, M, elements=st.floats(0, width=32, allow_subnormal=False)))
def test_magnitudes_sort_by_their_bits(dtype, a):
    a = jnp.abs(jnp.array(a)).astype(dtype)
    bits = [np.asarray(x).tobytes() for x in (uniformity._sorted(a), jnp.sort(a))]
    assert bits[0] == bits[1]


# The profile


@given(sets)
def test_the_profile_is_of_the_entries_that_count(a_set):
    a, where = a_set
    selected = np.sort(a[where]).astype(np.float64)
    n, u = len(selected), selected / selected.mean()
    relative, shares = compiled_profile(np.where(where, a, np.nan), where)
    steepest = n * (u[-1] - u[0])  # a fraction's rounding times the slope
    expected = np.interp(GRID, (np.arange(n) + 0.5) / n, u)
    np.testing.assert_allclose(relative, expected, TOL, TOL * (1 + steepest))
    np.testing.assert_allclose(shares, lorenz(selected, GRID), TOL, TOL)


@given(sets)
def test_relative_magnitudes_rise_and_average_one(a_set):
    a, where = a_set
    relative, _ = map(np.asarray, compiled_profile(a, where))
    assert np.all(np.diff(relative) >= -TOL * relative[-1])
    # Trapezoids miss at most h²/8 for each unit by which the slope turns, and the slope of n
    # rising entries that average 1 turns by at most 2 n².
    bound = 0.25 * (GRID[1] * where.sum()) ** 2
    assert np.trapezoid(relative, GRID) == pytest.approx(1, abs=bound + TOL)


@given(sets)
def test_the_lorenz_curve_is_convex_and_encloses_ginis_area(a_set):
    a, where = a_set
    n = where.sum()
    _, shares = map(np.asarray, compiled_profile(a, where))
    assert (shares[0], shares[-1]) == close((0, 1))
    assert np.all(np.diff(shares) >= -TOL)
    assert np.all(np.diff(shares, 2) >= -2 * TOL)
    # Chords lie above a convex curve, by h²/8 for each unit by which its slope, ≤ n, turns.
    gini = measured(a, where)["gini"] * (n - 1) / n
    missed = gini - (1 - 2 * np.trapezoid(shares, GRID))
    assert -2 * TOL <= missed <= n * GRID[1] ** 2 / 4 + 2 * TOL


# Input, most of it bad


SHAPES = [(), (0,), (1,), (5,), (2, 3)]
any_array = st.sampled_from(SHAPES).flatmap(
    lambda shape: arrays(np.float32, shape, elements=st.floats(width=32))
)


@given(a=any_array, where=st.sampled_from([None, True, False]))
def test_a_measure_is_a_number_that_no_sign_changes(a, where):
    of_negative = every_measure(-a, where)
    for name, value in every_measure(a, where).items():
        assert value.shape == (), name
        np.testing.assert_array_equal(value, of_negative[name], name)
        if np.isnan(a).any() and where is not False:
            assert np.isnan(value), name
        if where is False or not a.any():
            assert np.isnan(value), name


@pytest.mark.parametrize("name", [*uniformity.MEASURES, "profile"])
@pytest.mark.parametrize("where", [1, 0.5, "all", np.ones(4, bool), np.ones(3, int)])
def test_what_counts_is_told_by_booleans_of_the_shape(name, where):
    assert outcome(getattr(uniformity, name), np.ones(3, np.float32), where) is None


@pytest.mark.parametrize("name", [*uniformity.MEASURES, "profile"])
def test_what_has_no_magnitude_is_refused(name):
    for a in ("abc", None, object(), jax.random.key(0)):
        assert outcome(getattr(uniformity, name), a) is None


@given(n_points=st.integers(-2, 3), size=st.integers(0, 2))
@settings(max_examples=20)
def test_a_profile_has_two_points_and_something_to_show(n_points, size):
    profile = jax.jit(uniformity.profile, static_argnames="n_points")
    result = outcome(profile, np.ones(size, np.float32), n_points=n_points)
    assert (result is not None) == (n_points >= 2 and size > 0)


def test_magnitudes_and_booleans_of_numpy_are_taken_and_their_types_too():
    """Type checkers read these calls."""
    a = np.array([1.0, 1.0, 7.0], np.float32)
    assert uniformity.gini(a, where=a < 2) == 0 < uniformity.gini(a)


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_keeps_its_type_also_where_none_is_promoted(name):
    a = np.array([1.0, 2.0, 4.0], np.float32)
    measure = jax.jit(MEASURES[name])
    with jax.numpy_dtype_promotion("strict"):
        strict = measure(a)
    assert float(strict) == float(measure(a))
    with jax.enable_x64(True):
        assert jax.eval_shape(measure, a).dtype == jnp.float32
