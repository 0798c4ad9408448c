"""`dropout-jax compare` and `train`: train, show, write.

Several processes train together; process 0 alone shows and writes.
"""

import contextlib
import webbrowser
from collections.abc import Callable, Iterator
from functools import partial

import jax

from dropout_jax.cli import backend, interrupts, jobs, run_tables, terminal
from dropout_jax.cli.arguments import Training
from dropout_jax.cli.conditions import Conditions
from dropout_jax.cli.errors import CommandError, refuse_bad_input
from dropout_jax.cli.tables import printable
from dropout_jax.populations import processes
from dropout_jax.populations.moment import Moment
from dropout_jax.runs import folder
from dropout_jax.runs.run import Run


def train(arguments: Training, given: Conditions, import_seconds: float) -> int:
    """Check what is left to check, then train, show and write; return the exit status."""
    with refuse_bad_input():
        cluster = (arguments.coordinator, arguments.num_processes, arguments.process_id)
        backend.start(partial(processes.connect, *cluster) if arguments.distributed else None)
        job = processes.together(lambda: jobs.prepare(arguments, given))
    with _guarded(job, arguments.resume), interrupts.defer() as stop_if_asked:
        result = _execute(arguments, job, import_seconds, stop_if_asked)
        jax.distributed.shutdown()  # waits; else JAX cuts off a process that is still reading
    if result is None:
        if processes.is_first():
            terminal.say_plainly(f"The run in {printable(job.folder)} is done.")
        return 0
    if processes.is_first():
        page = job.folder / "report.html"
        terminal.say_plainly(f"\nAll numbers, weights and figures: {printable(job.folder)}")
        terminal.say_plainly(f"To look at: {printable(page)}")
        address = page.resolve().as_uri()
        if arguments.open and not webbrowser.open(address):
            terminal.say_plainly(f"No browser was found; open this address in one: {address}")
    return _exit_status(result)


@contextlib.contextmanager
def _guarded(job: jobs.Job, resumes: bool) -> Iterator[None]:
    """Refuse what ends a run early, in words that say how to go on, and leave its folder."""
    try:
        yield
    except KeyboardInterrupt as error:
        why = f"interrupted; go on with the same command and --resume --out {job.folder}"
        raise CommandError(why, 130) from error
    except OSError as error:
        raise CommandError(f"the run could not be written to {job.folder}: {error}", 1) from error
    except ValueError as error:
        if not resumes:
            raise
        raise CommandError(error, 2) from error  # the checkpoints do not go together
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        why = f"lost another process; go on with the same commands and --resume; {error}"
        raise CommandError(why, 1) from error
    finally:
        if job.lock:
            folder.leave(job.folder, job.lock)


def _execute(
    arguments: Training,
    job: jobs.Job,
    import_seconds: float,
    stop_if_asked: Callable[[int, int], None],
) -> Run | None:
    """Train, show and write the run; None if it was done before."""
    if processes.anywhere(processes.from_first_process(job.identity) != job.identity):
        same = "versions, devices of one kind, arguments and data"
        raise CommandError(f"all processes must be given the same {same}", 2)
    if processes.from_first_process(job.mark is not None and job.mark.done):
        return None
    if processes.is_first():
        with contextlib.suppress(OSError):  # if nobody reads it, training goes on
            terminal.say(run_tables.training_lines(job.conditions, arguments.seeds))
    job = job._replace(saved=processes.from_first_process(job.saved))
    result = _train_with_progress(arguments, job, stop_if_asked)
    result = result._replace(seconds={"import": import_seconds, **result.seconds})
    if processes.is_first():
        with contextlib.suppress(OSError):  # if nobody reads it, writing goes on
            lines = run_tables.result_lines(result.summary, result.interrupted, arguments.all_views)
            terminal.say(lines)  # before the pictures, which take seconds
        jobs.finish(arguments, job, result)
    processes.anywhere(False)  # the others wait until all is written
    return result


def _train_with_progress(
    arguments: Training, job: jobs.Job, stop_if_asked: Callable[[int, int], None]
) -> Run:
    """Train, with a progress bar in process 0, until done or asked to stop."""
    title = f"training {len(job.conditions)} × {arguments.seeds} networks"
    with terminal.progress_bar(processes.is_first()) as bar:
        task, latest = bar.add_task(title, total=None), {}  # the last test error of each member

        def show_and_stop(moment: Moment) -> None:
            bar.update(task, completed=moment.done, total=moment.total)
            members = zip(moment.conditions.tolist(), moment.seeds.tolist(), strict=True)
            latest.update(zip(members, moment.curve.test.error[:, -1].tolist(), strict=True))
            bar.below = run_tables.errors_line(latest, list(job.conditions))
            stop_if_asked(moment.done, moment.total)

        return jobs.train(arguments, job, show_and_stop)


def _exit_status(result: Run) -> int:
    """The exit status of a run; a `CommandError` with advice if more than half diverged."""
    diverged = [len(c["diverged_seeds"]) for c in result.summary["conditions"].values()]
    n_members = len(result.seeds) * len(diverged)
    if 2 * sum(diverged) > n_members:
        advice = "try a smaller --learning-rate"
        raise CommandError(f"{sum(diverged)} of {n_members} networks diverged; {advice}", 1)
    return 130 if result.interrupted else 0
