"""What the commands of `dropout-jax` can be asked, and whether the numbers make sense together."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

PRNG = "threefry2x32"  # JAX's default, which an environment variable could change
ROOT_SEED = 0
FLOAT32_MAX = 3.4e38
MAX_SEEDS = 1_000_000  # of three conditions: a month of one core, at a second a network
HOW = (  # not what
    *("out", "overwrite", "resume", "checkpoint_seconds", "tensorboard", "data_dir", "memory"),
    *("distributed", "coordinator", "num_processes", "process_id"),
)
Expected = tuple[str, bool]  # what is expected, and whether it is met


@dataclass(frozen=True)
class Networks:
    """Networks to be trained."""

    dataset: str = "mnist5k"
    """mnist5k, digits, mnist, fashion_mnist, or the path of an .npz with x and y"""
    features: tuple[int, ...] = (256, 256)
    """widths of the hidden layers"""
    seeds: int = 10
    """networks per condition"""
    epochs: int = 30
    """passes over the training data"""
    batch_size: int = 128
    """examples a step"""
    learning_rate: float = 0.05
    """step size of stochastic gradient descent"""
    momentum: float = 0.9
    """fraction of the last update carried on"""
    data_dir: Path | None = None
    """folder of the IDX files of mnist and fashion_mnist; without it they are fetched"""
    memory: float | None = None
    """GiB to fill on an accelerator at most; by default .8 of what it has"""


@dataclass(frozen=True)
class Training(Networks):
    """Networks, and how and where to they are trained."""

    out: Path | None = None
    """folder to write; runs/DATASET-TIME by default"""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """replace an earlier run in that folder"""
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """start the run in that folder, go on with it, or say that it is done"""
    checkpoint_seconds: float = 60.0
    """seconds between checkpoints; one is written on Ctrl-C and SIGTERM too"""
    tensorboard: tyro.conf.FlagCreatePairsOff[bool] = False
    """write curves and histograms of weights for TensorBoard too, to tensorboard/ in that folder"""
    distributed: tyro.conf.FlagCreatePairsOff[bool] = False
    """train on the devices of several processes, found out on Slurm, Kubernetes and Cloud TPU"""
    coordinator: str | None = None
    """HOST:PORT of process 0 in a private network, to be given to all where nothing finds it out"""
    num_processes: int | None = None
    """how many processes there are, to be given with --coordinator"""
    process_id: int | None = None
    """which of them this is, from 0, to be given with --coordinator"""


@dataclass(frozen=True)
class Compare(Training):
    """Does dropout spread the weights? Train without it, with it and with L2, and compare.

    Trains the conditions `none`, `dropout` and `l2` on the same seeds, prints a table and the
    answer in words, and writes a folder with all numbers, weights and figures.
    """

    rates: tuple[float, ...] = (0.0, 0.5, 0.5)
    """P(drop) for the input of every layer: one for the pixels, one for each hidden layer"""
    weight_decay: float = 1e-3
    """coefficient of the L2 condition, ½ µ Σ w²"""


@dataclass(frozen=True)
class Train(Training):
    """Train any conditions on the same seeds, and compare all others with the first.

    A condition is a name and its hyper-parameters: rates, learning_rate, momentum, weight_decay,
    max_norm. What it leaves out is that of the command, no dropout, no decay, no bound.
    """

    condition: Annotated[
        tuple[tuple[str, ...], ...],
        tyro.conf.UseAppendAction,
        tyro.conf.arg(metavar="NAME [KEY=VALUE …]"),
    ] = ()
    """a condition, such as `dropout rates=0.2,0.5,0.5 weight_decay=1e-4`; can be given again"""
    conditions: Path | None = None
    """a TOML file with a table for each condition, instead"""


@dataclass(frozen=True)
class Doctor(Networks):
    """Will a run be exact, will it be fast, and how long will it take?

    Prints versions, devices and the generator, and what stands in the way of an exact or a fast
    run; then trains for a few seconds to tell how long `compare` would take.
    """


@dataclass(frozen=True)
class Inspect:
    """How uniformly are the weights of any network spread, layer by layer?

    Reads .safetensors, the index of shards, .npz, folders of orbax, of Hugging Face's models and of
    runs, whatever wrote them. One file is set beside what its layers began with, several side by
    side, two groups of files with statistics.
    """

    files: tyro.conf.Positional[tuple[Path, ...]] = ()
    """files of weights; or none, with --baseline and --against"""
    baseline: tuple[Path, ...] = ()
    """files of the networks to compare with"""
    against: tuple[Path, ...] = ()
    """files of the networks that are compared"""
    paired: tyro.conf.FlagCreatePairsOff[bool] = False
    """the files of both groups belong together one by one, as those of one seed do"""
    layout: Literal["in-out", "out-in"] | None = None
    """how all kernels lie; told from the names by default: kernel and w in-out, weight out-in"""
    csv: Path | None = None
    """file for every number as file,seed,layer,view,measure,value; of groups for the comparisons"""


def check_inspect(a: Inspect) -> None:
    """Raise ValueError unless there are files, or two groups of two and more."""
    groups = len(a.baseline), len(a.against)
    if bool(a.files) == any(groups):
        raise ValueError(
            "give files, or --baseline and --against, got " + shown(a.files and "both")
        )
    if not a.files and min(groups) < 2:
        raise ValueError(f"groups must be of two files or more, got {groups[0]} and {groups[1]}")
    if a.paired and groups[0] != groups[1]:
        raise ValueError(f"--paired groups must be as large, got {groups[0]} and {groups[1]}")


def check(arguments: Networks) -> None:
    """Raise ValueError unless the numbers make sense together."""
    expectations = dict(_of_networks(arguments))
    if isinstance(arguments, Training):
        expectations |= dict(_of_training(arguments))
    if isinstance(arguments, Compare):
        n_layers = len(arguments.features) + 1
        expectations |= {
            "rates": expected_of("rates", arguments.rates, n_layers),
            "weight-decay": expected_of("weight_decay", arguments.weight_decay, n_layers),
        }
    for name, (expected, met) in expectations.items():
        if not met:
            given = getattr(arguments, name.replace("-", "_"))
            raise ValueError(f"--{name} must {expected}, got {shown(given)}")


def shown(value: Any) -> str:
    """A value as it is typed."""
    words = " ".join(map(str, value)) if isinstance(value, tuple) else str(value)
    return words or "nothing"


def expected_of(name: str, value: Any, n_layers: int) -> Expected:
    """What is expected of a hyper-parameter, and whether its value is so."""
    if name == "rates":
        expected = f"hold {n_layers} rates in [0, 1], one for the input of each layer"
        return expected, len(value) == n_layers and all(0 <= rate <= 1 for rate in value)
    return {
        "learning_rate": ("be positive and finite", 0 < value < FLOAT32_MAX),
        "momentum": ("lie in [0, 1)", 0 <= value < 1),
        "weight_decay": ("be finite and not negative", 0 <= value < FLOAT32_MAX),
        "max_norm": ("be positive", value > 0),
    }[name]


def _of_networks(a: Networks) -> Iterator[tuple[str, Expected]]:
    n_layers = len(a.features) + 1
    yield (
        "features",
        ("hold positive widths", bool(a.features) and min(a.features, default=0) > 0),
    )
    expected = f"be at least 2, for an interval, and at most {MAX_SEEDS:,}"
    yield "seeds", (expected, 2 <= a.seeds <= MAX_SEEDS)
    yield "epochs", ("be at least 1", a.epochs >= 1)
    yield "batch-size", ("be at least 1", a.batch_size >= 1)
    for name in ("learning_rate", "momentum"):
        yield name.replace("_", "-"), expected_of(name, getattr(a, name), n_layers)
    yield "memory", ("be positive", a.memory is None or a.memory > 0)


def _of_training(a: Training) -> Iterator[tuple[str, Expected]]:
    yield "checkpoint-seconds", ("not be negative", a.checkpoint_seconds >= 0)
    yield "resume", ("come with --out, the folder", not a.resume or a.out is not None)
    yield (
        "coordinator",
        (
            "come with --distributed, --num-processes and --process-id, or all be left out",
            (a.coordinator is None) == (a.num_processes is None) == (a.process_id is None)
            and (a.distributed or a.coordinator is None),
        ),
    )
    yield "num-processes", ("be at least 1", a.num_processes is None or a.num_processes >= 1)
    yield (
        "process-id",
        (
            "be at least 0 and less than --num-processes",
            a.process_id is None or 0 <= a.process_id < (a.num_processes or 0),
        ),
    )
    yield "overwrite", ("not come with --resume", not (a.resume and a.overwrite))
