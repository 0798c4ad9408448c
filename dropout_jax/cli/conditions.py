"""The conditions that a command asks for: names and values, checked before JAX is loaded.

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
    RATES,
    ROOT_SEED,
    Compare,
    Networks,
    Train,
)
from dropout_jax.cli.checks import expected_of, shown

if TYPE_CHECKING:
    from dropout_jax.data import Dataset
    from dropout_jax.training.config import Config, Hparams

_KEYS = ("rates", "learning_rate", "momentum", "weight_decay", "max_norm")
Value = float | tuple[float, ...]
Conditions = dict[str, dict[str, Value]]  # {name: {key: value}}, the baseline first


def given_conditions(arguments: Networks) -> Conditions:
    """What each condition is given; a file of conditions is read here, once.

    Raises:
      ValueError: if a name or a value is not what is expected.
      OSError: if a file of conditions cannot be read.

    Example:
      >>> train = Train(condition=(("none",), ("half", "rates=0,0.5,0.5")))
      >>> print(given_conditions(train))
      {'none': {}, 'half': {'rates': (0.0, 0.5, 0.5)}}
    """
    if not isinstance(arguments, Train):
        return _compared(arguments if isinstance(arguments, Compare) else Compare(), arguments)
    if bool(arguments.condition) == (arguments.conditions is not None):
        both = "both" if arguments.condition else "neither"
        raise ValueError(f"give --condition, once or more, or --conditions, got {both}")
    from dropout_jax.runs.folder import check_name

    path = arguments.conditions
    given = _from_words(arguments.condition) if path is None else _read(path)
    n_layers = len(arguments.features) + 1
    for name, values in given.items():
        check_name(name)
        rates = values.get("rates")
        if isinstance(rates, tuple) and len(rates) == 1:
            values["rates"] = (0.0, *rates * len(arguments.features))
        for key, value in values.items():
            one = expected_of(key, value, n_layers)
            if not one.met:
                told = f"must {one.expected}, got {shown(value)}"
                raise ValueError(f"{key} of condition {name} {told}")
    return given


def _compared(compare: Compare, networks: Networks) -> Conditions:
    """No dropout, dropout as the command has it, and L2."""
    n_hidden, pixels = len(networks.features), compare.pixels or 0.0

    def alike(rate: float) -> Value:
        return (pixels, *(rate,) * n_hidden)

    rates, sweep = compare.rates or RATES, compare.sweep or ()
    one = alike(*rates) if len(rates) == 1 else rates
    swept: Conditions = {f"dropout {rate:g}": {"rates": alike(rate)} for rate in sweep}
    dropout: Conditions = swept or {"dropout": {"rates": one}}
    return {"none": {}, **dropout, "l2": {"weight_decay": compare.weight_decay}}


def _from_words(conditions: Sequence[Sequence[str]]) -> Conditions:
    """The conditions of the command line: a name and KEY=VALUE for each."""
    given: Conditions = {}
    for name, *words in (words or ("",) for words in conditions):
        if name in given:
            raise ValueError(f"each --condition must have its own name, got {name!r} twice")
        given[name] = dict(_parse(name, word) for word in words)
    return given


def _parse(name: str, word: str) -> tuple[str, Value]:
    """A key and its value, from KEY=VALUE."""
    key, _, text = word.partition("=")
    try:
        return key, _value(key, [float(number) for number in text.split(",")])
    except ValueError:
        raise ValueError(_expectation(name, word)) from None


def _read(path: Path) -> Conditions:
    """The conditions of a TOML file: a table for each."""
    if not path.is_file():  # nor is a device or a pipe opened
        which = "is none" if path.exists() else "does not exist"
        raise ValueError(f"--conditions must be a TOML file, got {path}, which {which}")
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"--conditions must be a TOML file, got {path}: {error}") from None
    if not tables or not all(isinstance(table, dict) for table in tables.values()):
        raise ValueError(f"--conditions must hold a table for each condition, got {path}")
    given: Conditions = {name: {} for name in tables}
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
    if key not in _KEYS or not real or (key != "rates" and len(numbers) != 1):
        raise ValueError
    return tuple(map(float, numbers)) if key == "rates" else float(numbers[0])


def _expectation(name: str, got: str) -> str:
    expected = f"rates, one number a layer, or a number for {', '.join(_KEYS[1:])}"
    return f"condition {name} must be given {expected}, got {got:.80}"


def configuration(
    arguments: Networks, given: Conditions, n_classes: int
) -> "tuple[Config, dict[str, Hparams]]":
    """The static configuration, and the conditions.

    A value that a condition does not set comes from the command.
    """
    from dropout_jax.networks.mlp import MLP
    from dropout_jax.training.config import Config, Hparams

    config = Config(
        MLP((*arguments.features, n_classes)),
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
    )
    none = Hparams(
        rates=(0.0,) * len(config.model.features),
        learning_rate=arguments.learning_rate,
        momentum=arguments.momentum,
        max_norm=float("inf") if any("max_norm" in values for values in given.values()) else None,
    )
    return config, {name: none._replace(**values) for name, values in given.items()}


def settings(arguments: Networks, given: Conditions, dataset: "Dataset") -> dict[str, Any]:
    """What `config.json` holds: the arguments, the data's sizes, the root of all keys."""
    asked = dataclasses.asdict(arguments)
    for name in HOW:
        del asked[name]
    if isinstance(arguments, Train):
        del asked["condition"]
        asked["conditions"] = given
    if isinstance(arguments, Compare):
        del asked["pixels"]  # which the rates hold
        asked["rates"] = [of["rates"] for of in given.values() if "rates" in of]
        if not asked.pop("sweep"):
            (asked["rates"],) = asked["rates"]
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
