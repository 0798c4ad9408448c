"""How fast are populations, against the machine's own limit and what else one would write?

Question    Is training a population limited by its matrix products and nothing else? Is it ahead of
            a loop over Flax or PyTorch networks, and of PyTorch's vmapped ensembles?
Predicted   The goals in `GOALS`, all ratios of this one run; set before the benchmark was written.
Command     python experiments/benchmark.py [--quick]; with torch from `pip install -e '.[bench]'`
Time        about five minutes on two CPU cores

Scientific  width and members; dropout off, on hidden layers, on pixels too
Fixed       784-H-H-10, batches of 128, SGD with momentum; one epoch over 4,000 digits is timed

Useful work is 6 B Σ in·out floating-point operations a step and member, whoever does it: two
products of the backward pass and one of the forward pass, two operations a product. (The gradient
of the pixels is nobody's to compute, so a ratio above 1 is possible.) Contenders take turns; the
fastest of k turns counts, the median is recorded beside it.
"""

import argparse
import importlib
import importlib.metadata
import importlib.util
import json
import statistics
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby, product
from operator import itemgetter
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax.training.train_state import TrainState

from dropout_jax import records
from dropout_jax.blocks import block_size, deal, init_blocks, mesh_of, share, train_blocks
from dropout_jax.cli import n_cores
from dropout_jax.data import Dataset, batch_indices, load_dataset
from dropout_jax.networks import MLP, Params
from dropout_jax.training import Config, Hparams

RESULTS = Path(__file__).parent / "results" / "benchmark"
BATCH, LEARNING_RATE, MOMENTUM = 128, 0.05, 0.9
RATES = {"hidden layers": (0.0, 0.5, 0.5), "pixels too": (0.2, 0.5, 0.5)}
LIBRARY, FLAX = "this library", "Flax, one by one"
LIMIT, OFF = "the matrix product", "itself without dropout"
TORCH, TORCH_FUNC = "PyTorch, one by one", "torch.func"
GOALS = (  # at least so many times as fast as this, at this width
    *((LIMIT, width, 0.90) for width in (64, 256, 1024)),
    *((TORCH, width, times) for width, times in ((64, 4.0), (256, 2.5), (1024, 1.8))),
    *((TORCH_FUNC, width, 2.0) for width in (64, 256, 1024)),
    *((FLAX, width, times) for width, times in ((64, 2.5), (1024, 1.5))),
    *((OFF, width, 0.95) for width in (64, 256, 1024)),
)
Rates = tuple[float, ...] | None


@dataclass(frozen=True)
class Size:
    """How much to measure: grid points (width, members), and turns of each contender."""

    grid: tuple[tuple[int, int], ...] = ((64, 32), (256, 16), (1024, 4))
    products: tuple[int, ...] = (1024, 2048)
    turns: int = 7
    n_train: int = 4_000


QUICK = Size(grid=((8, 2),), products=(64,), turns=1, n_train=256)


class Contender(NamedTuple):
    """A population in training: `epoch` trains all members for one, `loss` is their mean loss."""

    epoch: Callable[[], None]
    loss: Callable[[], float]


def library(width: int, members: int, rates: Rates, data: Dataset) -> Contender:
    """This library: `train_blocks`, wave after wave, as `fit_population` runs it."""
    config = Config(MLP((width, width, 10)), batch_size=BATCH)
    devices = jax.local_devices()
    mesh = mesh_of(devices)
    wave = mesh.size * block_size(config, data.x_train.shape[1], members, devices)
    member = Hparams(rates and np.array(rates), LEARNING_RATE, MOMENTUM)
    stacked = jax.tree.map(lambda v: np.full((wave, *np.shape(v)), v, np.float32), member)
    hparams, shared = deal(mesh, stacked), share(mesh, data)
    keys = jax.random.split(jax.random.key(0), -(-members // wave) * wave)
    states = [
        init_blocks(config, mesh, hparams, deal(mesh, of_wave), shared)
        for of_wave in keys.reshape(-1, wave)
    ]

    def epoch() -> None:
        for i, state in enumerate(states):
            states[i] = jax.block_until_ready(train_blocks(config, mesh, hparams, state, shared))

    def loss() -> float:
        trees = [jax.tree.map(lambda a, m=m: a[m], s.params) for s in states for m in range(wave)]
        return mean_loss(config.model, trees, data)

    return Contender(epoch, loss)


def mean_loss(model: nn.Module, trees: list[Params], data: Dataset) -> float:
    """The mean loss of networks on the training data, without dropout."""

    @jax.jit
    def one(params: Params) -> jax.Array:
        logits = cast(jax.Array, model.apply(params, data.x_train))
        return optax.softmax_cross_entropy_with_integer_labels(logits, data.y_train).mean()

    return float(np.mean([one(params) for params in trees]))


class FlaxMLP(nn.Module):
    """The network as a Flax user writes it."""

    width: int
    rates: tuple[float, ...]

    @nn.compact
    def __call__(self, x: jax.Array, train: bool = False) -> jax.Array:
        """Logits [B, 10] of inputs [B, D]."""
        for layer, rate in enumerate(self.rates):
            x = nn.Dropout(rate, deterministic=not train)(x)
            x = nn.Dense(10 if layer == len(self.rates) - 1 else self.width)(x)
            x = nn.relu(x) if layer < len(self.rates) - 1 else x
        return x


def flax_loop(width: int, members: int, rates: Rates, data: Dataset) -> Contender:
    """The Flax idiom: a jitted step called in a Python loop, networks one after another."""
    model = FlaxMLP(width, rates or (0.0, 0.0, 0.0))
    optimizer = optax.sgd(LEARNING_RATE, MOMENTUM)
    x, y = data.x_train, data.y_train
    keys = list(jax.random.split(jax.random.key(0), members))

    @jax.jit
    def step(state: TrainState, x: jax.Array, y: jax.Array, key: jax.Array) -> TrainState:
        def loss(params: Params) -> jax.Array:
            logits = state.apply_fn(params, x, train=True, rngs={"dropout": key})
            return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

        return state.apply_gradients(grads=jax.grad(loss)(state.params))

    states = [
        TrainState.create(apply_fn=model.apply, params=model.init(key, x[:1]), tx=optimizer)
        for key in keys
    ]

    def epoch() -> None:
        for i, state in enumerate(states):
            keys[i], shuffle_key, dropout_key = jax.random.split(keys[i], 3)
            for rows in np.asarray(batch_indices(shuffle_key, len(x), BATCH)):
                step_key = jax.random.fold_in(dropout_key, state.step)
                state = step(state, x[rows], y[rows], step_key)
            states[i] = state
        jax.block_until_ready(states[-1].params)

    return Contender(epoch, lambda: mean_loss(model, [s.params for s in states], data))


def torch_network(torch: Any, width: int, rates: Rates) -> Any:
    """The network as a PyTorch user writes it."""
    layers: list[Any] = []
    for layer, (n_in, n_out) in enumerate(((784, width), (width, width), (width, 10))):
        if rates and rates[layer]:
            layers.append(torch.nn.Dropout(rates[layer]))
        layers.append(torch.nn.Linear(n_in, n_out))
        layers.append(torch.nn.ReLU())
    return torch.nn.Sequential(*layers[:-1])


def torch_loop(width: int, members: int, rates: Rates, data: Dataset) -> Contender:
    """PyTorch: the usual loop, networks one after another."""
    torch = importlib.import_module("torch")
    x, y = torch.from_numpy(np.array(data.x_train)), torch.from_numpy(np.array(data.y_train)).long()
    networks = [torch_network(torch, width, rates) for _ in range(members)]
    optimizers = [torch.optim.SGD(n.parameters(), LEARNING_RATE, MOMENTUM) for n in networks]
    criterion = torch.nn.CrossEntropyLoss()

    def epoch() -> None:
        for network, optimizer in zip(networks, optimizers, strict=True):
            network.train()
            for rows in torch.randperm(len(x)).split(BATCH)[: len(x) // BATCH]:
                optimizer.zero_grad()
                criterion(network(x[rows]), y[rows]).backward()
                optimizer.step()

    def loss() -> float:
        with torch.no_grad():
            return float(np.mean([float(criterion(n.eval()(x), y)) for n in networks]))

    return Contender(epoch, loss)


def torch_func(width: int, members: int, rates: Rates, data: Dataset) -> Contender:
    """PyTorch: `torch.func` vmapped over the stacked parameters of all members."""
    torch = importlib.import_module("torch")
    func = torch.func
    x, y = torch.from_numpy(np.array(data.x_train)), torch.from_numpy(np.array(data.y_train)).long()
    networks = [torch_network(torch, width, rates) for _ in range(members)]
    params, _ = func.stack_module_state(networks)
    params = {name: value.detach() for name, value in params.items()}
    velocity = {name: torch.zeros_like(value) for name, value in params.items()}
    network = networks[0]

    def loss_fn(params: Any, x: Any, y: Any) -> Any:
        return torch.nn.functional.cross_entropy(func.functional_call(network, params, (x,)), y)

    gradient = func.vmap(func.grad(loss_fn), randomness="different")

    def epoch() -> None:
        network.train()
        order = torch.stack([torch.randperm(len(x)) for _ in range(members)])
        for rows in order.split(BATCH, dim=1)[: len(x) // BATCH]:
            for name, grad in gradient(params, x[rows], y[rows]).items():
                velocity[name].mul_(MOMENTUM).add_(grad)
                params[name].sub_(velocity[name], alpha=LEARNING_RATE)

    def loss() -> float:
        network.eval()
        with torch.no_grad():
            return float(func.vmap(loss_fn, in_dims=(0, None, None))(params, x, y).mean())

    return Contender(epoch, loss)


CONTENDERS = {
    LIBRARY: library,
    OFF: lambda width, members, _, data: library(width, members, None, data),
    FLAX: flax_loop,
    TORCH: torch_loop,
    TORCH_FUNC: torch_func,
}


def matrix_product(n: int) -> Callable[[], None]:
    """The machine's limit: a float32 product [n, n] on every device at once."""
    multiply = jax.jit(jnp.matmul)
    matrix = np.random.default_rng(0).random((n, n), np.float32)
    operands = [jax.device_put(matrix, device) for device in jax.local_devices()]
    return lambda: jax.block_until_ready([multiply(a, a) for a in operands]) and None


def take_turns(turns: int, running: dict[str, Callable[[], None]]) -> dict[str, list[float]]:
    """Seconds of every function in each of so many turns, after one to warm up."""
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
        for dropout, rates in RATES.items():
            made = {name: make(width, members, rates, data) for name, make in contenders.items()}
            before = {name: contender.loss() for name, contender in made.items()}
            running = {name: contender.epoch for name, contender in made.items()}
            limits = {f"product {n}": matrix_product(n) for n in size.products}
            for name, seconds in take_turns(size.turns, {**running, **limits}).items():
                row = {"width": width, "members": members, "dropout": dropout, "contender": name}
                operations = work
                if name in made:
                    after = made[name].loss()
                    row |= {"loss_before": before[name], "loss_after": after}
                    if not after < before[name]:
                        raise AssertionError(f"does not learn: {row}")
                else:
                    n = int(name.split()[1])
                    operations = 2 * n**3 * len(jax.local_devices())
                row["gflops"] = operations / min(seconds) / 1e9
                row["gflops_median"] = operations / statistics.median(seconds) / 1e9
                yield row


def table(rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """One line for every grid point and dropout: the speed of each contender and of the limit."""
    for (width, members, dropout), group in groupby(
        rows, key=itemgetter("width", "members", "dropout")
    ):
        speeds = {row["contender"]: row["gflops"] for row in group}
        products = [name for name in speeds if name.startswith("product")]
        limit = max(speeds.pop(name) for name in products)
        yield {"width": width, "members": members, "dropout": dropout, LIMIT: limit, **speeds}


def judge(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Whether each goal is met, with dropout on hidden layers and with dropout on pixels too."""
    lines = {(line["width"], line["dropout"]): line for line in table(rows)}
    judged = []
    for (rival, width, least), dropout in product(GOALS, RATES):
        line = lines.get((width, dropout), {})
        other = line.get(rival)
        ratio = line[LIBRARY] / other if other else None
        judged.append(
            {
                "prediction": rival,
                "claim": f"at least {least} times {rival} at width {width}, dropout on {dropout}",
                "held": None if ratio is None else ratio >= least,
                "evidence": {"ratio": ratio},
            }
        )
    return judged


def markdown(folder: Path) -> str:
    """The speeds of a record as a table, as the README shows it."""
    rows = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["rows"]
    lines = [
        "| width, members | dropout on | "
        + " | ".join((LIBRARY, LIMIT, *list(CONTENDERS)[1:]))
        + " |",
        "|---" * (3 + len(CONTENDERS)) + "|",
    ]
    for line in table(rows):
        cells = [f"{line[LIBRARY]:.0f}"]
        for name in (LIMIT, *list(CONTENDERS)[1:]):
            other = line.get(name)
            cells.append(
                f"{other:.0f} ({line[LIBRARY] / other:.2f} ×)" if other else "not installed"
            )
        point, dropout = f"{line['width']}, {line['members']}", line["dropout"]
        lines.append(f"| {point} | {dropout} | {' | '.join(cells)} |")
    return "\n".join(lines)


def main(folder: Path, size: Size) -> None:
    """Measure, write the record and print it."""
    records.check_folder(folder, overwrite=True)
    records.write_json(folder / "config.json", {"study": "benchmark", **asdict(size)})
    rows = list(run(size))
    environment = records.environment(jax.random.key(0))
    if importlib.util.find_spec("torch"):
        environment["versions"]["torch"] = importlib.metadata.version("torch")
    records.write_json(folder / "environment.json", environment)
    records.write_json(folder / "predictions.json", judge(rows))
    records.write_json(folder / "summary.json", {"rows": rows})
    print(markdown(folder))
    for goal in judge(rows):
        ratio = goal["evidence"]["ratio"]
        said = (
            "not measured"
            if ratio is None
            else f"{ratio:.2f}, {'held' if goal['held'] else 'failed'}"
        )
        print(f"{goal['claim']}: {said}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="toy size")
    parser.add_argument("--out", type=Path, default=RESULTS)
    arguments = parser.parse_args()
    jax.config.update("jax_num_cpu_devices", n_cores())  # as the command does
    main(arguments.out, QUICK if arguments.quick else Size())
