"""Training one network: state is carried, metrics are returned, everything is a pure function.

`Config` is static (a new one compiles anew); `Hparams` are arrays, which vmap runs over and which
never compile anew. Whole training is one function, `fit`; a population is `fit` under vmap, or
`dropout_jax.population` for progress, many devices and bounded memory.

Shapes: B batch, D inputs, L layers, E epochs, n examples.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer

from dropout_jax import objectives
from dropout_jax.data import Array, Dataset, batch_indices, check_dataset, check_examples
from dropout_jax.dropout import check_key
from dropout_jax.networks import MLP, Params, check_features, check_rates

MAX_STEPS = 2**31 - 1  # counted in int32
NARROW = 64  # columns of a kernel, measured for batches of 32 to 512
EVALUATED_AT_ONCE = 1_000  # examples


class Hparams(NamedTuple):
    """The traced hyper-parameters of one member: Python numbers, sequences or arrays of them.

    Training takes all for float32 arrays, so that one program serves them however they are given.

    Attributes:
      rates: P(drop) on the input of each layer [L]; None leaves dropout out of the program.
      learning_rate: step size of stochastic gradient descent.
      momentum: fraction of the last update carried on.
      weight_decay: μ of the penalty ½ μ Σ w² on kernels (not biases).
      max_norm: bound on the Euclidean norm of every hidden unit's incoming kernel column, imposed
        after each update (Srivastava et al. 2014, §5.1); None leaves it out of the program.

    Example:
      >>> print(Hparams(rates=(0.0, 0.5)).momentum)
      0.9
    """

    rates: Array | Sequence[float] | None = None
    learning_rate: float | jax.Array = 0.05
    momentum: float | jax.Array = 0.9
    weight_decay: float | jax.Array = 0.0
    max_norm: float | jax.Array | None = None


def sgd(hparams: Hparams) -> optax.GradientTransformation:
    """Stochastic gradient descent with momentum, the weight decay added to the gradient (L2).

    Example:
      >>> optimizer = sgd(Hparams(learning_rate=0.1, momentum=0.0))
      >>> params = {"kernel": jnp.ones(2)}
      >>> updates, _ = optimizer.update({"kernel": jnp.ones(2)}, optimizer.init(params), params)
      >>> print(updates["kernel"])
      [-0.1 -0.1]
    """
    kernels_only = partial(jax.tree_util.tree_map_with_path, lambda path, _: "kernel" in str(path))
    return optax.chain(
        optax.add_decayed_weights(hparams.weight_decay, mask=kernels_only),
        optax.trace(decay=hparams.momentum),
        optax.scale_by_learning_rate(hparams.learning_rate),
    )


@dataclass(frozen=True)
class Config:
    """What is fixed when the program is compiled; equal ones share a program.

    Functions are equal if they are the same one, or `functools.partial` of it with equal arguments.

    Attributes:
      model: the network; `MLP((256, 256, 10))`.
      epochs: passes over the training data.
      batch_size: examples a step.
      loss_fn: loss of one example, a function of (outputs [K], label); labels may be classes, or
        for `objectives.squared_error` numbers, one or K.
      make_optimizer: optax transformation made from the (traced) hyper-parameters.
      rate_schedule: factor on the rates, a function of the fraction of all steps that are done,
        such as `schedules.early`; None for rates that stay.

    Raises:
      ValueError: unless the widths, the epochs and the batch size are positive integers.

    Example:
      >>> config = Config(MLP((256, 256, 10)), epochs=30)
      >>> print(config.batch_size)
      128
    """

    model: MLP
    epochs: int = 30
    batch_size: int = 128
    loss_fn: Callable[[jax.Array, jax.Array], jax.Array] = objectives.cross_entropy
    make_optimizer: Callable[[Hparams], optax.GradientTransformation] = sgd
    rate_schedule: Callable[[jax.Array], jax.Array] | None = None

    def __post_init__(self) -> None:
        check_features(self.model.features)
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"{name} must be a positive integer, got {value!r}")
        for name, fn in list(vars(self).items()):
            if isinstance(fn, partial):
                with suppress(TypeError):  # of arguments that cannot be hashed
                    one = _the_partial(fn.func, fn.args, tuple(sorted(fn.keywords.items())))
                    object.__setattr__(self, name, one)


@cache
def _the_partial(fn: Callable, args: tuple, keywords: tuple) -> partial:
    """The one partial of a function and arguments; others equal only themselves."""
    return partial(fn, *args, **dict(keywords))


def as_arrays(hparams: Hparams) -> Hparams:
    """The hyper-parameters as float32 arrays; None stays.

    Example:
      >>> print(as_arrays(Hparams(rates=(0, 0.5), momentum=0)).rates)
      [0.  0.5]
    """

    def array(value: Any) -> Any:
        return None if value is None else jnp.asarray(value, jnp.float32)

    with np.errstate(over="ignore"):  # what is too large becomes infinite
        return Hparams(*map(array, hparams))


def check_hparams(hparams: Hparams) -> None:
    """Raise ValueError unless each but the rates is one real number of its range; traced ones pass.

    The learning rate and the weight decay must not be negative, the momentum must lie in [0, 1) and
    the max-norm be positive.

    Example:
      >>> check_hparams(Hparams(momentum=1.0))
      Traceback (most recent call last):
      ValueError: momentum must lie in [0, 1), got 1.0
    """
    for name, value in hparams._replace(rates=None)._asdict().items():
        if value is None or isinstance(value, Tracer):
            continue
        number = np.asarray(value)
        real = any(jnp.issubdtype(number.dtype, kind) for kind in (jnp.floating, jnp.integer))
        if number.ndim or not real or number != number:
            shown = f"shape {number.shape}" if number.ndim else value
            raise ValueError(f"{name} must be one real number, got {shown}")
        expected, met = {
            "momentum": ("lie in [0, 1)", 0 <= number < 1),
            "max_norm": ("be positive", number > 0),
        }.get(name, ("not be negative", number >= 0))
        if not met:
            raise ValueError(f"{name} must {expected}, got {value}")


def check_training(config: Config, data: Dataset) -> None:
    """Raise ValueError unless networks of this configuration can be trained on `data`.

    Values of traced arrays pass.

    Example:
      >>> from dropout_jax.data import load_dataset
      >>> check_training(Config(MLP((4, 10)), batch_size=64), load_dataset("digits"))
    """
    check_dataset(data, _n_classes(config))
    if len(data.x_train) < config.batch_size:
        raise ValueError(
            f"a batch needs {config.batch_size} training examples, got {len(data.x_train)}"
        )
    n_steps = config.epochs * (len(data.x_train) // config.batch_size)
    if n_steps > MAX_STEPS:
        raise ValueError(f"a training must be of at most {MAX_STEPS} steps, got {n_steps}")


def _n_classes(config: Config) -> int | None:
    """The classes that labels can be of; another loss than cross entropy takes other labels."""
    return config.model.features[-1] if config.loss_fn is objectives.cross_entropy else None


class TrainState(NamedTuple):
    """What one step hands to the next. The two keys are roots; nothing ever consumes them."""

    params: Params
    opt_state: Any
    step: jax.Array
    shuffle_key: jax.Array
    dropout_key: jax.Array


class Metrics(NamedTuple):
    """Mean loss (nats for cross entropy) and error rate (a fraction), deterministic passes.

    The error rate is NaN unless labels are classes, one integer an example.
    """

    loss: jax.Array
    error: jax.Array


class Curve(NamedTuple):
    """Metrics on the training and test data, with a leading axis of epochs where collected."""

    train: Metrics
    test: Metrics


def init(config: Config, hparams: Hparams, key: jax.Array, n_inputs: int) -> TrainState:
    """A fresh member. `key` is split once, into init, shuffle and dropout keys; it is consumed.

    Raises:
      TypeError: if `key` is not a typed key.
      ValueError: if there is no input.

    Example:
      >>> config = Config(MLP((4, 10)), epochs=1)
      >>> state = init(config, Hparams(), jax.random.key(0), 64)
      >>> print(state.step, state.params["params"]["layer_0"]["kernel"].shape)
      0 (64, 4)
    """
    check_key(key)
    hparams = as_arrays(hparams)
    init_key, shuffle_key, dropout_key = jax.random.split(key, 3)
    params = config.model.init(init_key, jnp.zeros(n_inputs))
    opt_state = config.make_optimizer(hparams).init(params)
    state = TrainState(params, opt_state, jnp.zeros((), jnp.int32), shuffle_key, dropout_key)
    return _varying(state, (shuffle_key, hparams))


def _varying(state: TrainState, others: Any) -> TrainState:
    """The same state, varying over each axis of a mesh that any of the others varies over.

    Inside `shard_map`, parameters that vary less than their loss get the sum of the gradients of
    all devices: members would share a bias. What makes them vary is a truth about the others,
    which the compiler knows and leaves out.
    """
    true = jnp.array(True)
    for leaf in map(jnp.asarray, jax.tree.leaves(others)):
        true |= leaf.ravel()[0] == leaf.ravel()[0]
    params, opt_state, step = jax.tree.map(
        lambda leaf: jnp.where(true, leaf, leaf), (state.params, state.opt_state, state.step)
    )
    return state._replace(params=params, opt_state=opt_state, step=step)


def batch_loss(
    config: Config,
    params: Params,
    x: jax.Array,
    y: jax.Array,
    key: jax.Array,
    rates: Array | Sequence[float] | None,
) -> jax.Array:
    """Mean loss of a batch [B, D], [B]; stochastic, and `key` consumed, unless `rates` is None.

    Example:
      >>> config = Config(MLP((4, 10)))
      >>> params = jax.tree.map(jnp.zeros_like, config.model.init(jax.random.key(0), jnp.zeros(64)))
      >>> x, y = jnp.ones((5, 64)), jnp.zeros(5, int)
      >>> print(batch_loss(config, params, x, y, jax.random.key(1), (0.2, 0.5)))  # ln 10
      2.303
    """
    noise = {} if rates is None else {"key": key, "rates": rates}
    outputs = cast(jax.Array, config.model.apply(params, x, **noise))
    return jnp.mean(jax.vmap(config.loss_fn)(outputs, y))


def clip_column_norms(params: Params, max_norm: float | Array) -> Params:
    """Scale every hidden unit's incoming kernel column down to Euclidean norm `max_norm`.

    Example:
      >>> layer = {"kernel": jnp.array([[3.0], [4.0]]), "bias": jnp.zeros(1)}
      >>> params = {"params": {"layer_0": layer, "layer_1": layer}}  # the last one is left alone
      >>> clipped = clip_column_norms(params, 1.0)["params"]
      >>> print(clipped["layer_0"]["kernel"].ravel().round(2), clipped["layer_1"]["kernel"].ravel())
      [0.6 0.8] [3. 4.]
    """
    tree = dict(params["params"])
    for name in [f"layer_{l}" for l in range(len(tree) - 1)]:
        kernel = tree[name]["kernel"]
        norms = jnp.linalg.norm(kernel, axis=0, keepdims=True)
        clipped = kernel * jnp.minimum(
            1, max_norm / jnp.maximum(norms, jnp.finfo(norms.dtype).tiny)
        )
        tree[name] = {**tree[name], "kernel": clipped}
    return {**params, "params": tree}


def _keep_narrow_transposed(grads: Params) -> Params:
    """The gradients as they are, those of narrow kernels [in, out] computed as (gᵀx)ᵀ.

    For few columns out, XLA's CPU backend takes up to 8 times as long over xᵀg, into which it folds
    that transpose wherever nothing stands between.
    """

    def keep(grad: jax.Array) -> jax.Array:
        narrow = grad.ndim == 2 and grad.shape[1] <= NARROW
        return jax.lax.optimization_barrier(grad.T).T if narrow else grad

    return jax.tree.map(keep, grads)


def train_step(
    config: Config, hparams: Hparams, state: TrainState, x: Array, y: Array
) -> tuple[TrainState, jax.Array]:
    """One step of the optimizer on one batch [B, D], [B]: the next state and the batch's loss.

    The step's dropout key is fold_in(dropout_key, step).

    Example:
      >>> config = Config(MLP((4, 10)), epochs=1)
      >>> hparams = Hparams()
      >>> state = init(config, hparams, jax.random.key(0), 64)
      >>> state, loss = train_step(config, hparams, state, jnp.ones((5, 64)), jnp.zeros(5, int))
      >>> print(state.step)
      1
    """
    return _train_step(config, as_arrays(hparams), state, x, y)


@partial(jax.jit, static_argnames="config")
def _train_step(
    config: Config, hparams: Hparams, state: TrainState, x: Array, y: Array
) -> tuple[TrainState, jax.Array]:
    """`train_step`, compiled."""
    key = jax.random.fold_in(state.dropout_key, state.step)
    loss, grads = jax.value_and_grad(partial(batch_loss, config))(
        state.params, x, y, key, hparams.rates
    )
    grads = jax.lax.platform_dependent(
        grads, cpu=_keep_narrow_transposed, default=lambda grads: grads
    )
    optimizer = config.make_optimizer(hparams)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    if hparams.max_norm is not None:
        params = clip_column_norms(params, hparams.max_norm)
    return state._replace(params=params, opt_state=opt_state, step=state.step + 1), loss


def _at(config: Config, hparams: Hparams, progress: jax.Array) -> Hparams:
    """The hyper-parameters when a fraction `progress` of all steps is done."""
    if config.rate_schedule is None or hparams.rates is None:
        return hparams
    return hparams._replace(rates=jnp.asarray(hparams.rates) * config.rate_schedule(progress))


def train_epoch(
    config: Config, hparams: Hparams, state: TrainState, x: Array, y: Array
) -> tuple[TrainState, jax.Array]:
    """One pass over the data [n, D], [n] as a scan over steps: the state, and the mean loss seen.

    The epoch's order is drawn with fold_in(shuffle_key, epoch).

    Example:
      >>> config = Config(MLP((4, 10)), epochs=1, batch_size=2)
      >>> hparams = Hparams()
      >>> state = init(config, hparams, jax.random.key(0), 64)
      >>> state, loss = train_epoch(config, hparams, state, jnp.ones((6, 64)), jnp.zeros(6, int))
      >>> print(state.step)  # three batches of two
      3
    """
    return _train_epoch(config, as_arrays(hparams), state, x, y)


@partial(jax.jit, static_argnames="config")
def _train_epoch(
    config: Config, hparams: Hparams, state: TrainState, x: Array, y: Array
) -> tuple[TrainState, jax.Array]:
    """`train_epoch`, compiled."""
    steps_per_epoch = len(x) // config.batch_size
    epoch = state.step // steps_per_epoch
    order = batch_indices(jax.random.fold_in(state.shuffle_key, epoch), len(x), config.batch_size)

    def step(state: TrainState, rows: jax.Array) -> tuple[TrainState, jax.Array]:
        progress = state.step / (config.epochs * steps_per_epoch)
        return train_step(config, _at(config, hparams, progress), state, x[rows], y[rows])

    state, losses = jax.lax.scan(step, state, order)
    return state, losses.mean()


def evaluate(config: Config, params: Params, x: Array, y: Array) -> Metrics:
    """Loss and error rate over data [n, D], [n] in deterministic passes of 1,000 examples.

    Raises:
      ValueError: if there are no examples, an input is not finite, their number is not that of the
        parameters, or a label is no class of the network.

    Example:
      >>> config = Config(MLP((4, 10)))
      >>> params = jax.tree.map(jnp.zeros_like, config.model.init(jax.random.key(0), jnp.zeros(64)))
      >>> print(evaluate(config, params, jnp.ones((4, 64)), jnp.array([0, 0, 0, 1])).error)
      0.25
    """
    check_examples(x, y, _n_classes(config))
    return _evaluate(config, params, x, y)


@partial(jax.jit, static_argnames="config")
def _evaluate(config: Config, params: Params, x: Array, y: Array) -> Metrics:
    """`evaluate`, compiled."""

    def one(example: tuple[jax.Array, jax.Array]) -> Metrics:
        inputs, label = example
        outputs = cast(jax.Array, config.model.apply(params, inputs))
        is_class = label.ndim == 0 and jnp.issubdtype(label.dtype, jnp.integer)
        error = objectives.error_rate(outputs, label) if is_class else jnp.full((), jnp.nan)
        return Metrics(config.loss_fn(outputs, label), error)

    each = jax.lax.map(one, (x, y), batch_size=min(EVALUATED_AT_ONCE, len(x)))
    return Metrics(each.loss.mean(), each.error.mean())


def learning_point(config: Config, params: Params, data: Dataset) -> Curve:
    """The metrics of one network on the training and the test data.

    Example:
      >>> from dropout_jax.data import load_dataset
      >>> config = Config(MLP((4, 10)))
      >>> params = jax.tree.map(jnp.zeros_like, config.model.init(jax.random.key(0), jnp.zeros(64)))
      >>> print(learning_point(config, params, load_dataset("digits")).test.loss)  # ln 10
      2.303
    """
    return Curve(
        evaluate(config, params, data.x_train, data.y_train),
        evaluate(config, params, data.x_test, data.y_test),
    )


def fit(
    config: Config, hparams: Hparams, key: jax.Array, data: Dataset
) -> tuple[TrainState, Curve]:
    """Whole training of one member: its last state, and its metrics after every epoch [E].

    `key` is the member's, `fold_in(root, seed)` in a population; it is consumed.

    Raises:
      TypeError: if `key` is not a typed key.
      ValueError: if `data` cannot be trained on (`check_training`), a hyper-parameter is not one
        number of its range (`check_hparams`), or `rates` are not of length L or hold a concrete
        value outside [0, 1].

    Example:
      >>> from dropout_jax.data import load_dataset
      >>> data = load_dataset("digits")
      >>> config = Config(MLP((4, 10)), epochs=1)
      >>> state, curve = fit(config, Hparams(rates=(0.2, 0.5)), jax.random.key(0), data)
      >>> print(state.step, curve.test.error.shape)  # 1437 // 128 steps, an epoch
      11 (1,)
    """
    check_key(key)
    check_training(config, data)
    check_hparams(hparams)
    if hparams.rates is not None:
        check_rates(hparams.rates, len(config.model.features))
    return _fit(config, as_arrays(hparams), key, data)


@partial(jax.jit, static_argnames="config")
def _fit(
    config: Config, hparams: Hparams, key: jax.Array, data: Dataset
) -> tuple[TrainState, Curve]:
    """`fit`, compiled."""

    def epoch(state: TrainState, _: None) -> tuple[TrainState, Curve]:
        state, _loss = train_epoch(config, hparams, state, data.x_train, data.y_train)
        return state, learning_point(config, state.params, data)

    fresh = init(config, hparams, key, data.x_train.shape[1])
    return jax.lax.scan(epoch, _varying(fresh, data), length=config.epochs)
