"""The command line, and the only module that prints.

Exit status: 0 done; 1 the run could not be written, or more than half of the networks diverged; 2
bad input, said in one line, nothing written; 130 interrupted, what is done kept. JAX is imported
once the arguments have been understood.
"""

import contextlib
import io
import os
import re
import shutil
import sys
import tempfile
import zlib
from datetime import datetime
from functools import partial
from itertools import groupby
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, NamedTuple

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

from dropout_jax.arguments import PRNG, ROOT_SEED, Compare, check, configuration, settings

if TYPE_CHECKING:
    from dropout_jax.checkpoints import Saved
    from dropout_jax.data import Dataset
    from dropout_jax.runs import Run
    from dropout_jax.training import Config, Hparams


def main() -> None:
    """Entry point of `dropout-jax`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows no ± shows a ?
            stream.reconfigure(errors="replace")
    status = run_command(sys.argv[1:])
    if status == 1 and "jax" in sys.modules and sys.modules["jax"].process_count() > 1:
        os._exit(status)  # at once: the usual way out waits for all processes, also for lost ones
    sys.exit(status)


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


class Job(NamedTuple):
    """What is to be done, checked."""

    config: "Config"
    conditions: "dict[str, Hparams]"
    dataset: "Dataset"
    settings: dict[str, Any]
    identity: dict[str, Any]
    folder: Path
    saved: "list[Saved]"


def prepare(arguments: Compare) -> Job:
    """Load the data, make the folder and read what is to be resumed, the last two in process 0.

    Raises:
      ValueError, OSError: for input that the run cannot start with.
    """
    import jax

    from dropout_jax import checkpoints, data, processes, records
    from dropout_jax.blocks import block_size
    from dropout_jax.training import check_training

    dataset = data.load_dataset(arguments.dataset, arguments.data_dir)
    if len(dataset.x_train) < arguments.batch_size:
        raise ValueError(
            f"--batch-size must be at most the {len(dataset.x_train)} training examples of "
            f"{arguments.dataset}, got {arguments.batch_size}"
        )
    config, conditions = configuration(arguments, dataset.n_classes)
    check_training(config, dataset)
    block_size(config, dataset.x_train.shape[1], 1, jax.local_devices(), _memory(arguments))
    given = settings(arguments, dataset)
    identity = {**given, "data": zlib.crc32(dataset.x_train.tobytes()), "jax": jax.__version__}
    folder = arguments.out or Path("runs", f"{Path(arguments.dataset).stem}-{_now()}")
    saved = []
    if processes.is_first():
        if arguments.resume:
            saved = checkpoints.load(folder / records.CHECKPOINT, identity)
        records.check_folder(folder, arguments.overwrite, arguments.resume)
        if not arguments.resume:
            shutil.rmtree(folder / records.CHECKPOINT, ignore_errors=True)
    else:
        folder = Path(tempfile.gettempdir())
    return Job(config, conditions, dataset, given, identity, folder, saved)


def compare(arguments: Compare) -> int:
    """Check everything, then train, compare and write; return the exit status."""
    start = perf_counter()
    try:
        check(arguments)
        import jax

        from dropout_jax import processes
        from dropout_jax.population import Interrupted

        imported = perf_counter() - start
        with contextlib.suppress(RuntimeError):  # JAX has started already, when called from Python
            jax.config.update("jax_num_cpu_devices", n_cores())
        if arguments.distributed:
            at = (arguments.coordinator, arguments.num_processes, arguments.process_id)
            processes.connect(*at)
        job = processes.together(lambda: prepare(arguments))
    except (ValueError, OSError) as error:
        return _fail(error, 2)
    try:
        if processes.anywhere(processes.of_first(job.identity) != job.identity):
            return _fail("all processes must be given the same arguments and data", 2)
        result = train(arguments, job._replace(saved=processes.of_first(job.saved)))
        result = result._replace(seconds={"import": imported, **result.seconds})
        if processes.is_first():
            finish(job, result)
        processes.anywhere(False)  # the others wait until all is written
    except Interrupted:
        return _fail(f"interrupted; go on with --resume --out {job.folder}", 130)
    except ValueError as error:
        if not arguments.resume:
            raise
        return _fail(error, 2)  # the checkpoints do not go together
    except OSError as error:
        return _fail(f"the run could not be written to {job.folder}: {error}", 1)
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        return _fail(f"lost another process; go on with --resume; {error}", 1)
    finally:
        with contextlib.suppress(OSError):
            if processes.is_first():
                job.folder.rmdir()  # which happens only if it is empty
    if processes.is_first():
        show(result, job.folder)
    return status_of(result)


def train(arguments: Compare, job: Job) -> "Run":
    """Train and compare, with a progress bar and checkpoints, if this is process 0."""
    import jax

    from dropout_jax import checkpoints, interrupts, processes, records, runs

    first = processes.is_first()
    save = partial(checkpoints.save, job.folder / records.CHECKPOINT, job.identity)
    title = f"training {len(job.conditions)} × {arguments.seeds} networks"
    with _progress(first) as progress, interrupts.deferred(processes.anywhere) as stop_if_asked:
        task = progress.add_task(title, total=None)

        def show_and_stop(done: int, total: int) -> None:
            progress.update(task, completed=done, total=total)
            stop_if_asked(done, total)

        return runs.run(
            job.config,
            job.conditions,
            range(arguments.seeds),
            jax.random.key(ROOT_SEED, impl=PRNG),
            job.dataset,
            memory=_memory(arguments),
            allocate=records.scratch(job.folder),
            checkpoints=checkpoints.Checkpoints(
                save if first else lambda _: None, job.saved, arguments.checkpoint_seconds
            ),
            progress=show_and_stop,
        )


def finish(job: Job, result: "Run") -> None:
    """Write the run folder, and remove the checkpoints if nothing is left to do."""
    import jax

    from dropout_jax import records, runs

    runs.write(job.folder, result, job.settings, jax.random.key(ROOT_SEED, impl=PRNG))
    if not result.interrupted:
        shutil.rmtree(job.folder / records.CHECKPOINT, ignore_errors=True)


def status_of(result: "Run") -> int:
    """The exit status of what came out; 1, with advice, if more than half diverged."""
    diverged = [len(c["diverged_seeds"]) for c in result.summary["conditions"].values()]
    n_members = len(result.seeds) * len(diverged)
    if 2 * sum(diverged) > n_members:
        advice = "try a smaller --learning-rate"
        return _fail(f"{sum(diverged)} of {n_members} networks diverged; {advice}", 1)
    return 130 if result.interrupted else 0


def _memory(arguments: Compare) -> float | None:
    return None if arguments.memory is None else arguments.memory * 2**30


def n_cores() -> int:
    """The CPU cores that this process may use: one device each."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _now() -> str:
    return datetime.now().strftime("%Y%m%d-%H%M%S")


def _progress(shown: bool) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not shown,
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
