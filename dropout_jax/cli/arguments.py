"""The options of `dropout-jax`, and what each means."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

PRNG = "threefry2x32"  # JAX's default, which an environment variable could change
ROOT_SEED = 0
RATES = (0.5,)  # of `compare`, unless others are given


def _by_default(what: str, metavar: str | None = None) -> Any:
    """How the help shows an option that is None by default."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint=f"(default: {what})")


@dataclass(frozen=True)
class Networks:
    """Networks to train."""

    dataset: str = "mnist5k"
    """mnist5k, digits, mnist, fashion_mnist, or the path of an .npz that holds x and y"""
    features: tuple[int, ...] = (256, 256)
    """units of each hidden layer"""
    seeds: int = 10
    """networks to train per condition"""
    epochs: int = 30
    """passes over the training data"""
    batch_size: int = 128
    """examples per step"""
    learning_rate: float = 0.05
    """step size of stochastic gradient descent"""
    momentum: float = 0.9
    """fraction of the last update that the next one keeps"""
    data_dir: Annotated[Path | None, _by_default("download them", "PATH")] = None
    """folder with the IDX files of mnist or fashion_mnist"""
    memory: Annotated[float | None, _by_default("80 % of what it has", "FLOAT")] = None
    """GiB that networks may take on each accelerator, beside the data"""

    @property
    def memory_bytes(self) -> float | None:
        """`memory` in bytes; None for the default share of what the accelerator has."""
        return None if self.memory is None else self.memory * 2**30


@dataclass(frozen=True)
class Training(Networks):
    """Networks to train, and how and where."""

    out: Annotated[Path | None, _by_default("runs/DATASET-TIME", "PATH")] = None
    """folder to write to"""
    overwrite: tyro.conf.FlagCreatePairsOff[bool] = False
    """replace an earlier run in that folder"""
    resume: tyro.conf.FlagCreatePairsOff[bool] = False
    """continue the run in that folder, or start it: give --out and repeat all other options"""
    checkpoint_seconds: float = 60.0
    """seconds between checkpoints; Ctrl-C and SIGTERM write one too"""
    open: tyro.conf.FlagCreatePairsOff[bool] = False
    """open the page of the run in a browser when it is done"""
    all_views: tyro.conf.FlagCreatePairsOff[bool] = False
    """also print the Gini of each unit's weights, of changes of weights, and of path norms"""
    tensorboard: tyro.conf.FlagCreatePairsOff[bool] = False
    """also write curves and weights to tensorboard/; needs the extra [tensorboard]"""
    distributed: tyro.conf.FlagCreatePairsOff[bool] = False
    """train on the devices of several processes; outside a cluster, give the next three options"""
    coordinator: Annotated[str | None, _by_default("taken from the cluster", "HOST:PORT")] = None
    """address of process 0 in a private network, the same for all processes"""
    num_processes: Annotated[int | None, _by_default("taken from the cluster", "INT")] = None
    """number of processes; give it with --coordinator"""
    process_id: Annotated[int | None, _by_default("taken from the cluster", "INT")] = None
    """number of this process, from 0; give it with --coordinator"""


@dataclass(frozen=True)
class Compare(Training):
    """Does dropout spread the weights? Train without it, with it and with L2, and compare.

    Trains the conditions `none`, `dropout` and `l2` on the same seeds. Prints tables and the answer
    in words, and writes a folder with all numbers, weights and figures.
    """

    rates: Annotated[tuple[float, ...] | None, _by_default("0.5", "[FLOAT [FLOAT ...]]")] = None
    """probability of dropping a hidden unit; or one for the inputs of each layer, pixels first"""
    pixels: Annotated[float | None, _by_default("0", "FLOAT")] = None
    """probability of dropping a pixel; --rates must then be one number, or replaced by --sweep"""
    sweep: Annotated[tuple[float, ...] | None, _by_default("no sweep", "[FLOAT [FLOAT ...]]")] = (
        None
    )
    """rates for all hidden layers, a condition each, in place of `dropout`; `none` and `l2` stay"""
    weight_decay: float = 1e-3
    """µ of the penalty ½ µ Σ w² of l2; the default is a third of 0.003, which a study tuned"""


@dataclass(frozen=True)
class Train(Training):
    """Train any conditions on the same seeds, and compare all others with the first.

    A condition is a name and its hyper-parameters: rates, learning_rate, momentum, weight_decay,
    max_norm. By default it takes the command's learning rate and momentum, and has no dropout, no
    decay and no bound. One rate is that of all hidden layers.
    """

    condition: Annotated[
        tuple[tuple[str, ...], ...],
        tyro.conf.UseAppendAction,
        tyro.conf.arg(metavar="NAME [KEY=VALUE …]"),
    ] = ()
    """a condition, such as `half rates=0,0.5,0.5 weight_decay=1e-4`; once for each"""
    conditions: Annotated[Path | None, _by_default("none", "PATH")] = None
    """TOML file with a table for each condition; it or --condition is needed"""


@dataclass(frozen=True)
class Doctor(Networks):
    """Will a run be exact, will it be fast, and how long will it take?

    Prints versions, devices and the generator, and what keeps a run from being exact or fast. Then
    trains for a few seconds, to estimate how long `compare` would take.
    """


@dataclass(frozen=True)
class Inspect:
    """How uniformly are the weights of any network spread, layer by layer?

    Reads .safetensors, indices of shards, .npz, and folders of orbax, of Hugging Face's models and
    of runs. One file stands beside the law that its layers usually start from. Several files
    stand side by side. Two groups of files are compared with statistics.
    """

    files: Annotated[tyro.conf.Positional[tuple[Path, ...]], _by_default("none")] = ()
    """files of weights; leave them out with --baseline and --against"""
    baseline: Annotated[tuple[Path, ...], _by_default("none")] = ()
    """files of the reference group"""
    against: Annotated[tuple[Path, ...], _by_default("none")] = ()
    """files of the second group; differences are this group minus the baseline"""
    paired: tyro.conf.FlagCreatePairsOff[bool] = False
    """pair the files of both groups one by one, such as networks of one seed"""
    layout: Annotated[
        Literal["in-out", "out-in"] | None,
        _by_default("by name: in-out for kernel and w, out-in for weight", "{in-out,out-in}"),
    ] = None
    """axes of every kernel: in-out is [inputs, outputs], out-in is [outputs, inputs]"""
    csv: Annotated[Path | None, _by_default("none", "PATH")] = None
    """CSV file to write: every number, or every comparison of two groups"""
    report: Annotated[Path | None, _by_default("none", "PATH")] = None
    """HTML page to write: figures of every layer, and the tables"""
    figures: Annotated[Path | None, _by_default("none", "DIR")] = None
    """folder to write the same figures to, as PNG and SVG"""


@dataclass(frozen=True)
class List:
    """Which runs are there? Prints the date, data, seeds, conditions and answer of each."""

    folder: tyro.conf.Positional[Path] = Path("runs")
    """folder that is a run, or whose subfolders are runs"""


@dataclass(frozen=True)
class Diff:
    """In which settings, versions, test errors and verdicts do two runs differ?"""

    one: tyro.conf.Positional[Path]
    """folder of a run"""
    other: tyro.conf.Positional[Path]
    """folder of the other run"""


@dataclass(frozen=True)
class Figures:
    """Draw the figures of a run again, without training."""

    run: tyro.conf.Positional[Path]
    """folder of the run"""
    slides: tyro.conf.FlagCreatePairsOff[bool] = False
    """draw for slides: 16:9, larger type, PDF and PNG at 300 dots per inch"""
    out: Annotated[Path | None, _by_default("RUN/figures or RUN/slides", "PATH")] = None
    """folder to write to"""
