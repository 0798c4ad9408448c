"""Which values of the options make sense, alone and together, checked before JAX is loaded."""

from collections.abc import Iterable, Iterator
from typing import Any

from dropout_jax.cli.arguments import RATES, Compare, Inspect, Networks, Training

_MAX_SEEDS = 1_000_000  # of three conditions: a month of one core, at a second a network
_FLOAT32_MAX = 3.4e38
_RATES_IN_WORDS = "rates in [0, 1], 0.2 for 20 %"
_Requirement = tuple[str, str, bool]  # an option, what it must do, and whether it does


def check(arguments: Networks | Inspect) -> None:
    """Raise ValueError unless the values make sense together."""
    if isinstance(arguments, Inspect):
        _check_groups(arguments)
        return
    for name, expected, met in _requirements(arguments):
        if not met:
            option, value = name.replace("_", "-"), getattr(arguments, name)
            got = "" if isinstance(value, bool | None) else f", got {as_typed(value)}"
            raise ValueError(f"--{option} must {expected}{got}")


def _check_groups(a: Inspect) -> None:
    """Raise ValueError unless there are files, or two groups of two and more."""
    if bool(a.files) == bool(a.baseline or a.against):
        got = "both" if a.files else "nothing"
        raise ValueError(f"give files, or --baseline and --against, got {got}")
    n_baseline, n_against = len(a.baseline), len(a.against)
    if not a.files and min(n_baseline, n_against) < 2:
        raise ValueError(
            f"each group must hold two files or more, got {n_baseline} and {n_against}"
        )
    if a.paired and a.files:
        raise ValueError("--paired must come with --baseline and --against, got files alone")
    if a.paired and n_baseline != n_against:
        raise ValueError(f"--paired needs groups of equal size, got {n_baseline} and {n_against}")


def _requirements(a: Networks) -> Iterator[_Requirement]:
    """What each option must do; one unmet is refused before the next is looked at."""
    n_layers = len(a.features) + 1
    yield "features", "hold positive widths", min(a.features, default=0) > 0
    expected = f"be at least 2, for an interval, and at most {_MAX_SEEDS:,}"
    yield "seeds", expected, 2 <= a.seeds <= _MAX_SEEDS
    yield "epochs", "be at least 1", a.epochs >= 1
    yield "batch_size", "be at least 1", a.batch_size >= 1
    yield requirement("learning_rate", a.learning_rate, n_layers)
    yield requirement("momentum", a.momentum, n_layers)
    yield "memory", "be positive", a.memory is None or a.memory > 0
    if isinstance(a, Training):
        yield from _training_requirements(a)
    if isinstance(a, Compare):
        yield from _rate_requirements(a, n_layers)
        yield requirement("weight_decay", a.weight_decay, n_layers)


def _training_requirements(a: Training) -> Iterator[_Requirement]:
    yield "checkpoint_seconds", "not be negative", a.checkpoint_seconds >= 0
    yield "resume", "come with --out, the folder", not a.resume or a.out is not None
    expected = "come with --distributed, --num-processes and --process-id, or all be left out"
    all_or_none = (a.coordinator is None) == (a.num_processes is None) == (a.process_id is None)
    yield "coordinator", expected, all_or_none and (a.distributed or a.coordinator is None)
    yield "num_processes", "be at least 1", a.num_processes is None or a.num_processes >= 1
    valid = a.process_id is None or 0 <= a.process_id < (a.num_processes or 0)
    yield "process_id", "be at least 0 and less than --num-processes", valid
    yield "overwrite", "not come with --resume", not (a.resume and a.overwrite)


def _rate_requirements(a: Compare, n_layers: int) -> Iterator[_Requirement]:
    if a.rates is not None and a.sweep is not None:
        both = f"--rates {as_typed(a.rates)} and --sweep {as_typed(a.sweep)}"
        raise ValueError(f"--sweep takes the place of --rates: give one of them, got {both}")
    rates = RATES if a.rates is None else a.rates
    expected = f"hold {_RATES_IN_WORDS}: one for all hidden layers, or "
    expected += f"{n_layers}, one for the input of each layer"
    yield "rates", expected, len(rates) in (1, n_layers) and _are_rates(rates)
    sweep = a.sweep
    valid = sweep is None or (len(set(sweep)) == len(sweep) > 0 and _are_rates(sweep))
    yield "sweep", f"hold different {_RATES_IN_WORDS}, each a condition", valid
    if a.pixels is not None and len(rates) > 1:
        beside = "--pixels must come with one rate for all hidden layers, or --sweep"
        raise ValueError(f"{beside}, got --rates {as_typed(rates)}")
    valid = a.pixels is None or _are_rates([a.pixels])
    yield "pixels", "be a rate in [0, 1], 0.2 for 20 %", valid


def _are_rates(values: Iterable[float]) -> bool:
    return all(0 <= value <= 1 for value in values)


def requirement(name: str, value: Any, n_layers: int) -> _Requirement:
    """What a hyper-parameter must do; `check_hparams` lets programs give 0 and infinity, too."""
    if name == "rates":
        each = "one for the input of each layer, or one for all hidden"
        met = len(value) == n_layers and _are_rates(value)
        return name, f"hold {n_layers} {_RATES_IN_WORDS}, {each}", met
    return name, *{
        "learning_rate": ("be positive and finite", 0 < value < _FLOAT32_MAX),
        "momentum": ("lie in [0, 1)", 0 <= value < 1),
        "weight_decay": ("be finite and not negative", 0 <= value < _FLOAT32_MAX),
        "max_norm": ("be positive and finite", 0 < value < _FLOAT32_MAX),
    }[name]


def as_typed(value: Any) -> str:
    """A value as it is typed."""
    words = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return words or "nothing"
