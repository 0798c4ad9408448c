"""How fast are populations, against the machine's own limit and what else one would write?

Question    Is training a population limited by its matrix products and nothing else? Is it ahead of
            a loop over Flax or PyTorch networks, and of PyTorch's vmapped ensembles?
Predicted   The goals in `GOALS`, and those of masks and measures, all ratios of this one run,
            meant for processors of any kind.
Command     python -m experiments.benchmark [--quick]; with torch from `pip install -e '.[bench]'`
Time        four to eight minutes on two CPU cores

Scientific  width and members; dropout off, on hidden layers, on pixels too
Fixed       784-H-H-10, batches of 128, SGD with momentum; one epoch over 4,000 digits is timed

Useful work is 6 B Σ in·out floating-point operations a step and member, whoever does it: two
products of the backward pass and one of the forward pass, two operations a product. The limit is
the products of this very step, in the same shapes and without anything between them; a product
[2048, 2048] stands beside it. (Nobody needs the gradient of the pixels, so a ratio to that
one can exceed 1.) Contenders take turns; the fastest of k turns counts, the median is recorded
beside it. The record is of two cores of an AMD EPYC with vectors of 512 bits; `other_processor` is
of one of family 25, model 17, which carries these out in halves.
"""

import importlib.metadata
import importlib.util
import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import jax

from dropout_jax.analysis.uniformity import MEASURES
from dropout_jax.cli.doctor import matrix_product
from dropout_jax.data import load_dataset
from dropout_jax.io import writers
from dropout_jax.io.environment import environment as environment_of
from dropout_jax.networks.mlp import MLP
from dropout_jax.populations.memory import block_size
from dropout_jax.training.config import Config
from experiments.shared import command, pieces, study
from experiments.shared.contenders import BATCH, CONTENDERS, FLAX, LIBRARY, OFF, TORCH, TORCH_FUNC
from experiments.shared.pieces import PRODUCTS
from experiments.shared.profiles import profile

RESULTS = study.RESULTS / "benchmark"
RATES = {"hidden layers": (0.0, 0.5, 0.5), "pixels too": (0.2, 0.5, 0.5)}
LIMIT = "a product of 2048"


class Goal(NamedTuple):
    """This library is to be at least `least` times as fast as a rival, at a width."""

    rival: str
    width: int
    least: float
    dropouts: tuple[str, ...] = tuple(RATES)


GOALS = (
    *(Goal(PRODUCTS, width, share) for width, share in ((64, 0.55), (256, 0.7), (1024, 0.7))),
    *(Goal(rival, width, 2.0) for rival in (TORCH, TORCH_FUNC) for width in (64, 256, 1024)),
    *(Goal(FLAX, width, times) for width, times in ((64, 2.5), (1024, 1.5))),
    *(Goal(OFF, width, 1 / 1.05, ("hidden layers",)) for width in (64, 256, 1024)),
    *(
        Goal(OFF, width, 1 / times, ("pixels too",))
        for width, times in ((64, 1.15), (256, 1.1), (1024, 1.1))
    ),
)


class Piece(NamedTuple):
    """A piece of the library beside what it is held against; `often` multiplies the turns."""

    name: str
    least: float
    often: int
    pair: pieces.Pair


@dataclass(frozen=True)
class Size:
    """How much to measure: grid points (width, members), and turns of each contender."""

    grid: tuple[tuple[int, int], ...] = ((64, 32), (256, 16), (1024, 4))
    product: int = 2048
    turns: int = 7
    dropouts: tuple[str, ...] = tuple(RATES)
    profiled: tuple[str, ...] = ("nowhere", *RATES)
    mask: tuple[int, int] = (128, 1024)
    features: tuple[int, ...] = (256, 256, 10)
    n_train: int = 4_000


QUICK = Size(
    ((8, 2),),
    product=64,
    turns=1,
    dropouts=("pixels too",),
    profiled=("pixels too",),
    mask=(8, 8),
    features=(8, 10),
    n_train=256,
)


def take_turns(turns: int, running: dict[str, Callable[[], None]]) -> dict[str, list[float]]:
    """Seconds of every function in each turn, after one turn to warm up."""
    seconds: dict[str, list[float]] = {name: [] for name in running}
    for turn in range(turns + 1):
        for name, function in running.items():
            start = perf_counter()
            function()
            if turn:
                seconds[name].append(perf_counter() - start)
    return seconds


def run(size: Size) -> Iterator[dict[str, Any]]:
    """Speeds of all contenders and of the matrix product, for every grid point and dropout."""
    data = load_dataset("mnist5k")
    data = data._replace(x_train=data.x_train[: size.n_train], y_train=data.y_train[: size.n_train])
    steps = len(data.x_train) // BATCH
    contenders = {
        name: make
        for name, make in CONTENDERS.items()
        if name not in (TORCH, TORCH_FUNC) or importlib.util.find_spec("torch")
    }
    for width, members in size.grid:
        work = 6 * BATCH * (784 * width + width * width + width * 10) * steps * members
        for dropout in size.dropouts:
            instances = {
                name: make(width, members, RATES[dropout], data)
                for name, make in contenders.items()
            }
            before = {name: contender.loss() for name, contender in instances.items()}
            running = {name: contender.epoch for name, contender in instances.items()}
            config = Config(MLP((width, width, 10)), batch_size=BATCH)
            block = block_size(config, data.x_train.shape[1], jax.local_devices())
            limits = {
                PRODUCTS: pieces.products(width, members, steps, block, data.x_train[:BATCH]),
                LIMIT: matrix_product(size.product),
            }
            for name, seconds in take_turns(size.turns, {**running, **limits}).items():
                row = {"width": width, "members": members, "dropout": dropout, "contender": name}
                operations = work
                if name in instances:
                    after = instances[name].loss()
                    row |= {"loss_before": before[name], "loss_after": after}
                    if not after < before[name]:
                        raise AssertionError(f"does not learn: {row}")
                elif name == LIMIT:
                    operations = 2 * size.product**3 * len(jax.local_devices())
                row["gflops"] = operations / min(seconds) / 1e9
                row["gflops_median"] = operations / statistics.median(seconds) / 1e9
                yield row


def run_pieces(size: Size) -> Iterator[dict[str, Any]]:
    """Masks, analysis and measures: seconds of this library and of what it is held against."""
    n = 784 * size.features[0]
    todo = [
        Piece("a mask", 3.0, 50, pieces.masks(size.mask)),
        Piece("all measures and views of a member", 1 / 3, 1, pieces.analyses(size.features)),
        *(Piece(f"{name} of a kernel", 1.0, 3, pieces.measures(name, n)) for name in MEASURES),
    ]
    for piece in todo:
        with jax.debug_key_reuse(False):  # the same mask time and again, on purpose
            turns = take_turns(piece.often * size.turns, piece.pair)
        _, rival = piece.pair
        ours, theirs = map(min, turns.values())
        seconds = {"seconds": ours, "seconds_against": theirs, "ratio": theirs / ours}
        yield {"piece": piece.name, "against": rival, "goal": piece.least, **seconds}


def table(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """One line for every grid point and dropout: the speed of each contender and of the limit."""
    lines: dict[tuple, dict[str, Any]] = {}
    for row in rows:
        labels = {name: row[name] for name in ("width", "members", "dropout")}
        line = lines.setdefault(tuple(labels.values()), labels)
        line[row["contender"]] = row["gflops"]
    yield from lines.values()


def judge(rows: list[dict[str, Any]], small: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Whether each goal is met; with dropout on hidden layers, and with dropout on pixels too."""
    lines = {(line["width"], line["dropout"]): line for line in table(rows)}

    def judged(claim: str, ratio: float | None, least: float) -> dict[str, Any]:
        held = None if ratio is None else ratio >= least
        return {"prediction": "goal", "claim": claim, "held": held, "evidence": {"ratio": ratio}}

    goals = []
    for rival, width, least, dropouts in GOALS:
        for dropout in dropouts:
            line = lines.get((width, dropout), {})
            claim = f"at least {least:.2f} times {rival} at width {width}, dropout on {dropout}"
            ratio = line[LIBRARY] / line[rival] if rival in line else None
            goals.append(judged(claim, ratio, least))
    for row in small:
        claim = f"{row['piece']} at least {row['goal']:.2f} times as fast as {row['against']}"
        goals.append(judged(claim, row["ratio"], row["goal"]))
    return goals


def markdown(folder: Path) -> str:
    """The speeds of a record as a table, as the page of speeds shows it."""
    rows = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["rows"]
    others = [PRODUCTS, LIMIT, *list(CONTENDERS)[1:]]
    lines = [f"| H, members | dropout on | {' | '.join((LIBRARY, *others))} |"]
    lines.append("|---" * (3 + len(others)) + "|")
    for line in table(rows):
        cells = [f"{line['width']}, {line['members']}", line["dropout"], f"{line[LIBRARY]:.0f}"]
        for name in others:
            speed = line.get(name)
            ratio = f"{speed:.0f} ({line[LIBRARY] / speed:.2f} ×)" if speed else "not installed"
            cells.append(ratio)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main(folder: Path, size: Size) -> None:
    """Measure, write the record and print it."""
    writers.write_json(folder / "config.json", {"study": "benchmark", **asdict(size)})
    rows, small = list(run(size)), list(run_pieces(size))
    sorts = list(pieces.numpy_sorts(784 * size.features[0], 3 * size.turns))
    judged = judge(rows, small)
    data = load_dataset("mnist5k")
    profiled = [
        {
            "width": width,
            "dropout": dropout,
            "microseconds": profile(width, RATES.get(dropout), data),
        }
        for width, _ in size.grid
        for dropout in size.profiled
    ]
    environment = environment_of(jax.random.key(0))
    if importlib.util.find_spec("torch"):
        environment["versions"]["torch"] = importlib.metadata.version("torch")
    writers.write_json(folder / "environment.json", environment)
    writers.write_json(folder / "predictions.json", judged)
    writers.write_json(
        folder / "summary.json",
        {"rows": rows, "pieces": small, "numpy_sorts": sorts, "profiles": profiled},
    )
    print(markdown(folder))
    for row in profiled:
        parts = ", ".join(f"{part} {time:.0f}" for part, time in row["microseconds"].items())
        print(f"µs a step at width {row['width']}, dropout on {row['dropout']}: {parts}")
    for goal in judged:
        ratio, held = goal["evidence"]["ratio"], goal["held"]
        outcome = (
            "not measured" if ratio is None else f"{ratio:.2f}, {'held' if held else 'failed'}"
        )
        print(f"{goal['claim']}: {outcome}")


if __name__ == "__main__":
    command.start(__doc__, main, RESULTS, Size(), QUICK)
