"""Does theory of dropout hold in a real network: what masks add to the loss, and what width does?

Question    For squared error, masks of the last hidden layer add exactly λ Σ c² to the loss. What
            do they add in networks with a softmax? And is the spread of contributions a matter of
            λ/r, for r units and λ = rate / (1 - rate), as in linear networks?
Predicted   I1 At rate .05, inflation over the quadratic prediction lies in [.9, 1.1] in networks
            trained with dropout. I2 Inflation over λ Σ c² differs more than twofold between
            networks trained without and with dropout .5. I3 Over all networks and rates the
            quadratic prediction errs less than λ Σ c² with one factor fitted. I4 At λ/r = 1/256 the
            change of the Gini of contributions of the last hidden layer, at widths 64 to 1024, is
            within .03 of that at 256. I5 At rate .5 it is not: at 64 or 1024 it differs by more.
Judged      Inflation is the mean loss over masks minus that without, on 1,000 training digits; the
            quadratic prediction is `theory.softmax_penalty`. I2 takes rate .05. The error of I3 is
            the mean |ln(inflation / prediction)| over trained and tested rates, seed by seed; the
            factor is fitted on all of them. I4 is two one-sided tests over the widths; a
            family is the widths under one rule. All widths
            train for as many epochs; their training losses are in the record.
Command     python -m experiments.inflation [--quick]
Time        about a quarter of an hour on two CPU cores

Scientific  trained rate (0, .2, .5, .8), tested rate (.05, .1, .2, .5, .8); width of both hidden
            layers (64, 128, 256, 512, 1024) at rate .5 and at λ/r = 1/256
Fixed       as in the main study; 10 seeds; 500 masks, a mask for each digit
"""

from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any, cast

import jax
import jax.numpy as jnp
import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from dropout_jax.analysis import theory
from dropout_jax.analysis.members import measure_population
from dropout_jax.analysis.paired import interval
from dropout_jax.analysis.units import contribution
from dropout_jax.data import Dataset, load_dataset
from dropout_jax.networks.mlp import MLP, Params, layers
from dropout_jax.noise import dropout
from dropout_jax.populations.devices import map_members
from dropout_jax.populations.population import fit_population
from dropout_jax.runs import style
from dropout_jax.training.config import Config, Hparams
from dropout_jax.training.objectives import cross_entropy
from experiments.shared import command, differences, judging, record, study

RESULTS = study.RESULTS / "inflation"
TRAINED = (0.0, 0.2, 0.5, 0.8)
TESTED = (0.05, 0.1, 0.2, 0.5, 0.8)
N_EXAMPLES, N_MASKS, MASKS_SEED = 1_000, 500, 1
RATIO = 1 / 256  # λ/r
RULES = ("rate .5", "λ/r = 1/256")  # of the widths
SAME = 0.03  # Gini
GINI = "Gini of contributions, last hidden layer"
Values = dict[str, Any]


@dataclass(frozen=True)
class Size(study.Size):
    """How much to train."""

    widths: tuple[int, ...] = (64, 128, 256, 512, 1024)


QUICK = Size("digits", (16, 16), epochs=2, seeds=6, widths=(8, 256))


def inflations(
    model: MLP, params: Params, key: jax.Array, data: tuple[jax.Array, jax.Array]
) -> dict[str, jax.Array]:
    """What masks of the last hidden layer add to the loss of a member, and predictions [rates].

    The key is consumed; the rates share masks, which are nested.
    """
    x, y = data
    hidden = cast(tuple, model.apply(params, x, method="activations"))[-2]
    last = layers(params)[-1]

    def loss(h: jax.Array) -> jax.Array:
        logits = h @ last["kernel"] + last["bias"][None]
        return jax.vmap(cross_entropy)(logits, y).mean()

    def with_mask(key: jax.Array) -> jax.Array:
        return jax.vmap(lambda rate: loss(dropout(key, hidden, rate)))(jnp.array(TESTED))

    losses = jax.lax.map(with_mask, jax.random.split(key, N_MASKS))
    squares = jnp.sum(contribution(hidden, last["kernel"]) ** 2)
    return {
        "inflation": losses.mean(axis=0) - loss(hidden),
        "standard error": losses.std(axis=0, ddof=1) / np.sqrt(N_MASKS),
        "quadratic": jnp.stack(
            [theory.softmax_penalty(hidden, last["kernel"], last["bias"], q) for q in TESTED]
        ),
        "λ Σ c²": theory.variance(jnp.array(TESTED)) * squares,
    }


def run_rates(size: Size, data: Dataset) -> Values:
    """`inflations` [trained rates, S, tested rates] of the networks of the main study."""
    model = MLP((*size.features, data.n_classes))
    conditions = [Hparams(study.layer_rates(rate, len(size.features))) for rate in TRAINED]
    config, seeds = Config(model, epochs=size.epochs), range(size.seeds)
    members = fit_population(config, conditions, seeds, study.root_key(), data)
    keys = jax.random.split(jax.random.key(MASKS_SEED, impl=study.PRNG), size.seeds)
    keys = jnp.broadcast_to(keys, (len(TRAINED), size.seeds))
    digits = (data.x_train[:N_EXAMPLES], data.y_train[:N_EXAMPLES])
    return map_members(inflations, (model,), (members.params, keys), digits)


def rate_at(width: int) -> float:
    """The rate whose λ is the width times the ratio: λ / (1 + λ)."""
    return RATIO * width / (1 + RATIO * width)


def run_widths(size: Size, data: Dataset) -> dict[str, Values]:
    """By width: Ginis and training losses [S] without dropout, at rate .5 and at λ/r = 1/256."""
    by_width = {}
    for width in size.widths:
        model = MLP((width, width, data.n_classes))
        rates = dict(zip(("none", *RULES), (0.0, 0.5, rate_at(width)), strict=True))
        conditions = [Hparams(study.layer_rates(rate, 2)) for rate in rates.values()]
        config, seeds = Config(model, epochs=size.epochs), range(size.seeds)
        members = fit_population(config, conditions, seeds, study.root_key(), data)
        measured = measure_population(model, members, data.x_train).values
        quantities = {
            GINI: measured[1]["contribution"]["gini"],
            "Gini of contributions, first hidden layer": measured[0]["contribution"]["gini"],
            "train loss": members.curve.train.loss[..., -1],
        }
        by_width[str(width)] = differences.by_condition(rates, quantities)
        print(width, flush=True)
    return by_width


def log_errors(values: Values) -> dict[str, np.ndarray]:
    """Mean |ln(inflation / prediction)| [S] over trained and tested rates, by prediction."""
    with np.errstate(invalid="ignore"):  # an inflation below 0 leaves its seed out
        logs = {
            name: np.log(values["inflation"] / values[name]) for name in ("quadratic", "λ Σ c²")
        }
    logs["λ Σ c²"] -= np.nanmedian(logs["λ Σ c²"])
    return {name: np.abs(log).mean(axis=(0, 2)) for name, log in logs.items()}


def changes(widths: dict[str, Values], rule: str) -> dict[str, np.ndarray]:
    """The change of the Gini of the last contributions [S] from none, by width."""
    return {width: values[rule][GINI] - values["none"][GINI] for width, values in widths.items()}


def over_rates(ratios: np.ndarray) -> list[dict[str, Any]]:
    """`differences.over_seeds` of ratios [trained rates, S, tested rates]."""
    return [
        {"trained": f"{trained:g}", "tested": f"{tested:g}", **differences.over_seeds(ratio)}
        for trained, by_rate in zip(TRAINED, ratios, strict=True)
        for tested, ratio in zip(TESTED, by_rate.T, strict=True)
    ]


def summarise(values: Values) -> dict[str, Any]:
    """Ratios of what was realised to what was predicted; changes by width, against width 256."""
    rates, widths, errors = values["rates"], values["widths"], log_errors(values["rates"])
    to_squares = rates["inflation"] / rates["λ Σ c²"]
    folds = to_squares[TRAINED.index(0.5), :, 0] / to_squares[0, :, 0]
    against_256 = []
    for rule in RULES:
        others = changes(widths, rule)
        reference = others.pop("256")
        references = np.stack([reference] * len(others), axis=-1)
        columns = np.stack(list(others.values()), axis=-1)
        rows = differences.paired([GINI] * len(others), references, columns, SAME)
        for width, row in zip(others, rows, strict=True):
            against_256.append({"rule": rule, "width": int(width), **row})
    return {
        "n_seeds": len(folds),
        "inflation over quadratic": over_rates(rates["inflation"] / rates["quadratic"]),
        "inflation over λ Σ c²": over_rates(to_squares),
        "largest standard error over inflation": float(
            np.max(rates["standard error"] / np.abs(rates["inflation"]))
        ),
        "dropout .5 over none, of inflation over λ Σ c²": differences.over_seeds(folds),
        "mean |ln(inflation / prediction)|": differences.paired(
            ["quadratic, and λ Σ c² with a factor"],
            errors["λ Σ c²"][:, None],
            errors["quadratic"][:, None],
        ),
        "change by width": [
            {"rule": rule, "width": int(width), **differences.over_seeds(change)}
            for rule in RULES
            for width, change in changes(widths, rule).items()
        ],
        "against width 256": against_256,
        "train loss": {
            width: {name: float(v["train loss"].mean()) for name, v in conditions.items()}
            for width, conditions in widths.items()
        },
    }


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Each prediction, and whether it held."""
    least, half = f"{TESTED[0]:g}", "dropout .5 over none, of inflation over λ Σ c²"
    first = [
        row
        for row in summary["inflation over quadratic"]
        if row["tested"] == least and row["trained"] != "0"
    ]
    claim = f"inflation over quadratic in [.9, 1.1] at rate {least}, trained with dropout"
    judged = [judging.judged_within("I1", claim, first, 0.9, 1.1)]
    row = summary[half]
    held = row["ci_low"] > 2 or row["ci_high"] < 0.5
    judged.append(judging.judged("I2", "inflation over λ Σ c² differs twofold", held, row))
    (row,) = summary["mean |ln(inflation / prediction)|"]
    claim = "the quadratic prediction errs less than λ Σ c² with one factor"
    judged.append(judging.judged_by_verdict("I3", claim, row, "lower"))
    rows = {(r["rule"], r["width"]): r for r in summary["against width 256"]}
    fixed = [row for (rule, _), row in rows.items() if rule == RULES[1]]
    claim = f"λ/r = 1/256: the change is within {SAME:g} of that at width 256"
    judged.append(judging.judged_by_verdict("I4", claim, fixed, "negligible"))
    ends = [rows[RULES[0], end(width for _, width in rows)] for end in (min, max)]
    held = any(row["ci_low"] > SAME or row["ci_high"] < -SAME for row in ends)
    claim = f"rate .5: at one of the end widths it differs by more than {SAME:g}"
    return [*judged, judging.judged("I5", claim, held, ends)]


@mpl.rc_context(style.STYLE)
def figures(values: Values) -> dict[str, Figure]:
    """Realised against predicted inflation, and the change of the Gini against width."""
    rates = values["rates"]
    figure = Figure(figsize=(9.6, 3.6), layout="constrained")
    quadratic, squares, width = figure.subplots(1, 3)
    for axes, name, unit in ((quadratic, "quadratic", "nats"), (squares, "λ Σ c²", "logits²")):
        for c, rate in enumerate(TRAINED):
            x, y = rates[name][c].ravel(), rates["inflation"][c].ravel()
            label = f"trained at {rate:g}"
            axes.loglog(x, y, style.marker(c), color=style.colour(c), ms=3, alpha=0.6, label=label)
        ratios = rates["inflation"] / rates[name]
        exact = name == "quadratic"
        factor = 1 if exact else np.nanmedian(ratios)
        ends = np.array([rates[name].min() / 1.5, 1.5 * rates[name].max()])
        line_label = "equal" if exact else "one factor, fitted"
        axes.plot(ends, factor * ends, color="black", lw=0.8, label=line_label)
        axes.set(xlabel=f"predicted, {name}, {unit}", ylabel="inflation of the loss, nats")
        *_, line = axes.get_lines()
        axes.legend(handles=None if exact else [line], loc="lower right")
    width.set_xscale("log")
    for c, rule in enumerate(RULES):
        by_width = changes(values["widths"], rule)
        x = np.array([int(w) for w in by_width]) * 1.04 ** (2 * c - 1)
        low, high = np.transpose([interval(v) for v in by_width.values()])
        mean = np.array([v.mean() for v in by_width.values()])
        look = {"fmt": style.marker(c) + "-", "ms": 4, "lw": 1, "color": style.colour(c)}
        width.errorbar(x, mean, [mean - low, high - mean], **look, label=rule)
        width.set_xticks([int(w) for w in by_width], list(by_width))
    width.minorticks_off()
    width.axhline(0, color="black", lw=0.8)
    width.set(xlabel="units of a hidden layer, r", ylabel="change of the Gini from none")
    width.legend()
    n_seeds = rates["inflation"].shape[1]
    title = f"Inflation by masks, a point a network and rate; the spread by width; n = {n_seeds}"
    figure.suptitle(title, size=10)
    return {"inflation": figure}


def main(folder: Path, size: Size) -> None:
    """Run the study, write its record and print the predictions as judged."""
    start, data = perf_counter(), load_dataset(size.dataset)
    values = {"rates": run_rates(size, data), "widths": run_widths(size, data)}
    summary = summarise(values)
    settings = {**vars(size), "masks": N_MASKS, "masks_seed": MASKS_SEED, "ratio": RATIO}
    record.write(folder, settings, summary, judge(summary), figures(values), start, values=values)


if __name__ == "__main__":
    command.start(__doc__, main, RESULTS, Size(), QUICK)
