"""Do the 95 % intervals of `groups.welch_interval` cover the difference as often as they say?

Question    `dropout-jax inspect` compares two groups of networks that no seed pairs, and prints
            Welch's interval. How often does it hold the true difference of means, for few
            networks, groups of unlike size and deviation, and six laws?
Predicted   W1 Of two normal groups it covers 93 to 97 %, from three networks in the smaller on.
            W2 Under every law tried it covers 92 to 97 %, from six networks in the smaller on.
Judged      By the 95 % interval of each coverage, over repetitions.
Seen        A trial of 20 repetitions, before the predictions.
Command     python -m experiments.group_coverage [--quick]
Time        about five minutes on one CPU core

Scientific  law of the values; networks in the smaller group; design: their sizes and deviations
Fixed       both groups of one law; 10,000 repetitions, seed 0
"""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from dropout_jax.analysis.groups import welch_interval
from experiments.shared import command, laws, record, study
from experiments.shared.laws import LAWS, covered

RESULTS = study.RESULTS / "group_coverage"
# How many times as many networks, and as large a deviation, the second group has.
DESIGNS = {
    "alike": (1, 1.0),
    "the second twice as wide": (1, 2.0),
    "the larger twice as wide": (2, 2.0),
    "the smaller twice as wide": (2, 0.5),
}
W1_FROM, W2_FROM = 3, 6  # networks in the smaller group


@dataclass(frozen=True)
class Size:
    """How much to simulate."""

    repetitions: int = 10_000
    networks: tuple[int, ...] = (2, 3, 4, 5, 6, 8, 10, 15, 20)


QUICK = Size(repetitions=20, networks=(3, 6))


def run(size: Size) -> list[dict[str, Any]]:
    """Coverage, with its standard error, for every law, size and design."""
    rng = np.random.default_rng(0)
    rows = []
    for law, (draw, mean) in LAWS.items():
        for design, (times_n, wider) in DESIGNS.items():
            for n in size.networks:
                groups = (
                    (draw(rng, n), wider * draw(rng, times_n * n)) for _ in range(size.repetitions)
                )
                intervals = [welch_interval(*both) for both in groups]
                coverage = covered(intervals, (wider - 1) * mean)
                rows.append({"law": law, "design": design, "n": n, **coverage})
        print(law, [row["coverage"] for row in rows if row["law"] == law], flush=True)
    return rows


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Whether coverage lies where it was predicted, law by law."""

    def judged(name: str, law: str, least_n: int, low: float) -> dict[str, Any]:
        rows = [r for r in summary["coverage"] if r["law"] == law and r["n"] >= least_n]
        claim = f"from {least_n} networks on, {100 * low:.0f} to 97 % under the law: {law}"
        return laws.judge(name, claim, rows, low)

    return [
        judged("W1", "normal", W1_FROM, 0.93),
        *(judged("W2", law, W2_FROM, 0.92) for law in LAWS),
    ]


def main(folder: Path, size: Size) -> None:
    """Simulate, write the record and print the predictions as judged."""
    start = perf_counter()
    summary = {"coverage": run(size)}
    record.write(folder, vars(size), summary, judge(summary), {}, start)


if __name__ == "__main__":
    command.start(__doc__, main, RESULTS, Size(), QUICK)
