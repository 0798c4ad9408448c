"""Do the errors that the papers on dropout publish for MNIST come out here?

Question    Srivastava et al. (2014) and Hinton et al. (2012) give test errors on full MNIST for
            networks without and with dropout, max-norm and L2. Does this library come to the same,
            in the same order, at a budget that two cores can pay?
Predicted   J1 Every row with dropout within .15 points of the paper's. J2 The paper's orders: each
            network errs less with dropout, and less still with max-norm; ReLU before logistic;
            max-norm alone before L2 alone. J3 50 Monte-Carlo passes match the scaled network to
            .1 points, one errs more (§7.5). J4 (before its row, after those above, of which J1 and
            most of J2 had failed) It is for want of updates: with three times as many, ReLU with
            dropout comes within .15 points of the paper's, and errs less than without dropout. J5
            (before its two rows, after J4 had held by the intervals of that time;
            its order is now undecided) So it is in Table 9: both networks with
            dropout come within .15 points, in the paper's orders. J6 (before its three rows, after
            J5 had failed for max-norm) So it is in the rest of Table 2: with three times as many
            updates logistic units with dropout and ReLU with dropout and max-norm come within .15
            points, the latter with ten times as many at the latest, in the paper's orders. J7
            (before its row, after all of J6 had failed but the order of ReLU and logistic) With
            ten times as many logistic units do, too. J8 to J12 (after all of these, and one seed of
            logistic units with large initial kernels): J8 Logistic units with initial kernels times
            4 and 36,000 updates err by more than .10 points more than the paper's. J9 With 120,000
            they come within .10. J10 So does the recipe of pylearn2's script. J11 And Table 9's
            dropout with max-norm, where the bounds are the paper's in our units, with 120,000. J12
            ReLU without dropout with 120,000 errs more than with dropout and 36,000. J13 (before
            its row, after J11 had held) Table 2's ReLU with dropout and max-norm comes within .10
            with 120,000, where the bounds are the paper's in our units.
Judged      By intervals over seeds, on the test digits of the papers, which give no seeds. The
            binomial error of these digits, a tenth of a point, is left out, as the papers have it
            too. A row of fewer than two seeds counts as failed, and so does one whose seeds err
            alike, as an interval of no width decides nothing.
Command     python -m experiments.srivastava --data-dir DIR [--cache DIR] [--quick]
            Each row has a file in the record, to which seeds are added: two for every row, then
            two more. Ctrl-C writes the record of what is there, from the third row on; the same
            command goes on.
Time        eighteen and a half hours on two CPU cores, partly beside other work, for what its
            record has: 11 to 23 minutes a row of 12,000 updates, forty minutes to four and a half
            hours for the longest

Scientific  the rows of Table 2 with 3×1024 units, of Table 9 (784-1024-1024-2048-10), and
            pylearn2's script (784-898-1532-10)
Nuisance    learning rates, by row: the one of four with the least loss on 10,000 of the training
            images, which are then trained on too, after 2 epochs (6 from the tenth row on) of
            a seed that is not used again; the script has its own; the L2 coefficient, 1e-4, is not
            tuned
Fixed       keep .5 of hidden units and .8 of pixels, momentum .95, the learning rate falling to 0,
            batch 100, 20 epochs of all 60,000 images: 12,000 updates (the paper: a million), three
            times as many in the longer rows, ten times in the longest; 4 seeds; max-norm 2 on the
            weights into each hidden unit, if the row has no bounds of its own. The first rows are
            of version 0.1.0, with other masks; each file says which
"""

import json
from collections.abc import Mapping
from pathlib import Path
from time import perf_counter
from typing import Any

import flax.linen as nn
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from dropout_jax.data import load_dataset
from dropout_jax.runs import drawing, style
from experiments.shared import command, differences, judging, record, study
from experiments.shared.paper_rows import (
    AVERAGED,
    L2,
    LEARNING_RATES,
    MAX_NORM,
    MOMENTUM,
    PASSES,
    RATES,
    Size,
    slug,
    train_row,
)
from experiments.shared.published import ORDERS, ROWS

RESULTS = study.RESULTS / "srivastava"
NEAR: dict[str, float] = dict.fromkeys(
    ("J8", "J9", "J10", "J11", "J13"), 0.10
)  # points, and else .15
AT_ONCE = 2  # seeds
EPOCHS = (2, 5, 10, 20, 50, 100, 200)  # ticks
MATCH = 0.1  # points

QUICK = Size("digits", epochs=1, seeds=2, batch_size=50, divided_by=128, n_inputs=64, cache=None)


def both_errors(one: dict[str, Any], other: dict[str, Any]) -> np.ndarray:
    """The errors of two rows [2, S], of the seeds that both have."""
    n = min(len(row["errors"]) for row in (one, other))
    return np.array([row["errors"][:n] for row in (one, other)])


def place(here: Mapping[str, Any], paper: float, margin: float) -> str:
    """Where the interval of a row lies beside the paper's error; one of no width is `undecided`."""
    if here["ci_low"] == here["ci_high"]:
        return "undecided"
    return judging.placed(here, paper - margin, paper + margin)


def summarise(results: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """Paper and here, row by row, and the differences of the orders, paired by seed."""
    rows = []
    for name, result in results.items():
        errors = np.array(result["errors"])
        here = {**differences.over_seeds(errors), "sd": float(errors.std(ddof=1)), "n": len(errors)}
        details = {key: result[key] for key in ("learning_rate", "updates")}
        versions = sorted({origin["versions"]["dropout_jax"] for origin in result["made"]})
        details |= {"versions": ", ".join(versions), "seconds a seed": np.mean(result["seconds"])}
        paper = ROWS[name].paper
        if paper is not None:
            details["within .1 points"] = place(here, paper, MATCH)
        rows.append({"row": name, "paper": paper, "here": here, **details})
    orders = [
        {
            "better": order.better,
            "worse": order.worse,
            **differences.over_seeds(
                np.subtract(*both_errors(results[order.better], results[order.worse]))
            ),
        }
        for order in ORDERS
        if order.better in results and order.worse in results
    ]
    passes = np.array(results[AVERAGED]["passes"])
    above = passes - np.array(results[AVERAGED]["errors"])[:, None]
    above_scaled = [
        {"passes": n, **differences.over_seeds(values)}
        for n, values in zip(PASSES, above.T, strict=True)
    ]
    return {"rows": rows, "orders": orders, "above_scaled": above_scaled}


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Each part of each prediction, and whether it held; what was not trained has not."""
    judged, missing = [], {"n": 0}
    rows = {row["row"]: row for row in summary["rows"]}
    for name, paper_row in ROWS.items():
        if not paper_row.dropout:
            continue
        assert paper_row.paper is not None  # given for all rows with dropout
        near, here = NEAR.get(paper_row.prediction, 0.15), rows.get(name, {}).get("here")
        placement = place(here, paper_row.paper, near) if here else "undecided"
        claim, held = f"{name}: within {near:g} points of the paper's", placement == "within"
        if paper_row.prediction == "J8":
            claim = f"{name}: more than {near:g} points above the paper's"
            held = placement == "outside" and here["mean"] > paper_row.paper
        judged.append(judging.judged(paper_row.prediction, claim, held, here or missing))
    orders = {(row["better"], row["worse"]): row for row in summary["orders"]}
    for order in ORDERS:
        row = orders.get((order.better, order.worse))
        claim = f"{order.better} errs less than {order.worse}"
        held = row is not None and row["ci_high"] < 0
        judged.append(judging.judged(order.prediction, claim, held, row or missing))
    by_passes = {row["passes"]: row for row in summary["above_scaled"]}
    one, many = by_passes[1], by_passes[50]
    claim = "one pass errs more than the scaled network"
    judged.append(judging.judged("J3", claim, one["ci_low"] > 0, one))
    claim = f"50 passes match the scaled network to {MATCH:g} points"
    judged.append(judging.judged_within("J3", claim, [many], -MATCH, MATCH))
    return judged


def markdown(folder: Path) -> str:
    """The table of the index, from a record: paper and here, side by side."""
    summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    lines = [
        "| network | table | paper, % | here, mean ± sd, % | n | updates |",
        "|---|---|---|---|---|---|",
    ]
    for row in summary["rows"]:
        paper = "not given" if row["paper"] is None else f"{row['paper']:.2f}"
        here = row["here"]
        error = f"{here['mean']:.2f} ± {here['sd']:.2f}"
        cells = (row["row"], ROWS[row["row"]].table, paper, error, here["n"], f"{row['updates']:,}")
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines) + "\n"


@mpl.rc_context(style.STYLE)
def plot(results: dict[str, dict[str, Any]]) -> Figure:
    """Learning curves of the tables; below, the longer rows with dropout and those without.

    The papers' errors are dotted.
    """
    figure = Figure(figsize=(11, 6.4), layout="constrained")
    grid = figure.subplots(2, 3, sharey=True)
    logistic = {name for name in results if ROWS[name].activation is nn.sigmoid}
    in_table_2 = {name for name in results if ROWS[name].table == 2}
    columns = {"3×1024 ReLU": in_table_2 - logistic, "3×1024 logistic": logistic}
    columns["1024-1024-2048, or pylearn2's 898-1532"] = set(results) - in_table_2
    for column, (title, shown) in zip(grid.T, columns.items(), strict=True):
        names = [name for name in results if name in shown]
        usual = [name for name in names if ROWS[name].times == 1]
        longer = [name for name in names if name not in usual or not ROWS[name].dropout]
        for axes, curve_names in zip(column, (usual, longer), strict=True):
            for name, c in style.condition_numbers(curve_names).items():
                epochs, curve = np.array(results[name]["epochs"]), np.array(results[name]["curve"])
                drawing.draw_band(axes, epochs[1:], curve[:, 1:], c)
                if ROWS[name].paper:
                    axes.axhline(ROWS[name].paper, color=style.colour(c), lw=0.8, ls=":")
            axes.legend(handles=style.legend(curve_names), loc="upper right", fontsize=7)
            axes.set(xlabel="epoch", ylabel="test error, %", xscale="log")
            axes.set_xticks(EPOCHS, [str(epoch) for epoch in EPOCHS])
            drawing.log_scale(axes, (1, 2, 3, 5))
            axes.set(xlim=(1.5, None), ylim=(0.95, 20))
            axes.xaxis.set_minor_locator(NullLocator())
        column[0].set_title(title)
    seeds = sorted({len(result["errors"]) for result in results.values()})
    seed_range = "-".join(map(str, dict.fromkeys([seeds[0], seeds[-1]])))
    title = f"Full MNIST: mean and range over {seed_range} seeds; dotted: the papers'"
    figure.suptitle(title, size=10)
    return figure


def main(folder: Path, size: Size) -> None:
    """Train what the rows lack, write the record and print the table."""
    if size.divided_by == 1 and size.data_dir is None:
        raise SystemExit("srivastava needs full MNIST: --data-dir DIR, a folder of its four files")
    data, results = load_dataset(size.dataset, size.data_dir), {}
    paths = {name: folder / "rows" / f"{slug(name)}.json" for name in ROWS}
    try:
        for n_seeds in range(AT_ONCE, size.seeds + AT_ONCE, AT_ONCE):  # every row, before more
            for name, path in paths.items():
                train_row(path, name, min(n_seeds, size.seeds), size, data)
    except KeyboardInterrupt:
        print("interrupted: the record has what is done")
    for name, path in paths.items():
        if path.is_file():
            results[name] = json.loads(path.read_text(encoding="utf-8"))
            print(f"{name}: {np.mean(results[name]['errors']):.2f} %", flush=True)
    if AVERAGED not in results:
        raise SystemExit(f"no record before the row {AVERAGED}; the same command goes on")
    summary = summarise(results)
    trained = sum(sum(result["seconds"]) for result in results.values())  # on many days
    start, curves = perf_counter() - trained, {"curves": plot(results)}
    settings = {
        "dataset": size.dataset,
        "epochs": size.epochs,
        "seeds": size.seeds,
        "batch_size": size.batch_size,
        "momentum": MOMENTUM,
        "max_norm": MAX_NORM,
        "l2": L2,
        "learning_rates": LEARNING_RATES,
        "rates": RATES,
        "times": {name: ROWS[name].times for name in results},
    }
    record.write(folder, settings, summary, judge(summary), curves, start)


if __name__ == "__main__":
    command.start(__doc__, main, RESULTS, Size(), QUICK, folders=("data_dir", "cache"))
