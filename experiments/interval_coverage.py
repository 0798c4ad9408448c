"""Do the 95 % intervals of `paired.interval` cover the mean as often as they say?

Question    With few seeds a bootstrap interval is too narrow; ours is Student's below six seeds,
            and widened from there. How often does it hold the true mean difference, for
            differences of six laws?
Predicted   V1 t intervals for 3 to 5 seeds cover 93 to 97 % of normal differences. V2 From 6 seeds
            BCa intervals cover 92 to 97 % under every law tried.
Judged      By the 95 % interval of each coverage, over repetitions.
Command     python -m experiments.interval_coverage [--quick]
Time        about twenty minutes on one CPU core

Scientific  law of the differences; number of seeds
Fixed       10,000 repetitions (from 30 seeds on 2,000 for their time, where 10,000 were planned),
            seed 0; 9,999 resamples
"""

import json
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from dropout_jax.analysis.paired import interval
from dropout_jax.analysis.statistics import MIN_SEEDS
from experiments.shared import command, laws, record, study
from experiments.shared.laws import LAWS, covered

RESULTS = study.RESULTS / "interval_coverage"
MANY = 30  # seeds from which there are fewer repetitions


@dataclass(frozen=True)
class Size:
    """How much to simulate."""

    repetitions: int = 10_000
    fewer_repetitions: int = 2_000
    seeds: tuple[int, ...] = (3, 4, 5, 6, 7, 8, 10, 15, 20, 30, 40, 100)


QUICK = Size(repetitions=20, fewer_repetitions=20, seeds=(5, 10))


def run(size: Size) -> list[dict[str, Any]]:
    """Coverage, with its standard error, for every law and number of seeds."""
    rng = np.random.default_rng(0)
    rows = []
    for law, (draw, mean) in LAWS.items():
        for n in size.seeds:
            repetitions = size.repetitions if n < MANY else size.fewer_repetitions
            intervals = [interval(draw(rng, n)) for _ in range(repetitions)]
            rows.append({"law": law, "n": n, **covered(intervals, mean)})
        print(law, [row["coverage"] for row in rows if row["law"] == law], flush=True)
    return rows


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Whether coverage lies where it was predicted, law by law."""
    few = [row for row in summary["coverage"] if row["n"] < MIN_SEEDS and row["law"] == "normal"]
    many = [row for row in summary["coverage"] if row["n"] >= MIN_SEEDS]
    return [
        laws.judge("V1", "below six seeds, 93 to 97 % of normal differences", few, 0.93),
        *(
            laws.judge(
                "V2",
                f"from six seeds on, 92 to 97 % under the law: {law}",
                [row for row in many if row["law"] == law],
                0.92,
            )
            for law in LAWS
        ),
    ]


def markdown(folder: Path) -> str:
    """The table of the page on statistics, from a record: coverage in per cent, by law and n."""
    rows = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["coverage"]
    seeds = sorted({row["n"] for row in rows})
    lines = [f"| law | {' | '.join(f'n = {n}' for n in seeds)} |", "|---" * (len(seeds) + 1) + "|"]
    for law in dict.fromkeys(row["law"] for row in rows):
        coverage = {row["n"]: f"{100 * row['coverage']:.1f}" for row in rows if row["law"] == law}
        lines.append(f"| {law} | {' | '.join(coverage[n] for n in seeds)} |")
    return "\n".join(lines) + "\n"


def main(folder: Path, size: Size) -> None:
    """Simulate, write the record and print the predictions as judged."""
    start = perf_counter()
    summary = {"coverage": run(size)}
    record.write(folder, vars(size), summary, judge(summary), {}, start)


if __name__ == "__main__":
    command.start(__doc__, main, RESULTS, Size(), QUICK)
