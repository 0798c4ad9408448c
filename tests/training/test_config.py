"""What a configuration refuses."""

from typing import Any

import numpy as np
import optax
import pytest

from dropout_jax.data import Dataset
from dropout_jax.networks.mlp import MLP
from dropout_jax.training.config import Config, check_training
from dropout_jax.training.objectives import squared_error


@pytest.mark.parametrize("wrong", ["adam", optax.adam(1e-3), None])
def test_what_is_no_function_of_hyper_parameters_is_refused_with_an_example(wrong):
    with pytest.raises(TypeError, match=r"make_optimizer must be a function of Hparams, such as"):
        Config(MLP((3,)), make_optimizer=wrong)
    with pytest.raises(TypeError, match="loss_fn must be a function of"):
        Config(MLP((3,)), loss_fn="mse")  # pyright: ignore[reportArgumentType]  that is the test


def test_a_rate_schedule_is_a_function_of_progress():
    schedule: Any = 0.5
    with pytest.raises(TypeError, match=r"rate_schedule must be a function of progress, got 0.5"):
        Config(MLP((4, 3)), rate_schedule=schedule)


@pytest.mark.parametrize(
    ("loss_fn", "message"),
    [
        (squared_error, r"loss_fn must take outputs of shape \(3,\) and a label of shape \(\)"),
        (lambda outputs, label: outputs, "loss_fn must give one number, got "),
    ],
)
def test_a_loss_that_does_not_fit_outputs_and_labels_is_refused_before_training(loss_fn, message):
    x, y = np.ones((8, 2), np.float32), np.ones(8, np.float32)
    config = Config(MLP((4, 3)), batch_size=4, loss_fn=loss_fn)
    with pytest.raises(ValueError, match=message):
        check_training(config, Dataset(x, y, x, y))
