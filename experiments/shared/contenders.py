"""What the benchmark compares: this library, and three ways to write the same training.

Every contender trains the same population: 784-H-H-10 with ReLU, batches of 128, SGD with momentum,
dropout at the given rates (None: no dropout in the program).
"""

import importlib
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import flax.linen as nn
import jax
import numpy as np
import optax
from flax.training.train_state import TrainState

from dropout_jax.data import Dataset
from dropout_jax.networks.mlp import MLP, Params
from dropout_jax.populations.blocks import init_blocks, train_blocks
from dropout_jax.populations.devices import device_mesh, shard_members, share
from dropout_jax.populations.memory import block_size
from dropout_jax.training.batches import batch_indices
from dropout_jax.training.config import Config, Hparams

BATCH, LEARNING_RATE, MOMENTUM = 128, 0.05, 0.9
LIBRARY, OFF = "this library", "itself without dropout"
FLAX, TORCH, TORCH_FUNC = "Flax, one by one", "PyTorch, one by one", "torch.func"
Rates = tuple[float, ...] | None


class Contender(NamedTuple):
    """A population in training: `epoch` trains all members for one, `loss` is their mean loss."""

    epoch: Callable[[], None]
    loss: Callable[[], float]


def library(width: int, members: int, rates: Rates, data: Dataset) -> Contender:
    """This library: `train_blocks`, wave after wave, as `fit_population` runs it."""
    config = Config(MLP((width, width, 10)), batch_size=BATCH)
    devices = jax.local_devices()
    mesh = device_mesh(devices)
    wave = mesh.size * block_size(config, data.x_train.shape[1], devices)
    member = Hparams(rates and np.array(rates), LEARNING_RATE, MOMENTUM)
    stacked = jax.tree.map(lambda v: np.full((wave, *np.shape(v)), v, np.float32), member)
    hparams, shared = shard_members(mesh, stacked), share(mesh, data)
    keys = jax.random.split(jax.random.key(0), -(-members // wave) * wave)
    states = [
        init_blocks(config, mesh, hparams, shard_members(mesh, wave_keys), shared)
        for wave_keys in keys.reshape(-1, wave)
    ]

    def epoch() -> None:
        for i, state in enumerate(states):
            states[i] = jax.block_until_ready(train_blocks(config, mesh, hparams, state, shared))

    def loss() -> float:
        trees = [jax.tree.map(lambda a, m=m: a[m], s.params) for s in states for m in range(wave)]
        return mean_loss(config.mlp, trees, data)

    return Contender(epoch, loss)


def mean_loss(model: nn.Module, trees: list[Params], data: Dataset) -> float:
    """The mean loss of networks on the training data, without dropout."""

    @jax.jit
    def loss(params: Params) -> jax.Array:
        logits = cast(jax.Array, model.apply(params, data.x_train))
        return optax.softmax_cross_entropy_with_integer_labels(logits, data.y_train).mean()

    return float(np.mean([loss(params) for params in trees]))


class _FlaxMLP(nn.Module):
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


def _flax_loop(width: int, members: int, rates: Rates, data: Dataset) -> Contender:
    """The Flax idiom: a jitted step called in a Python loop, networks one after another."""
    model = _FlaxMLP(width, rates or (0.0, 0.0, 0.0))
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


def _torch_network(torch: Any, width: int, rates: Rates) -> Any:
    """The network as a PyTorch user writes it."""
    layers: list[Any] = []
    for layer, (n_in, n_out) in enumerate(((784, width), (width, width), (width, 10))):
        if rates and rates[layer]:
            layers.append(torch.nn.Dropout(rates[layer]))
        layers.append(torch.nn.Linear(n_in, n_out))
        layers.append(torch.nn.ReLU())
    return torch.nn.Sequential(*layers[:-1])


def _torch_loop(width: int, members: int, rates: Rates, data: Dataset) -> Contender:
    """PyTorch: the usual loop, networks one after another."""
    torch = importlib.import_module("torch")
    x, y = torch.from_numpy(np.array(data.x_train)), torch.from_numpy(np.array(data.y_train)).long()
    networks = [_torch_network(torch, width, rates) for _ in range(members)]
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


def _torch_func(width: int, members: int, rates: Rates, data: Dataset) -> Contender:
    """PyTorch: `torch.func` vmapped over the stacked parameters of all members."""
    torch = importlib.import_module("torch")
    func = torch.func
    x, y = torch.from_numpy(np.array(data.x_train)), torch.from_numpy(np.array(data.y_train)).long()
    networks = [_torch_network(torch, width, rates) for _ in range(members)]
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
    FLAX: _flax_loop,
    TORCH: _torch_loop,
    TORCH_FUNC: _torch_func,
}
