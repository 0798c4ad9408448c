"""Does dropout spread the weights? Three rates and a tuned L2 penalty against no regulariser.

Question    A lecture: with dropout a network "puts weights on all the neurons instead of one large
            weight", much as under an L2 penalty. Are the weights, or what each unit contributes,
            distributed more uniformly over every layer?
Predicted   P1 The Gini of contributions falls in both hidden layers, and that of path norms in the
            second, the more the higher the rate; P1b that of path norms rises in the first. P2 No
            such Gini falls under a tuned L2 penalty. P3 The Gini of |w| rises by more than .01 in
            the first layer, changes negligibly in the middle (margin .01), and falls by more than
            .01 in the output layer. Ten of the seeds were known, P3 after a pilot on this setting.
Command     python -m experiments.weight_uniformity [--quick]
Time        about five minutes on two CPU cores

Scientific  hidden rate (0, .2, .5, .8); L2 coefficient (0, tuned)
Nuisance    the L2 coefficient's value: the least validation loss, on seeds and a split of the
            training data of its own. A first run chose by error, whose noise on 800 digits exceeds
            the differences; it took a weaker penalty, which changed |w| and contributions
            negligibly
Fixed       784-256-256-10 ReLU on mnist5k, SGD with momentum .9, learning rate .05, batch 128,
            30 epochs, no dropout of pixels
"""

import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dropout_jax.analysis.uniformity import MARGINS
from dropout_jax.data import load_dataset
from dropout_jax.io import writers
from dropout_jax.networks.mlp import MLP
from dropout_jax.runs.run import Run, compare
from dropout_jax.runs.verdicts import verdict
from dropout_jax.runs.write import write
from dropout_jax.training.config import Config, Hparams
from experiments.shared import command, judging, record, study
from experiments.shared.regularisers import L2_COEFFICIENTS

RESULTS = study.RESULTS / "weight_uniformity"
RATES = {"dropout": 0.5, "dropout .2": 0.2, "dropout .8": 0.8}
MARGIN = MARGINS["gini"]


@dataclass(frozen=True)
class Size(study.Size):
    """How much to train; the default is the study, `QUICK` a test."""

    seeds: int = 100
    tuning_seeds: int = 6


QUICK = Size("digits", (16, 16), epochs=2, seeds=3, tuning_seeds=2)


def run(size: Size = Size()) -> tuple[Run, dict[str, Any]]:
    """Tune the L2 coefficient, train all conditions on the same seeds, and compare."""
    data = load_dataset(size.dataset)
    config = Config(MLP((*size.features, data.n_classes)), epochs=size.epochs)
    n_hidden = len(size.features)
    none = Hparams(study.layer_rates(0.0, n_hidden))
    penalised = [none._replace(weight_decay=l2) for l2 in L2_COEFFICIENTS]
    tuned = study.tune(config, penalised, size.tuning_seeds, data)
    conditions = {
        "none": none,
        **{name: Hparams(study.layer_rates(rate, n_hidden)) for name, rate in RATES.items()},
        "l2": tuned.best,
    }
    result = compare(config, conditions, range(size.seeds), study.root_key(), data)
    return result, {
        "l2": tuned.best.weight_decay,
        "l2_candidates": L2_COEFFICIENTS,
        "l2_validation_loss": tuned.loss.tolist(),
        "l2_validation_error": tuned.error.tolist(),
    }


def values_of(result: Run) -> dict[str, Any]:
    """Every measure [S] of every condition, layer and view, and the learning curves [S, P]."""
    curves = {"train": result.population.curve.train, "test": result.population.curve.test}
    return {
        name: {
            "measures": {
                f"{measure} of {view}, layer {l}": values[c]
                for l, views in result.measured.values.items()
                for view, measures in views.items()
                for measure, values in measures.items()
            },
            "curves": {
                f"{part} {metric}": getattr(curve, metric)[c]
                for part, curve in curves.items()
                for metric in ("loss", "error")
            },
        }
        for c, name in enumerate(result.conditions)
    }


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Each part of each prediction, and whether it held."""
    rows = {
        (row["condition"], row["layer"], row["view"]): row
        for row in summary["comparisons"]
        if row["measure"] == "gini"
    }
    last = max(layer for _, layer, _ in rows)
    by_rate = sorted(RATES, key=lambda name: RATES[name])
    units = [("contribution", layer) for layer in range(last)]
    units += [("path_norm", layer) for layer in range(1, last)]
    judged = []
    for view, layer in units:
        rate_rows = [rows[name, layer, view] for name in by_rate]
        means = [rate_rows[0]["baseline_mean"], *(row["condition_mean"] for row in rate_rows)]
        falls = all(high > low for high, low in itertools.pairwise(means))
        held = falls and all(judging.shown(row, "more uniform") for row in rate_rows)
        claim = f"{view} of layer {layer} falls with the rate"
        evidence = {"gini_at_rates_0_.2_.5_.8": means, "comparisons": rate_rows}
        judged.append(judging.judged("P1", claim, held, evidence))
    row, claim = rows["dropout", 0, "path_norm"], "path_norm of layer 0 rises"
    judged.append(judging.judged_by_verdict("P1b", claim, row, "less uniform"))
    for view, layer in itertools.product(("contribution", "path_norm"), range(last)):
        row = rows["l2", layer, view]
        claim = f"{view} of layer {layer} does not fall under L2"
        judged.append(judging.judged_by_verdict("P2", claim, row, "less uniform", "negligible"))
    row = rows["dropout", 0, "entries"]
    claim = f"|w| of layer 0 rises by more than {MARGIN:g}"
    judged.append(judging.judged("P3", claim, row["ci_low"] > MARGIN, row))
    for layer in range(1, last):
        row = rows["dropout", layer, "entries"]
        claim = f"|w| of layer {layer} changes negligibly"
        judged.append(judging.judged_by_verdict("P3", claim, row, "negligible"))
    row = rows["dropout", last, "entries"]
    claim = f"|w| of layer {last} falls by more than {MARGIN:g}"
    judged.append(judging.judged("P3", claim, row["ci_high"] < -MARGIN, row))
    return judged


def markdown(folder: Path) -> str:
    """The tables of findings, from a record: Gini per layer with intervals, and test errors."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    rows = {
        (row["condition"], row["layer"], row["view"]): row
        for row in summary["comparisons"]
        if row["measure"] == "gini"
    }
    lines = [
        "| Gini of | layer | none | dropout .5 | difference [95 % interval] | L2, tuned | "
        "difference [95 % interval] |",
        "|---|---|---|---|---|---|---|",
    ]
    for view, label in (("entries", "weights"), ("contribution", "unit contributions")):
        for layer in sorted({l for _, l, v in rows if v == view}):
            cells = [label, str(layer), f"{rows['l2', layer, view]['baseline_mean']:.3f}"]
            for name in ("dropout", "l2"):
                row = rows[name, layer, view]
                interval = f"[{row['ci_low']:+.3f}, {row['ci_high']:+.3f}]"
                cells.append(f"{row['condition_mean']:.3f}")
                cells.append(f"{row['difference']:+.3f} {interval} {row['verdict']}")
            lines.append(f"| {' | '.join(cells)} |")
    names = ["none", *sorted(RATES, key=lambda name: RATES[name]), "l2"]
    conditions = [summary["conditions"][name] for name in names]
    heads = ["none", *(f"dropout {rate:.1f}".replace("0.", ".") for rate in sorted(RATES.values()))]
    lines += [
        "",
        f"| | {' | '.join([*heads, 'L2, tuned'])} |",
        "|---|---|---|---|---|---|",
        "| test error, % | "
        + " | ".join(
            f"{100 * c['test_error']['mean']:.2f} ± {100 * c['test_error']['sd']:.2f}"
            for c in conditions
        )
        + " |",
        "| dead units of the first hidden layer | "
        + " | ".join(f"{c['dead_inputs'][1]:.1f}" for c in conditions)
        + " |",
    ]
    return "\n".join(lines).replace("-0.", "−0.") + "\n"


def main(folder: Path, size: Size) -> None:
    """Run the study, write its record, print the answer and the predictions as judged."""
    result, tuning = run(size)
    settings = {
        "study": "weight_uniformity",
        **vars(size),
        **tuning,
        "root_seed": study.ROOT_SEED,
        "prng": study.PRNG,
    }
    write(folder, result, settings, compact=True)
    record.write_values(folder, values_of(result))
    judged = judge(result.summary)
    writers.write_json(folder / "predictions.json", judged)
    print(f"L2 coefficient of least validation loss: {tuning['l2']:g}")
    print("\n".join(verdict(result.summary)))
    record.show(judged)


if __name__ == "__main__":
    command.start(__doc__, main, RESULTS, Size(), QUICK)
