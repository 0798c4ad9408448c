"""Does the main answer hold whatever a reasonable analyst chooses? A multiverse of settings.

Question    `weight_uniformity` answers for one initializer, optimizer, width, depth, data set, one
            moment to stop and one measure. What of it holds always, what mostly, what never?
Predicted   P1 With half of every hidden layer dropped, units contribute more uniformly, and have
            more uniform path norms, in at least 80 % of the universes, in the first and the last
            hidden layer. P3 In as many |w| is more uniform in the output layer and less in the
            first. Own: M1 the contributions of the last hidden layer are never less uniform; M2 |w|
            of the middle layers has no direction that 80 % share; M3 the optimizer matters more to
            |w| of the first layer than to the contributions of the last; M4 Gini and CV disagree
            about the direction in at most 10 %; M5 the median difference is smaller at equal
            training loss than after the last epoch.
Command     python -m experiments.multiverse [--quick] [--fashion-dir DIR] [--cache DIR]
Time        about 25 minutes on two CPU cores

Scientific  rate of all hidden layers (0, .5)
Nuisance    initializer (lecun, he, PyTorch's uniform), optimizer (SGD with momentum .9 at learning
            rate .05, Adam at .001), width (64, 256, 1024), hidden layers (2, 3), data set (mnist5k,
            digits, and Fashion-MNIST if its folder is given), stopping (last epoch, least
            validation loss, equal training loss), measure (Gini, CV, participation), and for units
            view (contribution, path norm). All combinations at widths 64 and 256; at 1024, where a
            network costs seven times as much, those with two hidden layers and lecun (the other
            initializers were planned too, and left for their time before one of them had ended)
Fixed       ReLU, batch 128, 30 epochs, no dropout of pixels, biases from 0, 10 paired seeds

A multiverse is after Steegen, Tuerlinckx, Gelman & Vanpaemel (2016), its curve after Simonsohn,
Simmons & Nelson (2020). Universes share seeds and data: their shares describe, they test nothing.
No test error is reported, so what is held out for testing serves for validation.

Shapes: C conditions, S seeds, T stops, Q quantities, M measures.
"""

from collections.abc import Sequence
from dataclasses import asdict
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
from matplotlib.figure import Figure

from dropout_jax.analysis.paired import compare
from dropout_jax.analysis.statistics import is_negligible
from dropout_jax.analysis.uniformity import HIGHER_IS_UNIFORM, MARGINS
from experiments.shared import command, judging, record, study
from experiments.shared.members import CHOSEN, QUANTITIES
from experiments.shared.specifications import (
    DIRECTIONS,
    MOST,
    Row,
    by_choice,
    count,
    plot_curve,
    say,
    table,
)
from experiments.shared.universes import (
    LEVEL,
    QUICK,
    RATE,
    STOPS,
    Size,
    Universe,
    remembered,
    universes,
)

RESULTS = study.RESULTS / "multiverse"
MAIN = {"initializer": "lecun", "optimizer": "SGD", "width": 256, "depth": 2, "data": "mnist5k"}
MAIN |= {"stopping": "last epoch", "measure": "gini"}


class Question(NamedTuple):
    """What is asked: the views, and the role of the layer, whose universes answer it."""

    about: str
    views: tuple[str, ...]
    role: str


QUESTIONS = {
    "weights_first": Question("|w| of the first layer", ("entries",), "first"),
    "weights_middle": Question("|w| of the middle layers", ("entries",), "middle"),
    "weights_output": Question("|w| of the output layer", ("entries",), "output"),
    "units_first": Question(
        "units of the first hidden layer", ("contribution", "path_norm"), "first"
    ),
    "units_last": Question("units of the last hidden layer", ("contribution", "path_norm"), "last"),
}


def specify(universe: Universe, values: np.ndarray) -> list[Row]:
    """The rows of a universe from its values [C, S, T, Q, M].

    Verdicts are those of `paired.compare`; a direction that is also negligible counts as
    negligible. A family is the quantities of one stop and measure. A seed is left out if a member
    did not reach the stop, and so is a stop with fewer than two seeds.
    """
    rows = []
    for (t, stopping), (m, name) in product(enumerate(STOPS), enumerate(CHOSEN)):
        family = values[:, :, t, :, m]
        pairs = np.isfinite(family).all(axis=(0, 2))
        if pairs.sum() < 2:
            continue
        higher = name in HIGHER_IS_UNIFORM
        compared = compare(family[0, pairs], family[1, pairs], higher, MARGINS[name])
        for (view, role), comparison in zip(QUANTITIES, compared, strict=True):
            scale = 100 * (-1 if higher else 1) / comparison.baseline_mean
            low, high = sorted((scale * comparison.ci_low, scale * comparison.ci_high))
            chosen = {"stopping": stopping, "measure": name, "view": view, "role": role}
            values_ = {"n": int(pairs.sum()), "baseline": comparison.baseline_mean}
            values_ |= {"percent": scale * comparison.difference, "low": low, "high": high}
            verdict = "negligible" if is_negligible(comparison.verdict) else comparison.verdict
            rows.append({**universe._asdict(), **chosen, **values_, "verdict": verdict})
    return rows


def of_question(rows: list[Row], views: Sequence[str], role: str) -> list[Row]:
    """The universes of one question."""
    return [row for row in rows if row["view"] in views and row["role"] == role]


def judge(rows: list[Row]) -> list[dict[str, Any]]:
    """Each prediction, and whether it held."""
    cells = {(view, role): of_question(rows, (view,), role) for view, role in QUANTITIES}
    counts = {cell: count(cell_rows) for cell, cell_rows in cells.items()}
    expected = [
        *(("P1", view, role, "more uniform") for view, role in QUANTITIES[3:]),
        ("P3", "entries", "first", "less uniform"),
        ("P3", "entries", "output", "more uniform"),
    ]
    judged = []
    for prediction, view, role, verdict in expected:
        claim = f"{view}, {role} layer: {verdict} in at least 80 %"
        shares = counts[view, role]
        judged.append(judging.judged(prediction, claim, shares[verdict] >= MOST, shares))

    last, middle = counts["contribution", "last"], counts["entries", "middle"]
    claim = "contribution, last layer: never less uniform"
    judged.append(judging.judged("M1", claim, last["less uniform"] == 0, last))
    claim = "entries, middle layers: neither direction in 80 %"
    neither = max(middle[verdict] for verdict in DIRECTIONS) < MOST
    judged.append(judging.judged("M2", claim, neither, middle))

    claim = "the optimizer matters more to entries, first layer, than to contribution, last layer"
    weights = optimizer_gap(cells["entries", "first"], "less uniform")
    units = optimizer_gap(cells["contribution", "last"], "more uniform")
    evidence = {"gap of shares, entries": weights, "gap of shares, contribution": units}
    judged.append(judging.judged("M3", claim, weights > units, evidence))
    share = disagreement(rows, "gini", "cv")
    claim = "Gini and CV disagree about the direction in at most 10 %"
    judged.append(judging.judged("M4", claim, share <= 0.1, {"share": share}))
    for view, role in (("entries", "first"), ("entries", "output"), ("contribution", "last")):
        claim = f"{view}, {role} layer: less at equal training loss than after the last epoch"
        medians = [median_of(cells[view, role], stop) for stop in (STOPS[2], STOPS[0])]
        evidence = {"medians, %": medians}
        judged.append(judging.judged("M5", claim, abs(medians[0]) < abs(medians[1]), evidence))
    return judged


def optimizer_gap(rows: Sequence[Row], verdict: str) -> float:
    """How much the share of a verdict differs between the optimizers."""
    names = {row["optimizer"] for row in rows}
    shares = [count([r for r in rows if r["optimizer"] == name])[verdict] for name in names]
    return max(shares) - min(shares)


def median_of(rows: Sequence[Row], stopping: str) -> float:
    """The median difference at a stop in per cent; NaN if no universe came to it."""
    percents = [row["percent"] for row in rows if row["stopping"] == stopping]
    return float(np.median(percents)) if percents else np.nan


def disagreement(rows: Sequence[Row], one_measure: str, other_measure: str) -> float:
    """The share of universes in which two measures differ in the sign of the difference."""
    one, other = (
        [r["percent"] > 0 for r in rows if r["measure"] == name]
        for name in (one_measure, other_measure)
    )
    return float(np.mean(np.not_equal(one, other)))


def train_all(size: Size) -> dict[Universe, dict[str, Any]]:
    """Train every universe, or take it from the cache."""
    trained = {}
    for universe in universes(size):
        trained[universe] = remembered(universe, size)
        print(*universe, f"{trained[universe]['seconds']:.0f} s", flush=True)
    return trained


def training_record(universe: Universe, training: dict[str, Any]) -> dict[str, Any]:
    """The entry of a training in the record: its choices, and how equal the losses are."""
    loss = np.array(training["level_loss"], float)
    reached = (loss < LEVEL).all(axis=0)
    means = loss[:, reached].mean(axis=1).tolist() if reached.any() else [None, None]
    equal = {"n": int(reached.sum()), "loss_none": means[0], "loss_dropout": means[1]}
    return {**universe._asdict(), STOPS[2]: equal, "seconds": round(training["seconds"], 1)}


def specify_all(values: dict[str, np.ndarray]) -> list[Row]:
    """The rows of all universes, by their names as `main` writes them."""
    rows = []
    for name, universe_values in values.items():
        initializer, optimizer, width, depth, data = name.split()
        universe = Universe(initializer, optimizer, int(width), int(depth), data)
        rows += specify(universe, universe_values)
    return rows


def answers(rows: list[Row]) -> dict[str, list[Row]]:
    """The universes of every question."""
    return {q: of_question(rows, of.views, of.role) for q, of in QUESTIONS.items()}


def draw(rows: list[Row]) -> dict[str, Figure]:
    """A specification curve for each question."""
    return {q: plot_curve(QUESTIONS[q].about, answer, MAIN) for q, answer in answers(rows).items()}


def figures(values: dict[str, np.ndarray]) -> dict[str, Figure]:
    """The figures from the values of a record."""
    return draw(specify_all(values))


def main(folder: Path, size: Size) -> None:
    """Run the study, write its record, print the answer and the predictions as judged."""
    trained = train_all(size)
    start = perf_counter() - sum(training["seconds"] for training in trained.values())
    values = {" ".join(map(str, u)): np.array(f["values"], float) for u, f in trained.items()}
    rows = specify_all(values)
    by_question = answers(rows)
    summary = {
        "trainings": [training_record(*training) for training in trained.items()],
        "questions": {
            name: {
                "said": say(QUESTIONS[name].about, answer),
                "all": count(answer),
                "by_choice": by_choice(answer),
            }
            for name, answer in by_question.items()
        },
    }
    tables = {name: table(answer) for name, answer in by_question.items()}
    settings = {**asdict(size), "fashion_dir": bool(size.fashion_dir), "level": LEVEL, "rate": RATE}
    del settings["cache"]
    record.write(folder, settings, summary, judge(rows), draw(rows), start, tables, values)
    for question in summary["questions"].values():
        print(question["said"])


if __name__ == "__main__":
    command.start(__doc__, main, RESULTS, Size(), QUICK, folders=("fashion_dir", "cache"))
