"""`dropout-jax list`, `diff` and `figures`: runs that are done, from their folders."""

from datetime import datetime
from pathlib import Path

from rich.table import Table
from rich.text import Text

from dropout_jax.cli import terminal
from dropout_jax.cli.arguments import Diff, Figures, List
from dropout_jax.cli.errors import refuse_bad_input
from dropout_jax.cli.tables import printable, printable_text
from dropout_jax.io import writers
from dropout_jax.io.readers import one_line
from dropout_jax.runs.folder import MARK, read_mark, read_records
from dropout_jax.runs.picture_table import picture
from dropout_jax.runs.verdicts import short_verdict
from dropout_jax.runs.wording import describe_condition, error_text, flat, of_mlp

_NO_RUN = (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError)  # reading it


def list_runs(arguments: List) -> int:
    """Print the runs in a folder, or the folder's own run, and how to resume unfinished ones."""
    table = Table(box=None, pad_edge=False)
    for heading in ("run", "written", "data", "seeds", "conditions", "answer"):
        table.add_column(heading, overflow="fold")
    table.columns[0].no_wrap, table.columns[0].max_width = True, 40  # whole, if it fits
    folder = arguments.folder
    with refuse_bad_input():
        if not folder.is_dir():
            raise ValueError(f"the folder of runs must exist, got {folder}")
        runs = [folder, *sorted(path for path in folder.iterdir() if path.is_dir())]
    for run in runs:
        try:
            row = _row(run)
        except _NO_RUN as error:
            if not (run / MARK).is_file():  # another's folder
                continue
            row = (run.resolve().name, "", "", "", "", f"cannot be read: {one_line(error)}")
        lines = Text("\n", no_wrap=False)  # a longer name is folded
        table.add_row(*(lines.join(map(printable_text, str(cell).split("\n"))) for cell in row))
    if table.row_count:
        terminal.say([table])
    else:
        terminal.say_plainly(f"There is no run in this folder: {printable(folder)}")
    return 0


def _row(run: Path) -> tuple[str, ...]:
    """What a list says of a run; raises one of `_NO_RUN` if the folder holds none."""
    mark = read_mark(run)
    unfinished = [_how_to_resume(run)] if mark and not mark.done else []
    try:
        config, summary, environment = read_records(run)
    except _NO_RUN:
        if not mark or mark.done:
            raise
        config, written, file = mark.identity, None, run / MARK
        seeds, conditions, answers = f"0 of {config['seeds']}", [], unfinished
    else:
        written, file = environment.get("written"), run / "summary.json"
        n, asked = summary["n_seeds"], config.get("seeds", summary["n_seeds"])
        seeds = f"{n}" if n == asked else f"{n} of {asked}"
        is_mlp = of_mlp(summary)
        conditions = [
            f"{c}: {describe_condition(of, is_mlp)}" for c, of in summary["conditions"].items()
        ]
        answers = [short_verdict(summary) or "nothing is compared", *unfinished]
    changed = datetime.fromtimestamp(file.stat().st_mtime)  # of which a copy may know nothing
    when = f"{datetime.fromisoformat(written) if written else changed:%Y-%m-%d %H:%M}"
    name, dataset = run.resolve().name, config.get("dataset", "own")
    return name, when, dataset, seeds, "\n".join(conditions), "\n".join(answers)


def _how_to_resume(run: Path) -> str:
    return f"unfinished: go on with the command that began it and --resume --out {run}"


def diff(arguments: Diff) -> int:
    """Print what differs between two runs: settings, versions, test errors, verdicts."""
    with refuse_bad_input():
        _expect_results(arguments.one, arguments.other)
        both = []
        for run in (arguments.one, arguments.other):
            try:
                both.append(_compared_facts(run))
            except _NO_RUN as error:
                raise ValueError(f"expected the folder of a run, got {run}") from error
    table = Table(box=None, pad_edge=False)
    for heading in ("", arguments.one, arguments.other):
        table.add_column(printable_text(heading))
    for one, other in zip(*both, strict=True):
        for key in {**one, **other}:
            if one.get(key) != other.get(key):
                table.add_row(*map(printable_text, (key, one.get(key, "–"), other.get(key, "–"))))
    if table.row_count:
        terminal.say([table])
    else:
        terminal.say_plainly(
            "The two runs have the same settings and versions, test errors to .01 % (or four "
            "digits), and verdicts on the Gini of contributions and weights."
        )
    return 0


def figures(arguments: Figures) -> int:
    """Draw the figures of a run again, from its folder alone."""
    from dropout_jax.io.figures import write_figure
    from dropout_jax.runs import pictures
    from dropout_jax.runs.saved import load_run

    with refuse_bad_input():
        _expect_results(arguments.run)
        run = load_run(arguments.run)
        out = arguments.out or arguments.run / ("slides" if arguments.slides else "figures")
        writers.check_target(out / "weights.png")  # one of them
    how = {"formats": ("png", "pdf"), "dpi": 300} if arguments.slides else {}
    for name, figure in pictures.figures(run, arguments.slides).items():
        write_figure(out, name, figure, **how)
    terminal.say_plainly(f"Figures: {printable(out)}")
    return 0


def _expect_results(*runs: Path) -> None:
    """Raise ValueError if one of the runs has been begun, and is not written."""
    for run in runs:
        mark = read_mark(run)
        if mark and not mark.done and not (run / "summary.json").exists():
            raise ValueError(
                f"the run must have results, got {run}, which is {_how_to_resume(run)}"
            )


def _compared_facts(run: Path) -> list[dict[str, str]]:
    """What two runs can differ in, by name: settings, versions, test errors, verdicts."""
    config, summary, environment = read_records(run)
    versions = {"python": environment.get("python"), **environment.get("versions", {})}
    errors = {name: of["test_error"]["mean"] for name, of in summary["conditions"].items()}
    raw, is_mlp = flat(config), of_mlp(summary)
    return [
        {key: value for key, value in raw.items() if key.rpartition(".")[2] != "rates"},
        {
            f"condition {name}": describe_condition(of, is_mlp)
            for name, of in summary["conditions"].items()
        },
        {f"version of {name}": str(version) for name, version in versions.items()},
        {
            f"{name}, test error": error_text(error, summary)
            for name, error in errors.items()
            if error is not None
        },
        {
            f"{name}, layer {layer}, Gini of {view}": f"{cell.verdict} {cell.text}"
            for (name, layer), cells in picture(summary).items()
            for view, cell in cells.items()
        },
    ]
