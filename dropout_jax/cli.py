"""The command line, and the only module that prints.

Exit status: 0 done; 1 the run could not be written, or more than half of the networks diverged; 2
bad input, said in one line, nothing written; 130 interrupted, what is done kept. JAX is imported
once the arguments have been understood.
"""

import contextlib
import dataclasses
import io
import os
import re
import shutil
import sys
import zlib
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from itertools import groupby
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import tyro
from rich.console import Console
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table

if TYPE_CHECKING:
    from dropout_jax.data import Dataset
    from dropout_jax.runs import Run
    from dropout_jax.training import Config, Hparams

PRNG = "threefry2x32"  # JAX's default, which an environment variable could change
ROOT_SEED = 0
FLOAT32_MAX = 3.4e38
MAX_SEEDS = 1_000_000  # of three conditions: a month of one core, at a second a network
HOW = ("out", "overwrite", "resume", "checkpoint_seconds", "data_dir", "memory")  # not what


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


def main() -> None:
    """Entry point of `dropout-jax`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows no ± shows a ?
            stream.reconfigure(errors="replace")
    sys.exit(run_command(sys.argv[1:]))


def run_command(argv: list[str]) -> int:
    """Run the command line `argv` and return its exit status."""
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            arguments = tyro.extras.subcommand_cli_from_dict(
                {"compare": Compare}, prog="dropout-jax", args=argv
            )
    except SystemExit as stop:
        return _fail(_one_line(said.getvalue()), 2) if stop.code else 0
    try:
        return compare(arguments)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _fail(why: object, status: int) -> int:
    print(f"dropout-jax: {' '.join(str(why).split())}", file=sys.stderr)
    return status


def _one_line(box: str) -> str:
    """The message of tyro's error box, without its frame, title and the help that follows."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", box)
    lines = [line.strip("│ ") for line in plain.splitlines()]
    titled = [line for line in lines if line and not line.startswith("╭")]
    parts = [" ".join(part) for rule, part in groupby(titled, _is_rule) if not rule]
    if not plain.startswith("╭"):  # a frame in ASCII, with the title on a line of its own
        parts = parts[1:]
    return "; ".join(
        p for p in parts if not p.startswith(("Argument help", "For full help", "Perhaps you"))
    )


def _is_rule(line: str) -> bool:
    return not line.strip("─-╰╯")


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
        "overwrite": ("not come with --resume", not (a.resume and a.overwrite)),
    }
    for name, (expected, met) in expectations.items():
        given = getattr(a, name.replace("-", "_"))
        if not met:
            shown = " ".join(map(str, given)) if isinstance(given, tuple) else str(given)
            raise ValueError(f"--{name} must {expected}, got {shown or 'nothing'}")


def compare(arguments: Compare) -> int:
    """Check everything, then train, compare and write; return the exit status."""
    try:
        check(arguments)
        start = perf_counter()
        import jax

        from dropout_jax import checkpoints, data, interrupts, records, runs
        from dropout_jax.blocks import block_size
        from dropout_jax.population import Interrupted
        from dropout_jax.training import check_training

        imported = perf_counter() - start
        with contextlib.suppress(RuntimeError):  # JAX has started already, when called from Python
            jax.config.update("jax_num_cpu_devices", n_cores())
        dataset = data.load_dataset(arguments.dataset, arguments.data_dir)
        if len(dataset.x_train) < arguments.batch_size:
            raise ValueError(
                f"--batch-size must be at most the {len(dataset.x_train)} training examples of "
                f"{arguments.dataset}, got {arguments.batch_size}"
            )
        memory = None if arguments.memory is None else arguments.memory * 2**30
        config, conditions = configuration(arguments, dataset.n_classes)
        check_training(config, dataset)
        block_size(config, dataset.x_train.shape[1], 1, jax.local_devices(), memory)
        folder = arguments.out or Path("runs", f"{Path(arguments.dataset).stem}-{_now()}")
        saved, given = [], settings(arguments, dataset)
        identity = {**given, "data": zlib.crc32(dataset.x_train.tobytes()), "jax": jax.__version__}
        if arguments.resume:
            saved = checkpoints.load(folder / records.CHECKPOINT, identity)
        records.check_folder(folder, arguments.overwrite, arguments.resume)
    except (ValueError, OSError) as error:
        return _fail(error, 2)
    key = jax.random.key(ROOT_SEED, impl=PRNG)
    try:
        if not arguments.resume:
            shutil.rmtree(folder / records.CHECKPOINT, ignore_errors=True)
        with _progress() as progress, interrupts.deferred() as stop_if_asked:
            task = progress.add_task(
                f"training {len(conditions)} × {arguments.seeds} networks", total=None
            )

            def show_and_stop(done: int, total: int) -> None:
                progress.update(task, completed=done, total=total)
                stop_if_asked(done, total)

            result = runs.run(
                config,
                conditions,
                range(arguments.seeds),
                key,
                dataset,
                memory=memory,
                allocate=records.scratch(folder),
                checkpoints=checkpoints.Checkpoints(
                    partial(checkpoints.save, folder / records.CHECKPOINT, identity),
                    saved,
                    arguments.checkpoint_seconds,
                ),
                progress=show_and_stop,
            )
        result = result._replace(seconds={"import": imported, **result.seconds})
        runs.write(folder, result, given, key)
        if not result.interrupted:
            shutil.rmtree(folder / records.CHECKPOINT, ignore_errors=True)
    except Interrupted:
        return _fail(f"interrupted; go on with --resume --out {folder}", 130)
    except ValueError as error:
        if not arguments.resume:
            raise
        return _fail(error, 2)  # the checkpoints do not go together
    except OSError as error:
        return _fail(f"the run could not be written to {folder}: {error}", 1)
    finally:
        with contextlib.suppress(OSError):
            folder.rmdir()  # which happens only if it is empty
    show(result, folder)
    diverged = [len(c["diverged_seeds"]) for c in result.summary["conditions"].values()]
    n_members = len(result.seeds) * len(diverged)
    if 2 * sum(diverged) > n_members:
        advice = "try a smaller --learning-rate"
        return _fail(f"{sum(diverged)} of {n_members} networks diverged; {advice}", 1)
    return 130 if result.interrupted else 0


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


def n_cores() -> int:
    """The CPU cores that this process may use: one device each."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _now() -> str:
    return datetime.now().strftime("%Y%m%d-%H%M%S")


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )


def show(result: "Run", folder: Path) -> None:
    """Print the errors, a table per condition, the answer in words and where everything is."""
    from dropout_jax.comparison import answer

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 100
    summary = result.summary
    if result.interrupted:
        console.print(
            f"[bold]Interrupted:[/] {summary['n_seeds']} seeds are complete and compared. "
            "Go on with --resume."
        )
    for name, condition in summary["conditions"].items():
        errors = [
            f"{split} error {100 * condition[key]['mean']:.2f} ± {100 * condition[key]['sd']:.2f} %"
            for split, key in (("train", "train_error"), ("test", "test_error"))
        ]
        console.print(f"{name:>8}   {'   '.join(errors)}")
    for name in list(summary["conditions"])[1:]:
        console.print(_table(summary, name))
    dead = next(iter(summary["conditions"].values()))["dead_inputs"][0]
    console.print(
        f"n = {summary['n_seeds']} seeds; errors mean ± sd; {summary['statistics']['interval']}; "
        "p by sign flips, Holm-adjusted.\n"
        f"No difference: the interval lies within {summary['statistics']['margin']:.0%} of the "
        f"baseline.\n{dead:g} constant inputs and all dead units are left out.\n",
        style="dim",
    )
    for name, condition in summary["conditions"].items():
        if condition["diverged_seeds"]:
            console.print(
                f"[bold]{len(condition['diverged_seeds'])} networks of {name} diverged:[/] their "
                f"loss was not finite. Left out with their seeds, "
                f"{', '.join(map(str, condition['diverged_seeds']))}; {condition['n_compared']} "
                "seeds are compared. Try a smaller --learning-rate."
            )
    console.print("[bold]Does dropout spread the weights?[/]")
    for sentence in answer(summary):
        console.print(f"• {sentence}")
    console.print(f"\nAll numbers, weights and figures: {folder}", markup=False, soft_wrap=True)


def _table(summary: dict, name: str) -> Table:
    baseline = next(iter(summary["conditions"]))
    table = Table(title=f"Gini, {name} against {baseline}: 0 is uniform", title_justify="left")
    table.add_column("layer", justify="right")
    table.add_column("view")
    for heading in (baseline, name, "difference [95 % interval]", "p"):
        table.add_column(heading, justify="right")
    table.add_column("verdict")
    for row in summary["comparisons"]:
        if (row["condition"], row["measure"]) == (name, "gini"):
            table.add_row(
                str(row["layer"]),
                row["view"].replace("_", " "),
                f"{row['baseline_mean']:.3f}",
                f"{row['condition_mean']:.3f}",
                f"{row['difference']:+.3f} [{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]",
                f"{row['p_holm']:.3f}",
                row["verdict"],
            )
    return table
