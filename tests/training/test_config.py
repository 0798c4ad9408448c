"""What a configuration refuses."""

import optax
import pytest

from dropout_jax.networks.mlp import MLP
from dropout_jax.training.config import Config


@pytest.mark.parametrize("wrong", ["adam", optax.adam(1e-3), None])
def test_what_is_no_function_of_hyper_parameters_is_refused_with_an_example(wrong):
    with pytest.raises(TypeError, match=r"make_optimizer must be a function of Hparams, such as"):
        Config(MLP((3,)), make_optimizer=wrong)
    with pytest.raises(TypeError, match="loss_fn must be a function of"):
        Config(MLP((3,)), loss_fn="mse")  # pyright: ignore[reportArgumentType]  that is the test
