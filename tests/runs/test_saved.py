"""A run read back from its folder."""

import dataclasses
import html
import itertools
import json
from functools import partial

import chex
import jax
import numpy as np
import pytest
from matplotlib.text import Text

from dropout_jax.data import load_dataset
from dropout_jax.networks.mlp import MLP
from dropout_jax.runs import run, write
from dropout_jax.runs.pictures import figures, page
from dropout_jax.runs.run import compare
from dropout_jax.runs.saved import load_run
from dropout_jax.training import objectives, schedules
from dropout_jax.training.config import Config, Hparams
from tests.undrawn import sketched, undrawn

pytestmark = pytest.mark.slow  # a run is trained and written


@pytest.fixture(scope="module")
def result():
    config = Config(MLP((6, 5, 10)), epochs=2)
    conditions = {
        "none": Hparams((0.0, 0.0, 0.0), max_norm=np.inf),
        "=<b>half": Hparams((0.0, 0.5, 0.5), learning_rate=0.1, max_norm=2.0),
    }

    def stop_one(moment):
        return (moment.conditions == 1) & (moment.seeds == 2) & (moment.epoch == 1)

    data = load_dataset("digits")
    return compare(config, conditions, range(3), jax.random.key(0), data, callback=stop_one)


@pytest.fixture(scope="module")
def slides(result):
    return figures(result, slides=True)


@pytest.fixture(scope="module")
def deep():
    """A run of four layers, of which what is called an error is none."""
    config = Config(MLP((3, 3, 3, 10)), 1, error_fn=lambda outputs, label: 50 + 0 * outputs[0])
    conditions = {"none": Hparams((0.0,) * 4), "half": Hparams((0.0, 0.5, 0.5, 0.5))}
    return compare(config, conditions, 2, jax.random.key(0), load_dataset("digits"))


@pytest.fixture(scope="module")
def folder(result, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "run"
    with undrawn():
        result.save(folder)
    return folder


def test_a_run_that_is_read_back_is_the_one_that_was_written(result, folder):
    again = load_run(str(folder))
    assert again.config == result.config
    assert again.seeds == result.seeds
    assert again.verdict == result.verdict
    for name, hparams in result.conditions.items():
        np.testing.assert_array_equal(np.asarray(again.conditions[name].rates), hparams.rates)
        assert again.conditions[name]._replace(rates=None) == hparams._replace(rates=None)
    chex.assert_trees_all_equal(again.population.params, result.population.params)
    chex.assert_trees_all_equal(again.measured.profiles, result.measured.profiles)
    chex.assert_trees_all_equal(again.measured.live_inputs, list(result.measured.live_inputs))
    chex.assert_trees_all_close(again.measured.values, result.measured.values, rtol=1e-6)
    chex.assert_trees_all_close(again.population.curve, result.population.curve, rtol=1e-6)
    assert again.population.epochs.tolist() == result.population.epochs.tolist()
    np.testing.assert_array_equal(again.population.last_epoch, [[2, 2, 2], [2, 2, 1]])


def test_a_run_that_is_read_back_shows_the_same(result, folder):
    again = load_run(folder)
    assert list(figures(again)) == list(figures(result))
    shown = page(again, {}, {})
    assert shown == page(result, {}, {})
    assert "1 stopped early, the first after epoch 1" in shown


def test_the_settings_name_what_is_not_usual_and_nothing_else(result, tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(write, "write", lambda folder, run, settings: written.append(settings))
    own = dataclasses.replace(
        result.config,
        model=MLP((6, 5, 10), activation=jax.numpy.tanh),
        loss_fn=objectives.squared_error,
        rate_schedule=partial(schedules.early, cutoff=0.3),
        epochs=3,
    )
    for config in (result.config, own):
        result._replace(config=config).save(tmp_path)
    usual, named = written
    assert {key for key in named if named[key] != usual.get(key)} == {
        *("model", "loss_fn", "rate_schedule", "epochs")
    }
    assert named["model"].startswith("MLP( features = (6, 5, 10) activation = tanh ")
    assert named["loss_fn"] == "squared_error"
    assert named["rate_schedule"] == "functools.partial(<function early>, cutoff=0.3)"
    assert named["epochs"] == 3


def test_a_run_is_saved_to_a_new_or_empty_folder_alone(result, folder):
    with pytest.raises(ValueError, match="must be new or empty, got"):
        result.save(folder)


SMALL = Config(MLP((4, 10)), epochs=1)


TWO = Hparams((0.0, 0.5))


@pytest.mark.parametrize(
    ("conditions", "seeds", "error", "message"),
    [
        *(
            ({"none": TWO, name: TWO}, 2, ValueError, "the name of a condition must ")
            for name in ("init", "rate/0.5", " ", "x" * 61, 0)
        ),
        ([TWO, TWO], 2, TypeError, r"must be a dict \{name: Hparams\}, got list"),
        ({"none": TWO, "other": TWO}, 1, ValueError, "needs at least two seeds, got 1"),
    ],
)
def test_what_cannot_be_compared_or_written_is_refused_before_training(
    conditions, seeds, error, message, monkeypatch
):
    monkeypatch.setattr(run, "fit_population", lambda *_, **__: pytest.fail("it trains"))
    with pytest.raises(error, match=message):
        compare(SMALL, conditions, seeds, jax.random.key(0), load_dataset("digits"))


@sketched()
@pytest.mark.parametrize(
    ("config", "hparams"), [(SMALL, Hparams()), (Config(MLP((10,)), epochs=1), Hparams((0.5,)))]
)
def test_networks_without_rates_or_without_hidden_layers_are_saved_too(config, hparams, tmp_path):
    conditions = {"none": hparams, "l2": hparams._replace(weight_decay=1e-3)}
    result = compare(config, conditions, 2, jax.random.key(0), load_dataset("digits"))
    result._replace(prng="philox2x32").save(tmp_path / "run")
    again = load_run(tmp_path / "run")
    assert again.verdict == result.verdict
    assert again.prng == "philox2x32"
    assert again.prng != result.prng


@undrawn()
def test_a_run_in_double_precision_is_saved_too(tmp_path):
    with jax.enable_x64(True):
        conditions = {"none": Hparams((0.0, 0.0)), "half": Hparams((0.0, 0.5))}
        result = compare(SMALL, conditions, 2, jax.random.key(0), load_dataset("digits"))
        result.save(tmp_path / "run")
    assert load_run(tmp_path / "run").verdict == result.verdict


def test_errors_that_are_no_rates_have_an_interval_over_seeds(deep):
    error = deep.summary["conditions"]["half"]["test_error"]
    assert (error["mean"], error["ci_low"], error["ci_high"]) == (50, 50, 50)


@pytest.mark.parametrize("lost", ["summary.json", "weights.safetensors", "profiles.safetensors"])
def test_what_is_no_run_is_refused_by_the_name_of_what_it_lacks(lost, folder, tmp_path):
    for path in folder.iterdir():
        if path.name != lost and path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(
        ValueError, match=f"expected the folder of a run, got .*, where {lost} is missing"
    ):
        load_run(tmp_path)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        *(("summary.json", "{"), ("config.json", "[" * 100_000), ("config.json", "[]")),
        *(("environment.json", "[]"), ("metrics.csv", "a,b\n1,2\n"), ("metrics.csv", "x\n")),
        ("profiles.safetensors", "x"),
    ],
    ids=lambda text: text[:20],
)
def test_a_damaged_run_is_refused_in_one_line(name, text, folder, tmp_path):
    for path in folder.iterdir():
        if path.is_file():
            (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).write_text(text)
    with pytest.raises(ValueError, match="expected the folder of a run, got ") as refused:
        load_run(tmp_path)
    assert "\n" not in str(refused.value)


def test_a_notebook_shows_the_answer_and_names_stay_text(result):
    shown = result._repr_html_()
    assert "=&lt;b&gt;half" in shown
    assert "<b>half" not in shown
    assert shown.startswith("<style>")
    assert all(sentence in html.unescape(shown) for sentence in result.verdict)
    assert repr(result).startswith("Run of 3 seeds each of none, ")
    assert len(repr(result)) < 200


def test_a_notebook_shows_every_figure(result):
    drawn = result.figures
    small = type(drawn)({name: type(of)((1, 1)) for name, of in drawn.items()})  # cost less
    shown = small._repr_html_()
    assert shown.count("data:image/png;base64,") == len(drawn) == 5
    assert all(f"<figcaption>{name}</figcaption>" in shown for name in drawn)


def test_a_table_is_a_frame_or_rows(result):
    rows = result.table(as_frame=False)
    assert rows == result.summary["comparisons"]
    frame = result.table()
    assert list(frame.columns) == list(rows[0])
    assert len(frame) == len(rows)


def test_the_summary_on_disk_says_the_answer_in_the_same_words(result, folder):
    told = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    assert told["verdict"] == result.verdict == result.summary["verdict"]
    assert list(told) == list(result.summary)
    assert load_run(folder).summary.keys() == result.summary.keys()


def written_on(figure):
    """The texts of a figure that can be seen, and the boxes that they take up."""
    figure.draw_without_rendering()
    ticks = set()
    for axes in figure.axes:
        of_x = [(label, "intervalx") for label in axes.get_xticklabels()]
        for label, side in [*of_x, *((label, "intervaly") for label in axes.get_yticklabels())]:
            low, high = getattr(axes.bbox, side)
            start, end = getattr(label.get_window_extent(), side)
            if not low - 1 <= (start + end) / 2 <= high + 1:
                ticks.add(label)  # which is not drawn
    texts = [t for t in figure.findobj(Text) if t.get_text() and t.get_visible()]
    return [(t, t.get_window_extent()) for t in texts if t not in ticks]


def test_on_slides_letters_are_3_percent_of_the_height_and_hide_none(slides):
    for name, figure in slides.items():
        width, height = figure.get_size_inches()
        assert abs(width / height - 16 / 9) < 0.01
        texts = written_on(figure)
        assert min(float(text.get_fontsize()) for text, _ in texts) / 72 / height > 0.03, name
        for (one, box), (other, of_other) in itertools.combinations(texts, 2):
            seen = f"{name}: {one.get_text()!r} and {other.get_text()!r}"
            overlap = min(box.x1, of_other.x1) - max(box.x0, of_other.x0)
            below = min(box.y1, of_other.y1) - max(box.y0, of_other.y0)
            assert min(overlap, below) < 1, seen
        for text, box in texts:
            assert figure.bbox.x0 - 1 < box.x0 < box.x1 < figure.bbox.x1 + 1, text.get_text()
            assert figure.bbox.y0 - 1 < box.y0 < box.y1 < figure.bbox.y1 + 1, text.get_text()


def test_a_note_in_a_panel_does_not_hide_the_low_rows_of_a_slide(slides, deep):
    for drawn, noted in ((slides, True), (figures(deep, slides=True), False)):
        figure = drawn["weights"]
        assert {bool(axes.texts) for axes in figure.axes} == {noted}
        legend = [text.get_text() for text in figure.legends[0].get_texts()]
        assert (legend[-1] == "mean difference: from none, over seeds") == noted
