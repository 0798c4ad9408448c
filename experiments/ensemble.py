"""Dropout read as an ensemble: one scaled network, masks averaged, or networks averaged?

Question    A lecture reads dropout as an ensemble of subnetworks of which the network at test time
            is the mean. Which mean is it, how many masks does that one pass stand for, and what is
            it worth beside an ensemble of networks that were trained apart?
Predicted   Of the masks of the last hidden layer exactly the normalised geometric mean (Baldi &
            Sadowski 2013); of more layers about, nearer to it than to the arithmetic mean, and the
            farther the higher the rate.
            JMLR §7.5 (Srivastava et al. 2014): one pass errs more than the scaled network, about 50
            match it, more are slightly better. Own: averaged masks are more likely to be right
            (lower negative log-likelihood) and better calibrated; a mask shared by all digits of a
            pass scatters more and ends at the same; five networks beat the masks of one, five with
            dropout five without; masks disagree more (mutual information) than networks do.
Judged      A family is one pair of sides. Groups of networks are compared pair by pair.
Command     python -m experiments.ensemble [--quick]
Time        about four minutes on two CPU cores

Scientific  what is averaged: nothing (scaled weights), 1 … 500 passes, each digit with its own mask
            or all with one, 1 … 5 networks; arithmetic or geometric mean. Exact: all 2^12 masks
            of 784-6-6-10, one or both hidden layers masked, at rates .2 and .5
Nuisance    which five networks: 50 a condition in 10 disjoint groups, the unit of the statistics;
            what one network can do is measured on the first of each group
Fixed       as in the main study; rate .5 on hidden layers; calibration in 15 bins
"""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from matplotlib.figure import Figure

from dropout_jax.analysis import ensemble
from dropout_jax.analysis.ensemble import arithmetic_mean, geometric_mean
from dropout_jax.data import Dataset, load_dataset
from dropout_jax.networks.mlp import MLP, Params, layers
from dropout_jax.populations.devices import map_members
from dropout_jax.populations.population import fit_population
from dropout_jax.training.config import Config, Hparams
from experiments.shared import command, differences, judging, record, study
from experiments.shared.ensemble_figures import plot_gaps, plot_passes
from experiments.shared.ensemble_scores import Values, scores

RESULTS = study.RESULTS / "ensemble"
RATE = 0.5
PASSES_SEED = 1  # apart from the keys that members descend from
# The small network's layers that are masked, and the rates of both hidden ones.
MASKED = {"last .2": (0, 0.2), "last .5": (0, 0.5), "both .2": (0.2, 0.2), "both .5": (0.5, 0.5)}
ROUNDING = 1e-4  # log p down to -50, 2^12 of them added pairwise: some 20 · 50 · 2^-24
MATCH = 0.3  # points
MARGINS = {"error": 0.3, "nll": 0.01}  # points, nats
AT_ONCE = 50  # digits, each with all masks
ALSO = (("scaled", "geometric mean"), ("scaled", "networks, dropout"))  # compared, not predicted


class Prediction(NamedTuple):
    """What is `wanted` of a quantity in a condition: a verdict, or a margin of the interval."""

    author: str
    claim: str
    baseline: str
    condition: str
    quantity: str
    wanted: str | float


_PREDICTED = (  # in the order of `Prediction`
    ("Baldi", "last layer: the geometric mean at .2", "exact", "largest gap", "last .2", ROUNDING),
    ("Baldi", "last layer: the geometric mean at .5", "exact", "largest gap", "last .5", ROUNDING),
    ("Baldi", "both: nearer geometric at .2", "to arithmetic", "to geometric", "both .2", "lower"),
    ("Baldi", "both: nearer geometric at .5", "to arithmetic", "to geometric", "both .5", "lower"),
    ("own", "both: farther from it at .5", "both .2", "both .5", "to geometric", "higher"),
    ("own", "large: nearer geometric", "to arithmetic", "to geometric", "large .5", "lower"),
    ("JMLR", "one pass errs more than scaled weights", "scaled", "1 pass", "error", "higher"),
    ("JMLR", "50 passes match scaled weights to .3", "scaled", "50 passes", "error", MATCH),
    ("JMLR", "all passes err less than scaled weights", "scaled", "masks", "error", "lower"),
    ("own", "masks are likelier than scaled weights", "scaled", "masks", "nll", "lower"),
    ("own", "masks are better calibrated", "scaled", "masks", "ece", "lower"),
    ("own", "shared masks scatter more", "masks", "shared masks", "scatter", "higher"),
    ("own", "shared masks end at the same", "masks", "shared masks", "nll", "negligible"),
    ("own", "networks are likelier than masks", "masks", "networks", "nll", "lower"),
    ("own", "networks with dropout are likelier", "networks", "networks, dropout", "nll", "lower"),
    ("own", "networks agree more than masks", "masks", "networks", "mutual information", "lower"),
)
PREDICTED = [Prediction(*fields) for fields in _PREDICTED]


@dataclass(frozen=True)
class Size(study.Size):
    """How much to train: `seeds` groups of networks, as many averaged as the first of `passes`."""

    members: int = 5
    passes: tuple[int, ...] = (1, 2, 3, 4, 5, 10, 20, 50, 100, 200, 500)
    small: tuple[int, ...] = (6, 6)


QUICK = Size("digits", (4, 4), 1, 3, members=2, passes=(1, 2, 50), small=(4, 4))


def gaps(scaled: jax.Array, arithmetic: jax.Array, geometric: jax.Array) -> Values:
    """Total variation ½ Σ |p - q| of the scaled network from both means over masks, [n, K] each."""
    p, *means = (jnp.exp(log_p) for log_p in (scaled, arithmetic, geometric))
    to_arithmetic, to_geometric = (jnp.abs(p - q).sum(axis=-1) / 2 for q in means)
    mean_gaps = {"to arithmetic": to_arithmetic.mean(), "to geometric": to_geometric.mean()}
    return {**mean_gaps, "largest gap": to_geometric.max()}


def predict(model: MLP, params: Params, x: jax.Array) -> jax.Array:
    """Log-probabilities [n, K] of one deterministic pass: of the scaled network."""
    return jax.nn.log_softmax(cast(jax.Array, model.apply(params, x)))


def average_passes(
    model: MLP, sizes: tuple[int, ...], params: Params, key: jax.Array, data: Dataset
) -> tuple[dict[str, Values], Values]:
    """`scores` of means over random masks of one network, and its `gaps`; the key is consumed."""
    x, y = jnp.asarray(data.x_test), jnp.asarray(data.y_test)
    rates = study.layer_rates(RATE, len(model.features) - 1)

    def one_pass(key: jax.Array, x: jax.Array) -> Any:
        return model.apply(params, x, key=key, rates=rates)

    own_key, shared_key = jax.random.split(key)
    own = ensemble.mc_predictions(one_pass, own_key, x, sizes[-1])
    shared = ensemble.mc_predictions(one_pass, shared_key, x, sizes[-1], shared_mask=True)
    curves = {
        "masks": scores(sizes, arithmetic_mean, own, y),
        "shared masks": scores(sizes, arithmetic_mean, shared, y),
        "geometric mean": scores(sizes, geometric_mean, own, y),
    }
    return curves, gaps(predict(model, params, x), arithmetic_mean(own), geometric_mean(own))


def enumerate_masks(model: MLP, params: Params, rates: jax.Array, x: jax.Array) -> Values:
    """`gaps` of a small network from the means over all masks, for rates of hidden layers."""
    *hidden, last = layers(params)
    widths = model.features[:-1]
    rate = jnp.concatenate([jnp.full(n, r) for n, r in zip(widths, rates, strict=True)])
    masks = ensemble.all_masks(len(rate))
    weights = ensemble.mask_probabilities(masks, rate)
    scales = jnp.split(masks / (1 - rate)[None], np.cumsum(widths)[:-1], axis=1)

    def one_mask(h: jax.Array, scales: list[jax.Array]) -> jax.Array:
        for layer, scale in zip(hidden, scales, strict=True):
            h = model.activation(h @ layer["kernel"] + layer["bias"]) * scale
        return jax.nn.log_softmax(h @ last["kernel"] + last["bias"])

    def means(example: jax.Array) -> tuple[jax.Array, jax.Array]:
        log_probs = jax.vmap(one_mask, (None, 0))(example, scales)
        return arithmetic_mean(log_probs, weights), geometric_mean(log_probs, weights)

    return gaps(predict(model, params, x), *jax.lax.map(means, x, batch_size=AT_ONCE))


def run_large(size: Size, data: Dataset) -> tuple[dict[str, Values], Values]:
    """`scores` [G, P] of masks and of networks averaged; `gaps` [G] of the first of each group."""
    model = MLP((*size.features, data.n_classes))
    rates = {"networks": 0.0, "networks, dropout": RATE}
    conditions = [Hparams(study.layer_rates(rate, len(size.features))) for rate in rates.values()]
    config, seeds = Config(model, epochs=size.epochs), range(size.seeds * size.members)
    params = fit_population(config, conditions, seeds, study.root_key(), data).params
    firsts = jax.tree.map(lambda leaf: leaf[1:, :: size.members], params)
    keys = jax.random.split(jax.random.key(PASSES_SEED, impl=study.PRNG), (1, size.seeds))
    mask_results = map_members(average_passes, (model, size.passes), (firsts, keys), data)
    curves, gaps = jax.tree.map(lambda leaf: leaf[0], mask_results)
    log_probs = map_members(predict, (model,), (params,), data.x_test)
    groups = log_probs.reshape(2, size.seeds, size.members, *log_probs.shape[2:])
    sizes = size.passes[: size.members]
    network_scores = map_members(scores, (sizes, arithmetic_mean), (groups,), data.y_test)
    curves |= differences.by_condition(rates, network_scores)
    return {
        kind: {**values, "error": differences.percent(values["error"])}
        for kind, values in curves.items()
    }, gaps


def run_small(size: Size, data: Dataset) -> dict[str, Values]:
    """`gaps` [S] of small networks, by which of their layers are masked."""
    config = Config(MLP((*size.small, data.n_classes)), epochs=size.epochs)
    conditions = [Hparams(rates=(0.0, *rates)) for rates in MASKED.values()]
    trained = fit_population(config, conditions, range(size.seeds), study.root_key(), data)
    rates = np.array(list(MASKED.values()), np.float32)[:, None].repeat(size.seeds, axis=1)
    values = map_members(enumerate_masks, (config.model,), (trained.params, rates), data.x_test)
    return differences.by_condition(MASKED, values)


def sides(size: Size, curves: dict[str, Values], gaps: dict[str, Values]) -> dict[str, Values]:
    """All that is compared: quantities [G] of each side of a comparison."""

    def quantities(kind: str, column: int) -> Values:
        return {quantity: values[:, column] for quantity, values in curves[kind].items()}

    return {
        **{kind: quantities(kind, -1) for kind in curves},
        "scaled": quantities("networks, dropout", 0),
        "1 pass": quantities("masks", 0),
        "50 passes": quantities("masks", size.passes.index(50)),
        **gaps,
        **{
            name: {condition: gaps[condition][name] for condition in gaps}
            for name in gaps["large .5"]
        },
        "exact": {condition: np.zeros(size.seeds) for condition in MASKED},
    }


def summarise(size: Size, curves: dict[str, Values], gaps: dict[str, Values]) -> dict[str, Any]:
    """Mean and sd of everything, and the paired comparisons, a family for each pair of sides."""
    compared, comparisons = sides(size, curves, gaps), []
    predicted = [(prediction.baseline, prediction.condition) for prediction in PREDICTED]
    for baseline, condition in dict.fromkeys([*predicted, *ALSO]):
        names = [name for name in compared[baseline] if name in compared[condition]]
        one, other = (
            np.stack([compared[side][q] for q in names], axis=1) for side in (baseline, condition)
        )
        rows = differences.paired(names, one, other, [MARGINS.get(name, np.nan) for name in names])
        comparisons += [{"baseline": baseline, "condition": condition, **row} for row in rows]
    everything = {**curves, **gaps}
    return {
        "n_groups": size.seeds,
        "means": jax.tree.map(lambda values: values.mean(axis=0).tolist(), everything),
        "sds": jax.tree.map(lambda values: values.std(axis=0, ddof=1).tolist(), everything),
        "comparisons": comparisons,
    }


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Each prediction, and whether it held: by its verdict, or its interval within a margin."""
    rows = {(r["baseline"], r["condition"], r["quantity"]): r for r in summary["comparisons"]}
    judged = []
    for one in PREDICTED:
        row = rows[one.baseline, one.condition, one.quantity]
        if isinstance(one.wanted, str):
            held = judging.shown(row, one.wanted)
        else:
            held = judging.placed(row, -one.wanted, one.wanted) == "within"
        judged.append(judging.judged(one.author, one.claim, held, row))
    return judged


def figures(values: dict[str, Any], size: Size = Size()) -> dict[str, Figure]:
    """Errors and likelihoods against what is averaged, and how far both means are."""
    return {
        "passes": plot_passes(size.passes, values["curves"], size.seeds),
        "gaps": plot_gaps(values["gaps"], size.seeds),
    }


def main(folder: Path, size: Size) -> None:
    """Run the study, write its record and print the predictions as judged."""
    start = perf_counter()
    data = load_dataset(size.dataset)
    curves, large = run_large(size, data)
    gaps = {**run_small(size, data), "large .5": large}
    summary = summarise(size, curves, gaps)
    settings = {**vars(size), "rate": RATE, "masked": MASKED, "passes_seed": PASSES_SEED}
    values = {"curves": curves, "gaps": gaps}
    drawn = figures(values, size)
    record.write(folder, settings, summary, judge(summary), drawn, start, values=values)


if __name__ == "__main__":
    command.start(__doc__, main, RESULTS, Size(), QUICK)
