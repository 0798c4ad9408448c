"""The laws of dropout; every bound on a random number is 5 standard deviations of its estimator."""

import inspect
import itertools
from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dropout_jax import noise
from dropout_jax.networks.linen import Dropout
from dropout_jax.noise import (
    _hash,
    _mask,
    drop_connect,
    dropout,
    gaussian_dropout,
    keep_mask,
)
from tests.drawn import anything, dtypes
from tests.refusals import (
    assert_advises_on_a_key,
    assert_refused_in_one_short_line,
    bad_keys,
    fresh_key,
    is_real,
    outcome,
)

IMPLS = ("threefry2x32", "philox2x32", "rbg")
DTYPES = (jnp.float16, jnp.bfloat16, jnp.float32)
FLOAT8 = (jnp.float8_e4m3fn, jnp.float8_e5m2)
SEEDS = st.integers(0, 2**32 - 1)
RATES = st.floats(0, 1, width=32, allow_subnormal=False)
EDGES = np.array([-0.0, 0.0, 1.5, -2.0, np.inf, -np.inf, np.nan], np.float32)

compiled_mask = jax.jit(keep_mask, static_argnames="shape")
compiled_dropout = jax.jit(dropout)
compiled_hash = jax.jit(_hash)
drops = pytest.mark.parametrize("drop", [dropout, gaussian_dropout])
transforms = pytest.mark.parametrize("transform", [jax.jit, lambda f: f], ids=["jit", "eager"])


def assert_same_bits(actual, expected):
    actual, expected = np.asarray(actual), np.asarray(expected)
    assert (actual.dtype, actual.shape) == (expected.dtype, expected.shape)
    assert actual.tobytes() == expected.tobytes()


def normals(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


# Laws


@given(seed=SEEDS, rate=RATES.filter(lambda rate: rate < 1))
def test_an_entry_is_dropped_or_scaled_by_the_inverse_keep_probability(seed, rate):
    x = np.arange(1, 65, dtype=np.float32)
    y = np.asarray(compiled_dropout(jax.random.key(seed), x, rate))
    kept = np.asarray(compiled_mask(jax.random.key(seed), rate, x.shape))
    np.testing.assert_array_equal(y[~kept], 0)
    np.testing.assert_allclose(y[kept], x[kept] / (1 - np.float64(rate)), rtol=1e-6)


@drops
@transforms
@pytest.mark.parametrize("dtype", DTYPES)
def test_rate_zero_is_the_identity_bit_for_bit(drop, transform, dtype):
    x = EDGES.astype(dtype)
    assert_same_bits(transform(drop)(jax.random.key(0), x, 0.0), x)


@drops
@transforms
@pytest.mark.parametrize("dtype", DTYPES)
def test_rate_one_gives_zeros_with_zero_gradients(drop, transform, dtype):
    def total(x, rate):
        return drop(jax.random.key(0), x, rate).sum()

    x = EDGES.astype(dtype)
    np.testing.assert_array_equal(transform(drop)(jax.random.key(0), x, 1.0), np.zeros_like(x))
    of_x, of_rate = transform(jax.grad(total, argnums=(0, 1)))(x, 1.0)
    np.testing.assert_array_equal(of_x, np.zeros_like(x))
    assert np.isfinite(of_rate)


@drops
@pytest.mark.parametrize("dtype", DTYPES)
def test_rates_just_below_one_give_no_nan_in_any_dtype(drop, dtype):
    """1 / (1 - rate) is larger than every float16 here, and 0 times infinity is NaN."""

    def total(x):
        return drop(jax.random.key(0), x, 1 - 2**-20).sum()

    value, slope = jax.jit(jax.value_and_grad(total))(np.ones(7, dtype))
    assert np.isfinite(np.asarray(value))
    assert np.isfinite(np.asarray(slope)).all()


def test_the_gradient_is_the_mask_over_the_keep_probability():
    x = normals(7, 5)
    slope = jax.grad(lambda x: dropout(jax.random.key(1), x, 0.4).sum())(x)
    kept = np.asarray(keep_mask(jax.random.key(1), 0.4, x.shape))
    assert 0 < kept.sum() < kept.size
    np.testing.assert_allclose(slope, kept / 0.6, rtol=1e-6)


def test_a_nan_in_a_dropped_place_does_not_survive():
    kept = np.asarray(keep_mask(jax.random.key(2), 0.5, (7, 5)))
    x = np.where(kept, np.float32(1), np.float32(np.nan))
    value, slope = jax.value_and_grad(lambda x: dropout(jax.random.key(2), x, 0.5).sum())(x)
    assert value == 2 * kept.sum()
    np.testing.assert_array_equal(slope, 2.0 * kept)


@given(seed=SEEDS, rates=st.tuples(RATES, RATES))
def test_what_a_higher_rate_keeps_a_lower_one_keeps_too(seed, rates):
    masks = [compiled_mask(jax.random.key(seed), rate, (256,)) for rate in sorted(rates)]
    low, high = map(np.asarray, masks)
    assert not np.any(high & ~low)


@pytest.mark.parametrize("shape", [(105, 1), (1, 105), (21, 5), (3, 5, 7)])
def test_a_mask_of_any_shape_is_that_of_as_many_entries_in_a_row(shape):
    flat = compiled_mask(jax.random.key(0), 0.5, (105,))
    mask = np.asarray(compiled_mask(jax.random.key(0), 0.5, shape))
    np.testing.assert_array_equal(mask.ravel(), flat)


def test_everything_is_kept_at_rate_zero_and_nothing_at_rate_one():
    first, second = (jax.random.key(0) for _ in range(2))
    assert np.asarray(compiled_mask(first, 0.0, (2**20,))).all()
    assert not np.asarray(compiled_mask(second, 1.0, (2**20,))).any()


def unhash(word):
    """The second word of a key, under which the hash of position 0 is this if the first is 0."""
    word = word * pow(0x9E3779B1, -1, 2**32) % 2**32
    word ^= word >> 16
    word = word * pow(0x846CA68B, -1, 2**32) % 2**32
    return word ^ word >> 15 ^ word >> 30


def test_the_least_draw_is_kept_at_rate_zero_and_the_greatest_dropped_at_rate_one():
    zero = np.zeros(2, np.uint32)  # under this key the hash of position 0 is 0, the least draw
    assert int(compiled_hash(np.uint32(0), *zero)) == 0
    assert np.asarray(_mask(zero, np.float32(0), (1,))).all()
    assert not np.asarray(_mask(zero, np.float32(2**-32), (1,))).any()
    top = np.array([0, unhash(2**32 - 1)], np.uint32)  # under this one the greatest
    assert int(compiled_hash(np.uint32(0), *top)) == 2**32 - 1
    assert np.asarray(_mask(top, np.float32(1 - 2**-24), (1,))).all()
    assert not np.asarray(_mask(top, np.float32(1), (1,))).any()
    half = np.array([0, unhash(2**31)], np.uint32)  # at the threshold
    assert np.asarray(_mask(half, np.float32(0.5), (1,))).all()


@drops
@pytest.mark.parametrize("dtype", DTYPES)
def test_the_dtype_and_shape_are_kept(drop, dtype):
    x = np.zeros((3, 4, 5), dtype)
    y = jax.eval_shape(lambda x: drop(jax.random.key(0), x, 0.5), x)
    assert (y.shape, y.dtype) == (x.shape, x.dtype)


@drops
@pytest.mark.parametrize("dtype", FLOAT8)
def test_eight_bits_are_kept_or_dropped_as_32_are(drop, dtype):
    x = np.array([1.0, 2.0, 0.5, 4.0], dtype)
    wide = np.asarray(drop(jax.random.key(1), x.astype(np.float32), 0.5))
    narrow = np.asarray(drop(jax.random.key(1), x, 0.5))
    assert narrow.dtype == dtype
    assert_same_bits(narrow.view(np.uint8), wide.astype(dtype).view(np.uint8))


@drops
@transforms
def test_a_traced_rate_that_is_nan_gives_nan(drop, transform):
    x = np.ones(3, np.float32)
    dropped = jax.vmap(lambda rate: drop(jax.random.key(0), x, rate))
    assert np.isnan(transform(dropped)(np.array([np.nan], np.float32))).all()
    assert np.isnan(jax.jit(drop)(jax.random.key(0), x, np.nan)).all()


def test_different_keys_give_different_masks():
    first, second = (keep_mask(jax.random.key(seed), 0.5, (7, 5)) for seed in (0, 1))
    assert np.any(np.asarray(first) != np.asarray(second))


# Transformations


def test_the_branch_of_an_accelerator_makes_the_masks_of_a_cpu(monkeypatch):
    words, shape = jnp.array([1, 2], jnp.uint32), (40, 50)
    rates = [jnp.float32(rate) for rate in (0, 1e-6, 0.5, 1, np.nan)]
    on_cpu = [np.asarray(noise._mask(words, rate, shape)) for rate in rates]
    monkeypatch.setattr(jax.lax, "platform_dependent", lambda cpu, default: default())
    # A new function: JAX would take the program of the same one from its cache.
    mask = jax.jit(lambda words, rate: inspect.unwrap(noise._mask)(words, rate, shape))
    for rate, expected in zip(rates, on_cpu, strict=True):
        np.testing.assert_array_equal(mask(words, rate), expected)


@pytest.mark.parametrize("spec", [("d", None), (None, "d")])
def test_no_sharding_changes_a_bit_of_a_mask(spec):
    mesh = jax.sharding.Mesh(jax.local_devices()[:2], ("d",))
    sharding = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec(*spec))
    sharded = jax.jit(keep_mask, static_argnames="shape", out_shardings=sharding)
    mask = sharded(jax.random.key(0), 0.3, shape=(6, 10))
    assert len(mask.sharding.device_set) == 2
    assert_same_bits(mask, compiled_mask(jax.random.key(0), 0.3, (6, 10)))


def linen_dropout(key, x, rate):
    return Dropout(rate, deterministic=False).apply({}, x, rng=key)


@partial(jax.jit, static_argnums=0)
def value_and_slope(drop, keys, x, rates):
    """In the direction of x and the rate themselves."""
    with_key = partial(drop, keys[0])
    return jnp.concatenate(jax.jvp(with_key, (x, rates[0]), (x, rates[0])))


@pytest.mark.parametrize("drop", [dropout, gaussian_dropout, linen_dropout])
@pytest.mark.parametrize("varying", [{"key"}, {"rate"}, {"x"}, {"key", "rate", "x"}])
def test_key_rate_and_input_may_each_vary_over_a_mesh(drop, varying):
    def split(name, array):
        return [array[:1], array[1:]] if name in varying else [array[:1]] * 2

    mesh = jax.sharding.Mesh(jax.local_devices()[:2], ("d",))
    keys, x = jax.random.split(jax.random.key(0)), normals(2)
    rates = np.array([0.0, 0.5], np.float32)
    given = {"key": keys, "x": x, "rate": rates}
    specs = tuple(jax.sharding.PartitionSpec("d" if name in varying else None) for name in given)
    out = jax.sharding.PartitionSpec("d")
    of_drop = partial(value_and_slope, drop)
    sharded = jax.shard_map(of_drop, mesh=mesh, in_specs=specs, out_specs=out)
    with jax.debug_key_reuse(False):
        halves = [split(name, of) for name, of in given.items()]
        whole = [of if name in varying else of[:1] for name, of in given.items()]
        apart = np.concatenate([of_drop(*half) for half in zip(*halves, strict=True)])
        np.testing.assert_allclose(jax.jit(sharded)(*whole), apart, rtol=1e-6)


def test_jit_changes_no_bit_of_dropout():
    x = normals(7, 5)
    assert_same_bits(
        jax.jit(dropout)(jax.random.key(1), x, 0.3), dropout(jax.random.key(1), x, 0.3)
    )


def test_jit_changes_gaussian_dropout_by_rounding_only():
    x = normals(7, 5)
    compiled = jax.jit(gaussian_dropout)(jax.random.key(1), x, 0.3)
    eager = gaussian_dropout(jax.random.key(1), x, 0.3)
    np.testing.assert_allclose(compiled, eager, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("impl", ["threefry2x32", "philox2x32"])
def test_vmap_over_keys_is_the_loop_bit_for_bit(impl):
    x = normals(7, 5)
    batched, looped = (jax.random.split(jax.random.key(3, impl=impl), 6) for _ in range(2))
    together = jax.jit(jax.vmap(dropout, (0, None, None)))(batched, x, 0.5)
    assert_same_bits(together, np.stack([dropout(key, x, 0.5) for key in looped]))


def test_vmap_over_rates_is_the_loop_bit_for_bit():
    x, rates = normals(7, 5), np.array([0.0, 0.2, 0.5, 1.0], np.float32)
    together = jax.jit(jax.vmap(lambda rate: dropout(jax.random.key(4), x, rate)))(rates)
    assert_same_bits(together, np.stack([dropout(jax.random.key(4), x, r) for r in rates]))


@drops
def test_a_sweep_over_rates_compiles_once(drop):
    chex.clear_trace_counter()
    swept = jax.jit(chex.assert_max_traces(lambda key, x, rate: drop(key, x, rate), n=1))
    for rate in (0.0, 0.3, 0.5, 1.0):
        swept(jax.random.key(0), np.ones(3, np.float32), rate)


# Moments


@pytest.mark.parametrize("impl", IMPLS)
def test_the_share_of_kept_entries_is_the_keep_probability(impl):
    n = 100_000
    for seed, rate in enumerate((0.1, 0.5, 0.9)):
        share = np.asarray(compiled_mask(jax.random.key(seed, impl=impl), rate, (n,))).mean()
        assert abs(share - (1 - rate)) < 5 * np.sqrt(rate * (1 - rate) / n)


def standardised(key, rate, n=2**20):
    """A long mask with mean 0 and variance 1."""
    mask = np.asarray(compiled_mask(key, rate, (n,)), np.float64)
    return (mask - (1 - rate)) / np.sqrt(rate * (1 - rate))


def assert_uncorrelated(a, b):
    assert abs(np.mean(a * b)) < 5 / np.sqrt(len(a))


@pytest.mark.parametrize("impl", IMPLS)
@pytest.mark.parametrize("rate", [0.2, 0.5])
def test_an_entry_says_nothing_of_its_neighbours(impl, rate):
    mask = standardised(jax.random.key(0, impl=impl), rate)
    for lag in (1, 2, 3, 4, 32, 784, 1024, 2**16):
        assert_uncorrelated(mask[lag:], mask[:-lag])
    assert_uncorrelated(mask[2:] * mask[1:-1], mask[:-2])


@pytest.mark.parametrize("impl", ["threefry2x32", "philox2x32"])
def test_a_mask_says_nothing_of_those_of_other_layers_steps_and_members(impl):
    member, other = jax.random.split(jax.random.key(0, impl=impl))
    steps = [jax.random.fold_in(key, step) for key in (member, other) for step in (0, 1)]
    masks = [standardised(key, 0.5) for step in steps for key in jax.random.split(step, 3)]
    for a, b in itertools.combinations(masks, 2):
        assert_uncorrelated(a, b)


@partial(jax.jit, static_argnums=2)
def count_dropped(keys, rate, n):
    return jax.lax.map(lambda key: jnp.sum(~keep_mask(key, rate, (n,))), keys)


@pytest.mark.parametrize(
    ("rate", "n"), [(1e-6, 2**17), (1e-4, 2**14), (0.01, 2**10), (0.3, 1_000), (0.5, 2**10)]
)
def test_the_number_of_dropped_entries_varies_as_the_binomial_does(rate, n):
    n_masks, q = 2_000, float(np.float32(rate))
    keys = jax.random.split(jax.random.key(0), n_masks)
    dropped = np.asarray(count_dropped(keys, q, n), float)
    variance = n * q * (1 - q)
    assert abs(dropped.mean() - n * q) < 5 * np.sqrt(variance / n_masks)
    # The variance of the squared deviation: σ⁴ (2 + excess kurtosis of the binomial).
    spread = variance**2 * 2 + variance * (1 - 6 * q * (1 - q))
    assert abs(dropped.var(ddof=1) - variance) < 5 * np.sqrt(spread / n_masks)


@pytest.mark.slow
def test_a_hundred_million_entries_are_kept_as_often_and_as_independently_as_they_should_be():
    n, rate, lags = 10**8, float(np.float32(0.3)), (1, 2, 784, 1024, 2**16)
    mask = np.asarray(keep_mask(jax.random.key(0), rate, (n,)))
    kept = np.count_nonzero(mask)
    pairs = np.array([np.count_nonzero(mask[:-lag] & mask[lag:]) for lag in lags], float)
    ends = [np.count_nonzero(mask[:lag]) + np.count_nonzero(mask[-lag:]) for lag in lags]
    keep_prob, variance = 1 - rate, rate * (1 - rate)
    assert abs(kept - n * keep_prob) < 5 * np.sqrt(n * variance)
    in_either = 2 * kept - np.array(ends)  # of the two ends of all pairs at a lag
    covariance = pairs - keep_prob * in_either + (n - np.array(lags)) * keep_prob**2
    assert np.all(np.abs(covariance) < 5 * np.sqrt(n) * variance)


@pytest.mark.parametrize("words", [(0, 0), (1, 2**31), (0xDEADBEEF, 12345)])
def test_words_that_differ_in_one_bit_give_masks_that_hardly_correlate(words):
    def signs(key_0, key_1):
        mask = _mask(np.array([key_0, key_1], np.uint32), np.float32(0.5), (2**18,))
        return 2.0 * np.asarray(mask) - 1

    mask = signs(*words)
    for bit in range(32):  # of a key's own generator no two words are so near, but by chance
        assert abs(np.mean(mask * signs(words[0] ^ (1 << bit), words[1]))) < 0.01
        assert abs(np.mean(mask * signs(words[0], words[1] ^ (1 << bit)))) < 0.01


def test_a_flipped_bit_of_the_counter_flips_every_bit_of_the_hash_half_of_the_time():
    counter = np.arange(2**14, dtype=np.uint32)
    bits = np.arange(32, dtype=np.uint32)
    for key in ((0, 0), (1, 2**31), (2**32 - 1, 12345)):
        k0, k1 = map(np.uint32, key)
        usual = np.asarray(compiled_hash(counter, k0, k1))
        for flipped in range(32):
            other = compiled_hash(counter ^ np.uint32(1 << flipped), k0, k1)
            changed = usual ^ np.asarray(other)
            share = (changed[:, None] >> bits & 1).mean(axis=0)
            np.testing.assert_allclose(share, 0.5, atol=5 * 0.5 / np.sqrt(len(counter)))


@drops
@pytest.mark.parametrize("rate", [0.1, 0.5, 0.9])
def test_the_mean_is_the_input_and_the_variance_is_rate_over_keep_probability(drop, rate):
    n, variance = 100_000, rate / (1 - rate)
    ones = np.ones(n, np.float32)
    noise = np.asarray(jax.jit(drop)(jax.random.key(6), ones, rate), np.float64)
    assert abs(noise.mean() - 1) < 5 * np.sqrt(variance / n)
    # The variance of (noise - 1)^2: 2 λ^2 for Gaussian noise, λ (1 - 2 rate)^2 / (1 - rate)^2 for
    # scaled masks; at rate 1/2 that is 0, and float32 rounding is what is left.
    spread = 2 * variance**2
    if drop is dropout:
        spread = variance * (1 - 2 * rate) ** 2 / (1 - rate) ** 2
    assert abs(((noise - 1) ** 2).mean() - variance) < 5 * np.sqrt(spread / n) + 1e-6


def test_gaussian_dropout_follows_the_formula():
    x = normals(7, 5)
    noise = np.asarray(jax.random.normal(jax.random.key(7), x.shape))
    expected = np.asarray(x) * (1 + np.sqrt(0.2 / 0.8) * noise)
    np.testing.assert_allclose(
        gaussian_dropout(jax.random.key(7), x, 0.2), expected, rtol=1e-5, atol=1e-6
    )


@drops
def test_the_slope_in_the_rate_is_finite(drop):
    def total(rate):
        return drop(jax.random.key(8), jnp.ones(20), rate).sum()

    rates = np.array([0.0, 0.1, 0.5, 1 - 2**-20, 1.0], np.float32)
    assert np.isfinite(jax.jit(jax.vmap(jax.grad(total)))(rates)).all()


def test_the_slope_of_dropout_in_the_rate_is_its_output_over_the_keep_probability():
    def total(rate):
        return dropout(jax.random.key(8), jnp.ones(20), rate).sum()

    value, slope = jax.jit(jax.value_and_grad(total))(0.4)
    np.testing.assert_allclose(slope, np.asarray(value) / 0.6, rtol=1e-5)


@transforms
def test_a_learned_rate_moves_from_zero(transform):
    """Its slope at 0 is that of x / (1 - rate), as nothing is dropped there."""
    x = normals(20)
    slope = transform(jax.grad(lambda rate: dropout(jax.random.key(8), x, rate).sum()))(0.0)
    np.testing.assert_allclose(slope, x.sum(), rtol=1e-5)


def test_drop_connect_is_dropout_of_the_kernel():
    kernel = normals(7, 5)
    assert_same_bits(
        drop_connect(jax.random.key(1), kernel, 0.3), dropout(jax.random.key(1), kernel, 0.3)
    )


def test_drop_connect_keeps_the_mean_of_a_product():
    n, rate = 2_000, 0.3
    x, kernel = normals(4), normals(4, 3)
    keys = jax.random.split(jax.random.key(9), n)
    outputs = jax.jit(jax.vmap(lambda key: x @ drop_connect(key, kernel, rate)))(keys)
    deviation = np.sqrt(rate / (1 - rate) * (x**2) @ (kernel**2))
    assert np.all(abs(np.asarray(outputs).mean(0) - x @ kernel) < 5 * deviation / np.sqrt(n))


# Errors


@drops
@pytest.mark.parametrize(
    ("rate", "got"), [(-0.1, "-0.1"), (1.2, "1.2"), (np.nan, "nan"), (np.inf, "inf")]
)
def test_a_concrete_rate_outside_the_unit_interval_is_refused(drop, rate, got):
    for wrong in (rate, np.float32(rate), jnp.float32(rate)):
        with pytest.raises(ValueError, match=rf"^rate must lie in \[0, 1\], got {got}$"):
            drop(jax.random.key(0), np.ones(3, np.float32), wrong)
        with pytest.raises(ValueError, match=rf"^rate must lie in \[0, 1\], got {got}$"):
            keep_mask(jax.random.key(0), wrong, (3,))


@drops
@pytest.mark.parametrize(
    ("dtype", "rate", "error", "message"),
    [
        ("float32", np.zeros(3), ValueError, r"^rate must be a scalar, got shape \(3,\)"),
        *(
            ("float32", rate, TypeError, r"^rate must hold real numbers, got \S+$")
            for rate in ("half", "0.5", None, 1j, object(), {})
        ),
        *(
            (dtype, 0.5, TypeError, f"floating-point entries, got {dtype}")
            for dtype in ("int32", "bool", "complex64")
        ),
    ],
)
def test_what_is_no_rate_and_what_are_no_floats_is_refused(drop, dtype, rate, error, message):
    with pytest.raises(error, match=message):
        drop(jax.random.key(0), np.ones(3, dtype), rate)


TAKE_A_KEY = {
    "keep_mask": lambda key: keep_mask(key, 0.5, (2,)),
    "dropout": lambda key: dropout(key, np.ones(2), 0.5),
    "gaussian_dropout": lambda key: gaussian_dropout(key, np.ones(2), 0.5),
    "drop_connect": lambda key: drop_connect(key, np.ones((2, 2)), 0.5),
}


@bad_keys
@pytest.mark.parametrize("call", TAKE_A_KEY.values(), ids=TAKE_A_KEY)
def test_a_key_of_the_wrong_kind_gets_advice(call, make, message):
    assert_advises_on_a_key(call, make, message)


@pytest.mark.parametrize("function", [dropout, gaussian_dropout, drop_connect])
@given(rate=anything)
def test_a_rate_is_a_number_in_0_to_1_or_refused(function, rate):
    result = outcome(function, fresh_key(), np.ones((2, 2), np.float32), rate)
    assert (result is not None) == (is_real(rate) and 0 <= rate <= 1)


@given(rate=anything, shape=st.lists(st.integers(-1, 3), max_size=3))
def test_a_mask_is_of_the_shape_or_refused(rate, shape):
    mask = outcome(keep_mask, fresh_key(), rate, tuple(shape))
    good = is_real(rate) and 0 <= rate <= 1 and min(shape, default=0) >= 0
    assert (mask is not None) == good
    if mask is not None:
        assert (mask.shape, mask.dtype) == (tuple(shape), bool)


@given(
    array=dtypes.flatmap(
        lambda dtype: hnp.arrays(
            dtype,
            st.sampled_from([(), (0,), (2, 3)]),
            elements={"min_value": -100, "max_value": 100} if dtype is np.float64 else None,
        )
    )
)
def test_dropout_keeps_every_floating_array_and_refuses_others(array):
    with jax.numpy_rank_promotion("allow"):
        result = outcome(jax.jit(lambda x: dropout(fresh_key(), x, 0)), array)
    assert (result is not None) == np.issubdtype(array.dtype, np.floating)
    if result is not None:
        assert result.shape == array.shape
        np.testing.assert_array_equal(result, array.astype(result.dtype))


def test_a_refusal_of_much_is_still_one_short_line():
    many = np.arange(9_999.0).astype(str)
    assert_refused_in_one_short_line(lambda: dropout(fresh_key(), np.ones(2), many))


def test_arrays_of_numpy_and_lists_of_sizes_are_taken_and_their_types_too():
    """Type checkers read these calls."""
    x = np.ones(3, np.float32)
    assert dropout(fresh_key(), x, 1.0).tolist() == [0, 0, 0]
    assert gaussian_dropout(fresh_key(), x, np.float32(1)).tolist() == [0, 0, 0]
    assert drop_connect(fresh_key(), x, np.array(1)).tolist() == [0, 0, 0]
    assert keep_mask(fresh_key(), 0.5, [4, 8]).shape == (4, 8)


def test_double_precision_is_scaled_in_double_precision():
    with jax.enable_x64(True):
        y = np.asarray(compiled_dropout(jax.random.key(0), np.ones(9), 0.1))
        np.testing.assert_allclose(y[y > 0], 1 / 0.9, rtol=1e-15)
