import contextlib
import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from dropout_jax.cli.arguments import Compare, Train
from dropout_jax.cli.checks import requirement
from dropout_jax.cli.conditions import make_config, read_conditions, settings
from dropout_jax.cli.main import _without_commas, run_command
from dropout_jax.data import load_dataset
from dropout_jax.runs import write
from dropout_jax.training.checks import check_hparams
from dropout_jax.training.config import Hparams
from tests.undrawn import sketched


def asked(*conditions, **others):
    return Train(condition=tuple(tuple(one.split(" ")) for one in conditions), **others)


def configured(arguments):
    return make_config(arguments, read_conditions(arguments), n_classes=10)


def test_compare_means_three_conditions_the_first_without_dropout():
    given = read_conditions(Compare(rates=(0.1, 0.2, 0.3), weight_decay=0.5))
    assert given == {"none": {}, "dropout": {"rates": (0.1, 0.2, 0.3)}, "l2": {"weight_decay": 0.5}}


def test_one_rate_is_that_of_all_hidden_layers_and_pixels_have_an_option():
    one = read_conditions(Compare(features=(8, 8, 8), rates=(0.3,), pixels=0.2))
    assert one["dropout"] == {"rates": (0.2, 0.3, 0.3, 0.3)}
    usual = read_conditions(Compare())
    assert usual["dropout"] == {"rates": (0.0, 0.5, 0.5)}
    alike = settings(Compare(), usual, load_dataset("digits"))
    given = Compare(rates=(0.0, 0.5, 0.5))
    assert alike == settings(given, read_conditions(given), load_dataset("digits"))
    assert alike["rates"] == (0.0, 0.5, 0.5)


def test_a_sweep_is_a_condition_for_each_rate():
    swept = Compare(features=(8,), sweep=(0.2, 0.8), pixels=0.1)
    given = read_conditions(swept)
    assert list(given) == ["none", "dropout 0.2", "dropout 0.8", "l2"]
    assert given["dropout 0.8"] == {"rates": (0.1, 0.8)}
    told = settings(swept, given, load_dataset("digits"))
    assert told["rates"] == [(0.1, 0.2), (0.1, 0.8)]


def test_numbers_of_a_list_may_be_separated_by_commas():
    line = "compare --features 8,16 --sweep=0.2,0.5 --seeds 3 --out a,b"
    (words,) = [list(_without_commas(line.split()))]
    expected = "compare --features 8 16 --sweep 0.2 0.5 --seeds 3 --out a,b"
    assert words == expected.split()


def test_a_condition_has_what_it_is_given_and_else_what_the_command_is_given():
    train = asked("a", "b rates=0,0.5,1 weight_decay=1e-4 momentum=0", learning_rate=0.25)
    config, conditions = configured(train)
    assert config.model.features == (256, 256, 10)
    assert conditions["a"] == ((0.0, 0.0, 0.0), 0.25, 0.9, 0.0, None)
    assert conditions["b"] == ((0.0, 0.5, 1.0), 0.25, 0.0, 1e-4, None)


def test_a_bound_for_one_condition_is_infinite_for_the_others():
    bounds = {
        name: hparams.max_norm
        for name, hparams in configured(asked("a", "b max_norm=2"))[1].items()
    }
    assert bounds == {"a": math.inf, "b": 2}


def test_one_rate_of_a_condition_is_that_of_all_hidden_layers(tmp_path):
    path = tmp_path / "conditions.toml"
    path.write_text("[a]\nrates = 0.5\n", encoding="utf-8")
    for train in (asked("a rates=0.5"), Train(conditions=path)):
        assert read_conditions(train) == {"a": {"rates": (0.0, 0.5, 0.5)}}


def test_a_file_means_what_the_command_line_means(tmp_path):
    path = tmp_path / "conditions.toml"
    path.write_text("[a]\n[b]\nrates = [0, 0.5, 1]\nweight_decay = 1e-4\n", encoding="utf-8")
    same = read_conditions(asked("a", "b rates=0,0.5,1 weight_decay=1e-4"))
    assert read_conditions(Train(conditions=path)) == same


def test_the_record_of_a_run_holds_its_conditions():
    train = asked("a", "b max_norm=2")
    told = settings(train, read_conditions(train), load_dataset("digits"))
    assert (told["command"], told["conditions"]) == ("train", {"a": {}, "b": {"max_norm": 2.0}})
    assert "condition" not in told


BAD = [  # conditions, expected, given
    ([], "give --condition", "neither"),
    (["a", "a"], "its own name", "'a' twice"),
    (["a momentum=0 momentum=0.5"], "momentum once", "twice"),
    ([""], "printable characters without a slash", "got ''"),
    (["rates=0.5"], "must begin with a name", "'rates=0.5'"),
    (["a/b"], "printable characters without a slash", "'a/b'"),
    (["a\nb"], "printable characters without a slash", r"'a\nb'"),
    (["x" * 61], "1 … 60 printable", "xxx"),
    (["init"], "must not be init", "init"),
    (["a rates"], "one number a layer", "got rates"),
    (["a rates=0,0,x"], "one number a layer", "got rates=0,0,x"),
    (["a rates=0.5,0.5"], "rates of condition a must hold 3 rates", "got 0.5 0.5"),
    (["a rates=2"], "rates of condition a must hold 3 rates", "got 0.0 2.0 2.0"),
    (["a rates=0,0.5,1.5"], "rates of condition a must hold 3 rates in [0, 1]", "got 0.0 0.5 1.5"),
    (["a momentum=1,2"], "a number for learning_rate, momentum", "got momentum=1,2"),
    (["a momentum=1"], "momentum of condition a must lie in [0, 1)", "got 1.0"),
    (["a learning_rate=nan"], "must be positive and finite", "got nan"),
    (["a weight_decay=-1"], "must be finite and not negative", "got -1.0"),
    (["a max_norm=0"], "max_norm of condition a must be positive and finite", "got 0.0"),
    (["a max_norm=inf"], "max_norm of condition a must be positive and finite", "got inf"),
    (["a dropout=0.5"], "a number for learning_rate, momentum", "got dropout=0.5"),
]


STRICTER = {  # what the command line refuses of what a program may give
    "learning_rate": {0.0, 1e39, math.inf},
    "momentum": set(),
    "weight_decay": {1e39, math.inf},
    "max_norm": {1e39, math.inf},  # inf, no bound, is what a condition has that sets none
}


@pytest.mark.parametrize("name", STRICTER)
def test_the_command_line_lets_in_what_the_library_does_but_for_named_limits(name):
    refused = set()
    for value in (-1.0, -1e-9, 0.0, 1e-9, 0.5, 1.0, 3e38, 1e39, math.inf, math.nan):
        _, _, met = requirement(name, value, n_layers=1)
        try:
            check_hparams(Hparams()._replace(**{name: value}))
            refused |= set() if met else {value}
        except ValueError:
            assert not met
    assert refused == STRICTER[name]


@pytest.mark.parametrize(("conditions", "expected", "given"), BAD)
def test_what_is_no_condition_is_refused_with_what_was_expected_and_given(
    conditions, expected, given
):
    with pytest.raises(ValueError, match=r".+") as error:
        read_conditions(asked(*conditions))
    assert expected in str(error.value)
    assert given in str(error.value)
    assert len(str(error.value)) < 300


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "a table for each condition"),
        ("rates = [0, 0, 0]", "a table for each condition"),
        ("[a", "must be a TOML file"),
        (f"[a]\nmomentum = 1{'0' * 400}", "a number for learning_rate, momentum"),
        (f"[a]\nmomentum = 1{'0' * 5000}", "must be a TOML file"),
        (f"[a]\nrates = {'[' * 20_000}", "must be a TOML file"),
        (f"[a]\n{'x.' * 2_000}y = 1", "condition a must be given"),
        ("[a]\nrates = [0.5, 0.5]", "rates of condition a must hold 3 rates"),
        ("[a]\nrates = [true, 0, 0]", "one number a layer"),
        ("[a]\nmomentum = '0.5'", "a number for learning_rate"),
        ("[a]\n[a.b]\nmomentum = 0.5", "a number for learning_rate"),
        ("[init]", "must not be init"),
    ],
)
def test_a_file_of_something_else_is_refused(text, expected, tmp_path):
    path = tmp_path / "conditions.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=expected):
        read_conditions(Train(conditions=path))


def test_conditions_come_from_one_place_that_is_there(tmp_path):
    with pytest.raises(ValueError, match="got both"):
        read_conditions(asked("a", conditions=Path("some.toml")))
    with pytest.raises(
        ValueError, match=r"must be a TOML file, got .*absent, which does not exist"
    ):
        read_conditions(Train(conditions=tmp_path / "absent"))


@given(st.lists(st.lists(st.text(max_size=20), max_size=3).map(tuple), max_size=3).map(tuple))
@example((("a", "rates=1_0,٣,0x1"),))
def test_any_words_are_conditions_or_refused(words):
    with contextlib.suppress(ValueError):
        assert len(read_conditions(Train(condition=words))) == len(words)


@pytest.mark.slow
@sketched()
def test_trained_conditions_are_compared_with_the_first(tmp_path, capsys):
    toy = ["train", "--dataset", "digits", "--features", "8", "--epochs", "1", "--seeds", "2"]
    odd = "[b] $\\frac{ <i>"
    given = ["--condition", "a", "momentum=0.5", "--condition", odd, "rates=0,1"]
    assert run_command([*toy, *given, "--out", str(tmp_path / "run")]) == 0
    output = capsys.readouterr().out
    assert f"Gini, {odd} against a" in output
    assert "What spreads the weights, compared with a?" in output
    from safetensors.numpy import load_file

    tensors = load_file(tmp_path / "run" / "weights.safetensors")
    bias = tensors[f"{odd}/1/bias"]  # all that moves when every hidden unit is dropped
    assert np.all(tensors[f"{odd}/1/kernel"] == tensors["init/1/kernel"])
    assert not np.all(bias == tensors["init/1/bias"])


@pytest.mark.slow
def test_one_condition_is_trained_and_compared_with_nothing(tmp_path, capsys, monkeypatch):
    drawn = []
    monkeypatch.setattr(write, "write_figure", lambda folder, name, *_: drawn.append(name))
    toy = ["train", "--dataset", "digits", "--features", "8", "--epochs", "1", "--seeds", "2"]
    assert run_command([*toy, "--condition", "only", "--out", str(tmp_path / "run")]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "with one condition, nothing is compared" in output
    assert drawn
    assert "differences" not in drawn
