"""What `dropout-jax compare` can be asked, and the configuration that it means."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import tyro

if TYPE_CHECKING:
    from dropout_jax.data import Dataset
    from dropout_jax.training import Config, Hparams

PRNG = "threefry2x32"  # JAX's default, which an environment variable could change
ROOT_SEED = 0
FLOAT32_MAX = 3.4e38
MAX_SEEDS = 1_000_000  # of three conditions: a month of one core, at a second a network
HOW = (  # not what
    *("out", "overwrite", "resume", "checkpoint_seconds", "data_dir", "memory"),
    *("distributed", "coordinator", "num_processes", "process_id"),
)


@dataclass(frozen=True)
class Compare:
    """Does dropout spread the weights? Train without it, with it and with L2, and compare.

    Trains the conditions `none`, `dropout` and `l2` on the same seeds, prints a table and the
    answer in words, and writes a folder with all numbers, weights and figures.
    """

    dataset: str = "mnist5k"
    """mnist5k, digits, mnist, fashion_mnist, or the path of an .npz with x and y"""
    features: tuple[int, ...] = (256, 256)
    """widths of the hidden layers"""
    rates: tuple[float, ...] = (0.0, 0.5, 0.5)
    """P(drop) for the input of every layer: one for the pixels, one for each hidden layer"""
    weight_decay: float = 1e-3
    """coefficient of the L2 condition, ½ µ Σ w²"""
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
    """GiB to fill on an accelerator; by default .8 of what it has"""
    out: Path | None = None
    """folder to write; runs/DATASET-TIME by default"""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """replace an earlier run in that folder"""
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """go on with the unfinished run in that folder"""
    checkpoint_seconds: float = 60.0
    """seconds between checkpoints; one is written on Ctrl-C and SIGTERM too"""
    distributed: tyro.conf.FlagCreatePairsOff[bool] = False
    """train on the devices of several processes, found out on Slurm, Kubernetes and Cloud TPU"""
    coordinator: str | None = None
    """HOST:PORT of process 0, to be given to all where nothing finds it out"""
    num_processes: int | None = None
    """how many processes there are, to be given with --coordinator"""
    process_id: int | None = None
    """which of them this is, from 0, to be given with --coordinator"""


def check(arguments: Compare) -> None:
    """Raise ValueError unless the numbers make sense together."""
    a = arguments
    n_layers = len(a.features) + 1
    expectations = {
        "features": ("hold positive widths", bool(a.features) and min(a.features, default=0) > 0),
        "rates": (
            f"hold {n_layers} rates in [0, 1], one for the input of each layer",
            len(a.rates) == n_layers and all(0 <= rate <= 1 for rate in a.rates),
        ),
        "weight-decay": ("be finite and not negative", 0 <= a.weight_decay < FLOAT32_MAX),
        "seeds": (
            f"be at least 2, for an interval, and at most {MAX_SEEDS:,}",
            2 <= a.seeds <= MAX_SEEDS,
        ),
        "epochs": ("be at least 1", a.epochs >= 1),
        "batch-size": ("be at least 1", a.batch_size >= 1),
        "learning-rate": ("be positive and finite", 0 < a.learning_rate < FLOAT32_MAX),
        "momentum": ("lie in [0, 1)", 0 <= a.momentum < 1),
        "memory": ("be positive", a.memory is None or a.memory > 0),
        "checkpoint-seconds": ("not be negative", a.checkpoint_seconds >= 0),
        "resume": ("come with --out, the folder", not a.resume or a.out is not None),
        "coordinator": (
            "come with --distributed, --num-processes and --process-id, or all be left out",
            (a.coordinator is None) == (a.num_processes is None) == (a.process_id is None)
            and (a.distributed or a.coordinator is None),
        ),
        "num-processes": ("be at least 1", a.num_processes is None or a.num_processes >= 1),
        "process-id": (
            "be at least 0 and less than --num-processes",
            a.process_id is None or 0 <= a.process_id < (a.num_processes or 0),
        ),
        "overwrite": ("not come with --resume", not (a.resume and a.overwrite)),
    }
    for name, (expected, met) in expectations.items():
        given = getattr(a, name.replace("-", "_"))
        if not met:
            shown = " ".join(map(str, given)) if isinstance(given, tuple) else str(given)
            raise ValueError(f"--{name} must {expected}, got {shown or 'nothing'}")


def configuration(arguments: Compare, n_classes: int) -> "tuple[Config, dict[str, Hparams]]":
    """The static configuration, and the three conditions."""
    from dropout_jax.networks import MLP
    from dropout_jax.training import Config, Hparams

    config = Config(
        MLP((*arguments.features, n_classes)),
        epochs=arguments.epochs,
        batch_size=arguments.batch_size,
    )
    none = Hparams(
        rates=(0.0,) * len(arguments.rates),
        learning_rate=arguments.learning_rate,
        momentum=arguments.momentum,
    )
    return config, {
        "none": none,
        "dropout": none._replace(rates=arguments.rates),
        "l2": none._replace(weight_decay=arguments.weight_decay),
    }


def settings(arguments: Compare, dataset: "Dataset") -> dict:
    """What `config.json` holds: the arguments, the data's sizes, the root of all keys."""
    given = dataclasses.asdict(arguments)
    for name in HOW:
        del given[name]
    return {
        "command": "compare",
        **given,
        "n_train": len(dataset.x_train),
        "n_test": len(dataset.x_test),
        "n_inputs": dataset.x_train.shape[1],
        "n_classes": dataset.n_classes,
        "root_seed": ROOT_SEED,
        "prng": PRNG,
    }
