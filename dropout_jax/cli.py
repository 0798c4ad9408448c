"""The command line, and the only module that prints.

Exit status: 0 done; 1 the run could not be written, or more than half of the networks diverged; 2
bad input, said in one line, nothing written; 130 interrupted, what is done kept. JAX is imported
once the arguments have been understood.
"""

import contextlib
import io
import logging
import os
import re
import sys
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from itertools import groupby
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import tyro
from rich.console import Console

from dropout_jax import tables
from dropout_jax.arguments import Compare, Doctor, Inspect, Train, Training, check, check_inspect
from dropout_jax.conditions import given_conditions

if TYPE_CHECKING:
    from dropout_jax.inspection import Inspected
    from dropout_jax.jobs import Job
    from dropout_jax.runs import Run

COMMANDS = {"compare": Compare, "train": Train, "inspect": Inspect, "doctor": Doctor}


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
    if argv == ["--version"]:
        print(version("dropout_jax"))
        return 0
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            arguments = tyro.extras.subcommand_cli_from_dict(
                COMMANDS, prog="dropout-jax", args=argv
            )
    except SystemExit as stop:
        return _fail(_one_line(said.getvalue()), 2) if stop.code else 0
    try:
        if isinstance(arguments, Inspect):
            return inspect(arguments)
        return diagnose(arguments) if isinstance(arguments, Doctor) else train(arguments)
    except KeyboardInterrupt:
        return _fail("interrupted", 130)


def _fail(why: object, status: int) -> int:
    print(f"dropout-jax: {tables.escaped(' '.join(str(why).split()))}", file=sys.stderr)
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


def train(arguments: Training) -> int:
    """Check everything, then train, compare and write; return the exit status."""
    start = perf_counter()
    try:
        check(arguments)
        given_conditions(arguments)
        import jax

        from dropout_jax import jobs, processes
        from dropout_jax.population import Interrupted

        imported = perf_counter() - start
        one_device_a_core()
        if arguments.distributed:
            at = (arguments.coordinator, arguments.num_processes, arguments.process_id)
            processes.connect(*at)
        job = processes.together(lambda: jobs.prepare(arguments))
    except (ValueError, OSError) as error:
        return _fail(error, 2)
    try:
        if processes.anywhere(processes.of_first(job.identity) != job.identity):
            return _fail("all processes must be given the same arguments and data", 2)
        result = with_a_bar(arguments, job._replace(saved=processes.of_first(job.saved)))
        result = result._replace(seconds={"import": imported, **result.seconds})
        if processes.is_first():
            jobs.finish(arguments, job, result)
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


def with_a_bar(arguments: Training, job: "Job") -> "Run":
    """Train, with a progress bar in process 0, until done or asked to stop."""
    from dropout_jax import interrupts, jobs, processes

    title = f"training {len(job.conditions)} × {arguments.seeds} networks"
    with (
        tables.progress_bar(processes.is_first()) as bar,
        interrupts.deferred(processes.anywhere) as stop_if_asked,
    ):
        task = bar.add_task(title, total=None)

        def show_and_stop(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)
            stop_if_asked(done, total)

        return jobs.train(arguments, job, show_and_stop)


def status_of(result: "Run") -> int:
    """The exit status of what came out; 1, with advice, if more than half diverged."""
    diverged = [len(c["diverged_seeds"]) for c in result.summary["conditions"].values()]
    n_members = len(result.seeds) * len(diverged)
    if 2 * sum(diverged) > n_members:
        advice = "try a smaller --learning-rate"
        return _fail(f"{sum(diverged)} of {n_members} networks diverged; {advice}", 1)
    return 130 if result.interrupted else 0


def show(result: "Run", folder: Path) -> None:
    """Print the errors, a table per condition, the answer in words and where everything is."""
    from dropout_jax.comparison import answer, question

    console = _console()
    summary = result.summary
    if result.interrupted:
        console.print(
            f"[bold]Interrupted:[/] {summary['n_seeds']} seeds are complete and compared. "
            "Go on with --resume."
        )
    asked = question(list(summary["conditions"]))
    for line in tables.run_lines(summary, asked, answer(summary)):
        console.print(line)
    shown, page = map(tables.escaped, (folder, folder / "report.html"))
    console.print(f"\nAll numbers, weights and figures: {shown}", markup=False, soft_wrap=True)
    console.print(f"To look at: {page}", markup=False, soft_wrap=True)


def inspect(arguments: Inspect) -> int:
    """Measure the files, print what was found, and write all numbers if asked."""
    try:
        check_inspect(arguments)
        from dropout_jax import inspection, records, tensors

        paths = (*arguments.files, *arguments.baseline, *arguments.against)
        if arguments.csv:
            inputs = (file for path in paths for file in tensors.read_from(path))
            records.check_target(arguments.csv, inputs)
        logging.getLogger("absl").setLevel(logging.ERROR)  # orbax tells of what it does without
        with warnings.catch_warnings(action="ignore"):  # as other libraries do
            found = measure(paths, arguments.layout)
        n_baseline = len(arguments.baseline)
        compared = (
            inspection.compare_groups(found[:n_baseline], found[n_baseline:], arguments.paired)
            if n_baseline
            else []
        )
        if arguments.csv:
            header = ("file", "seed", "layer", "view", "measure", "value")
            rows = inspection.tidy(found)
            if compared:
                header, rows = list(compared[0]), [list(row.values()) for row in compared]
            records.write_table(arguments.csv, header, rows)
    except (ValueError, OSError) as error:
        return _fail(error, 2)
    console = _console()
    skipped = [one.skipped for one in found]
    if compared:
        skipped.append(inspection.common_layers(found)[1])
        n = len(arguments.baseline), len(arguments.against)
        lines = tables.groups_lines(compared, n, arguments.paired)
    elif len(found) == 1:
        lines = tables.file_lines(found[0], inspection.references())
    else:
        lines = tables.side_by_side_lines(found)
    for line in (*lines, *tables.skipped_lines(skipped)):
        console.print(line)
    return 0


def measure(paths: Sequence[Path], layout: str | None) -> "list[Inspected]":
    """What is in each of the files, with a progress bar a file."""
    from dropout_jax import inspection

    found = []
    with tables.progress_bar(shown=sys.stderr.isatty()) as bar:
        for path in paths:
            task = bar.add_task(tables.escaped(path.name), total=None, visible=False)  # until read

            def tell(done: int, total: int, task: Any = task) -> None:
                bar.update(task, completed=done, total=total, visible=True)

            found.append(inspection.inspect(path, layout, tell))
    return found


def diagnose(arguments: Doctor) -> int:
    """Print what a run would depend on, and whether it would be exact, fast and soon done."""
    try:
        check(arguments)
        import jax

        from dropout_jax import doctor, jobs

        one_device_a_core()
        dataset, config, conditions = jobs.load(arguments)
    except (ValueError, OSError) as error:
        return _fail(error, 2)
    of_conditions = list(conditions.values())
    asked = (config, of_conditions, arguments.seeds, jobs.root_key(), dataset)
    console = _console()
    for found in doctor.examine(*asked, jax.config.values, jobs.memory(arguments)):
        console.print(tables.finding(*found))
    return 0


def one_device_a_core() -> None:
    """Make JAX take every CPU core for a device, unless it has started already."""
    import jax

    with contextlib.suppress(RuntimeError):  # it has, when called from Python
        jax.config.update("jax_num_cpu_devices", n_cores())


def n_cores() -> int:
    """The CPU cores that this process may use: one device each."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 100
    return console
