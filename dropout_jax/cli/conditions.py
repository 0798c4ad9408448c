"""The conditions that a command asks for: names and values, checked before JAX is loaded.

A condition is written as `NAME rates=0,0.5,0.5 weight_decay=1e-4`, or as a table of a TOML file.
"""

import contextlib
import dataclasses
import reprlib
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dropout_jax.cli.arguments import PRNG, RATES, ROOT_SEED, Compare, Networks, Train
from dropout_jax.cli.checks import as_typed, requirement

if TYPE_CHECKING:
    from dropout_jax.data import Dataset
    from dropout_jax.training.config import Config, Hparams

UNRECORDED_OPTIONS = (  # how a run is made, not what it is
    *("out", "overwrite", "resume", "checkpoint_seconds", "tensorboard", "data_dir", "memory"),
    *("all_views", "open"),
    *("distributed", "coordinator", "num_processes", "process_id"),
)
_KEYS = ("rates", "learning_rate", "momentum", "weight_decay", "max_norm")
_Value = float | tuple[float, ...]
Conditions = dict[str, dict[str, _Value]]  # {name: {key: value}}, the baseline first


def read_conditions(arguments: Networks) -> Conditions:
    """What each condition is given; a file of conditions is read here, once.

    Raises:
      ValueError: if a name or a value is not what is expected.
      OSError: if a file of conditions cannot be read.
    """
    if not isinstance(arguments, Train):
        is_compare = isinstance(arguments, Compare)
        return _compared(arguments if is_compare else Compare(features=arguments.features))
    if bool(arguments.condition) == (arguments.conditions is not None):
        both = "both" if arguments.condition else "neither"
        raise ValueError(f"give --condition, once or more, or --conditions, got {both}")
    from dropout_jax.runs.folder import check_name

    path = arguments.conditions
    conditions = _from_words(arguments.condition) if path is None else _from_file(path)
    n_layers = len(arguments.features) + 1
    for name, values in conditions.items():
        check_name(name)
        rates = values.get("rates")
        if isinstance(rates, tuple) and len(rates) == 1:
            values["rates"] = (0.0, *rates * len(arguments.features))
        for key, value in values.items():
            _, expected, met = requirement(key, value, n_layers)
            if not met:
                message = f"must {expected}, got {as_typed(value)}"
                raise ValueError(f"{key} of condition {name} {message}")
    return conditions


def _compared(compare: Compare) -> Conditions:
    """No dropout, dropout as the command has it, and L2."""

    def for_hidden(rate: float) -> _Value:
        return (compare.pixels or 0.0, *(rate,) * len(compare.features))

    dropout: Conditions = {f"dropout {r:g}": {"rates": for_hidden(r)} for r in compare.sweep or ()}
    if not dropout:
        rates = compare.rates or RATES
        dropout = {"dropout": {"rates": for_hidden(*rates) if len(rates) == 1 else rates}}
    return {"none": {}, **dropout, "l2": {"weight_decay": compare.weight_decay}}


def _from_words(conditions: Sequence[Sequence[str]]) -> Conditions:
    """The conditions of the command line: a name and KEY=VALUE for each."""
    parsed: Conditions = {}
    for name, *words in (words or ("",) for words in conditions):
        if "=" in name:
            raise ValueError(f"--condition must begin with a name, got {name!r}")
        if name in parsed:
            raise ValueError(f"each --condition must have its own name, got {name!r} twice")
        parsed[name] = {}
        for word in words:
            key, _, text = word.partition("=")
            if key in parsed[name]:
                raise ValueError(f"--condition {name} must give {key} once, got it twice")
            numbers = (float(number) for number in text.split(","))
            parsed[name][key] = _value(name, key, numbers, word)
    return parsed


def _from_file(path: Path) -> Conditions:
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
    conditions: Conditions = {name: {} for name in tables}
    for name, table in tables.items():
        for key, value in table.items():
            numbers = value if isinstance(value, list) else [value]
            conditions[name][key] = _value(name, key, numbers, f"{key} = {reprlib.repr(value)}")
    return conditions


def _value(name: str, key: str, numbers: Iterable[Any], got: str) -> _Value:
    """The numbers of `rates`, or the one of another key, of the condition `name`.

    Raises:
      ValueError: if it is none of the keys, or these are not its numbers; it shows `got`.
    """
    with contextlib.suppress(ValueError, OverflowError):  # no number, or one that no float holds
        numbers = list(numbers)
        if all(type(number) in (int, float) for number in numbers):
            if key == "rates":
                return tuple(map(float, numbers))
            if key in _KEYS and len(numbers) == 1:
                return float(numbers[0])
    expected = f"rates, one number a layer, or a number for {', '.join(_KEYS[1:])}"
    raise ValueError(f"condition {name} must be given {expected}, got {got:.80}")


def make_config(
    arguments: Networks, given: Conditions, n_classes: int
) -> "tuple[Config, dict[str, Hparams]]":
    """The static configuration, and the conditions.

    A value that a condition does not set comes from the command.
    """
    from dropout_jax.networks.mlp import MLP
    from dropout_jax.training.config import Config, Hparams

    model = MLP((*arguments.features, n_classes))
    config = Config(model, epochs=arguments.epochs, batch_size=arguments.batch_size)
    none = Hparams(
        rates=(0.0,) * len(model.features),
        learning_rate=arguments.learning_rate,
        momentum=arguments.momentum,
        max_norm=float("inf") if any("max_norm" in values for values in given.values()) else None,
    )
    return config, {name: none._replace(**values) for name, values in given.items()}


def settings(arguments: Networks, given: Conditions, dataset: "Dataset") -> dict[str, Any]:
    """What `config.json` holds: the arguments, the data's sizes, the root of all keys."""
    options = {
        k: v for k, v in dataclasses.asdict(arguments).items() if k not in UNRECORDED_OPTIONS
    }
    if isinstance(arguments, Train):
        del options["condition"]
        options["conditions"] = given
    if isinstance(arguments, Compare):
        del options["pixels"]  # which the rates hold
        options["rates"] = [values["rates"] for values in given.values() if "rates" in values]
        if not options.pop("sweep"):
            (options["rates"],) = options["rates"]
    return {
        "command": type(arguments).__name__.lower(),
        **options,
        "n_train": len(dataset.x_train),
        "n_test": len(dataset.x_test),
        "n_inputs": dataset.x_train.shape[1],
        "n_classes": dataset.n_classes,
        "root_seed": ROOT_SEED,
        "prng": PRNG,
    }
