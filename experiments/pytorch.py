"""A second opinion: does PyTorch, written apart from this library, come to the same answer?

Question    The main study trains and measures with this library alone. Networks trained by PyTorch,
            with its own dropout, optimizer and generator, and measured in NumPy: are their Gini
            indices the same?
Predicted   U1 For |w| of every layer and the contributions of every hidden layer, without and with
            dropout, the 95 % intervals of the means over seeds overlap.
Command     python -m experiments.pytorch [--quick]; with torch from `pip install -e '.[bench]'`
Time        about a minute on two CPU cores

Scientific  PyTorch, this library (its record of `weight_uniformity`); rate of hidden units (0, .5)
Fixed       784-256-256-10 ReLU on mnist5k; truncated normal init of variance 1/in, biases from 0,
            SGD with momentum .9, learning rate .05, batch 128, 30 epochs; what is constant over the
            training data is left out. Seeds are not paired with those of the library
"""

import importlib
import re
from collections import defaultdict
from itertools import pairwise
from pathlib import Path
from time import perf_counter
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure

from dropout_jax.data import Dataset, load_dataset
from dropout_jax.runs import style
from experiments.shared import command, differences, judging, record, study
from experiments.shared.study import QUICK, Size

RESULTS = study.RESULTS / "pytorch"
RATES = {"none": 0.0, "dropout": 0.5}
BATCH, LEARNING_RATE, MOMENTUM = 128, 0.05, 0.9
TRUNCATED_SD = 0.87962566  # the sd of a standard normal truncated at ± 2
Ginis = dict[tuple[str, int, str], list[float]]  # {(condition, layer, view): one a seed}


def train(widths: tuple[int, ...], rate: float, seed: int, epochs: int, data: Dataset) -> Any:
    """A trained network, affine layers and what stands between them in turn."""
    torch = importlib.import_module("torch")
    torch.manual_seed(seed)
    modules = []
    for n_in, n_out in pairwise(widths):
        affine = torch.nn.Linear(n_in, n_out)
        sd = n_in**-0.5 / TRUNCATED_SD
        torch.nn.init.trunc_normal_(affine.weight, std=sd, a=-2 * sd, b=2 * sd)
        torch.nn.init.zeros_(affine.bias)
        modules += [affine, torch.nn.ReLU(), torch.nn.Dropout(rate)]
    network = torch.nn.Sequential(*modules[:-2])
    optimizer = torch.optim.SGD(network.parameters(), LEARNING_RATE, MOMENTUM)
    x, y = torch.tensor(data.x_train), torch.tensor(data.y_train, dtype=torch.int64)
    network.train()
    for _ in range(epochs):
        order = torch.randperm(len(x))
        for first in range(0, len(x) - BATCH + 1, BATCH):
            rows = order[first : first + BATCH]
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(network(x[rows]), y[rows]).backward()
            optimizer.step()
    return network.eval()


def gini(a: np.ndarray) -> float:
    """The mean difference of two of the magnitudes, over twice their mean."""
    a = np.sort(np.abs(a), axis=None)
    ranks = np.arange(1, a.size + 1)
    return float(np.sum((2 * ranks - a.size - 1) * a) / ((a.size - 1) * a.sum()))


def measure(network: Any, x: np.ndarray) -> dict[tuple[int, str], float]:
    """Gini of |w| of every layer and of the contributions of hidden ones."""
    affine = [module for module in network if hasattr(module, "weight")]
    kernels = [m.weight.detach().numpy().T.astype(np.float64) for m in affine]
    biases = [m.bias.detach().numpy().astype(np.float64) for m in affine]
    h, values = x.astype(np.float64), {}
    live = np.ptp(h, axis=0) > 0
    for l, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
        if l == len(kernels) - 1:
            values[l, "entries"] = gini(kernel[live])
            continue
        h = np.maximum(h @ kernel + bias, 0)
        alive = np.ptp(h, axis=0) > 0
        values[l, "entries"] = gini(kernel[np.ix_(live, alive)])
        contributions = np.sqrt(np.mean(h**2, axis=0)) * np.linalg.norm(kernels[l + 1], axis=1)
        values[l, "contribution"] = gini(contributions[alive])
        live = alive
    return values


def run(size: Size) -> Ginis:
    """The Ginis of networks that PyTorch trained."""
    data, ginis = load_dataset(size.dataset), defaultdict(list)
    widths = (data.x_train.shape[1], *size.features, data.n_classes)
    for condition, rate in RATES.items():
        for seed in range(size.seeds):
            network = train(widths, rate, seed, size.epochs, data)
            for (layer, view), value in measure(network, np.asarray(data.x_train)).items():
                ginis[condition, layer, view].append(value)
    return dict(ginis)


def of_library() -> Ginis:
    """The Ginis of networks that this library trained, from the record of the main study."""
    ginis = {}
    for condition, values in record.values_of(study.RESULTS / "weight_uniformity").items():
        for name, by_seed in values["measures"].items():
            if match := re.fullmatch(r"gini of (\w+), layer (\d+)", name):
                ginis[condition, int(match[2]), match[1]] = by_seed.tolist()
    return ginis


def summarise(ginis: Ginis) -> dict[str, Any]:
    """Mean and interval of both, for every condition, layer and view."""
    library, rows = of_library(), []
    for (condition, layer, view), values in sorted(ginis.items()):
        row: dict[str, Any] = {"condition": condition, "layer": layer, "view": view}
        both = {"pytorch": values, "library": library[condition, layer, view]}
        for name, by_seed in both.items():
            row[name] = {**differences.over_seeds(np.array(by_seed)), "n": len(by_seed)}
        rows.append(row)
    return {"ginis": rows}


def judge(summary: dict[str, Any]) -> list[dict[str, Any]]:
    """Whether the intervals of every Gini overlap."""
    judged = []
    for row in summary["ginis"]:
        pytorch, library = row["pytorch"], row["library"]
        overlap = (
            pytorch["ci_low"] <= library["ci_high"] and library["ci_low"] <= pytorch["ci_high"]
        )
        claim = f"{row['view']} of layer {row['layer']}, {row['condition']}: intervals overlap"
        judged.append(judging.judged("U1", claim, overlap, row))
    return judged


@mpl.rc_context(style.STYLE)
def figures(summary: dict[str, Any]) -> dict[str, Figure]:
    """The intervals of both, side by side, a line for each condition, layer and view."""
    rows = summary["ginis"]
    figure = Figure(figsize=(7.2, 0.3 * len(rows) + 1.4), layout="constrained")
    axes = figure.subplots()
    for c, name in enumerate(("pytorch", "library")):
        ends = [[row[name][key] for row in rows] for key in ("mean", "ci_low", "ci_high")]
        mean, low, high = map(np.array, ends)
        y = np.arange(len(rows)) + 0.24 * (c - 0.5)
        look = {"fmt": "os"[c], "ms": 4, "color": style.COLOURS[c], "capsize": 2}
        axes.errorbar(mean, y, xerr=[mean - low, high - mean], **look, label=name)
    labels = [f"{row['condition']}   layer {row['layer']}   {row['view']}" for row in rows]
    axes.set_yticks(range(len(rows)), labels)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel("Gini")
    axes.legend()
    n_seeds = rows[0]["pytorch"]["n"]
    figure.suptitle(f"Mean and 95 % interval, n = {n_seeds} seeds of PyTorch", size=10)
    return {"ginis": figure}


def main(folder: Path, size: Size) -> None:
    """Run the study, write its record and print the predictions as judged."""
    start = perf_counter()
    ginis = run(size)
    summary = summarise(ginis)
    values = {
        f"{view}, layer {layer}, {name}": by_seed for (name, layer, view), by_seed in ginis.items()
    }
    versions = {"torch": importlib.import_module("torch").__version__}
    settings = {**vars(size), "rates": RATES, **versions}
    record.write(folder, settings, summary, judge(summary), figures(summary), start, values=values)


if __name__ == "__main__":
    command.start(__doc__, main, RESULTS, Size(), QUICK)
