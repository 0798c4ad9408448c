"""A run of a network that is no MLP: read back, shown, drawn and inspected."""

import itertools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dropout_jax.data import Dataset
from dropout_jax.inspection.measures import inspect
from dropout_jax.noise import dropout
from dropout_jax.runs import run
from dropout_jax.runs.page import answer
from dropout_jax.runs.pictures import figures, page
from dropout_jax.runs.run import compare
from dropout_jax.runs.saved import load_run
from dropout_jax.training.config import Config, Hparams
from dropout_jax.training.evaluation import Curve
from tests.undrawn import sketched

pytestmark = pytest.mark.slow  # a run is trained, written and drawn
RNG = np.random.default_rng(0)
Y = np.arange(64, dtype=np.int32) % 3
X = (RNG.normal(size=(64, 6, 6, 2)) + 2 * np.eye(6)[Y, :, None, None]).astype(np.float32)
DATA, KEY = Dataset(X[:32], Y[:32], X[32:], Y[32:]), jax.random.key(0)


class Convolutional(nn.Module):
    features: tuple[int, ...] = (4, 3)

    @nn.compact
    def __call__(self, x, *, key=None, rates=None):
        h = nn.relu(nn.Conv(4, (3, 3))(x))
        if key is not None and rates is not None:
            h = dropout(key, h, rates[1], broadcast_dims=(-3, -2))
        return nn.Dense(3)(nn.LayerNorm()(h).reshape(*h.shape[:-3], -1))


@pytest.fixture(scope="module")
def result():
    config = Config(Convolutional(), epochs=2, batch_size=16)
    conditions = {"none": Hparams((0.0, 0.0)), "half": Hparams((0.0, 0.5))}
    return compare(config, conditions, 3, KEY, DATA)


@pytest.fixture(scope="module")
def folder(result, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    with sketched():
        result.save(folder)
    return folder


@pytest.fixture(scope="module")
def shown(result):
    return page(result, {}, {})


def test_a_run_that_is_read_back_is_the_one_that_was_written(result, folder):
    again = load_run(folder)
    assert again.verdict == result.verdict
    assert again.config.model.features == result.config.model.features
    assert again._repr_html_() == result._repr_html_()
    np.testing.assert_equal(again.summary, result.summary)
    assert again.summary["layers"] == ["params.Conv_0.kernel", "params.Dense_0.kernel"]
    chex.assert_trees_all_close(again.measured.values, result.measured.values, rtol=1e-6)
    kernel = np.asarray(result.population.params["params"]["Conv_0"]["kernel"])
    np.testing.assert_array_equal(
        again.population.params["params"]["layer_0"]["kernel"], kernel.reshape(2, 3, 18, 4)
    )


def test_a_run_that_is_read_back_shows_the_same_and_nothing_that_is_empty(result, shown, folder):
    again, drawn = load_run(folder), figures(result)
    assert list(figures(again)) == list(drawn) == ["weights", "profiles", "differences", "curves"]
    assert all(axes.has_data() for figure in drawn.values() for axes in figure.axes)
    assert page(again, {}, {}) == shown
    assert "contribution" not in shown.replace("contributions and path norms", "")
    assert "rates 0 0.5" in shown


def test_the_names_of_layers_and_what_is_left_out_are_said_where_the_answer_is_shown(result, shown):
    for text in (answer(result.summary), shown, result._repr_html_()):
        told = text.replace("<wbr>", "")
        assert "<td>0 params.Conv_0.kernel</td>" in told
        assert "<td>1 params.Dense_0.kernel</td>" in told
        assert result.verdict[-1] in text
    assert result.verdict[-1].startswith("Weights alone are compared: ")


def test_figures_and_rows_have_the_names_of_layers_and_no_comb(result):
    drawn = figures(result)
    assert "layer 0: params.Conv_0.kernel\n(18 → 4)" in drawn["weights"].axes[0].get_ylabel()
    assert "comb" not in drawn["weights"].get_suptitle()
    assert drawn["profiles"].axes[1].get_title().startswith("layer 1: params.Dense_0.kernel")
    (axes,) = drawn["differences"].axes
    assert axes.get_yticklabels()[0].get_text() == "layer 0: params.Conv_0.kernel   weights"
    assert result.table(as_frame=False)[-1]["kernel"] == "params.Dense_0.kernel"
    assert "kernel" not in result.summary["comparisons"][-1]


def test_inspected_the_folder_gives_the_measures_again(result, folder):
    values = inspect(folder).values
    for (l, views), (c, name) in itertools.product(
        result.measured.values.items(), enumerate(result.conditions)
    ):
        found = values[f"{name}/{l}/kernel"]["columns"]["gini"]
        np.testing.assert_allclose(found, views["columns"]["gini"][c], rtol=1e-5)


def test_errors_that_are_none_have_no_panel(result):
    nan = np.full_like(result.population.curve.train.error, np.nan)
    curve = Curve(*(of._replace(error=nan) for of in result.population.curve))
    without = result._replace(population=result.population._replace(curve=curve))
    titles = [axes.get_title() for axes in figures(without)["curves"].axes]
    assert titles == ["train loss", "test loss"]
    assert "curves-train_error" not in page(without, {}, {})


class Embedding(nn.Module):
    features: tuple[int, ...] = (3,)

    @nn.compact
    def __call__(self, x, *, key=None, rates=None):
        table = self.param("table", nn.initializers.ones, (2, 3))
        return jnp.tensordot(x.mean((-3, -2)), table, 1)


def test_a_network_without_kernels_is_refused_before_training(monkeypatch):
    monkeypatch.setattr(run, "fit_population", lambda *_, **__: pytest.fail("it trains"))
    config = Config(Embedding(), epochs=1, batch_size=16)
    with pytest.raises(
        ValueError, match=r"needs kernels, .* got none in a network of type Embedding"
    ):
        compare(config, {"none": Hparams((0.0,)), "half": Hparams((0.5,))}, 2, KEY, DATA)


def distance(outputs, label):
    return jnp.abs(outputs - label).sum()


@pytest.fixture(scope="module")
def of_distance():
    config = Config(Convolutional(), 1, 16, loss_fn=distance, error_fn=distance)
    return compare(config, {"none": Hparams((0.0, 0.0))}, 2, KEY, DATA)


def test_metrics_of_the_user_s_own_are_shown_as_they_are(of_distance, tmp_path):
    assert of_distance.summary["own_metrics"] == ["loss", "error"]
    axes = figures(of_distance)["curves"].axes
    last = of_distance.population.curve.test.error[0, :, -1].mean()
    assert np.asarray(axes[3].lines[0].get_ydata())[-1] == pytest.approx(last)
    assert {of.get_ylabel() for of in axes} == {""}
    shown = page(of_distance, {}, {})
    assert "Errors, mean and standard deviation over seeds; the 95 % interval of the test " in shown
    assert "new seeds on these examples" in shown
    assert f">{last:.4f}</td>" in shown
    assert "nats" not in shown
    assert "per cent" not in shown
    assert f"test error along training; at the end none {last:.3g}" in shown
    assert f"at the end none {last:.3g} " not in shown


def test_a_run_of_one_condition_shows_its_error(of_distance, result):
    error = of_distance.summary["conditions"]["none"]["test_error"]["mean"]
    assert repr(of_distance) == (
        f"Run of 2 seeds of none, mean test error {error:.4g}; see .figures, .save(folder)"
    )
    assert of_distance._repr_html_() is None  # a notebook shows the repr
    assert "own_metrics" not in result.summary


def test_networks_without_rates_are_compared_too():
    config = Config(Convolutional(), epochs=1, batch_size=16)
    conditions = {"none": Hparams(), "l2": Hparams(weight_decay=0.1)}
    result = compare(config, conditions, 2, KEY, DATA)
    assert result.summary["conditions"]["l2"]["rates"] == [0.0, 0.0]
