"""Does dropout make a network robust to fluctuations in its input?

Question    A lecture: dropout may make a network "robust to fluctuations in the input". How does
            the accuracy fall under noise, dropped pixels, shifts and loss of contrast?
Predicted   P7 For dropout of hidden units the sign is open. B1 Dropout of pixels makes networks
            more accurate under dropped pixels and under noise. B2 Tuned L2 makes them more accurate
            under noise. B3 Nothing helps by more than 2 points against shifts. B4 (before the
            record of this version) Dropout of hidden units is more accurate at every scaling of
            intensity to .3 or less. B5 It is less accurate on every constant background of .3 or
            more.
Judged      Every strength above 0 is compared; a family is one perturbation, all its strengths and
            conditions. `More accurate` is: higher at half of the strengths or more, and lower at
            none. Contrast was one perturbation in version 0.1: it scales and adds a background.
Seen        A trial, before B4: at one strength of intensity scaling the accuracy was .90 with
            dropout and .79 without.
Command     python -m experiments.robustness [--quick]
Time        about a minute and a half on two CPU cores

Scientific  none, dropout .5 of hidden units, tuned L2, dropout .2 of pixels, both dropouts
Fixed       as in the main study; what is drawn is the same for all conditions of a seed; margin 1
            point of accuracy
"""

from collections.abc import Callable
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from dropout_jax.analysis import perturbations
from dropout_jax.data import load_dataset
from dropout_jax.networks.mlp import MLP, Params
from dropout_jax.populations.devices import map_members
from dropout_jax.populations.members import member_key
from dropout_jax.populations.population import fit_population
from dropout_jax.runs import drawing, style
from dropout_jax.training.config import Config, Hparams
from dropout_jax.training.objectives import error_rate
from experiments.shared import command, differences, judging, record, study
from experiments.shared.study import QUICK, Size

RESULTS = study.RESULTS / "robustness"
Values = dict[str, dict[str, np.ndarray]]  # {condition: {perturbation: [S, F]}}
MARGIN = 1.0  # points of accuracy
SCALED = 0.3
NOISE_SEED = 1  # apart from the keys that members descend from


class Perturbation(NamedTuple):
    """What `move` does to an image x [D] by a key, at so many strengths in a unit."""

    move: Callable[[jax.Array, jax.Array, jax.Array], jax.Array]
    strengths: np.ndarray
    unit: str


PERTURBATIONS = {
    "noise": Perturbation(
        perturbations.gaussian_noise, np.linspace(0, 1, 11), "standard deviation"
    ),
    "dropped pixels": Perturbation(perturbations.drop_pixels, np.linspace(0, 0.9, 10), "fraction"),
    "shift": Perturbation(perturbations.shift, np.arange(7), "pixels"),
    "intensity": Perturbation(
        perturbations.dimmed, np.array([*np.linspace(0, 0.9, 10), 0.95]), "fraction lost"
    ),
    "background": Perturbation(
        perturbations.background, np.linspace(0, 1, 11), "added to every pixel"
    ),
    "contrast": Perturbation(
        perturbations.reduce_contrast, np.linspace(0, 0.95, 11), "fraction lost"
    ),
}


def conditions(n_hidden: int) -> dict[str, Hparams]:
    """The conditions by name."""

    def hparams(hidden: float, pixels: float = 0.0, weight_decay: float = 0.0) -> Hparams:
        return Hparams(study.layer_rates(hidden, n_hidden, pixels), weight_decay=weight_decay)

    return {
        "none": hparams(0.0),
        "dropout": hparams(0.5),
        "L2": hparams(0.0, weight_decay=study.tuned_l2()),
        "pixel dropout": hparams(0.0, pixels=0.2),
        "both dropouts": hparams(0.5, pixels=0.2),
    }


def accuracies(
    model: MLP, params: Params, key: jax.Array, test: tuple[jax.Array, jax.Array]
) -> dict[str, jax.Array]:
    """Accuracy of one member, a fraction, under every perturbation at every strength."""
    x, y = test
    keys = jax.random.split(key, len(PERTURBATIONS))
    results = {}
    for key, (name, perturbation) in zip(keys, PERTURBATIONS.items(), strict=True):
        at_strengths = jax.vmap(jax.vmap(perturbation.move, (None, None, 0)), (0, 0, None))
        strengths = jnp.asarray(perturbation.strengths, jnp.float32)
        moved = at_strengths(jax.random.split(key, len(x)), x, strengths)
        outputs = cast(jax.Array, model.apply(params, moved))  # [n, F, K]
        errors = jax.vmap(jax.vmap(error_rate, (0, None)))(outputs, y)
        results[name] = 1 - errors.mean(axis=0)
    return results


def run(size: Size) -> Values:
    """Accuracies in percent [S, F] of every condition under every perturbation."""
    data = load_dataset(size.dataset)
    model, named = MLP((*size.features, data.n_classes)), conditions(len(size.features))
    members = list(named.values()), range(size.seeds), study.root_key()
    trained = fit_population(Config(model, epochs=size.epochs), *members, data)
    noise_root = jax.random.key(NOISE_SEED, impl=study.PRNG)
    seed_keys = jax.vmap(lambda seed: member_key(noise_root, seed))(np.arange(size.seeds))
    keys = jnp.broadcast_to(seed_keys, (len(named), size.seeds))
    test = (data.x_test, data.y_test)
    measured = map_members(accuracies, (model,), (trained.params, keys), test)
    return differences.by_condition(
        named, {kind: differences.percent(a) for kind, a in measured.items()}
    )


def summarise(values: Values) -> dict[str, Any]:
    """Mean accuracies in percent, and paired comparisons with none at every strength above 0."""
    pairs = [("none", name) for name in values if name != "none"]
    comparisons = []
    for kind, perturbation in PERTURBATIONS.items():
        strengths = perturbation.strengths
        by_condition = {name: accuracy[kind][:, 1:] for name, accuracy in values.items()}
        rows = differences.paired_conditions(
            pairs, [kind] * (len(strengths) - 1), by_condition, MARGIN
        )
        for row, strength in zip(rows, [*strengths[1:]] * len(pairs), strict=True):
            comparisons.append({"strength": float(strength), **row})
    return {
        "n_seeds": len(values["none"]["noise"]),
        "strengths": {
            name: perturbation.strengths.tolist() for name, perturbation in PERTURBATIONS.items()
        },
        "accuracy_percent": {
            name: {kind: accuracy.mean(axis=0).tolist() for kind, accuracy in by_kind.items()}
            for name, by_kind in values.items()
        },
        "comparisons": comparisons,
    }


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Each part of each prediction, and whether it held."""

    def rows_of(condition: str, kind: str) -> list[dict[str, Any]]:
        rows = summary["comparisons"]
        return [r for r in rows if (r["condition"], r["quantity"]) == (condition, kind)]

    def accurate(name: str, condition: str, kind: str, claim: str) -> dict[str, Any]:
        rows = rows_of(condition, kind)
        higher, lower = (
            [row["strength"] for row in rows if judging.shown(row, verdict)]
            for verdict in ("higher", "lower")
        )
        held = 2 * len(higher) >= len(rows) and not lower
        evidence = {"strengths": len(rows), "higher_at": higher, "lower_at": lower}
        return judging.judged(name, f"{claim} under {kind}", held, evidence)

    claim = "open: dropout of hidden units is more accurate"
    judged = [accurate("P7", "dropout", kind, claim) for kind in PERTURBATIONS]
    claim = "dropout of pixels is more accurate"
    judged += [accurate("B1", "pixel dropout", kind, claim) for kind in ("dropped pixels", "noise")]
    judged.append(accurate("B2", "L2", "noise", "L2 is more accurate"))
    shifts = [row for row in summary["comparisons"] if row["quantity"] == "shift"]
    largest = max(shifts, key=lambda row: row["ci_high"])
    claim = "nothing helps by more than 2 points in shifts"
    judged.append(judging.judged("B3", claim, largest["ci_high"] < 2, largest))
    parts = (("B4", "intensity", 1 - SCALED, "higher"), ("B5", "background", SCALED, "lower"))
    for name, kind, least, verdict in parts:
        rows = [row for row in rows_of("dropout", kind) if row["strength"] > least - 1e-6]
        claim = f"{kind}: {verdict} accuracy with dropout at every strength from {least:g} on"
        judged.append(judging.judged_by_verdict(name, claim, rows, verdict))
    return judged


@mpl.rc_context(style.STYLE)
def figures(values: Values) -> dict[str, Figure]:
    """Accuracy against strength, a panel for every perturbation."""
    figure = Figure(figsize=(9, 6), layout="constrained")
    grid = figure.subplots(2, 3, sharey=True)
    for axes, (kind, moved) in zip(grid.ravel(), PERTURBATIONS.items(), strict=True):
        accuracies = {name: measured[kind] for name, measured in values.items()}
        drawing.draw_bands(axes, moved.strengths, accuracies)
        axes.set(title=kind, xlabel=moved.unit, xlim=(0, moved.strengths[-1]), ylim=(0, 100))
    for row in grid:
        row[0].set_ylabel("test accuracy, %")
    grid[0, 0].legend(handles=style.legend(list(values)), loc="lower left")
    n_seeds = len(values["none"]["noise"])
    figure.suptitle(f"Fluctuations in the input: mean and range over {n_seeds} seeds", size=10)
    return {"accuracy": figure}


def main(folder: Path, size: Size) -> None:
    """Run the study, write its record and print the predictions as judged."""
    start = perf_counter()
    values = run(size)
    summary = summarise(values)
    settings = {**vars(size), "l2": study.tuned_l2(), "noise_seed": NOISE_SEED}
    record.write(folder, settings, summary, judge(summary), figures(values), start, values=values)


if __name__ == "__main__":
    command.start(__doc__, main, RESULTS, Size(), QUICK)
