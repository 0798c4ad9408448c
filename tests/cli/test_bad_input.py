"""Whatever a public function is given, it gives the right result or one clear line, never more.

Each test draws input, most of it bad, and says by a rule of its own which of it is good.
"""

import dataclasses
import json
import math
import os
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dropout_jax import data
from dropout_jax.analysis import paired, statistics, uniformity, views
from dropout_jax.data import Dataset
from dropout_jax.io import writers
from dropout_jax.networks import mlp
from dropout_jax.networks.mlp import MLP
from dropout_jax.noise import drop_connect, dropout, gaussian_dropout, keep_mask
from dropout_jax.populations import checkpoints, devices, population
from dropout_jax.populations.memory import block_size, member_bytes
from dropout_jax.runs import folder
from dropout_jax.training import config as settings_of
from dropout_jax.training import epochs, step
from dropout_jax.training.config import Config, Hparams

CONFIG = Config(MLP((4, 3)), epochs=1, batch_size=4)
RATES = (0.0, 0.5)
KEY = jax.random.key(0)  # nothing below gets as far as to consume it, but for some of the masks
NOT_NUMBERS = ["half", "", None, 1j, b"1", (), {}, object(), [[0.5], [0.5, 0.1]]]
anything = st.one_of(
    st.floats(),
    st.integers(),
    st.booleans(),
    st.sampled_from(NOT_NUMBERS),
    st.lists(st.floats(width=32), max_size=3),
)
dtypes = st.sampled_from([np.float32, np.float64, np.float16, np.int32, np.uint8, bool, "c8"])
short = st.integers(0, 4)


def fresh_key():
    return jax.random.key(np.random.default_rng(0).integers(2**31))


def outcome(function, *args, **kwargs):
    """What the function gives, or None if it refuses in one line, as bad input is to be refused."""
    try:
        return function(*args, **kwargs)
    except (ValueError, TypeError) as error:
        said = str(error)
        assert 0 < len(said) < 400, said
        assert "\n" not in said
        return None


class ReachedError(Exception):
    """Input was let in."""


@pytest.fixture(scope="module")
def gates():
    """Training and evaluation end where they would begin to compute."""

    def reached(*_, **__):
        raise ReachedError

    with pytest.MonkeyPatch.context() as patch:
        for module, name in ((epochs, "_fit"), (epochs, "_evaluate"), (population, "make_store")):
            patch.setattr(module, name, reached)
        yield


def is_let_in(function, *args, **kwargs):
    try:
        assert outcome(function, *args, **kwargs) is None, "it did not end at the gate"
    except ReachedError:
        return True
    return False


def is_real(value):
    return isinstance(value, int | float) or type(value) is bool


# Dropout

ADVICE = r"; make one with jax\.random\.key\(seed\), or .*wrap_key_data"
BAD_KEYS = {
    "legacy": (lambda: jax.random.PRNGKey(0), "got uint32" + ADVICE),
    "several": (
        lambda: jax.random.split(jax.random.key(0), 2),
        r"must be one key, got an array of keys of shape \(2,\)",
    ),
    "a seed": (lambda: 0, "got int" + ADVICE),
    "none": (lambda: None, "got NoneType" + ADVICE),
    "an array": (lambda: np.zeros(2, np.uint32), "got uint32" + ADVICE),
}
TAKES_A_KEY = {
    "keep_mask": lambda key: keep_mask(key, 0.5, (2,)),
    "dropout": lambda key: dropout(key, jnp.ones(2), 0.5),
    "gaussian_dropout": lambda key: gaussian_dropout(key, jnp.ones(2), 0.5),
    "drop_connect": lambda key: drop_connect(key, jnp.ones((2, 2)), 0.5),
    "init": lambda key: step.init(CONFIG, Hparams(), key, 5),
    "fit": lambda key: epochs.fit(CONFIG, Hparams(), key, dataset()),
    "member_key": lambda key: population.member_key(key, 0),
    "fit_population": lambda key: population.fit_population(
        CONFIG, [Hparams()], [0], key, dataset()
    ),
}


@pytest.mark.parametrize("key", BAD_KEYS)
@pytest.mark.parametrize("function", TAKES_A_KEY)
def test_a_key_of_the_wrong_kind_gets_advice(function, key):
    make, message = BAD_KEYS[key]
    with pytest.raises(TypeError, match=message) as caught:
        TAKES_A_KEY[function](make())
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("function", [dropout, gaussian_dropout, drop_connect])
@given(rate=anything)
def test_a_rate_is_a_number_in_0_to_1_or_refused(function, rate):
    result = outcome(function, fresh_key(), jnp.ones((2, 2)), rate)
    assert (result is not None) == (is_real(rate) and 0 <= rate <= 1)


@pytest.mark.parametrize("rate", ["half", "0.5", None, 1j, object(), {}])
def test_a_rate_that_is_no_number_is_called_one(rate):
    with pytest.raises(TypeError, match=r"^rate must hold real numbers, got \S+$"):
        dropout(fresh_key(), jnp.ones(2), rate)


@pytest.mark.parametrize("rate", [10**309, 1e300, -1e300])
def test_a_rate_that_no_float32_holds_is_refused_as_any_other(rate):
    for hparams in (Hparams(rates=(0.5, rate)), Hparams(rates=[rate, 0.5])):
        with pytest.raises(ValueError, match=r"rates must lie in \[0, 1\], got"):
            epochs.fit(CONFIG, hparams, KEY, dataset())


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
        result = outcome(dropout, fresh_key(), array, 0)
    assert (result is not None) == np.issubdtype(array.dtype, np.floating)
    if result is not None:
        assert result.shape == array.shape
        np.testing.assert_array_equal(result, jnp.asarray(array))


# Networks


@given(
    features=anything.filter(lambda x: type(x) is not bytes)
    | st.lists(st.integers(-1, 9) | st.integers(2**31 - 2, 2**31 + 2))
    | st.lists(anything, max_size=3)
)
def test_widths_are_positive_integers_or_refused(features):
    good = isinstance(features, list) and len(features) > 0
    good = good and all(isinstance(width, int) and 0 < width < 2**31 for width in features)
    assert (outcome(Config, MLP(features)) is not None) == good
    model = MLP(features)
    if not good:
        with pytest.raises(ValueError, match=r"^features must hold integers in .* got"):
            jax.eval_shape(model.init, KEY, jnp.zeros(2))


@pytest.fixture(scope="module")
def params():
    with jax.debug_key_reuse(False):
        return CONFIG.model.init(jax.random.key(1), jnp.zeros(5))


@given(x=hnp.arrays(dtypes, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=6)))
def test_inputs_are_as_many_as_those_of_the_parameters_or_refused(x, params):
    result = outcome(lambda: jax.eval_shape(CONFIG.model.apply, params, x))
    assert (result is not None) == (x.ndim > 0 and x.shape[-1] == 5)


@given(rates=anything | st.lists(st.floats(0, 1, width=32), min_size=1, max_size=3))
def test_rates_of_a_pass_are_one_a_layer_or_refused(rates, params):
    def run():
        return CONFIG.model.apply(params, jnp.zeros(5), key=fresh_key(), rates=rates)

    good = (
        isinstance(rates, list)
        and len(rates) == 2
        and all(is_real(rate) and 0 <= rate <= 1 for rate in rates)
    )
    assert (outcome(run) is not None) == good


@pytest.mark.parametrize("tree", [{}, None, {"params": {}}, {"params": {"dense": 1}}, [], 3])
def test_params_of_something_else_have_no_layers(tree):
    if tree == {"params": {}}:
        assert mlp.layers(tree) == []
        return
    with pytest.raises(ValueError, match="params must be those of an MLP"):
        mlp.layers(tree)


# Data


def dataset(n=8, n_inputs=5, n_classes=3):
    x = np.linspace(-1, 1, n * n_inputs, dtype=np.float32).reshape(n, n_inputs)
    y = (np.arange(n) % n_classes).astype(np.int32)
    return Dataset(x, y, x, y)


floats32 = st.floats(width=32, allow_nan=True, allow_infinity=True)
labels = hnp.arrays(st.sampled_from([np.int32, np.uint8, np.float32]), st.integers(0, 6))


@st.composite
def arrays_of_examples(draw):
    """Arrays x and y, mostly with one or two faults."""
    n, n_inputs = draw(st.integers(1, 12)), draw(st.integers(1, 3))
    x = draw(hnp.arrays(np.float32, (n, n_inputs), elements=st.floats(-2, 2, width=32)))
    y = draw(hnp.arrays(np.int32, n, elements=st.integers(0, 2)))
    for fault in draw(st.sets(st.sampled_from(sorted(FAULTS)), max_size=2)):
        x, y = FAULTS[fault](x, y)
    return x, y


FAULTS = {
    "short": lambda x, y: (x, y[:-1]),
    "empty": lambda x, y: (x[:0], y[:0]),
    "no inputs": lambda x, y: (x[:, :0] if x.ndim > 1 else x, y),
    "a row": lambda x, y: (x.ravel(), y),
    "images": lambda x, y: (x[:, None], y),
    "a column of labels": lambda x, y: (x, y[:, None] if y.ndim == 1 else y),
    "nan": lambda x, y: (x * np.nan, y),
    "inf": lambda x, y: (x + np.inf, y),
    "float labels": lambda x, y: (x, y + 0.5),
    "negative": lambda x, y: (x, y - 1),
    "too large": lambda x, y: (x, y + 3),
    "integers": lambda x, y: (np.nan_to_num(x, posinf=3).astype(np.int32), y),
    "objects": lambda x, y: (x.astype(object), y),
    "text": lambda x, y: (x, y.astype(str)),
    "a list": lambda x, y: (x.tolist(), y),
    "none": lambda x, y: (x, None),
}
for _name in ("short", "negative", "too large", "float labels", "text"):  # after "none"
    FAULTS[_name] = lambda x, y, fault=FAULTS[_name]: (
        (x, y)
        if y is None or not isinstance(y, np.ndarray) or y.dtype.kind not in "iuf"
        else fault(x, y)
    )
for _name in (
    "empty",
    "no inputs",
    "a row",
    "images",
    "nan",
    "inf",
    "integers",
    "objects",
    "a list",
):
    FAULTS[_name] = lambda x, y, fault=FAULTS[_name]: (
        (x, y) if not isinstance(x, np.ndarray) or x.dtype.kind != "f" or y is None else fault(x, y)
    )
FAULTS["a column of labels"] = lambda x, y: (x, y if y is None else y.reshape(-1, 1))


def can_be_learnt(x, y, n_classes=3):
    return (
        isinstance(x, np.ndarray)
        and isinstance(y, np.ndarray)
        and x.ndim == 2
        and x.size > 0
        and y.shape == (len(x),)
        and x.dtype == np.float32
        and bool(np.isfinite(x).all())
        and y.dtype.kind in "iu"
        and 0 <= y.min() <= y.max() < n_classes
    )


@pytest.mark.usefixtures("gates")
@given(train=arrays_of_examples(), test=arrays_of_examples())
@settings(max_examples=200)
def test_data_that_cannot_be_learnt_never_reaches_training(train, test):
    given_data = Dataset(*train, *test)
    good = can_be_learnt(*train) and can_be_learnt(*test)
    good = good and train[0].shape[1] == test[0].shape[1] and len(train[0]) >= CONFIG.batch_size
    hparams = Hparams(rates=RATES)
    assert is_let_in(epochs.fit, CONFIG, hparams, KEY, given_data) == good
    let_in = is_let_in(population.fit_population, CONFIG, [hparams], [0], KEY, given_data)
    assert let_in == good
    assert is_let_in(epochs.evaluate, CONFIG, {}, *train) == can_be_learnt(*train)


def test_labels_of_another_loss_may_be_any_number():
    given_data = dataset()._replace(y_train=np.linspace(-9, 9, 8), y_test=np.linspace(-9, 9, 8))
    config = dataclasses.replace(CONFIG, loss_fn=lambda outputs, y: jnp.sum((outputs - y) ** 2))
    settings_of.check_training(config, given_data)
    with pytest.raises(ValueError, match="y_train must hold integer classes, got float64"):
        settings_of.check_training(CONFIG, given_data)


def test_a_training_of_more_steps_than_are_counted_is_refused():
    config = dataclasses.replace(CONFIG, epochs=2**30)  # of 2 steps
    with pytest.raises(ValueError, match=f"at most {2**31 - 1} steps, got {2**31}"):
        settings_of.check_training(config, dataset())
    settings_of.check_training(dataclasses.replace(CONFIG, epochs=2**30 - 1), dataset())


@given(
    x=hnp.arrays(
        st.sampled_from([np.float32, np.float64, np.int8, np.uint64, bool, complex, object, "U2"]),
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=20),
    )
    | anything,
    n=st.integers(0, 40),
    n_classes=st.integers(-1, 5),
)
@settings(max_examples=150)
def test_a_split_is_a_data_set_or_refused(x, n, n_classes):
    y = np.arange(n) % n_classes if n_classes else np.zeros(n, int)
    result = outcome(data.split, x, y, "given")
    if result is not None:
        data.check_dataset(result, result.n_classes)
        assert result.n_classes == n_classes >= 2
        assert len(result.x_train) + len(result.x_test) == n
        assert abs(result.x_train).max() < np.inf


@given(name=anything | st.text())
def test_an_unknown_data_set_is_refused_whatever_it_is_called(name):
    with pytest.raises(ValueError, match=r"(?s)^dataset must be .*got "):
        data.load_dataset(name)


@given(n=st.sampled_from([-5, -1, 0, 1, 2, 7, 2**24 + 1, 2**40]), batch_size=st.integers(-3, 9))
def test_batches_hold_every_index_at_most_once_or_are_refused(n, batch_size):
    order = outcome(data.permutation, fresh_key(), n)
    assert (order is not None) == (0 <= n <= 2**24)
    batches = outcome(data.batch_indices, fresh_key(), n, batch_size)
    assert (batches is not None) == (0 <= n <= 2**24 and batch_size > 0)
    if batches is not None:
        assert batches.shape == (n // batch_size, batch_size)
        assert len(np.unique(batches)) == batches.size


# Configurations and populations


@given(epochs=anything, batch_size=anything)
def test_epochs_and_batch_sizes_are_positive_integers_or_refused(epochs, batch_size):
    config = outcome(Config, CONFIG.model, epochs=epochs, batch_size=batch_size)
    good = all(isinstance(value, int) and value > 0 for value in (epochs, batch_size))
    assert (config is not None) == good


@pytest.mark.usefixtures("gates")
@given(
    name=st.sampled_from(["learning_rate", "momentum", "weight_decay", "max_norm"]),
    value=anything,
    rates=anything
    | st.lists(st.floats(0, 1, width=32) | st.floats(width=32), min_size=1, max_size=3),
)
@settings(max_examples=150)
def test_hyper_parameters_are_numbers_and_rates_one_a_layer_or_refused(name, value, rates):
    hparams = Hparams(rates=rates)._replace(**{name: value})
    good = value is None or (is_real(value) and type(value) is not bool and not math.isnan(value))
    if good and value is not None:
        range_of = {"momentum": 0 <= value < 1, "max_norm": value > 0}
        good = range_of.get(name, value >= 0)
    small = not isinstance(value, int) or abs(value) < 2**62  # beyond, NumPy makes them objects
    good = (
        good
        and small
        and (
            rates is None
            or (
                isinstance(rates, list)
                and len(rates) == 2
                and all(is_real(rate) and 0 <= rate <= 1 for rate in rates)
            )
        )
    )
    assert is_let_in(epochs.fit, CONFIG, hparams, KEY, dataset()) == good
    let_in = is_let_in(population.fit_population, CONFIG, [hparams] * 2, [0], KEY, dataset())
    assert let_in == good


@given(conditions=st.lists(anything, min_size=1))
def test_conditions_are_hyper_parameters_or_refused(conditions):
    assert outcome(population.stack_conditions, conditions) is None


def test_a_refusal_of_much_is_still_one_short_line():
    many = np.arange(9_999.0)
    for call in (
        lambda: Config(MLP(tuple(range(9_999)))),
        lambda: dropout(fresh_key(), jnp.ones(2), many.astype(str)),
        lambda: population.stack_conditions([Hparams(rates=many)]),
        lambda: settings_of.check_hparams(Hparams()._replace(momentum=many)),
        lambda: population.fit_population(CONFIG, [Hparams()], [*range(9_999), 7], KEY, dataset()),
    ):
        with pytest.raises((ValueError, TypeError)) as caught:
            call()
        assert "\n" not in str(caught.value)
        assert len(str(caught.value)) < 120


def test_rates_of_the_wrong_length_are_refused_before_anything_is_allocated():
    def allocate(*_):
        pytest.fail("allocated")

    wrong: list[tuple[Any, str]] = [
        ((0.5,), r"\(1,\)"),
        ((0.1, 0.2, 0.3), r"\(3,\)"),
        (0.5, r"\(\)"),
    ]
    for rates, shape in wrong:
        with pytest.raises(ValueError, match=f"one rate per layer, 2 in all, got shape {shape}"):
            population.fit_population(
                CONFIG, [Hparams(rates=rates)], [0], KEY, dataset(), allocate=allocate
            )


@pytest.mark.usefixtures("gates")
@given(seeds=st.lists(st.integers(-2, 2**33) | st.integers(0, 3) | anything, max_size=4))
def test_seeds_are_distinct_words_of_32_bits_or_refused(seeds):
    good = len(seeds) > 0 and all(isinstance(s, int) and 0 <= s < 2**32 for s in seeds)
    good = good and len(set(seeds)) == len(seeds)
    let_in = is_let_in(population.fit_population, CONFIG, [Hparams()], seeds, KEY, dataset())
    assert let_in == good
    for seed in seeds:
        key = outcome(population.member_key, jax.random.clone(KEY), seed)
        assert (key is not None) == (isinstance(seed, int) and 0 <= seed < 2**32)


@pytest.mark.usefixtures("gates")
@given(block=st.integers(-3, 3) | st.none(), memory=st.floats() | st.none())
def test_blocks_are_of_a_member_or_more_and_memory_holds_one(block, memory):
    def run():
        return population.fit_population(
            CONFIG, [Hparams()], [0], KEY, dataset(), block=block, memory=memory
        )

    enough = memory is None or memory >= member_bytes(CONFIG, 5)
    assert is_let_in(run) == (enough if block is None else block >= 1)
    size = outcome(block_size, CONFIG, 5, jax.devices(), memory)
    assert size == (1 if enough else None)


@pytest.mark.parametrize(
    ("n_devices", "memory", "message"),
    [
        (0, None, "devices must hold at least one, got none"),
        (1, 1, r"memory must hold one network .* got 9.31e-10 GiB"),
        (1, math.nan, "memory must hold one network .* got nan GiB"),
    ],
)
def test_a_block_needs_a_device_and_memory_for_a_member(n_devices, memory, message):
    with pytest.raises(ValueError, match=message):
        block_size(CONFIG, 5, jax.devices("cpu")[:n_devices], memory)


@given(shapes=st.lists(st.lists(short, max_size=3).map(tuple), max_size=3))
def test_members_share_their_leading_axes_or_are_refused(shapes):
    members = tuple(np.zeros(shape, np.float32) for shape in shapes)
    good = bool(shapes) and len({shape[:2] for shape in shapes}) == 1
    good = good and len(shapes[0]) >= 2 and 0 not in shapes[0][:2]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(devices, "_map_blocks", lambda fn, static, mesh, members, shared: members)
        result = outcome(devices.map_members, None, (), members, 0)
    assert (result is not None) == good
    if result is not None:
        assert [leaf.shape for leaf in result] == shapes


# Statistics

real32 = st.sampled_from([np.float32, np.float64, np.int32, bool]).flatmap(
    lambda dtype: hnp.arrays(
        dtype,
        hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=7),
        elements=floats32 if np.issubdtype(dtype, np.floating) else None,
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
        result = outcome(paired.compare, small, condition)
    good = isinstance(small, np.ndarray) and small.ndim == 2 and len(small) >= 2
    assert (result is not None) == good
    if result is not None:
        assert len(result) == small.shape[1]
        for k, row in enumerate(result):
            assert row.verdict in statistics.VERDICTS
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


# Weights

SHAPES = [(), (0,), (1,), (5,), (2, 3)]
magnitudes = st.sampled_from(SHAPES).flatmap(
    lambda shape: hnp.arrays(np.float32, shape, elements=floats32)
)


@pytest.mark.parametrize("name", uniformity.MEASURES)
@given(a=magnitudes, where=st.sampled_from([None, True, False]))
@settings(max_examples=30)
def test_a_measure_is_a_number_that_no_sign_changes(name, a, where):
    measure = jax.jit(uniformity.MEASURES[name])
    value = measure(a, where)
    assert value.shape == ()
    np.testing.assert_array_equal(value, measure(-a, where))
    if np.isnan(a).any() and where is not False:
        assert np.isnan(value)
    if where is False or not a.any():
        assert np.isnan(value)


@pytest.mark.parametrize("name", [*uniformity.MEASURES, "profile"])
@pytest.mark.parametrize("where", [1, 0.5, "all", np.ones(4, bool), np.ones(3, int)])
def test_what_counts_is_told_by_booleans_of_the_shape(name, where):
    assert outcome(getattr(uniformity, name), jnp.ones(3), where) is None


@pytest.mark.parametrize("name", [*uniformity.MEASURES, "profile"])
def test_what_has_no_magnitude_is_refused(name):
    for a in ("abc", None, object(), KEY):
        assert outcome(getattr(uniformity, name), a) is None


@pytest.mark.slow
@given(n_points=st.integers(-2, 3), size=st.integers(0, 2))
@settings(max_examples=20)
def test_a_profile_has_two_points_and_something_to_show(n_points, size):
    result = outcome(uniformity.profile, np.ones(size, np.float32), n_points=n_points)
    assert (result is not None) == (n_points >= 2 and size > 0)


@given(x=hnp.arrays(np.float32, st.sampled_from([(), (2,), (0, 2), (2, 0), (3, 2), (1, 1, 1)])))
def test_only_columns_of_examples_vary(x):
    result = outcome(views.varies, x)
    assert (result is not None) == (x.ndim == 2 and len(x) > 0)


# Checkpoints

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(content=st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
def test_a_mark_that_no_run_wrote_is_none(content, tmp_path_factory):
    path = tmp_path_factory.mktemp("run")
    (path / folder.MARK).write_bytes(content)
    assert folder.read_mark(path) is None


@given(content=st.binary() | json_values.map(lambda value: json.dumps(value).encode()))
@settings(max_examples=20)
def test_a_checkpoint_without_its_checksums_is_damaged(content, tmp_path_factory):
    way = tmp_path_factory.mktemp("run") / "checkpoint"
    (way / "1").mkdir(parents=True)
    (way / "1.json").write_bytes(content)
    with pytest.raises(ValueError, match=r"/1 is damaged: ") as caught:
        checkpoints.load(way)
    assert "\n" not in str(caught.value)


def test_a_pipe_is_no_checkpoint_and_is_not_waited_for(tmp_path):
    (tmp_path / "1").mkdir()
    os.mkfifo(tmp_path / "1.json")
    with pytest.raises(ValueError, match=r"/1 is damaged: a file must be written"):
        checkpoints.load(tmp_path)


# Records


@given(name=st.text(st.characters(categories=["L", "Cs", "Cc", "P"])))
def test_whatever_a_file_is_called_can_be_written_down(name, tmp_path_factory):
    path = tmp_path_factory.getbasetemp() / "config.json"
    writers.write_json(path, {"dataset": name})
    assert json.loads(path.read_text("utf-8")) == {"dataset": name}


@pytest.mark.parametrize("function", [paired.interval, paired.sign_flip_test])
def test_statistics_take_real_numbers_alone(function):
    with pytest.raises(TypeError, match="differences must hold real numbers, got complex128"):
        function(np.ones(3) * 1j)
