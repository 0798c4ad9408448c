"""What a configuration is and refuses, and what of data and hyper-parameters before a training."""

import dataclasses
import math
from collections.abc import Sequence
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from dropout_jax.analysis.trees import arrays_of, kernels_in
from dropout_jax.data import Dataset
from dropout_jax.networks.mlp import MLP
from dropout_jax.populations import population
from dropout_jax.training import epochs, evaluation, schedules, step
from dropout_jax.training.checks import check_hparams, check_training
from dropout_jax.training.config import Config, Hparams, as_arrays, sgd
from dropout_jax.training.objectives import squared_error
from tests.drawn import anything
from tests.refusals import (
    assert_advises_on_a_key,
    assert_refused_in_one_short_line,
    bad_keys,
    is_let_in,
    is_real,
    outcome,
)

CONFIG = Config(MLP((4, 3)), epochs=1, batch_size=4)
RATES = (0.0, 0.5)
OPTIMIZER = "make_optimizer must be a function of Hparams, such as .*"
KEY = jax.random.key(0)  # nothing below gets as far as to consume it


def dataset(n=8, n_inputs=5, n_classes=3):
    x = np.linspace(-1, 1, n * n_inputs, dtype=np.float32).reshape(n, n_inputs)
    y = (np.arange(n) % n_classes).astype(np.int32)
    return Dataset(x, y, x, y)


@pytest.mark.parametrize(
    ("name", "wrong", "message"),
    [
        *(
            ("make_optimizer", wrong, "must be a function of Hparams, such as")
            for wrong in ("adam", optax.adam(1e-3), None)
        ),
        ("loss_fn", "mse", "must be a function of"),
        ("error_fn", "mae", "must be a function of .* got 'mae'"),
        ("rate_schedule", 0.5, "must be a function of progress, got 0.5"),
    ],
)
def test_what_is_no_function_is_refused_with_what_it_is_to_be_of(name, wrong, message):
    with pytest.raises(TypeError, match=f"{name} {message}"):
        Config(MLP((3,)), **{name: wrong})


def test_what_decays_is_what_the_comparison_takes_for_kernels():
    module = nnx.state(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))
    params = {name: {"b": jnp.ones(3), name: jnp.ones((2, 3))} for name in ("w", "weight", "b")}
    params |= {"nnx": module, "kernel_of": {"scale": jnp.ones((2, 3)), "kernel": jnp.ones(3)}}
    optimizer = sgd(Hparams(weight_decay=0.1))
    zeros = jax.tree.map(jnp.zeros_like, params)
    moved = arrays_of(optimizer.update(zeros, optimizer.init(params), params)[0])
    kernels = {"w.w", "weight.weight", "nnx.kernel"}
    assert {name.removesuffix(".value") for name, leaf in moved.items() if leaf.any()} == kernels
    assert {name.removesuffix(".value") for name in kernels_in(params)} == kernels


def test_rates_may_be_a_list_of_traced_numbers():
    given = jax.vmap(lambda rate: as_arrays(Hparams([0.0, rate])).rates)
    np.testing.assert_array_equal(given(jnp.array([0.25, 0.5])), [[0, 0.25], [0, 0.5]])


def test_configurations_of_equal_partials_are_equal_and_so_compile_once():
    def make(cutoff, **more):
        schedule = partial(schedules.early, cutoff=cutoff)
        return Config(MLP([8, 3]), rate_schedule=schedule, **more)

    assert make(0.3) == make(0.3)
    assert hash(make(0.3)) == hash(make(0.3))
    assert make(0.3) != make(0.4)
    assert make(0.3, loss_fn=partial(jnp.power)) == make(0.3, loss_fn=partial(jnp.power))
    assert hash(make(jnp.array(0.3)))  # of what cannot be hashed, by identity


@pytest.mark.parametrize("widths", [[4, 10], np.array([4, 10]), range(4, 15, 6)])
def test_widths_of_any_sequence_are_those_of_the_tuple(widths):
    assert Config(MLP(widths)) == Config(MLP((4, 10)))
    assert hash(MLP(widths)) == hash(MLP((4, 10)))


class Gated(nn.Module):
    """It asks whether a rate, which is traced, is 0."""

    features: Sequence[int] = (3,)

    @nn.compact
    def __call__(self, x, *, key=None, rates=None):
        return nn.Dense(3)(x if rates is None or rates[0] > 0 else -x)


@dataclasses.dataclass(frozen=True)
class Linear:
    """Its parameters are what is given, and the kernel that it looks up."""

    extra: str = "zero"
    name: str = "w"
    features: Sequence[int] = (3,)

    def init(self, key, x, /):
        extra = {"zero": jnp.zeros(()), "one": jnp.ones((), jnp.int32), "key": key, "text": "w"}
        return {"w": jnp.ones((len(x), 3)), "extra": extra[self.extra]}

    def apply(self, params, x, /, **noise):
        return x @ params[self.name]


class Plain(nn.Module):
    """It draws no noise."""

    features: Sequence[int] = (3,)

    @nn.compact
    def __call__(self, x):
        return nn.Dense(3)(x)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("mlp", "features, init and apply.* got 'mlp', without features"),
        (nn.LayerNorm(), "features, init and apply.* got LayerNorm, without features"),
        (Plain, "got the class Plain: make one of it"),
        (Plain([10]), r"hashable.* got one of type Plain .*frozen=True\), and its lists tuples"),
    ],
    ids=["a name", "no network", "a class", "unhashable"],
)
def test_what_is_no_network_is_refused_by_what_it_lacks(model, message):
    with pytest.raises(TypeError, match=f"^model must be .*{message}"):
        Config(model)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (Config(Plain(), batch_size=4), "with a key and traced rates: TypeError: .*'key'"),
        (Config(Gated(), batch_size=4), "with a key and traced rates: Tracer.*: Attempted boolean"),
        (
            Config(Linear(name="v")),
            r"apply of the network failed on an example of shape \(5,\): KeyError: 'v'",
        ),
        (
            Config(Linear(extra="text")),
            r"init of the network failed on an example of shape \(5,\): TypeError: .*'str'",
        ),
        (Config(Linear(extra="one")), "must be floating-point numbers, got int32 in extra"),
        (Config(Linear(extra="key")), r"must be floating-point numbers, got key<fry> in extra"),
        *(
            (dataclasses.replace(CONFIG, make_optimizer=made), f"{OPTIMIZER}got {said}")
            for made, said in (
                (optax.adam, "adam: .*unsupported"),
                (lambda hparams: None, "<lambda>: .*'NoneType' object has no attribute"),
                (lambda hparams: hparams.rate, "<lambda>: .* no attribute 'rate'"),
                (lambda h: optax.lbfgs(h.learning_rate), "<lambda>: .* missing 3 required"),
            )
        ),
    ],
    ids=[
        *("no noise", "asks a rate", "misspelt kernel", "text", "an integer", "a key"),
        *("not called", "nothing", "misspelt", "asks for the loss"),
    ],
)
@pytest.mark.parametrize("fit", [epochs.fit, population.fit_population])
def test_what_cannot_take_the_hyper_parameters_is_refused_before_training(config, message, fit):
    hparams = Hparams((0.5,) * len(config.model.features))
    given = (hparams,) if fit is epochs.fit else ([hparams], 1)
    with pytest.raises(ValueError, match=message) as refused:
        fit(config, *given, KEY, dataset())
    assert "\n" not in str(refused.value)


def test_a_network_that_draws_no_noise_is_trained_where_no_rates_are_given():
    assert is_let_in(epochs.fit, Config(Plain(), batch_size=4), Hparams(), KEY, dataset())


@given(epochs=anything, batch_size=anything)
def test_epochs_and_batch_sizes_are_positive_integers_or_refused(epochs, batch_size):
    config = outcome(Config, CONFIG.model, epochs=epochs, batch_size=batch_size)
    given = (epochs, batch_size)
    good = all(isinstance(n, int) and not isinstance(n, bool) and n > 0 for n in given)
    assert (config is not None) == good


@pytest.mark.parametrize(
    ("functions", "message"),
    [
        (
            {"loss_fn": squared_error},
            r"loss_fn must take outputs of shape \(3,\) and a label of shape \(\), got .*Error: ",
        ),
        ({"loss_fn": lambda outputs, label: outputs}, "loss_fn must give one number, got "),
        ({"loss_fn": lambda outputs, label: outputs.sun()}, "loss_fn .* AttributeError: .* sun"),
        ({"error_fn": lambda outputs, label: outputs}, "error_fn must give one number, got "),
        (
            {"error_fn": lambda outputs: 0.0},
            "error_fn must take .*, got TypeError: .* 1 positional",
        ),
        (
            {"rate_schedule": lambda: 0.5},
            "rate_schedule must take progress, got TypeError: ",
        ),
        ({"rate_schedule": lambda done: jnp.ones(2)}, "rate_schedule must give one number, got "),
        ({"rate_schedule": lambda done: 2 * done}, r"rate_schedule must give factors .* at 0\.51"),
        ({"rate_schedule": lambda done: jnp.nan * done}, "rate_schedule must .* got nan at 0"),
    ],
    ids=lambda given: next(iter(given)) if isinstance(given, dict) else "",
)
def test_functions_that_do_not_fit_what_they_are_given_are_refused_before_training(
    functions, message
):
    x, y = np.ones((8, 2), np.float32), np.ones(8, np.float32)
    fitting = {"loss_fn": lambda outputs, label: jnp.sum((outputs - label) ** 2)}
    config = Config(MLP((4, 3)), batch_size=4, **(fitting | functions))
    with pytest.raises(ValueError, match=message) as refused:
        check_training(config, Dataset(x, y, x, y))
    assert "\n" not in str(refused.value)


TAKE_A_KEY = {
    "init": lambda key: step.init(CONFIG, Hparams(), key, 5),
    "fit": lambda key: epochs.fit(CONFIG, Hparams(), key, dataset()),
}


@bad_keys
@pytest.mark.parametrize("call", TAKE_A_KEY.values(), ids=TAKE_A_KEY)
def test_a_key_of_the_wrong_kind_gets_advice(call, make, message):
    assert_advises_on_a_key(call, make, message)


# Data


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
    assert is_let_in(evaluation.evaluate, CONFIG, {}, *train) == can_be_learnt(*train)


def squares(outputs, y):
    return jnp.sum((outputs - y) ** 2)


def test_labels_of_another_loss_may_be_any_number_and_steps_as_many_as_are_counted():
    y = np.linspace(-9, 9, 8)
    config = dataclasses.replace(CONFIG, loss_fn=squares, epochs=2**30 - 1)
    check_training(config, dataset()._replace(y_train=y, y_test=y))


WAY_OUT = "; for labels that are no classes, give Config a loss_fn$"
MANY = 2**24 + 1


@pytest.mark.parametrize(
    ("config", "data", "message"),
    [
        ({}, {"y_train": np.zeros(8)}, f"y_train must hold integer .*, got float64{WAY_OUT}"),
        (
            {},
            {"y_train": np.zeros((8, 1), int)},
            rf"y_train one of \[n\] .* and \(8, 1\){WAY_OUT}",
        ),
        ({}, {"y_train": np.zeros(7, int)}, r"got \(8, \d+\) and \(7,\)$"),  # no other loss helps
        (
            {"loss_fn": optax.softmax_cross_entropy_with_integer_labels},
            {"y_train": np.arange(8) % 4},
            r"y_train must hold classes 0 … 2, .* got 0 … 3",
        ),
        (
            {"loss_fn": squares},
            {"y_train": np.ones((8, 3)), "y_test": np.ones((8, 1))},
            r"y_test must have the same labels, got \(3,\) and \(1,\)",
        ),
        ({"epochs": 2**30}, {}, f"at most {2**31 - 1} steps, got {2**31}"),  # 2 an epoch
        (
            {},
            {
                "x_train": np.broadcast_to(np.float32(0), (MANY, 5)),
                "y_train": np.broadcast_to(np.int32(0), MANY),
            },
            rf"at most 2\^24 training examples, got {MANY}",
        ),
    ],
    ids=["real", "columns", "short", "no class", "other targets", "steps", "examples"],
)
def test_data_and_steps_that_a_training_cannot_take_are_refused(config, data, message):
    with pytest.raises(ValueError, match=message):
        check_training(dataclasses.replace(CONFIG, **config), dataset()._replace(**data))


# Hyper-parameters


@given(
    name=st.sampled_from(["learning_rate", "momentum", "weight_decay", "max_norm"]),
    value=anything,
    rates=anything
    | st.lists(st.floats(0, 1, width=32) | st.floats(width=32), min_size=1, max_size=3),
)
@settings(max_examples=150)
def test_hyper_parameters_are_numbers_and_rates_one_a_layer_or_refused(name, value, rates):
    hparams = Hparams(rates=rates)._replace(**{name: value})
    may_be_none = name == "max_norm"
    real = is_real(value) and type(value) is not bool
    good = may_be_none if value is None else real and not math.isnan(value)
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


IN_RANGE = r"^rates must lie in \[0, 1\], got "


@pytest.mark.parametrize(
    ("hparams", "error", "message"),
    [
        *(
            (
                Hparams()._replace(**{name: None}),
                ValueError,
                f"^{name} must be one real number, got None",
            )
            for name in ("learning_rate", "momentum", "weight_decay")
        ),
        (Hparams((1 + 1e-9, 0.0)), ValueError, f"{IN_RANGE}1.000000001 for layer 0"),
        *(
            (Hparams(rates), ValueError, IN_RANGE)
            for rate in (10**309, 1e300, -1e300)  # which no float32 holds
            for rates in ((0.5, rate), [rate, 0.5])
        ),
        (Hparams(("a", "b")), TypeError, r"^rates must hold real numbers, got \('a', 'b'\)"),  # pyright: ignore[reportArgumentType]  text
        ([Hparams()], TypeError, "^hparams must be Hparams, got list"),
    ],
)
def test_what_are_no_hyper_parameters_is_refused_as_it_is_given(hparams, error, message):
    with pytest.raises(error, match=message):
        epochs.fit(CONFIG, hparams, KEY, dataset())


def test_partials_are_equal_if_the_types_of_their_arguments_are():
    def config(**scale):
        return dataclasses.replace(CONFIG, loss_fn=partial(squared_error, **scale))

    assert config(scale=1) == config(scale=1)
    assert len({config(scale=scale) for scale in (1, True, 1.0)}) == 3
    assert config(scale=(1,)) != config(scale=(1.0,))
    assert config(scale=0.0) != config(scale=-0.0)


@pytest.mark.parametrize(
    "call",
    [
        lambda: Config(MLP(tuple(range(9_999)))),
        lambda: check_hparams(Hparams()._replace(momentum=np.arange(9_999.0))),
    ],
    ids=["features", "momentum"],
)
def test_a_refusal_of_much_is_still_one_short_line(call):
    assert_refused_in_one_short_line(call)
