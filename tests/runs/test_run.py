import csv
import dataclasses
import html
import json
import os
import threading
from concurrent.futures import ThreadPoolExecutor

import jax
import numpy as np
import pytest

from dropout_jax.analysis import statistics
from dropout_jax.cli.arguments import PRNG, ROOT_SEED, Compare
from dropout_jax.cli.conditions import UNRECORDED_OPTIONS, make_config, read_conditions, settings
from dropout_jax.cli.main import run_command
from dropout_jax.data import load_dataset
from dropout_jax.inspection.measures import inspect
from dropout_jax.runs import run, write
from tests.undrawn import undrawn

TOY = Compare("digits", features=(16, 8), seeds=6, epochs=2, rates=(0.0, 0.5, 0.5))
N_INPUTS, N_LAYERS = 64, 3
CONDITIONS = ("none", "dropout", "l2")
MEASURES = ("gini", "cv", "entropy", "participation", "hoyer", "top10_share")
OF_KERNELS = ("entries", "columns", "change")
CELLS = {(l, view) for l in range(N_LAYERS) for view in OF_KERNELS}
CELLS |= {(l, view) for l in range(N_LAYERS - 1) for view in ("contribution", "path_norm")}
WHOLE_NETWORK = ("train_loss", "train_error", "test_loss", "test_error")
FIGURES = ("weights", "profiles", "units", "differences", "curves")
MEMBERS = [(name, seed) for name in CONDITIONS for seed in range(TOY.seeds)]


pytestmark = pytest.mark.slow  # they train and write whole runs


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the command writes."""
    out = tmp_path_factory.mktemp("command") / "run"
    widths = map(str, TOY.features)
    given = ["--dataset", TOY.dataset, "--features", *widths, "--out", str(out)]
    given += ["--seeds", str(TOY.seeds), "--epochs", str(TOY.epochs)]
    assert run_command(["compare", *given]) == 0
    return out


@pytest.fixture(scope="module")
def result():
    """The same run, called from Python."""
    config, conditions = make_config(TOY, read_conditions(TOY), n_classes=10)
    key = jax.random.key(ROOT_SEED, impl=PRNG)
    return run.compare(config, conditions, range(TOY.seeds), key, load_dataset(TOY.dataset))


@pytest.fixture(scope="module")
def summary(folder):
    return json.loads((folder / "summary.json").read_text("utf-8"))


@pytest.fixture(scope="module")
def metrics(folder):
    """{(condition, seed, layer, view, measure): value}."""
    with (folder / "metrics.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["condition", "seed", "layer", "view", "measure", "value"]
    values = {
        (r["condition"], int(r["seed"]), r["layer"], r["view"], r["measure"]): float(r["value"])
        for r in rows
    }
    assert len(values) == len(rows)
    return values


@pytest.fixture(scope="module")
def tensors(folder):
    """The weights, read with nothing but NumPy and json."""
    raw = (folder / "weights.safetensors").read_bytes()
    start = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:start])
    header.pop("__metadata__", None)
    dtypes = {"F32": "<f4", "BOOL": "?"}
    return {
        name: np.frombuffer(
            raw[start + entry["data_offsets"][0] : start + entry["data_offsets"][1]],
            dtypes[entry["dtype"]],
        ).reshape(entry["shape"])
        for name, entry in header.items()
    }


def test_a_run_writes_these_files_and_no_others(folder):
    expected = {"config.json", "environment.json", "summary.json", "weights.safetensors"}
    expected |= {"metrics.csv", "curves.csv", "report.html", "run.json", ".lock"}
    expected |= {"profiles.safetensors"}
    expected |= {f"figures/{name}.{kind}" for name in FIGURES for kind in ("png", "svg")}
    found = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert found == expected
    mark = json.loads((folder / "run.json").read_text("utf-8"))
    assert {*mark["files"]} == expected - {"run.json", ".lock"}


def test_a_run_is_the_same_to_the_byte_from_the_command_and_from_python(
    folder, result, tmp_path, monkeypatch
):
    monkeypatch.setattr(write, "page", lambda *_: "")  # which is not compared
    monkeypatch.setattr(write, "figures", lambda _: {})  # they are drawn of what is compared
    given = settings(TOY, read_conditions(TOY), load_dataset(TOY.dataset))
    write.write(tmp_path, result, given)
    for path in {*folder.glob("*.*")} - {folder / "run.json", folder / ".lock"}:
        again = tmp_path / path.relative_to(folder)
        timed = path.name in ("environment.json", "report.html")  # what took how long is in both
        assert timed or path.read_bytes() == again.read_bytes(), path


def test_a_run_writes_its_page(folder, summary):
    text = html.unescape((folder / "report.html").read_text("utf-8"))
    error = 100 * summary["conditions"]["dropout"]["test_error"]["mean"]
    assert "Does dropout spread the weights?" in text
    assert f"{error:.2f}" in text


def test_the_configuration_gives_the_arguments_back(folder):
    config = json.loads((folder / "config.json").read_text("utf-8"))
    assert config["command"] == "compare"
    assert (config["n_inputs"], config["n_classes"]) == (N_INPUTS, 10)
    assert (config["n_train"], config["n_test"]) == (1437, 360)
    fields = [field.name for field in dataclasses.fields(Compare)]
    given = {name: value for name, value in config.items() if name in fields}
    given |= {name: tuple(given[name]) for name in ("features", "rates")}
    assert Compare(**given) == TOY
    assert set(fields) - set(given) == {
        *UNRECORDED_OPTIONS,
        "pixels",
        "sweep",
    }  # which the rates hold


def test_the_environment_says_what_ran_on_what_and_for_how_long(folder):
    environment = json.loads((folder / "environment.json").read_text("utf-8"))
    assert environment["versions"]["jax"] == jax.__version__
    assert environment["prng"] == PRNG
    assert environment["devices"]
    assert environment["seconds"]["training"] > 0
    assert environment["interrupted"] is False


def test_what_another_thread_compiles_is_not_time_of_this_one():
    def compile_one():
        jax.jit(lambda x: x + 1).lower(np.float32(0)).compile()

    with run._timed() as timed, ThreadPoolExecutor(1) as beside:
        beside.submit(compile_one).result()
    assert timed["compilation"] == 0
    with run._timed() as timed:
        compile_one()
    assert timed["compilation"] > 0


def test_the_analysis_is_compiled_while_networks_are_trained(monkeypatch):
    config, conditions = make_config(TOY, read_conditions(TOY), n_classes=10)
    was_trained, trained = [], threading.Event()

    def wait_and_fail(*_):
        was_trained.append(trained.wait(60))
        raise RuntimeError("what fails beside the training is compiled after it")

    def say_when_trained(moment):
        if moment.done == moment.total:
            trained.set()

    monkeypatch.setattr(run, "compile_measures", wait_and_fail)
    key = jax.random.key(ROOT_SEED, impl=PRNG)
    data = load_dataset(TOY.dataset)
    run.compare(config, conditions, 2, key, data, callback=say_when_trained)
    assert was_trained == [True]  # once


def test_the_summary_keeps_the_contract(summary):
    assert summary["schema_version"] == 2
    assert summary["n_seeds"] == TOY.seeds
    assert list(summary["conditions"]) == list(CONDITIONS)
    asked = {"none": ([0, 0, 0], 0), "dropout": ([0, 0.5, 0.5], 0), "l2": ([0, 0, 0], 1e-3)}
    for name, condition in summary["conditions"].items():
        assert (condition["rates"], condition["weight_decay"]) == asked[name]
        for split in ("train_error", "test_error"):
            assert set(condition[split]) == {"mean", "sd", "ci_low", "ci_high"}


def test_every_cell_of_the_comparison_is_there_with_every_number(summary):
    keys = "baseline condition layer view measure family n baseline_mean condition_mean difference "
    keys += "ci_low ci_high p_value p_adjusted p_negligible effect_size verdict"
    rows = summary["comparisons"]
    found = {(r["condition"], r["layer"], r["view"], r["measure"]) for r in rows}
    expected = {
        (c, *cell, measure) for c in CONDITIONS[1:] for cell in CELLS for measure in MEASURES
    }
    assert found == expected
    assert len(rows) == len(expected)
    for row in rows:
        assert list(row) == keys.split()
        assert row["baseline"] == "none"
        assert row["verdict"] in statistics.VERDICTS
        assert row["ci_low"] <= row["difference"] <= row["ci_high"]
        assert 2 ** (1 - TOY.seeds) <= row["p_value"] <= row["p_adjusted"] <= 1


def test_the_metrics_hold_every_cell_of_every_member(metrics):
    cells = {("", "", metric) for metric in WHOLE_NETWORK}
    cells |= {(str(l), "inputs", "dead") for l in range(N_LAYERS)}
    cells |= {(str(l), view, measure) for l, view in CELLS for measure in MEASURES}
    assert set(metrics) == {(*member, *cell) for member in MEMBERS for cell in cells}
    assert all(np.isfinite(value) for value in metrics.values())


def test_the_summary_is_the_mean_of_the_metrics(summary, metrics):
    def of(condition, *cell):
        return np.array([metrics[(condition, s, *cell)] for s in range(TOY.seeds)])

    for name, condition in summary["conditions"].items():
        errors = of(name, "", "", "test_error")
        assert condition["test_error"]["mean"] == pytest.approx(errors.mean())
        assert condition["test_error"]["sd"] == pytest.approx(errors.std(ddof=1))
    for row in summary["comparisons"]:
        cell = (str(row["layer"]), row["view"], row["measure"])
        none, condition = of("none", *cell), of(row["condition"], *cell)
        assert row["baseline_mean"] == pytest.approx(none.mean())
        assert row["condition_mean"] == pytest.approx(condition.mean())
        assert row["difference"] == pytest.approx((condition - none).mean(), abs=1e-12)


def test_the_curves_end_where_the_metrics_say(folder, metrics):
    with (folder / "curves.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["condition", "seed", "epoch", *WHOLE_NETWORK]
    members = [(row["condition"], int(row["seed"]), int(row["epoch"])) for row in rows]
    assert members == [(*member, epoch) for member in MEMBERS for epoch in range(TOY.epochs + 1)]
    for member, row in zip(members, rows, strict=True):
        if member[-1] == TOY.epochs:
            for metric in WHOLE_NETWORK:
                assert float(row[metric]) == metrics[(*member[:2], "", "", metric)]


def gini(a):
    """Half the relative mean difference of all pairs."""
    a = np.abs(a, dtype=np.float64).ravel()
    return np.abs(a[:, None] - a[None, :]).sum() / (2 * (a.size - 1) * a.sum())


def test_the_weights_give_the_metrics_again(tensors, metrics):
    widths = (N_INPUTS, *TOY.features, 10)
    n_dead = 0
    for name, seed in MEMBERS:
        live = [tensors[f"{name}/{l}/live_inputs"][seed] for l in range(N_LAYERS)]
        live.append(np.ones(10, bool))
        for l in range(N_LAYERS):
            kernel, bias = (tensors[f"{name}/{l}/{part}"][seed] for part in ("kernel", "bias"))
            assert (kernel.shape, bias.shape) == (widths[l : l + 2], widths[l + 1 : l + 2])
            living = np.ix_(live[l], live[l + 1])
            again = {
                "entries": gini(kernel[living]),
                "columns": np.mean([gini(column) for column in kernel[living].T]),
                "change": gini((kernel - tensors[f"init/{l}/kernel"][seed])[living]),
            }
            if l < N_LAYERS - 1:
                outgoing = np.linalg.norm(tensors[f"{name}/{l + 1}/kernel"][seed], axis=1)
                incoming = np.hypot(np.linalg.norm(kernel[live[l]], axis=0), bias)
                again["path_norm"] = gini((incoming * outgoing)[live[l + 1]])
            for view, value in again.items():
                found = metrics[(name, seed, str(l), view, "gini")]
                assert found == pytest.approx(value, abs=1e-5), (name, seed, l, view)
            assert metrics[(name, seed, str(l), "inputs", "dead")] == np.sum(~live[l])
            n_dead += np.sum(~live[l]) if l else 0
    assert n_dead > 0  # or leaving dead units out would not have been seen


def test_conditions_share_their_init_and_nothing_else(result, tensors):
    for first, *others in (leaf for leaf in jax.tree.leaves(result.population.init_params)):
        for other in others:
            np.testing.assert_array_equal(first, other)
    trained = [tensors[f"{name}/1/kernel"] for name in ("init", *CONDITIONS)]
    for i, one in enumerate(trained):
        assert one.shape == (TOY.seeds, *TOY.features)
        assert len(np.unique(one, axis=0)) == TOY.seeds
        for other in trained[:i]:
            assert not np.isclose(one, other).all(axis=(1, 2)).any()


def test_inspected_the_weights_give_the_metrics_again(folder, metrics):
    found = inspect(folder)
    n_compared = 0
    for (name, seed, layer, view, measure), value in metrics.items():
        if view in ("entries", "columns"):
            got = found.values[f"{name}/{layer}/kernel"][view][measure][seed]
            assert got == pytest.approx(value, rel=1e-5)
            n_compared += 1
    assert n_compared == len(MEMBERS) * N_LAYERS * 2 * len(MEASURES)


@undrawn()
def test_a_compact_record_has_no_weights_no_tables_and_no_page(result, tmp_path):
    for compact in (False, True):
        write.write(tmp_path / str(compact), result, {}, compact=compact)
    full, compact = (set(os.listdir(tmp_path / kind)) for kind in ("False", "True"))
    tables = {"metrics.csv", "curves.csv"}
    tensors = {"weights.safetensors", "profiles.safetensors"}
    assert full - compact == {*tensors, "report.html", *tables}
    assert "summary.json" in compact
