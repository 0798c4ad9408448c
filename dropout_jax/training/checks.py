"""What is checked before a training: its hyper-parameters, its data, and what is traced of it."""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from dropout_jax.data import Dataset
from dropout_jax.networks.calls import checked_eval_shape, param_shapes, training_pass
from dropout_jax.networks.mlp import MLP, as_rates
from dropout_jax.networks.protocol import Network, Params
from dropout_jax.noise import check_rate
from dropout_jax.training.config import OPTIMIZER, Config, Hparams, as_arrays, sgd
from dropout_jax.training.examples import check_dataset

_RANGES: dict[str, tuple[str, Callable[[Any], Any]]] = {  # of all hyper-parameters but the rates
    "learning_rate": ("not be negative", lambda value: value >= 0),
    "momentum": ("lie in [0, 1)", lambda value: 0 <= value < 1),
    "weight_decay": ("not be negative", lambda value: value >= 0),
    "max_norm": ("be positive", lambda value: value > 0),
}


def check_hparams(hparams: Hparams, n_layers: int | None = None) -> None:
    """Raise ValueError unless every hyper-parameter lies in its range; traced ones pass.

    Rates lie in [0, 1], the momentum in [0, 1). The learning rate and the weight decay are not
    negative, the max-norm is positive. All but the rates are one real number; rates and the
    max-norm may be None. `n_layers`, L, asks for one rate per layer.

    Raises:
      TypeError: if they are not `Hparams`, or rates are not real numbers.
    """
    if not isinstance(hparams, Hparams):
        raise TypeError(f"hparams must be Hparams, got {type(hparams).__name__}")
    if hparams.rates is not None:
        if n_layers is None:
            check_rate(hparams.rates, "rates")
        else:
            as_rates(hparams.rates, n_layers)
    for name, (expected, fits) in _RANGES.items():
        value = getattr(hparams, name)
        if isinstance(value, Tracer) or (value is None and name == "max_norm"):
            continue
        number = np.asarray(value)
        real = any(jnp.issubdtype(number.dtype, kind) for kind in (jnp.floating, jnp.integer))
        if number.ndim or not real or np.isnan(number):
            shown = f"shape {number.shape}" if number.ndim else value
            raise ValueError(f"{name} must be one real number, got {shown}")
        if not fits(number):
            raise ValueError(f"{name} must {expected}, got {value}")


def check_config(config: Config) -> None:
    """Raise TypeError unless it is a `Config`."""
    if not isinstance(config, Config):
        raise TypeError(f"config must be a Config, got {type(config).__name__}")


def check_training(config: Config, data: Dataset, hparams: Hparams | None = None) -> None:
    """Raise ValueError unless networks of this configuration can be trained on `data`.

    Networks, losses and optimizers are traced, not run; a rate schedule is evaluated at 100 points.
    The values of traced arrays are not checked.

    Args:
      hparams: those of a member, already checked (`check_hparams`). If given, a network other than
        an MLP and an optimizer other than `sgd` must take them.

    Raises:
      TypeError: if `data` is no `Dataset`.
    """
    check_dataset(data, config.n_classes, isinstance(config.model, MLP))
    input_shape = data.x_train.shape[1:]
    x, params = jnp.zeros(input_shape), param_shapes(config.model, input_shape)
    outputs = _check_outputs(config.model, params, x)
    _check_functions(config, outputs, data.y_train[0])
    if config.rate_schedule:
        _check_schedule(config.rate_schedule)
    _check_n_steps(config, len(data.x_train))
    if hparams is not None:
        _check_first_step(config, params, hparams, x)


def _check_outputs(model: Network, params: Params, x: jax.Array) -> Any:
    """The outputs [K] of an example x, traced; ValueError unless they are K."""
    failed = f"apply of the network failed on an example of shape {x.shape}:"
    outputs = checked_eval_shape(failed, lambda params: model.apply(params, x), params)
    if getattr(outputs, "shape", None) != (model.features[-1],):
        raise ValueError(
            f"a network must make {model.features[-1]} outputs, the last of its features, of an "
            f"example of shape {x.shape}, got "
            f"{getattr(outputs, 'shape', type(outputs).__name__)}"
        )
    return outputs


def _check_functions(config: Config, outputs: Any, label: Any) -> None:
    """Raise ValueError unless each function takes its arguments and gives one number."""
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


def _check_schedule(rate_schedule: Callable[[jax.Array], jax.Array]) -> None:
    """Raise ValueError unless its factors lie in [0, 1] at 100 points."""
    progress = np.linspace(0, 1, 100, endpoint=False, dtype=np.float32)
    with jax.ensure_compile_time_eval():  # a training may be traced
        factors = np.asarray(jax.vmap(rate_schedule)(jnp.asarray(progress)))
    wrong = ~((factors >= 0) & (factors <= 1))
    if wrong.any():
        got = f"{factors[wrong][0]:.4g} at {progress[wrong][0]:.2f}"
        raise ValueError(f"rate_schedule must give factors in [0, 1], got {got}")


def _check_n_steps(config: Config, n: int) -> None:
    """Raise ValueError unless n examples fill a batch, and all steps can be counted."""
    if n < config.batch_size:
        raise ValueError(f"batch_size asks for {config.batch_size} training examples, got {n}")
    if n > 2**24:  # which `batch_indices` can put in order
        raise ValueError(f"data must hold at most 2^24 training examples, got {n}")
    n_steps, most = config.epochs * (n // config.batch_size), 2**31 - 1  # counted in int32
    if n_steps > most:
        raise ValueError(f"a training must be of at most {most} steps, got {n_steps}")


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
        checked_eval_shape(f"{OPTIMIZER}, {alone}, got {name}:", update, params, as_arrays(hparams))
