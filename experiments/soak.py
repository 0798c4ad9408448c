"""Do large populations stay within memory, and is what follows their training short?

Question    10,000 networks are trained, a block a device at a time, into arrays that live in files.
            Does the process need more memory at the end than at the start? And of 1,002 networks
            that are compared, how long do analysis, statistics, figures, page and files take?
Predicted   No: after the first tenth, which compiles, the peak grows by less than 5 %.
            Less than a tenth of the training.
Command     python -m experiments.soak [--quick]
Time        about 25 minutes on two CPU cores; 4 GB of disk for the time being

Scientific  number of members trained so far; the parts of a comparison
Fixed       784-64-64-10 on 4,000 digits, one epoch, dropout on hidden layers, seed after seed;
            784-256-256-10, 30 epochs, none, dropout and L2 on the same seeds
"""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import jax
import numpy as np

from dropout_jax.data import load_dataset
from dropout_jax.io import writers
from dropout_jax.networks.mlp import MLP
from dropout_jax.populations.moment import Moment
from dropout_jax.populations.population import fit_population
from dropout_jax.runs import run as runs
from dropout_jax.runs.write import write
from dropout_jax.training.config import Config, Hparams
from experiments.shared import command, judging, record, study

RESULTS = study.RESULTS / "soak"


@dataclass(frozen=True)
class Size:
    """How much to train, and into how many parts to cut the way."""

    seeds: int = 10_000
    parts: int = 10
    n_train: int = 4_000
    compared: int = 334
    epochs: int = 30


QUICK = Size(seeds=20, n_train=128, compared=2, epochs=1)
CONDITIONS = {
    "none": Hparams((0.0, 0.0, 0.0)),
    "dropout": Hparams((0.0, 0.5, 0.5)),
    "l2": Hparams((0.0, 0.0, 0.0), weight_decay=1e-3),
}


def resident() -> float:
    """MiB of memory of this process (Linux), without pages of files, which can be dropped."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    values = {line.split(":")[0]: line.split()[1] for line in lines if line.endswith(" kB")}
    return int(values["RssAnon"]) / 1024


def run(size: Size, folder: Path) -> list[dict[str, float]]:
    """Peak memory and seconds of every part of the way."""
    data = load_dataset("mnist5k")
    data = data._replace(x_train=data.x_train[: size.n_train], y_train=data.y_train[: size.n_train])
    rows = [{"members": 0, "peak_mib": resident(), "seconds": 0.0} for _ in range(size.parts)]
    start = perf_counter()

    def watch(moment: Moment) -> None:
        row = rows[min(size.parts * moment.done // moment.total, size.parts - 1)]
        row["members"] = moment.done
        row["peak_mib"] = max(row["peak_mib"], resident())
        row["seconds"] = perf_counter() - start

    trained = fit_population(
        Config(MLP((64, 64, data.n_classes)), epochs=1),
        [Hparams(rates=(0.0, 0.5, 0.5))],
        range(size.seeds),
        jax.random.key(0),
        data,
        allocate=writers.scratch(folder),
        callback=watch,
    )
    assert np.isfinite(trained.curve.train.loss).all()
    return rows


def compare(size: Size) -> dict[str, float]:
    """Seconds of the parts of a comparison, written to a folder that is removed."""
    data, key = load_dataset("mnist5k"), jax.random.key(0)
    data = data._replace(x_train=data.x_train[: size.n_train], y_train=data.y_train[: size.n_train])
    config = Config(MLP((256, 256, data.n_classes)), epochs=size.epochs)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        result = runs.compare(
            config,
            CONDITIONS,
            range(size.compared),
            key,
            data,
            allocate=writers.scratch(folder),
        )
        start = perf_counter()
        write(folder, result, {})
        written = perf_counter() - start
    after = result.seconds["analysis"] + written
    share = after / result.seconds["training"]
    return {**result.seconds, "figures, page and files": written, "share of training": share}


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Each prediction, and whether it held."""
    growth, share = summary["growth"], summary["comparison"]["share of training"]
    flat = "the peak of memory grows by less than 5 % after the first tenth"
    short = "what follows the training of a comparison takes less than a tenth of it"
    return [
        judging.judged("flat", flat, growth < 0.05, {"growth": growth}),
        judging.judged("short", short, share < 0.1, {"share": share}),
    ]


def main(folder: Path, size: Size) -> None:
    """Run the study, write its record and print it."""
    start, rows = perf_counter(), run(size, folder)
    growth = max(row["peak_mib"] for row in rows[1:]) / rows[0]["peak_mib"] - 1
    summary = {"parts": rows, "growth": growth, "comparison": compare(size)}
    for part in (*rows, summary["comparison"]):
        print(json.dumps({name: round(value, 3) for name, value in part.items()}))
    record.write(folder, vars(size), summary, judge(summary), {}, start)


if __name__ == "__main__":
    command.start(__doc__, main, RESULTS, Size(), QUICK)
