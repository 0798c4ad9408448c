"""What the command line shows: rich tables and lines, made from a summary. Nothing is printed here.

Names of conditions are users' text, so they are never read as markup.
"""

from collections.abc import Iterator
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import (
    BarColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.table import Table
from rich.text import Text


def progress_bar(shown: bool) -> Progress:
    """A bar on standard error with the time left."""
    return Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TaskProgressColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
        disable=not shown,
    )


def run_lines(summary: dict[str, Any], sentences: list[str]) -> Iterator[RenderableType]:
    """The errors, a table per condition, the notes, and the answer in words."""
    conditions, statistics = summary["conditions"], summary["statistics"]
    width = max(8, *map(len, conditions))
    for name, condition in conditions.items():
        errors = [
            f"{split} error {100 * condition[key]['mean']:.2f} ± {100 * condition[key]['sd']:.2f} %"
            for split, key in (("train", "train_error"), ("test", "test_error"))
        ]
        yield Text(f"{name:>{width}}   {'   '.join(errors)}")
    baseline, *others = conditions
    for name in others:
        yield gini_table(summary, name)
    dead = conditions[baseline]["dead_inputs"][0]
    compared = (
        f"{statistics['interval']}; p by sign flips, Holm-adjusted.\nNo difference: the interval "
        f"lies within {statistics['margin']:.0%} of the baseline."
        if others
        else "one condition is compared with nothing."
    )
    yield Text(
        f"n = {summary['n_seeds']} seeds; errors mean ± sd; {compared}\n{dead:g} constant inputs "
        "and all dead units are left out.\n",
        style="dim",
    )
    for name, condition in conditions.items():
        if diverged := condition["diverged_seeds"]:
            yield Text.assemble(
                (f"{len(diverged)} networks of {name} diverged:", "bold"),
                f" their loss was not finite. Left out with their seeds, "
                f"{', '.join(map(str, diverged))}; {condition['n_compared']} seeds are compared. "
                "Try a smaller --learning-rate.",
            )
    if others:
        yield Text(question(baseline, others), style="bold")
        yield from (Text(f"• {sentence}") for sentence in sentences)


def question(baseline: str, others: list[str]) -> str:
    """What the answer is to."""
    if others == ["dropout", "l2"]:
        return "Does dropout spread the weights?"
    return f"What spreads the weights, compared with {baseline}?"


def gini_table(summary: dict[str, Any], name: str) -> RenderableType:
    """Gini of every layer and view of a condition beside the baseline's."""
    baseline = next(iter(summary["conditions"]))
    title = Text(f"Gini, {name} against {baseline}: 0 is uniform", style="italic")
    table = Table(title=title, title_justify="left")
    table.add_column("layer", justify="right")
    table.add_column("view")
    for heading in (baseline, name, "difference [95 % interval]", "p"):
        table.add_column(Text(heading), justify="right")
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


def finding(about: str, good: bool | None, said: str) -> RenderableType:
    """A line of the doctor: ✓ good, ! in the way, or a fact."""
    mark, style = {None: (" ", ""), True: ("✓", "green"), False: ("!", "bold red")}[good]
    grid = Table.grid(padding=(0, 1))
    grid.add_column(width=1, style=style)
    grid.add_column(width=9)
    grid.add_column()
    grid.add_row(mark, Text(about, style="bold"), Text(said))
    return grid
