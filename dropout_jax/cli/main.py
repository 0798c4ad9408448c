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
import tempfile
import traceback
import warnings
from collections.abc import Sequence
from importlib.metadata import version
from itertools import takewhile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import tyro
from rich.console import Console

from dropout_jax.cli import tables
from dropout_jax.cli.arguments import (
    Compare,
    Doctor,
    Inspect,
    Train,
    Training,
    check,
    check_inspect,
)
from dropout_jax.cli.conditions import given_conditions

if TYPE_CHECKING:
    from dropout_jax.cli.jobs import Job
    from dropout_jax.inspection.measures import Inspected
    from dropout_jax.runs.run import Run

HELP = ("Argument", "For full help", "Perhaps you")  # what follows the message of tyro's errors
LONGEST = 1_000  # characters of a message: what is given can be of any length
COMMANDS = {"compare": Compare, "train": Train, "inspect": Inspect, "doctor": Doctor}


def main() -> None:
    """Entry point of `dropout-jax`."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # it was closed
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, to the end
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper):  # a terminal that knows no ± shows a ?
            stream.reconfigure(errors="replace")
    sys.unraisablehook = lambda _: None  # threads of tensorstore outlive what they failed at
    status = run_command(sys.argv[1:])
    if status == 1 and "jax" in sys.modules and sys.modules["jax"].process_count() > 1:
        os._exit(status)  # at once: the usual way out waits for all processes, also for lost ones
    sys.exit(status)


def run_command(argv: list[str]) -> int:
    """Run the command line `argv` and return its exit status."""
    try:
        status = _run(argv)
        sys.stdout.flush()
        return status
    except KeyboardInterrupt:
        return _fail("interrupted", 130)
    except OSError as error:  # all files are written elsewhere
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, for what is left over
        return _fail(f"the output could not be written: {error}", 1)
    except Exception as error:
        return _fail(f"{type(error).__name__}: {error}"[:300] + _logged(), 1)


def _logged() -> str:
    """Where the traceback of the error at hand was written to, in words."""
    try:
        file, path = tempfile.mkstemp(prefix="dropout-jax-", suffix=".log", text=True)
        with open(file, "w", encoding="utf-8", errors="backslashreplace") as log:
            log.write(traceback.format_exc())
    except OSError:
        return ""
    return f"; the traceback is in {path}"


def _run(argv: list[str]) -> int:
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
    for name in ("absl", "asyncio", "matplotlib"):  # what matters of theirs is raised
        logging.getLogger(name).setLevel(logging.CRITICAL)
    if isinstance(arguments, Inspect):
        return inspect(arguments)
    return diagnose(arguments) if isinstance(arguments, Doctor) else train(arguments)


def _fail(why: object, status: int) -> int:
    said = tables.escaped(" ".join(str(why).split()))
    more = " …" if len(said) > LONGEST else ""
    print(f"dropout-jax: {said[:LONGEST]}{more}", file=sys.stderr)
    return status


def _one_line(drawn: str) -> str:
    """The message of tyro's error, however it is drawn: without frame, title and help."""
    plain = re.sub(r"\x1b\[[0-9;]*m|[\u2500-\u257f]", "", drawn)
    lines = [stripped for line in plain.splitlines() if (stripped := line.strip(" |+-="))]
    message = " ".join(takewhile(lambda line: not line.startswith(HELP), lines[1:] or lines))
    return message.replace(" Available subcommands", "; available commands")


def train(arguments: Training) -> int:
    """Check everything, then train, compare and write; return the exit status."""
    start = perf_counter()
    try:
        check(arguments)
        given_conditions(arguments)
        import jax

        from dropout_jax.cli import jobs
        from dropout_jax.populations import processes
        from dropout_jax.populations.population import Interrupted
        from dropout_jax.runs import folder

        imported = perf_counter() - start
        configure_jax()
        if arguments.distributed:
            at = (arguments.coordinator, arguments.num_processes, arguments.process_id)
            processes.connect(*at)
        start_jax()
        options = {**jax.config.values, "XLA_FLAGS": os.environ.get("XLA_FLAGS", "")}
        job = processes.together(lambda: jobs.prepare(arguments, options))
    except (ValueError, OSError) as error:
        return _fail(error, 2)
    try:
        if processes.anywhere(processes.of_first(job.identity) != job.identity):
            same = "versions, devices of one kind, arguments and data"
            return _fail(f"all processes must be given the same {same}", 2)
        if processes.of_first(job.mark is not None and job.mark.done):
            if processes.is_first():
                print(f"The run in {job.folder} is done.")
            return 0
        result = with_a_bar(arguments, job._replace(saved=processes.of_first(job.saved)))
        result = result._replace(seconds={"import": imported, **result.seconds})
        if processes.is_first():
            with contextlib.suppress(OSError, SystemExit):  # if nobody reads it, it is written yet
                show(result)  # before the pictures, which take seconds
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
        if job.lock:
            folder.leave(job.folder, job.lock)
    if processes.is_first():
        show_files(job.folder)
    return status_of(result)


def with_a_bar(arguments: Training, job: "Job") -> "Run":
    """Train, with a progress bar in process 0, until done or asked to stop."""
    from dropout_jax.cli import interrupts, jobs
    from dropout_jax.populations import processes

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


def show(result: "Run") -> None:
    """Print the errors, a table per condition and the answer in words."""
    from dropout_jax.runs.wording import answer, question

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


def show_files(folder: Path) -> None:
    """Print where everything is."""
    console = _console()
    shown, page = map(tables.escaped, (folder, folder / "report.html"))
    console.print(f"\nAll numbers, weights and figures: {shown}", markup=False, soft_wrap=True)
    console.print(f"To look at: {page}", markup=False, soft_wrap=True)


def inspect(arguments: Inspect) -> int:
    """Measure the files, print what was found, and write all numbers if asked."""
    try:
        check_inspect(arguments)
        from dropout_jax.inspection import measures, spread, tensors
        from dropout_jax.io import writers

        configure_jax()
        start_jax()
        paths = (*arguments.files, *arguments.baseline, *arguments.against)
        if arguments.csv:
            inputs = (file for path in paths for file in tensors.read_from(path))
            writers.check_target(arguments.csv, inputs)
        with warnings.catch_warnings(action="ignore"):  # as other libraries do
            found = measure(paths, arguments.layout)
        n_baseline = len(arguments.baseline)
        compared = (
            measures.compare_groups(found[:n_baseline], found[n_baseline:], arguments.paired)
            if n_baseline
            else []
        )
        if arguments.csv:
            header = ("file", "seed", "layer", "view", "measure", "value")
            rows = measures.tidy(found)
            if compared:
                header, rows = list(compared[0]), [list(row.values()) for row in compared]
            writers.write_table(arguments.csv, header, rows)
    except (ValueError, OSError) as error:
        return _fail(error, 2)
    console = _console()
    skipped = [one.skipped for one in found]
    if compared:
        skipped.append(measures.common_layers(found)[1])
        n = len(arguments.baseline), len(arguments.against)
        lines = tables.groups_lines(compared, n, arguments.paired)
    elif len(found) == 1:
        lines = tables.file_lines(found[0], spread.references())
    else:
        lines = tables.side_by_side_lines(found)
    for line in (*lines, *tables.skipped_lines(skipped)):
        console.print(line)
    return 0


def measure(paths: Sequence[Path], layout: str | None) -> "list[Inspected]":
    """What is in each of the files, with a progress bar a file."""
    from dropout_jax.inspection import measures

    found = []
    with tables.progress_bar(shown=sys.stderr.isatty()) as bar:
        for path in paths:
            task = bar.add_task(tables.escaped(path.name), total=None, visible=False)  # until read

            def tell(done: int, total: int, task: Any = task) -> None:
                bar.update(task, completed=done, total=total, visible=True)

            found.append(measures.inspect(path, layout, tell))
    return found


def diagnose(arguments: Doctor) -> int:
    """Print what a run would depend on, and whether it would be exact, fast and soon done."""
    try:
        check(arguments)
        import jax

        from dropout_jax.cli import doctor, jobs

        configure_jax()
        start_jax()
        dataset, config, conditions = jobs.load(arguments)
    except (ValueError, OSError) as error:
        return _fail(error, 2)
    of_conditions = list(conditions.values())
    asked = (config, of_conditions, arguments.seeds, jobs.root_key(), dataset)
    console = _console()
    for found in doctor.examine(*asked, jax.config.values, jobs.memory(arguments)):
        console.print(tables.finding(*found))
    return 0


def configure_jax() -> None:
    """Make JAX take every CPU core for a device, and the library run whatever is forbidden.

    Options that forbid what the library does, such as to add an integer to a float, are for those
    who look for it in their own programs.
    """
    import jax

    with contextlib.suppress(RuntimeError):  # it has started, when called from Python
        jax.config.update("jax_num_cpu_devices", n_cores())
    jax.config.update("jax_numpy_dtype_promotion", "standard")
    jax.config.update("jax_transfer_guard", "allow")


def start_jax() -> None:
    """Start JAX's backend.

    Raises:
      ValueError: if there is none, as for a platform that is not there.
    """
    import jax

    try:
        jax.devices()
    except RuntimeError as error:
        raise ValueError(f"JAX cannot start: {error}") from error


def n_cores() -> int:
    """The CPU cores that this process may use: one device each."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def _console() -> Console:
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 100
    return console
