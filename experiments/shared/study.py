"""What all studies share: the setting, and paired differences and claims about them."""

import itertools
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from dropout_jax.analysis.paired import compare, interval
from dropout_jax.analysis.statistics import is_negligible
from dropout_jax.data import Array, Dataset, load_dataset, split
from dropout_jax.populations.population import fit_population
from dropout_jax.training.config import Config, Hparams

ROOT_SEED = 0
PRNG = "threefry2x32"  # JAX's default, which an environment variable could change
RESULTS = Path(__file__).parent.parent / "results"
FIRST_TUNING_SEED = 1000  # the seeds compared stay below
_DIRECTIONS = {"more uniform": "lower", "less uniform": "higher"}


@dataclass(frozen=True)
class Size:
    """The setting of the main study: 784-256-256-10 on mnist5k, SGD with momentum, 30 epochs."""

    dataset: str = "mnist5k"
    features: tuple[int, ...] = (256, 256)
    epochs: int = 30
    seeds: int = 10


QUICK = Size("digits", (16, 16), epochs=2, seeds=3)


def layer_rates(hidden: float, n_hidden: int, pixels: float = 0.0) -> tuple[float, ...]:
    """The rate of every layer's inputs: that of the pixels, then the one of all hidden units."""
    return (pixels, *(hidden,) * n_hidden)


def root_key() -> jax.Array:
    """The key that the members of every study descend from; only folded into."""
    return jax.random.key(ROOT_SEED, impl=PRNG)


def tuned_l2() -> float:
    """The coefficient of least validation loss, from the record of `weight_uniformity`."""
    config = RESULTS / "weight_uniformity" / "config.json"
    return json.loads(config.read_text(encoding="utf-8"))["l2"]


def validation_split(data: Dataset) -> Dataset:
    """The training data alone, a fifth of it held out as test data."""
    return split(np.asarray(data.x_train), np.asarray(data.y_train), "validation")


def with_test_digits(data: Dataset, folder: Path | None) -> Dataset:
    """The data, tested on the 10,000 test digits of full MNIST in a folder, if one is given.

    None of them is among the digits of `mnist5k`, which are training digits of full MNIST.
    """
    if folder is None:
        return data
    full = load_dataset("mnist", folder)
    return data._replace(x_test=full.x_test, y_test=full.y_test)


def clothes(folder: Path | None) -> Dataset:
    """The first pictures of Fashion-MNIST, as many as of `mnist5k`, from their folder."""
    data = load_dataset("fashion_mnist", folder)
    n, n_test = 4_000, 1_000
    return Dataset(data.x_train[:n], data.y_train[:n], data.x_test[:n_test], data.y_test[:n_test])


def tune(
    config: Config, candidates: Sequence[Hparams], n_seeds: int, data: Dataset
) -> tuple[Hparams, np.ndarray, np.ndarray]:
    """The candidate of least validation loss; mean validation loss and error of each.

    Means are over seeds that no study compares. One that diverged is not chosen.
    """
    seeds = range(FIRST_TUNING_SEED, FIRST_TUNING_SEED + n_seeds)
    trained = fit_population(config, candidates, seeds, root_key(), validation_split(data))
    loss, error = (np.asarray(metric)[..., -1].mean(axis=1) for metric in trained.curve.test)
    return candidates[int(np.nanargmin(loss))], loss, error


def percent(fractions: jax.typing.ArrayLike) -> np.ndarray:
    """Errors in percent, to four digits, so that rounding in float32 does not untie equal ones."""
    return np.round(100 * np.asarray(fractions, np.float64), 4)


def paired(
    names: Sequence[str],
    baseline: np.ndarray,
    condition: np.ndarray,
    margin: float | Sequence[float] = math.nan,
) -> list[dict[str, Any]]:
    """Condition minus baseline for quantities [S, K] of one family, on the same seeds.

    A seed whose difference is not finite is left out of that quantity. The verdict is `higher` or
    `lower`, with `negligibly` before it if the difference is shown to be within the margin (in the
    units of the quantity; one number, or K); or else `negligible` or `undecided`.
    """
    counts = np.isfinite(baseline) & np.isfinite(condition)
    rows = [row._asdict() for row in compare(baseline, condition, margin=margin, counts=counts)]
    for row, (uniform, direction) in itertools.product(rows, _DIRECTIONS.items()):
        row["verdict"] = row["verdict"].replace(uniform, direction)
    return [{"quantity": name, **row} for name, row in zip(names, rows, strict=True)]


def paired_conditions(
    pairs: Sequence[tuple[str, str]],
    names: Sequence[str],
    values: Mapping[str, np.ndarray],
    margin: float | Sequence[float] = math.nan,
) -> list[dict[str, Any]]:
    """`paired` for pairs (baseline, condition) of values [S, K]: all of them are one family."""
    baseline, condition = (
        np.concatenate([values[pair[i]] for pair in pairs], axis=1) for i in (0, 1)
    )
    margins = np.tile(np.broadcast_to(margin, len(names)), len(pairs)).tolist()
    rows = paired(list(names) * len(pairs), baseline, condition, margins)
    row_pairs = [pair for pair in pairs for _ in names]
    return [{"baseline": b, "condition": c} | r for (b, c), r in zip(row_pairs, rows, strict=True)]


def by_condition(
    names: Iterable[str], measured: Mapping[str, Array]
) -> dict[str, dict[str, np.ndarray]]:
    """{condition: {quantity: [S, …]}} of what was measured of members, {quantity: [C, S, …]}."""
    return {
        name: {quantity: np.asarray(values[c]) for quantity, values in measured.items()}
        for c, name in enumerate(names)
    }


def mean_and_sd(values: np.ndarray) -> dict[str, float]:
    """Mean and standard deviation of values [S]."""
    return {"mean": float(values.mean()), "sd": float(values.std(ddof=1))}


def over_seeds(values: np.ndarray) -> dict[str, float]:
    """Mean and 95 % interval of values [S]."""
    low, high = interval(values)
    return {"mean": float(np.mean(values)), "ci_low": low, "ci_high": high}


def shown(row: Mapping[str, Any], *directions: str) -> bool:
    """Whether the verdict of a comparison is one of `higher`, `lower` and `negligible`.

    A difference that is both significant and negligible is both.
    """
    return any(
        is_negligible(row["verdict"])
        if direction == "negligible"
        else row["verdict"].endswith(direction)
        for direction in directions
    )


def judged(prediction: str, claim: str, held: bool, evidence: Any) -> dict[str, Any]:
    """A prediction, or a part of one, and whether it held."""
    return {"prediction": prediction, "claim": claim, "held": bool(held), "evidence": evidence}


def judged_by_verdict(
    prediction: str,
    claim: str,
    evidence: Mapping[str, Any] | Sequence[Mapping[str, Any]],
    *directions: str,
) -> dict[str, Any]:
    """A claim that holds if one of the directions is `shown` by a row, or by each of several.

    A claim about no row does not hold.
    """
    rows = [evidence] if isinstance(evidence, Mapping) else evidence
    held = bool(rows) and all(shown(row, *directions) for row in rows)
    return judged(prediction, claim, held, evidence)


def placed(row: Mapping[str, Any], low: float, high: float) -> str:
    """Whether the interval of a row lies `within` [low, high] or `outside`, or is `undecided`."""
    if low <= row["ci_low"] and row["ci_high"] <= high:
        return "within"
    return "outside" if row["ci_high"] < low or row["ci_low"] > high else "undecided"


def judged_within(
    prediction: str,
    claim: str,
    rows: Sequence[Mapping[str, Any]],
    low: float = -np.inf,
    high: float = np.inf,
) -> dict[str, Any]:
    """A claim that differences lie in [low, high]; it holds if all of their intervals do.

    The evidence says whether each interval lies `within` or `outside`, or is `undecided`.
    """
    evidence = [{**row, "interval": placed(row, low, high)} for row in rows]
    return judged(prediction, claim, all(e["interval"] == "within" for e in evidence), evidence)
