"""The settings of a training: `Config` is static, `Hparams` are arrays that vmap runs over."""

import reprlib
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.core import Tracer

from dropout_jax.data import Array, Dataset, check_dataset
from dropout_jax.networks.mlp import MLP, check_features, check_rates
from dropout_jax.networks.protocol import (
    Network,
    Params,
    check_network,
    checked_eval_shape,
    kernel_layout,
    param_shapes,
    training_pass,
)
from dropout_jax.noise import check_rate
from dropout_jax.training import objectives

_OPTIMIZER = (
    "make_optimizer must be a function of Hparams, such as lambda h: optax.adam(h.learning_rate)"
)


class Hparams(NamedTuple):
    """The traced hyper-parameters of one member: Python numbers, sequences or arrays of them.

    Training makes float32 arrays of all, so one program serves them however they are given.

    Attributes:
      rates: P(drop) on the input of each layer [L]; None leaves dropout out of the program.
      learning_rate: step size of stochastic gradient descent.
      momentum: fraction of the last update that is carried on.
      weight_decay: μ of the penalty ½ μ Σ w² on kernels (not biases).
      max_norm: for an MLP alone, the bound on the Euclidean norm of every hidden unit's incoming
        weights, a column of the kernel, imposed after each update (Srivastava et al. 2014, §5.1);
        None leaves it out of the program.

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
    """Stochastic gradient descent with momentum; the weight decay is added to the gradient (L2).

    Kernels decay: arrays of two axes or more that are named so (`networks.protocol.kernel_layout`).

    Example:
      >>> optimizer = sgd(Hparams(learning_rate=0.1, weight_decay=0.5))
      >>> params = {"w": jnp.ones((1, 2)), "b": jnp.ones(2)}
      >>> updates, _ = optimizer.update(params, optimizer.init(params), params)
      >>> print(updates["w"], updates["b"])
      [[-0.15 -0.15]] [-0.1 -0.1]
    """

    def is_kernel(path: Any, leaf: Any) -> bool:
        name = jax.tree_util.keystr(path, simple=True, separator=".")
        return leaf.ndim > 1 and kernel_layout(name) is not None

    kernels = partial(jax.tree_util.tree_map_with_path, is_kernel)
    return optax.chain(
        optax.add_decayed_weights(hparams.weight_decay, mask=kernels),
        optax.trace(decay=hparams.momentum),
        optax.scale_by_learning_rate(hparams.learning_rate),
    )


@dataclass(frozen=True)
class Config:
    """What is fixed when the program is compiled; equal configurations share a program.

    Two functions are equal if they are the same object, or partials (`functools.partial`) of the
    same object with equal arguments of the same types.

    Attributes:
      model: the network, `MLP((256, 256, 10))` or any other `networks.protocol.Network`.
      epochs: passes over the training data.
      batch_size: examples per step.
      loss_fn: loss of one example, a function of (outputs [K], label). Labels are classes, or for
        `objectives.squared_error` one number or K.
      error_fn: another metric of one example, a function like `loss_fn`; by default the error rate
        where labels are classes and outputs are several, else NaN.
      make_optimizer: a function that makes an optax transformation of the hyper-parameters, which
        are traced.
      rate_schedule: factor on the rates, a function of the fraction of all steps that are done,
        such as `schedules.early`; None for constant rates.

    Raises:
      ValueError: unless the widths, the epochs and the batch size are positive integers.
      TypeError: if the model is no network (`protocol.check_network`), or a function is none; a
        transformation such as `optax.adam(1e-3)` is none.

    Example:
      >>> config = Config(MLP((256, 256, 10)), epochs=30)
      >>> print(config.batch_size)
      128
    """

    model: Network
    epochs: int = 30
    batch_size: int = 128
    loss_fn: Callable[[jax.Array, jax.Array], jax.Array] = objectives.cross_entropy
    make_optimizer: Callable[[Hparams], optax.GradientTransformation] = sgd
    error_fn: Callable[[jax.Array, jax.Array], jax.Array] | None = None
    rate_schedule: Callable[[jax.Array], jax.Array] | None = None

    @property
    def n_classes(self) -> int | None:
        """The number K of classes; None if the loss takes other labels than cross entropy's."""
        class_losses = (objectives.cross_entropy, optax.softmax_cross_entropy_with_integer_labels)
        return self.model.features[-1] if self.loss_fn in class_losses else None

    @property
    def mlp(self) -> MLP:
        """The network, for what is measured of MLPs alone.

        Raises:
          ValueError: if it is another one.
        """
        if not isinstance(self.model, MLP):
            raise ValueError(
                f"model must be an MLP for this, got {type(self.model).__name__}: measure the "
                "parameters of other networks with ginis"
            )
        return self.model

    def __post_init__(self) -> None:
        check_network(self.model)
        check_features(self.model.features)
        for name in ("epochs", "batch_size"):
            value = getattr(self, name)
            if not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"{name} must be a positive integer, got {value!r}")
        if not callable(self.make_optimizer):
            raise TypeError(f"{_OPTIMIZER}, got {reprlib.repr(self.make_optimizer)}")
        for name in ("loss_fn", "error_fn", "rate_schedule"):
            fn = getattr(self, name)
            if not callable(fn) and (fn is not None or name == "loss_fn"):
                arguments = "progress" if name == "rate_schedule" else "(outputs, label)"
                raise TypeError(f"{name} must be a function of {arguments}, got {reprlib.repr(fn)}")
        for name, fn in list(vars(self).items()):
            if isinstance(fn, partial):
                with suppress(TypeError):  # of arguments that cannot be hashed
                    keywords = dict(sorted(fn.keywords.items()))
                    shown = repr((fn.args, keywords))
                    shared = _shared_partial(fn.func, shown, *fn.args, **keywords)
                    object.__setattr__(self, name, shared)


@lru_cache(maxsize=None, typed=True)  # 1, 1.0 and True are equal, and are other arguments
def _shared_partial(fn: Callable, shown: str, /, *args: Any, **keywords: Any) -> partial:
    """One partial for equal arguments of equal types, as two of them would not be equal.

    `shown` is the text of the arguments, which tells (1,) from (1.0,), and 0.0 from -0.0.
    """
    return partial(fn, *args, **keywords)


def as_arrays(hparams: Hparams) -> Hparams:
    """The hyper-parameters as float32 arrays; None stays.

    Example:
      >>> print(as_arrays(Hparams(rates=(0, 0.5), momentum=0)).rates)
      [0.  0.5]
    """

    def array(value: Any) -> Any:
        return None if value is None else jnp.asarray(value, jnp.float32)

    with np.errstate(over="ignore"):  # a number too large becomes infinite
        return Hparams(*map(array, hparams))


def check_hparams(hparams: Hparams, n_layers: int | None = None) -> None:
    """Raise ValueError unless every hyper-parameter lies in its range; traced ones pass.

    Rates lie in [0, 1], the momentum in [0, 1). The learning rate and the weight decay are not
    negative, the max-norm is positive. All but the rates are one real number; rates and the
    max-norm may be None. `n_layers`, L, asks for one rate per layer.

    Raises:
      TypeError: if they are not `Hparams`, or rates are not real numbers.

    Example:
      >>> check_hparams(Hparams(momentum=1.0))
      Traceback (most recent call last):
      ValueError: momentum must lie in [0, 1), got 1.0
    """
    if not isinstance(hparams, Hparams):
        raise TypeError(f"hparams must be Hparams, got {type(hparams).__name__}")
    if hparams.rates is not None:
        if n_layers is None:
            check_rate(hparams.rates, "rates")
        else:
            check_rates(hparams.rates, n_layers)
    for name, value in list(hparams._asdict().items())[1:]:  # rates are checked
        if isinstance(value, Tracer) or (value is None and name == "max_norm"):
            continue
        number = np.asarray(value)
        real = any(jnp.issubdtype(number.dtype, kind) for kind in (jnp.floating, jnp.integer))
        if number.ndim or not real or number != number:
            shown = f"shape {number.shape}" if number.ndim else value
            raise ValueError(f"{name} must be one real number, got {shown}")
        if name == "momentum" and not 0 <= number < 1:
            raise ValueError(f"momentum must lie in [0, 1), got {value}")
        if name == "max_norm" and not number > 0:
            raise ValueError(f"max_norm must be positive, got {value}")
        if number < 0:
            raise ValueError(f"{name} must not be negative, got {value}")


def check_training(config: Config, data: Dataset, hparams: Hparams | None = None) -> None:
    """Raise ValueError unless networks of this configuration can be trained on `data`.

    Networks, losses and optimizers are traced, not run; a rate schedule is evaluated at 100 points.
    The values of traced arrays are not checked.

    Args:
      hparams: those of a member, already checked (`check_hparams`). If given, a network other than
        an MLP and an optimizer other than `sgd` must take them.

    Raises:
      TypeError: if `data` is no `Dataset`.

    Example:
      >>> from dropout_jax.data import load_dataset
      >>> check_training(Config(MLP((4, 10)), batch_size=64), load_dataset("digits"))
    """
    check_dataset(data, config.n_classes, isinstance(config.model, MLP))
    input_shape, n_outputs = data.x_train.shape[1:], config.model.features[-1]
    x, params = jnp.zeros(input_shape), param_shapes(config.model, input_shape)
    failed = f"apply of the network failed on an example of shape {input_shape}:"
    outputs = checked_eval_shape(failed, lambda params: config.model.apply(params, x), params)
    if getattr(outputs, "shape", None) != (n_outputs,):
        raise ValueError(
            f"a network must make {n_outputs} outputs, the last of its features, of an example of "
            f"shape {input_shape}, got {getattr(outputs, 'shape', type(outputs).__name__)}"
        )
    label = data.y_train[0]
    example = f"outputs of shape {outputs.shape} and a label of shape {label.shape}"
    for name, takes, arguments in (
        ("loss_fn", example, (outputs, label)),
        ("error_fn", example, (outputs, label)),
        ("rate_schedule", "progress", (jnp.zeros(()),)),
    ):
        if fn := getattr(config, name):
            number = checked_eval_shape(f"{name} must take {takes}, got", fn, *arguments)
            if getattr(number, "shape", None) != ():
                raise ValueError(f"{name} must give one number, got {number}")
    if config.rate_schedule:
        progress = np.linspace(0, 1, 100, endpoint=False, dtype=np.float32)
        with jax.ensure_compile_time_eval():  # a training may be traced
            factors = np.asarray(jax.vmap(config.rate_schedule)(jnp.asarray(progress)))
        wrong = ~((factors >= 0) & (factors <= 1))
        if wrong.any():
            got = f"{factors[wrong][0]:.4g} at {progress[wrong][0]:.2f}"
            raise ValueError(f"rate_schedule must give factors in [0, 1], got {got}")
    if (n := len(data.x_train)) < config.batch_size:
        raise ValueError(f"batch_size asks for {config.batch_size} training examples, got {n}")
    if n > 2**24:  # which `batch_indices` can put in order
        raise ValueError(f"data must hold at most 2^24 training examples, got {n}")
    n_steps, most = config.epochs * (n // config.batch_size), 2**31 - 1  # counted in int32
    if n_steps > most:
        raise ValueError(f"a training must be of at most {most} steps, got {n_steps}")
    if hparams is not None:
        _check_first_step(config, params, hparams, x)


def _check_first_step(config: Config, params: Params, hparams: Hparams, x: jax.Array) -> None:
    """Raise ValueError unless the network and the optimizer take a batch of x and hyper-parameters.

    The defaults are not traced: they take all that `check_hparams` lets in.
    """

    def update(params: Params, hparams: Hparams) -> Any:
        optimizer = config.make_optimizer(hparams)
        return optimizer.update(params, optimizer.init(params), params)

    if not isinstance(config.model, MLP):
        if hparams.max_norm is not None:
            raise ValueError(f"max_norm serves an MLP alone, got {type(config.model).__name__}")
        given = "no rates" if hparams.rates is None else "a key and traced rates"
        failed = f"apply of the network failed on a batch with {given}:"
        one_pass, rates = partial(training_pass, config.model), as_arrays(hparams).rates
        checked_eval_shape(failed, one_pass, params, x[None], jax.random.key(0), rates)
    if config.make_optimizer is not sgd:
        alone = "whose update takes gradients, state and parameters alone"
        name = getattr(config.make_optimizer, "__name__", "a function")
        checked_eval_shape(
            f"{_OPTIMIZER}, {alone}, got {name}:", update, params, as_arrays(hparams)
        )
