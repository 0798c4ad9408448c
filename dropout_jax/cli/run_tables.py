"""What `compare` and `train` show: answer, errors and tables. Nothing is printed here."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from rich import box
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from dropout_jax.analysis.comparison import differing_settings
from dropout_jax.cli.tables import comparison_cells, or_dash, printable, printable_text
from dropout_jax.runs import picture_table, wording
from dropout_jax.runs.verdicts import verdict
from dropout_jax.runs.views import SHOWN, explain_views, sort_by_view, view_name
from dropout_jax.training.config import Hparams

_STYLES = {"more uniform": "bold green", "less uniform": "bold yellow"}  # others are dim
_ERRORS = (("train_error", "mean"), ("train_error", "sd"))  # in the order in which they are shown
_ERRORS += tuple(("test_error", part) for part in ("mean", "sd", "ci_low", "ci_high"))


def training_lines(conditions: dict[str, Hparams], n_seeds: int) -> Iterator[RenderableType]:
    """What is to be trained, and what so many seeds can decide."""
    own = differing_settings(conditions)
    described = []
    for name, h in conditions.items():
        shown = {"rates": h.rates, "weight_decay": h.weight_decay, **own[name]}
        described.append(f"{name} ({wording.describe_condition(shown)})")
    networks = f"network{'s' * (n_seeds != 1)}{' each' * (len(conditions) > 1)}"
    yield printable_text(f"Training {n_seeds} {networks} of {'; '.join(described)}.")
    if len(conditions) > 1:
        yield Text(f"{wording.seeds_note(n_seeds)}\n", "dim")


def errors_line(latest: Mapping[tuple[int, int], float], names: Sequence[str]) -> Text:
    """The mean test error of each condition of those trained here, {(its number, seed): error}."""
    means = []
    for number, name in enumerate(names):
        if errors := [error for (c, _), error in latest.items() if c == number]:
            means.append(f"{name} {100 * sum(errors) / len(errors):.1f} %")
    shown = f"test error of {len(latest)} networks: {', '.join(means)}"
    return printable_text(shown, style="dim")


def result_lines(
    summary: dict[str, Any], interrupted: bool, all_views: bool
) -> Iterator[RenderableType]:
    """The answer in words and as a picture, and the numbers behind it."""
    if interrupted:
        compared = " and compared" if len(summary["conditions"]) > 1 else ""
        done = f" {_seeds_are(summary['n_seeds'])} complete{compared}."
        resume = " Go on with the same command and --resume --out FOLDER, the folder below."
        yield Text.assemble(("Interrupted:", "bold"), done, resume)
    if len(summary["conditions"]) > 1:
        yield printable_text(wording.question(list(summary["conditions"])), style="bold")
        yield from map(printable_text, verdict(summary))
        if picture := picture_table.picture(summary):
            yield _picture_table(picture, len(summary["conditions"]) > 2)
            yield Text(picture_table.legend(summary), style="dim")
        yield ""
    yield from run_lines(summary, all_views)


def run_lines(summary: dict[str, Any], all_views: bool = False) -> Iterator[RenderableType]:
    """The errors, a table per condition, and the notes."""
    conditions = summary["conditions"]
    yield from _error_lines(conditions)
    if why_l2 := wording.why_l2(summary):
        yield Text(why_l2, "dim")
    _, *others = conditions
    for name in others:
        yield _gini_table(summary, name, all_views)
    if others and all_views:
        views = [row["view"] for row in summary["comparisons"] if row["view"] not in SHOWN]
        yield Text("\n".join(explain_views(views)), "dim")
    yield Text(_notes(summary), style="dim")
    if others and not all_views:
        line = "--all-views also prints other views, such as path norms and changes of |w|."
        yield Text(line, "dim")
    for name, condition in conditions.items():
        if condition["diverged_seeds"]:
            yield _diverged_line(name, condition, compared=bool(others))


def _error_lines(conditions: Mapping[str, Mapping[str, Any]]) -> Iterator[Text]:
    """The errors of each condition, one below the other."""
    width = max(8, *map(len, conditions))
    errors = [
        [or_dash(100 * one[of][part], ".2f") for of, part in _ERRORS] for one in conditions.values()
    ]
    widest = [max(map(len, column)) for column in zip(*errors, strict=True)]
    for name, cells in zip(conditions, errors, strict=True):
        train, train_sd, test, test_sd, low, high = map(str.rjust, cells, widest)
        yield printable_text(
            f"{name:>{width}}   train error {train} ± {train_sd} %   test error "
            f"{test} ± {test_sd} % [{low}, {high}]"
        )


def _notes(summary: Mapping[str, Any]) -> str:
    """How the numbers were computed, and what they hold for."""
    conditions, statistics = summary["conditions"], summary["statistics"]
    compared = "with one condition, nothing is compared."
    if len(conditions) > 1:
        compared = (
            f"{statistics['interval']}; p by sign flips.\n{wording.ADJUSTED}\nNegligible: two "
            f"tests show that the Gini differs by less than {statistics['margins']['gini']:g}. "
            f"Differences hold for these examples.\n{wording.GINI}"
        )
    first_layers = [of["dead_inputs"][0] for of in conditions.values()]
    dead = next((n for n in first_layers if n >= 0), None)  # NaN where all networks diverged
    inputs = "All" if dead is None else f"{dead:g} constant inputs and all"
    return (
        f"n = {wording.count_seeds(summary['n_seeds'])}; errors mean ± sd [95 % interval for new "
        f"seeds and examples]; {compared}\n{inputs} dead units are left out."
    )


def _diverged_line(name: str, condition: Mapping[str, Any], compared: bool) -> Text:
    """Which networks of a condition diverged, and what is left."""
    diverged = condition["diverged_seeds"]
    s, its = ("s", "their") if len(diverged) > 1 else ("", "its")
    return Text.assemble(
        (f"{len(diverged)} network{s} of {printable(name)} diverged:", "bold"),
        f" {its} loss was not finite, or ten times that before training. "
        f"Left out with {its} seed{s}, {', '.join(map(str, diverged))}; "
        f"{_seeds_are(condition['n_compared'])} {'compared' if compared else 'left'}. "
        "Try a smaller --learning-rate.",
    )


def _seeds_are(n: int) -> str:
    return f"{wording.count_seeds(n)} {'is' if n == 1 else 'are'}"


def _picture_table(
    picture: dict[tuple[str, int], dict[str, picture_table.Cell]], several: bool
) -> Table:
    """Layers × views: a mark, a colour and the difference in Gini."""
    table, views = Table(box=box.SIMPLE, pad_edge=False), SHOWN.values()
    if several:
        table.add_column("condition")
    table.add_column("layer", justify="right")
    for view in views:
        table.add_column(view)
    for (name, layer), cells in picture.items():
        drawn = [
            Text(f"{cell.mark} {cell.verdict:<12} {cell.text}", _STYLES.get(cell.verdict, "dim"))
            if (cell := cells.get(view))
            else ""
            for view in views
        ]
        first = [printable_text("" if layer else name)] if several else []
        table.add_row(*first, str(layer), *drawn)
    return table


def _gini_table(summary: dict[str, Any], name: str, all_views: bool) -> Table:
    """Gini of every layer and view of a condition beside the baseline's."""
    baseline = next(iter(summary["conditions"]))
    title = printable_text(f"Gini, {name} against {baseline}: 0 is uniform", style="italic")
    table = Table(title=title, title_justify="left", box=None, padding=(0, 1, 0, 0))
    table.add_column("layer", justify="right")
    table.add_column("view", min_width=13)  # contributions
    for heading in (baseline, name):
        table.add_column(printable_text(heading), justify="right", overflow="fold")
    for heading in ("difference\n[95 % interval]", "p"):  # whole numbers, also in 80 columns
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("verdict", no_wrap=True)
    for row in sort_by_view(summary["comparisons"]):
        shown = all_views or row["view"] in SHOWN
        if (row["condition"], row["measure"]) == (name, "gini") and shown:
            view = view_name(row["view"])
            table.add_row(str(row["layer"]), view, *comparison_cells(row))
    return table
