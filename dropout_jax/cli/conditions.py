"""The conditions that a command means: names and hyper-parameters, checked before JAX is loaded.

A condition is written as `NAME rates=0,0.5,0.5 weight_decay=1e-4`, or as a table of a TOML file.
"""

import dataclasses
import reprlib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dropout_jax.cli.arguments import (
    HOW,
    PRNG,
    ROOT_SEED,
    Compare,
    Networks,
    Train,
    expected_of,
    shown,
)

if TYPE_CHECKING:
    from dropout_jax.data import Dataset
    from dropout_jax.training.config import Config, Hparams

KEYS = ("rates", "learning_rate", "momentum", "weight_decay", "max_norm")
MAX_NAME = 60  # characters
RESERVED = "init"  # what conditions share, in the file of weights
Value = float | tuple[float, ...]


def given_conditions(arguments: Networks) -> dict[str, dict[str, Value]]:
    """What each condition is given, {condition: {key: value}}, the baseline first.

    Raises:
      ValueError: unless names and values are what is expected.
      OSError: if a file of conditions cannot be read.

    Example:
      >>> train = Train(condition=(("none",), ("half", "rates=0,0.5,0.5")))
      >>> print(given_conditions(train))
      {'none': {}, 'half': {'rates': (0.0, 0.5, 0.5)}}
    """
    if not isinstance(arguments, Train):
        usual = Compare(rates=(0.0, *(0.5,) * len(arguments.features)))
        three = arguments if isinstance(arguments, Compare) else usual
        dropout: dict[str, Value] = {"rates": three.rates}
        return {"none": {}, "dropout": dropout, "l2": {"weight_decay": three.weight_decay}}
    if bool(arguments.condition) == (arguments.conditions is not None):
        both = "both" if arguments.condition else "neither"
        raise ValueError(f"give --condition, once or more, or --conditions, got {both}")
    path = arguments.conditions
    given = _from_words(arguments.condition) if path is None else _read(path)
    n_layers = len(arguments.features) + 1
    for name, values in given.items():
        _check_name(name)
        for key, value in values.items():
            expected, met = expected_of(key, value, n_layers)
            if not met:
                raise ValueError(f"{key} of condition {name} must {expected}, got {shown(value)}")
    return given


def _from_words(conditions: Sequence[Sequence[str]]) -> dict[str, dict[str, Value]]:
    """The conditions of the command line, a name and KEY=VALUE each."""
    given: dict[str, dict[str, Value]] = {}
    for name, *words in (words or ("",) for words in conditions):
        if name in given:
            raise ValueError(f"each --condition must have its own name, got {name!r} twice")
        given[name] = dict(_parse(name, word) for word in words)
    return given


def _check_name(name: str) -> None:
    """Names are keys of files and words of a page: anything that can be seen, but for a slash."""
    if not name.isprintable() or not name.strip() or "/" in name or len(name) > MAX_NAME:
        expected = f"1 … {MAX_NAME} printable characters without a slash"
        raise ValueError(f"the name of a condition must be {expected}, got {name!r:.80}")
    if name == RESERVED:
        raise ValueError(f"the name of a condition must not be {RESERVED}, which all share")


def _parse(name: str, word: str) -> tuple[str, Value]:
    """A key and its value, from KEY=VALUE."""
    key, _, text = word.partition("=")
    try:
        return key, _value(key, [float(number) for number in text.split(",")])
    except ValueError:
        raise ValueError(_expectation(name, word)) from None


def _read(path: Path) -> dict[str, dict[str, Value]]:
    """The conditions of a TOML file, a table each."""
    if not path.is_file():  # nor is a device or a pipe opened
        raise ValueError(f"--conditions must be a TOML file, got {path}, which is none")
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"--conditions must be a TOML file, got {path}: {error}") from None
    if not tables or not all(isinstance(table, dict) for table in tables.values()):
        raise ValueError(f"--conditions must hold a table for each condition, got {path}")
    given: dict[str, dict[str, Value]] = {name: {} for name in tables}
    for name, table in tables.items():
        for key, value in table.items():
            try:
                given[name][key] = _value(key, value if isinstance(value, list) else [value])
            except (ValueError, OverflowError):  # of an integer that no float holds
                raise ValueError(_expectation(name, f"{key} = {reprlib.repr(value)}")) from None
    return given


def _value(key: str, numbers: list[Any]) -> Value:
    """The numbers of `rates`, or the one of another key.

    Raises:
      ValueError: if it is none of the keys, or these are not its numbers.
    """
    real = all(type(number) in (int, float) for number in numbers)
    if key not in KEYS or not real or (key != "rates" and len(numbers) != 1):
        raise ValueError
    return tuple(map(float, numbers)) if key == "rates" else float(numbers[0])


def _expectation(name: str, got: str) -> str:
    expected = f"rates, one number a layer, or a number for {', '.join(KEYS[1:])}"
    return f"condition {name} must be given {expected}, got {got:.80}"


def configuration(arguments: Networks, n_classes: int) -> "tuple[Config, dict[str, Hparams]]":
    """The static configuration, and the conditions: what they are not given is the command's."""
    from dropout_jax.networks.mlp import MLP
    from dropout_jax.training.config import Config, Hparams

    config = Config(
        MLP((*arguments.features, n_classes)),
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
    )
    given = given_conditions(arguments)
    none = Hparams(
        rates=(0.0,) * len(config.model.features),
        learning_rate=arguments.learning_rate,
        momentum=arguments.momentum,
        max_norm=float("inf") if any("max_norm" in values for values in given.values()) else None,
    )
    return config, {name: none._replace(**values) for name, values in given.items()}


def settings(arguments: Networks, dataset: "Dataset") -> dict[str, Any]:
    """What `config.json` holds: the arguments, the data's sizes, the root of all keys."""
    asked = dataclasses.asdict(arguments)
    for name in HOW:
        del asked[name]
    if isinstance(arguments, Train):
        del asked["condition"]
        asked["conditions"] = given_conditions(arguments)
    return {
        "command": type(arguments).__name__.lower(),
        **asked,
        "n_train": len(dataset.x_train),
        "n_test": len(dataset.x_test),
        "n_inputs": dataset.x_train.shape[1],
        "n_classes": dataset.n_classes,
        "root_seed": ROOT_SEED,
        "prng": PRNG,
    }
