"""Which values of the options make sense, alone and together, told before JAX is loaded."""

import os
from collections.abc import Iterator
from typing import Any, NamedTuple

from dropout_jax.cli.arguments import RATES, Compare, Inspect, Networks, Training

_MAX_SEEDS = 1_000_000  # of three conditions: a month of one core, at a second a network
_FLOAT32_MAX = 3.4e38
_RATES = "rates in [0, 1], 0.2 for 20 %"


class Expectation(NamedTuple):
    """What is expected of an option or a hyper-parameter, and whether its value is so."""

    name: str
    expected: str
    met: bool


def check(arguments: Networks | Inspect) -> None:
    """Raise ValueError unless the values make sense together."""
    if isinstance(arguments, Inspect):
        _check_groups(arguments)
        return
    for name, expected, met in _expectations(arguments):
        if not met:
            option, given = name.replace("_", "-"), getattr(arguments, name)
            raise ValueError(f"--{option} must {expected}, got {shown(given)}")


def _check_groups(a: Inspect) -> None:
    """Raise ValueError unless there are files, or two groups of two and more, none twice."""
    if bool(a.files) == bool(a.baseline or a.against):
        both = shown(a.files and "both")
        raise ValueError(f"give files, or --baseline and --against, got {both}")
    n_baseline, n_against = len(a.baseline), len(a.against)
    if not a.files and min(n_baseline, n_against) < 2:
        raise ValueError(
            f"each group must hold two files or more, got {n_baseline} and {n_against}"
        )
    if a.paired and a.files:
        raise ValueError("--paired must come with --baseline and --against, got files alone")
    if a.paired and n_baseline != n_against:
        raise ValueError(f"--paired needs groups of equal size, got {n_baseline} and {n_against}")
    given = (*a.files, *a.baseline, *a.against)
    real = [os.path.realpath(path) for path in given]
    again = [path for i, path in enumerate(given) if real[i] in real[:i]]
    if again:  # it would count as another network
        raise ValueError(f"each file must be named once, got {again[0]} again")


def _expectations(a: Networks) -> Iterator[Expectation]:
    """What is expected of each option."""
    n_layers = len(a.features) + 1
    yield Expectation("features", "hold positive widths", min(a.features, default=0) > 0)
    expected = f"be at least 2, for an interval, and at most {_MAX_SEEDS:,}"
    yield Expectation("seeds", expected, 2 <= a.seeds <= _MAX_SEEDS)
    yield Expectation("epochs", "be at least 1", a.epochs >= 1)
    yield Expectation("batch_size", "be at least 1", a.batch_size >= 1)
    yield expected_of("learning_rate", a.learning_rate, n_layers)
    yield expected_of("momentum", a.momentum, n_layers)
    yield Expectation("memory", "be positive", a.memory is None or a.memory > 0)
    if isinstance(a, Training):
        yield from _of_training(a)
    if isinstance(a, Compare):
        yield from _of_rates(a, n_layers)
        yield expected_of("weight_decay", a.weight_decay, n_layers)


def _of_rates(a: Compare, n_layers: int) -> Iterator[Expectation]:
    if a.rates is not None and a.sweep is not None:
        both = f"--rates {shown(a.rates)} and --sweep {shown(a.sweep)}"
        raise ValueError(f"--sweep takes the place of --rates: give one of them, got {both}")
    rates = RATES if a.rates is None else a.rates
    one, valid = len(rates) == 1, all(0 <= rate <= 1 for rate in rates)
    expected = f"hold {_RATES}: one for all hidden layers, or "
    expected += f"{n_layers}, one for the input of each layer"
    yield Expectation("rates", expected, valid and (one or len(rates) == n_layers))
    sweep = RATES if a.sweep is None else a.sweep
    distinct = len(set(sweep)) == len(sweep) > 0 and all(0 <= rate <= 1 for rate in sweep)
    yield Expectation("sweep", f"hold different {_RATES}, each a condition", distinct)
    if a.pixels is not None and not one:
        beside = "--pixels must come with one rate for all hidden layers, or --sweep"
        raise ValueError(f"{beside}, got --rates {shown(rates)}")
    expected = "be a rate in [0, 1], 0.2 for 20 %"
    yield Expectation("pixels", expected, a.pixels is None or 0 <= a.pixels <= 1)


def _of_training(a: Training) -> Iterator[Expectation]:
    yield Expectation("checkpoint_seconds", "not be negative", a.checkpoint_seconds >= 0)
    yield Expectation("resume", "come with --out, the folder", not a.resume or a.out is not None)
    expected = "come with --distributed, --num-processes and --process-id, or all be left out"
    all_or_none = (a.coordinator is None) == (a.num_processes is None) == (a.process_id is None)
    together = all_or_none and (a.distributed or a.coordinator is None)
    yield Expectation("coordinator", expected, together)
    positive = a.num_processes is None or a.num_processes >= 1
    yield Expectation("num_processes", "be at least 1", positive)
    expected = "be at least 0 and less than --num-processes"
    is_one_of_them = a.process_id is None or 0 <= a.process_id < (a.num_processes or 0)
    yield Expectation("process_id", expected, is_one_of_them)
    yield Expectation("overwrite", "not come with --resume", not (a.resume and a.overwrite))


def shown(value: Any) -> str:
    """A value as it is typed."""
    words = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return words or "nothing"


def expected_of(name: str, value: Any, n_layers: int) -> Expectation:
    """What is expected of a hyper-parameter."""
    if name == "rates":
        expected = (
            f"hold {n_layers} {_RATES}, one for the input of each layer, or one for all hidden"
        )
        met = len(value) == n_layers and all(0 <= rate <= 1 for rate in value)
        return Expectation(name, expected, met)
    expected, met = {
        "learning_rate": ("be positive and finite", 0 < value < _FLOAT32_MAX),
        "momentum": ("lie in [0, 1)", 0 <= value < 1),
        "weight_decay": ("be finite and not negative", 0 <= value < _FLOAT32_MAX),
        "max_norm": ("be positive", value > 0),
    }[name]
    return Expectation(name, expected, met)
