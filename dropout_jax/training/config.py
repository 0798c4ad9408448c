"""The settings of a training: `Config` is static, `Hparams` are arrays that vmap runs over.

Shapes: L layers, K outputs.
"""

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

from dropout_jax.data import Array
from dropout_jax.networks.calls import check_network
from dropout_jax.networks.kernel_names import kernel_layout
from dropout_jax.networks.mlp import MLP, check_features
from dropout_jax.networks.protocol import Network
from dropout_jax.training import objectives

OPTIMIZER = (
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

    Kernels decay: arrays of two axes or more that are named so (`networks.kernel_names`).

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
      TypeError: if the model is no network (`calls.check_network`), or a function is none; a
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
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
                raise ValueError(f"{name} must be a positive integer, got {value!r}")
        if not callable(self.make_optimizer):
            raise TypeError(f"{OPTIMIZER}, got {reprlib.repr(self.make_optimizer)}")
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
