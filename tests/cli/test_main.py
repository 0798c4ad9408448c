import contextlib
import errno
import io
import json
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import tomllib
from functools import partial
from pathlib import Path
from time import perf_counter
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import pytest
from rich.console import Console

from dropout_jax import data
from dropout_jax.analysis.members import VIEWS
from dropout_jax.cli import backend, jobs, main, run_tables, terminal, train
from dropout_jax.cli.arguments import Compare
from dropout_jax.cli.conditions import make_config, read_conditions
from dropout_jax.cli.errors import parsing_line
from dropout_jax.cli.main import run_command
from dropout_jax.io import writers
from dropout_jax.io.environment import versions
from dropout_jax.populations import population
from dropout_jax.runs import folder, run, views, wording, write
from dropout_jax.training.config import Hparams
from tests.undrawn import sketched, undrawn

jax.devices()  # conftest's devices start before the command asks for one per core

TOY = ["compare", "--dataset", "digits", "--features", "16", "8", "--epochs", "2", "--seeds", "3"]


def tree(folder):
    """Everything below a folder: the bytes of its files, None for folders."""
    return {p: p.read_bytes() if p.is_file() else None for p in sorted(folder.rglob("*"))}


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A working directory with files and folders that a command can trip over."""
    monkeypatch.chdir(tmp_path)
    x, y = np.ones((30, 4), np.float32), np.arange(30) % 3
    np.savez("gaps.npz", x=x, y=2 * y)
    x[5, 1] = np.nan
    np.savez("nan.npz", x=x, y=y)
    Path("file").touch()
    for path in ("others/thesis.tex", "model/config.json"):
        Path(path).parent.mkdir()
        Path(path).write_text("{}")
    Path("run").mkdir()
    folder.begin(Path("run"), {})
    folder.update(Path("run"), done=True)
    return tmp_path


OF_RATES = "--rates must hold rates in [0, 1], 0.2 for 20 %: one for all"
ONE = "--sweep takes the place of --rates: give one of them"
BAD = [  # arguments, what was expected, what was given
    ("compare --seeds 1", "--seeds must be at least 2", "got 1"),
    ("compare --seeds 1000001", "and at most 1,000,000", "got 1000001"),
    ("compare --rates 0 0.5", OF_RATES, "got 0.0 0.5"),
    ("compare --rates 0 0.5 1.2", OF_RATES, "got 0.0 0.5 1.2"),
    ("compare --rates 0 -0.1 0.5", OF_RATES, "got 0.0 -0.1 0.5"),
    ("compare --rates 50%", "--rates must hold numbers", "got 50%"),
    ("compare --sweep 20 %", "--sweep must hold numbers", "got 20 %"),
    ("compare --features 16x16", "--features must hold whole numbers", "got 16x16"),
    ("compare --memory much", "--memory must be a number", "got much"),
    ("compare --seeds 1.5", "--seeds must be a whole number", "got 1.5"),
    ("compare --seeds 1: ", "--seeds must be a whole number", "got 1:"),
    ("train --rates 0.5", "Unrecognized options: --rates 0.5;", "--rates is an option of compare"),
    ("list --seeds 3", "options: --seeds 3;", "is an option of compare, train, doctor"),
    ("compare --rate 0.5", "Unrecognized options", "did you mean --rates?"),
    ("compare --feature 8", "Unrecognized options", "did you mean --features?"),
    ("compare --rate 0.5 --sed 3", "--rate, 0.5, --sed, 3", "did you mean --rates and --seeds?"),
    (
        "compare --sede 3 --layout in-out",
        "--sede 3 --layout in-out;",
        "--layout is an option of inspect",
    ),
    ("comapre", "available commands", "did you mean compare?"),
    ("compare --sweep 0.2 1.2", "--sweep must hold different rates in [0, 1]", "got 0.2 1.2"),
    ("compare --sweep 0.2 0.2", "--sweep must hold different rates in [0, 1]", "got 0.2 0.2"),
    ("compare --sweep", "--sweep must hold different rates in [0, 1]", "got nothing"),
    ("compare --rates", OF_RATES, "got nothing"),
    ("compare --sweep 0.2 --rates 0.3", ONE, "got --rates 0.3 and --sweep 0.2"),
    ("compare --sweep 0.2 --rates 0.5", ONE, "got --rates 0.5 and --sweep 0.2"),
    ("compare --rates 0.2 0.5 0.8 --sweep 0.2", ONE, "got --rates 0.2 0.5 0.8 and --sweep 0.2"),
    ("compare --pixels 1.2", "--pixels must be a rate in [0, 1]", "got 1.2"),
    (
        "compare --rates 0 0.5 0.5 --pixels 0.2",
        "--pixels must come with one rate",
        "got --rates 0.0 0.5 0.5",
    ),
    ("compare --sweep 20 50 80", "in [0, 1], 0.2 for 20 %", "got 20.0 50.0 80.0"),
    ("compare --rates 0 nan 0.5", OF_RATES, "got 0.0 nan 0.5"),
    ("compare --features 0 8", "--features must hold positive widths", "got 0 8"),
    ("compare --epochs 0", "--epochs must be at least 1", "got 0"),
    ("compare --batch-size 0", "--batch-size must be at least 1", "got 0"),
    ("compare --batch-size 1438", "batch_size asks for 1438 training examples", "got 1437"),
    ("compare --learning-rate 0", "--learning-rate must be positive and finite", "got 0"),
    ("compare --learning-rate nan", "--learning-rate must be positive and finite", "got nan"),
    ("compare --learning-rate inf", "--learning-rate must be positive and finite", "got inf"),
    ("compare --momentum 1", "--momentum must lie in [0, 1)", "got 1"),
    ("compare --weight-decay -1", "--weight-decay must be finite and not negative", "got -1"),
    ("compare --dataset nope", "dataset must be mnist5k, digits, mnist,", "got 'nope'"),
    ("compare --dataset MNIST", "dataset must be", "got 'MNIST'; did you mean mnist?"),
    ("compare --dataset absent.npz", "must be an existing .npz", "got absent.npz"),
    ("compare --dataset nan.npz", "nan.npz: x must be finite", "got 1 NaN"),
    ("compare --dataset gaps.npz", "y must hold every class 0 … K - 1", "got the values 0, 2, 4"),
    ("compare --dataset mnist --data-dir absent", "must hold train-images", "got absent"),
    ("compare --out file", "out must be a folder", "got the file file"),
    ("compare --out file/below", "be written to, got file/below: Not a directory", ""),
    ("compare --out others", "must be a new or empty folder or an earlier run", "got others"),
    ("compare --out others --overwrite", "must be a new or empty folder", "got others"),
    ("compare --out model --overwrite", "must be a new or empty folder", "got model"),
    ("compare --out model --resume", "must be a new or empty folder", "got model"),
    ("compare --resume", "--resume must come with --out, the folder\n", ""),
    ("compare --process-id 0 --num-processes 2", "--process-id, or all be left out\n", ""),
    ("compare --out run --resume", "run holds another run", "command was None, got"),
    ("compare --out run", "--overwrite", "out holds another run: run"),
    ("", "compare", ""),
    ("contrast", "compare", "contrast"),
    ("compare --seeds ten", "whole number", "got ten"),
    ("compare --rate 0.5", "options", "0.5"),
    (f"compare --out {'x' * 300}", "out must be", "too long"),
    (f"compare --dataset {'x' * 300}.npz", "npz", "too long"),
]


@pytest.mark.parametrize(("line", "expected", "given"), BAD)
def test_bad_input_is_refused_in_one_line_and_nothing_is_written(
    line, expected, given, place, capsys, monkeypatch
):
    monkeypatch.setattr(population, "start", lambda *_: pytest.fail("training began"))
    argv = line.split()
    if argv[:1] == ["compare"] and "--dataset" not in argv:
        argv[1:1] = ["--dataset", "digits"]
    before = tree(place)
    assert run_command(argv) == 2
    output = capsys.readouterr()
    assert output.out == ""
    assert output.err.startswith("dropout-jax: ")
    assert output.err.count("\n") == 1
    assert output.err.endswith("\n")
    assert "[Errno" not in output.err
    assert "--- " not in output.err  # a frame of tyro's
    assert expected in output.err
    assert given in output.err
    assert tree(place) == before


def test_the_entry_point_exits_with_the_status(monkeypatch, capsys):
    project = Path(__file__).parents[2] / "pyproject.toml"
    scripts = tomllib.loads(project.read_text("utf-8"))["project"]["scripts"]
    assert scripts == {"dropout-jax": "dropout_jax.cli.main:main"}
    monkeypatch.setattr(sys, "argv", ["dropout-jax", "compare", "--epochs", "0"])
    monkeypatch.setattr(sys, "unraisablehook", print)
    usual = signal.getsignal(signal.SIGINT)
    with pytest.raises(SystemExit) as stop:
        main.main()
    signal.signal(signal.SIGINT, usual)
    assert stop.value.code == 2
    hook: Any = sys.unraisablehook
    hook(RuntimeError("of a thread of another library"))
    output = capsys.readouterr()
    assert output.err.endswith("got 0\n")
    assert output.out == ""


@pytest.mark.parametrize(
    ("line", "named"),
    [
        ("--help", "compare"),
        ("compare --help", "needs the extra [tensorboard]"),
        ("train --help", "--condition"),
    ],
)
def test_help_is_no_error(line, named, capsys):
    assert run_command(line.split()) == 0
    output = capsys.readouterr()
    assert named in " ".join(output.out.replace("│", "").split())
    assert output.err == ""


@pytest.mark.slow
def test_help_and_refusals_do_not_wait_for_jax():
    code = """
import sys
from dropout_jax.cli.main import run_command
statuses = [run_command(line.split()) for line in sys.argv[1:]]
slow = {"jax", "flax", "matplotlib"} & set(sys.modules)
assert not slow, slow
assert statuses == [0, 0, 2, 2], statuses
"""
    lines = ("--help", "train --help", "compare --seeds ten", "train --condition init")
    status, _, err = run_alone("-c", code, *lines)
    assert status == 0, err


@pytest.fixture(scope="module")
def trained():
    asked = Compare(features=(16, 8), epochs=2)
    config, conditions = make_config(asked, read_conditions(asked), n_classes=10)
    return run.compare(config, conditions, range(3), jobs.root_key(), data.load_dataset("digits"))


@pytest.fixture
def already_trained(trained, monkeypatch):
    """The command, but for its training and what it draws."""
    monkeypatch.setattr(run, "compare", lambda *_, **__: trained)
    with undrawn():
        yield


@pytest.mark.usefixtures("already_trained")
def test_the_command_prints_errors_tables_and_the_answer(tmp_path, capsys, trained):
    assert run_command([*TOY, "--out", str(tmp_path / "run")]) == 0
    output = capsys.readouterr().out
    error = 100 * trained.summary["conditions"]["dropout"]["test_error"]["mean"]
    assert f"test error {error:.2f} ±" in output
    for name in ("dropout", "l2"):
        assert f"Gini, {name} against none" in output
    for sentence in trained.verdict:
        assert sentence in " ".join(output.split())
    assert "0.001, is the fixed default of compare" in " ".join(output.split())
    assert "n = 3 seeds" in output
    assert wording.ADJUSTED in " ".join(output.split())
    assert "Does dropout spread the weights?" in output
    first = " ".join(output.split())
    assert first.startswith(
        "Training 3 networks each of none (no dropout); dropout (pixels 0, hidden"
    )
    assert "3 seeds the smallest adjusted p is 0.25, so no direction can be decided" in first
    assert " path norm" not in output.replace("as path norms", "")


@pytest.mark.parametrize(
    ("n_seeds", "names", "said"),
    [(1, "a", "1 network"), (3, "a", "3 networks"), (3, "ab", "3 networks each")],
)
def test_what_is_trained_is_said_of_one_network_and_of_more(n_seeds, names, said):
    line, *_ = run_tables.training_lines(dict.fromkeys(names, Hparams((0.0,))), n_seeds)
    assert str(line).startswith(f"Training {said} of a (")


@pytest.mark.usefixtures("already_trained")
def test_the_other_views_are_printed_if_they_are_asked_for(tmp_path, capsys):
    assert run_command([*TOY, "--all-views", "--out", str(tmp_path / "run")]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    for view in VIEWS:
        name, of = views.VIEWS[view]
        assert re.search(rf"\d {name} \d", shown)
        assert f"{name.capitalize()}: {of}." in shown
    said = json.loads((tmp_path / "run" / "summary.json").read_text("utf-8"))["verdict"]
    assert "With 3 seeds" in said[0]


def test_errors_of_all_conditions_stand_below_each_other(trained):
    conditions = trained.summary["conditions"]
    part = dict.fromkeys(("mean", "sd", "ci_low", "ci_high"), 0.125)
    small = {"train_error": {**part, "mean": 0.04}, "test_error": {**part, "ci_low": 0.04}}
    both = {"none": conditions["none"], "a": {**conditions["none"], **small}}
    lines = run_tables.run_lines({**trained.summary, "conditions": {**conditions, **both}})
    told = [str(line) for _, line in zip(range(len(conditions) + 1), lines, strict=False)]
    assert len({tuple(m.start() for m in re.finditer(r"\.", line)) for line in told}) == 1, told


def said_of(summary, interrupted=False):
    console = Console(width=100, file=io.StringIO())
    with console.capture() as said:
        for line in run_tables.result_lines(summary, interrupted, all_views=False):
            console.print(line)
    return " ".join(said.get().split())


def test_networks_that_diverged_are_dashes_and_what_is_left_is_said(trained):
    numbers = {"baseline_mean", "condition_mean", "difference", "ci_low", "ci_high", "p_adjusted"}
    rows = [{**row, **dict.fromkeys(numbers, np.nan)} for row in trained.summary["comparisons"]]
    none, dropout, l2 = trained.summary["conditions"].values()
    error = dict.fromkeys(("mean", "sd", "ci_low", "ci_high"), np.nan)
    gone = {**none, "train_error": error, "test_error": error, "dead_inputs": [np.nan] * 3}
    gone |= {"diverged_seeds": [0, 1, 2], "n_compared": 0}
    lost = {**trained.summary, "comparisons": rows}
    uncompared = {
        "none": gone,
        "dropout": dropout | {"n_compared": 0},
        "l2": l2 | {"n_compared": 0},
    }
    said = said_of({**lost, "conditions": uncompared})
    assert "none train error – ± – % test error – ± – % [ –, –]" in said
    assert f"{dropout['dead_inputs'][0]:g} constant inputs and all dead units are" in said
    assert "3 networks of none diverged: their loss" in said
    nothing = said_of({**lost, "conditions": dict.fromkeys(uncompared, gone)})
    assert "All dead units are left out" in nothing
    assert "nan" not in said + nothing
    alone = {"a": {**none, "diverged_seeds": [1], "n_compared": 2}}
    said = said_of({**trained.summary, "conditions": alone, "comparisons": []})
    assert "1 network of a diverged: its loss" in said
    assert "Left out with its seed, 1; 2 seeds are left." in said


def test_an_interrupted_run_is_said_to_be_compared_only_if_it_is(trained):
    summary = {**trained.summary, "comparisons": []}
    assert "3 seeds are complete and compared." in said_of(trained.summary, interrupted=True)
    alone = {"a": summary["conditions"]["none"] | {"diverged_seeds": [1], "n_compared": 1}}
    said = said_of({**summary, "conditions": alone, "n_seeds": 1}, interrupted=True)
    assert "Interrupted: 1 seed is complete. Go on" in said
    assert "n = 1 seed; errors" in said
    assert "Left out with its seed, 1; 1 seed is left." in said


def test_rows_of_the_table_of_gini_are_not_broken_in_80_columns(trained):
    summary = {**trained.summary, "conditions": {"none": {}, "dropout 0.25": {}}}
    row = {**summary["comparisons"][0], "condition": "dropout 0.25", "measure": "gini"}
    row |= {"view": "contribution", "p_adjusted": 2e-4, "verdict": "more uniform"}
    row |= {"layer": 1, "baseline_mean": 0.5, "condition_mean": 0.375}
    row |= {"difference": -0.125, "ci_low": -0.25, "ci_high": 0.0}
    console = Console(width=80, file=io.StringIO())
    table = run_tables._gini_table({**summary, "comparisons": [row]}, "dropout 0.25", False)
    with console.capture() as said:
        console.print(table)
    cells = "1 contributions 0.500 0.375 -0.125 [-0.250, +0.000] <.001 more uniform"
    assert " ".join(said.get().splitlines()[-1].split()) == cells


@undrawn()
def test_the_bar_shows_the_mean_error_of_every_condition_so_far(tmp_path, monkeypatch):
    shown = []

    def errors_line(latest, names):
        shown.append((dict(latest), run_tables.errors_line(latest, names).plain))
        return ""

    told = SimpleNamespace(**{**vars(run_tables), "errors_line": errors_line})
    monkeypatch.setattr(train, "run_tables", told)
    assert run_command([*TOY, "--out", str(tmp_path / "run")]) == 0
    latest, last = shown[-1]
    assert sorted(latest) == [(c, seed) for c in range(3) for seed in range(3)]
    summary = json.loads((tmp_path / "run" / "summary.json").read_text("utf-8"))
    means = {name: 100 * of["test_error"]["mean"] for name, of in summary["conditions"].items()}
    told = ", ".join(f"{name} {mean:.1f} %" for name, mean in means.items())
    assert last == f"test error of 9 networks: {told}"


@pytest.mark.usefixtures("already_trained")
def test_without_a_folder_one_is_named_by_data_and_time(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert run_command(TOY) == 0
    assert [path.name for path in tmp_path.glob("runs/digits-*/summary.json")] == ["summary.json"]


def test_where_no_folder_can_be_made_the_option_for_another_is_named(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    Path("runs").touch()
    assert run_command(TOY) == 2
    said = "--out must be given, as runs/ cannot be written to: File exists"
    assert capsys.readouterr().err == f"dropout-jax: {said}\n"


@pytest.mark.usefixtures("already_trained")
def test_overwriting_replaces_the_run_and_keeps_what_is_not_its_own(tmp_path):
    folder.begin(tmp_path, {})
    (tmp_path / "figures").mkdir()
    for name in ("config.json", "summary.json", "figures/units.png", "notes.txt"):
        (tmp_path / name).write_text("old")
    assert run_command([*TOY, "--out", str(tmp_path)]) == 2
    assert (tmp_path / "summary.json").read_text() == "old"
    assert run_command([*TOY, "--out", str(tmp_path), "--overwrite"]) == 0
    assert json.loads((tmp_path / "summary.json").read_text("utf-8"))["n_seeds"] == 3
    assert json.loads((tmp_path / "config.json").read_text("utf-8"))["seeds"] == 3
    assert (tmp_path / "notes.txt").read_text() == "old"
    assert not (tmp_path / "figures/units.png").exists()


@pytest.mark.usefixtures("already_trained")
@pytest.mark.parametrize("function", ["write_tensors", "write_table", "scratch"])
def test_a_full_disk_gives_one_line_and_no_summary(function, tmp_path, capsys, monkeypatch):
    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(writers, function, fail)
    folder.begin(tmp_path, {})
    (tmp_path / "summary.json").touch()  # of an earlier run: must not pass for this one's
    assert run_command([*TOY, "--out", str(tmp_path), "--overwrite"]) == 1
    output = capsys.readouterr()
    assert ("Does dropout spread the weights?" in output.out) == (function != "scratch")
    assert str(tmp_path) not in output.out  # no word of files that are not there
    lines = [line for line in output.err.splitlines() if not line.startswith("training")]
    assert len(list(filter(None, lines))) == 1
    assert lines[-1].startswith(f"dropout-jax: the run could not be written to {tmp_path}: ")
    assert lines[-1].endswith("No space left on device")
    before_anything_was_cleared = function == "scratch"
    assert (tmp_path / "summary.json").exists() == before_anything_was_cleared


def interrupt_after(n_members, monkeypatch):
    """Ctrl-C during the member that follows so many; on one device they come one by one."""
    fit = population.fit_population

    def fit_and_stop(*args, callback, **kwargs):
        def stop(moment):
            callback(moment)
            if moment.done > n_members * args[0].epochs:
                raise KeyboardInterrupt

        return fit(*args, callback=stop, devices=jax.devices()[:1], **kwargs)

    monkeypatch.setattr(run, "fit_population", fit_and_stop)


@pytest.mark.slow
@undrawn()
@pytest.mark.parametrize("n_seeds", [3, 2])
def test_an_interrupted_run_keeps_the_seeds_that_are_complete(
    n_seeds, tmp_path, trained, capsys, monkeypatch
):
    interrupt_after(3 * n_seeds + 1, monkeypatch)
    assert run_command([*TOY, "--seeds", "5", "--out", str(tmp_path)]) == 130
    output = capsys.readouterr()
    assert f"{n_seeds} seeds are complete" in output.out
    assert "Go on with the same command and --resume --out" in " ".join(output.out.split())
    assert "Traceback" not in output.err
    environment = json.loads((tmp_path / "environment.json").read_text("utf-8"))
    assert environment["interrupted"] is True
    summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
    assert summary["n_seeds"] == n_seeds
    assert all(row["ci_low"] <= row["ci_high"] for row in summary["comparisons"])
    if n_seeds == 3:
        assert summary == trained.summary  # as if no more had been asked for


@pytest.mark.slow
@pytest.mark.parametrize("n_members", [0, 2, 3, 5])
def test_a_run_interrupted_before_two_seeds_leaves_its_checkpoint(
    n_members, tmp_path, capsys, monkeypatch
):
    interrupt_after(n_members, monkeypatch)
    assert run_command([*TOY, "--out", str(tmp_path / "run")]) == 130
    output = capsys.readouterr()
    assert "interrupted; go on with the same command and --resume --out" in output.err
    assert "Traceback" not in output.err
    assert set(os.listdir(tmp_path / "run")) == {folder.LOCK, folder.MARK, folder.CHECKPOINTS}


@pytest.mark.usefixtures("already_trained")
@pytest.mark.parametrize(("n_signals", "status"), [(1, 0), (2, 130)])
def test_once_all_is_trained_an_interrupt_waits_until_it_is_written(
    n_signals, status, tmp_path, capsys, monkeypatch
):
    write_all = write.write

    def write_and_stop(*arguments):
        for _ in range(n_signals):
            os.kill(os.getpid(), signal.SIGINT)
        write_all(*arguments)

    monkeypatch.setattr(write, "write", write_and_stop)
    assert run_command([*TOY, "--out", str(tmp_path / "run")]) == status
    assert (tmp_path / "run" / "summary.json").exists() == (status == 0)
    again = "interrupted; go on with the same command and --resume"
    assert (again in capsys.readouterr().err) == (status == 130)


@pytest.mark.usefixtures("already_trained")
@pytest.mark.parametrize("stage", [(data, "load_dataset"), (write, "write")])
def test_an_interrupt_at_another_time_is_not_blamed_on_too_few_seeds(
    stage, tmp_path, capsys, monkeypatch
):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(*stage, interrupt)
    try:
        assert run_command([*TOY, "--out", str(tmp_path)]) == 130
    except KeyboardInterrupt:  # which pytest would take for its own
        pytest.fail("a traceback")
    assert "two seeds" not in capsys.readouterr().err


@pytest.mark.slow
@sketched()
def test_a_run_that_diverges_is_written_and_ends_in_advice(tmp_path, capsys):
    argv = [*TOY, "--learning-rate", "1e30", "--out", str(tmp_path / "run")]
    assert run_command(argv) == 1
    output = capsys.readouterr()
    assert "3 networks of dropout diverged" in output.out
    assert "9 of 9 networks diverged; try a smaller --learning-rate" in output.err
    assert "Traceback" not in output.err
    summary = json.loads((tmp_path / "run" / "summary.json").read_text("utf-8"))
    assert summary["conditions"]["none"]["diverged_seeds"] == [0, 1, 2]


@pytest.mark.slow
@sketched()
def test_a_condition_that_diverges_is_named_and_the_others_are_compared(tmp_path, capsys):
    argv = [*TOY, "--weight-decay", "1e6", "--out", str(tmp_path / "run")]
    assert run_command(argv) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert "3 networks of l2 diverged" in output
    assert "their seeds, 0, 1, 2; 0 seeds are compared" in output
    summary = json.loads((tmp_path / "run" / "summary.json").read_text("utf-8"))
    compared = {name: one["n_compared"] for name, one in summary["conditions"].items()}
    assert compared == {"none": 3, "dropout": 3, "l2": 0}
    for row in summary["comparisons"]:
        assert (row["difference"] is None) == (row["condition"] == "l2")


@pytest.mark.slow
@undrawn()
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(number, tmp_path, capsys, monkeypatch):
    def in_the_third_wave(bar, task, completed, total):
        if completed == 10 and bar.active:
            bar.active = False
            os.kill(os.getpid(), number)

    bar = SimpleNamespace(add_task=lambda *_, **__: 0, active=True)
    bar.update = partial(in_the_third_wave, bar)
    monkeypatch.setattr(terminal, "progress_bar", lambda shown: contextlib.nullcontext(bar))
    toy = [*TOY, "--checkpoint-seconds", "0", "--out"]
    assert run_command([*toy, str(tmp_path / "stopped")]) == 130
    assert (
        f"go on with the same command and --resume --out {tmp_path}/stopped"
        in capsys.readouterr().err
    )
    assert run_command([*toy, str(tmp_path / "stopped")]) == 2
    assert "give --resume to go on" in capsys.readouterr().err
    assert run_command([*toy, str(tmp_path / "stopped"), "--resume", "--epochs", "3"]) == 2
    assert "holds another run: epochs was 2, got 3" in capsys.readouterr().err
    broken = shutil.copytree(tmp_path / "stopped", tmp_path / "broken")
    min((broken / "checkpoint").glob("[0-9]*.json"), key=lambda path: int(path.stem)).unlink()
    assert run_command([*toy, str(broken), "--resume"]) == 2
    assert "dropout-jax: the checkpoints are incomplete" in capsys.readouterr().err
    assert run_command([*toy, str(tmp_path / "stopped"), "--resume"]) == 0
    assert run_command([*toy, str(tmp_path / "whole")]) == 0
    for name in ("weights.safetensors", "metrics.csv", "summary.json"):
        assert (tmp_path / "stopped" / name).read_bytes() == (
            tmp_path / "whole" / name
        ).read_bytes()
    assert not (tmp_path / "stopped" / "checkpoint").exists()
    before = tree(tmp_path / "stopped")
    assert run_command([*toy, str(tmp_path / "stopped"), "--resume"]) == 0
    assert f"The run in {tmp_path}/stopped is done." in capsys.readouterr().out
    assert tree(tmp_path / "stopped") == before


@pytest.mark.usefixtures("already_trained")
def test_resuming_starts_where_there_is_nothing_and_goes_on_after_a_kill_while_writing(
    tmp_path, monkeypatch, capsys
):
    """A job that is queued again repeats one command line."""
    line = [*TOY, "--out", str(tmp_path / "run"), "--resume"]

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(writers, "write_tensors", killed)
        assert run_command(line) == 130
    assert not (tmp_path / "run" / "summary.json").exists()
    assert run_command(line) == 0
    whole = tree(tmp_path / "run")
    assert tmp_path / "run" / "summary.json" in whole
    assert run_command(line) == 0
    assert "is done" in capsys.readouterr().out
    assert tree(tmp_path / "run") == whole


@pytest.mark.usefixtures("already_trained")
def test_a_run_that_another_one_writes_is_left_alone(tmp_path, capsys):
    with folder.lock(tmp_path / "run"):
        assert run_command([*TOY, "--out", str(tmp_path / "run")]) == 2
        assert os.listdir(tmp_path / "run") == [folder.LOCK]
    output = capsys.readouterr().err
    assert output == f"dropout-jax: out is being written by another run: {tmp_path / 'run'}\n"


@pytest.mark.usefixtures("already_trained")
@pytest.mark.parametrize("changed", ["x_train", "y_train", "x_test", "y_test"])
def test_a_run_is_not_gone_on_with_other_data(changed, tmp_path, capsys, monkeypatch):
    line = [*TOY, "--out", str(tmp_path), "--resume"]
    assert run_command(line) == 0
    digits = data.load_dataset("digits")
    other = getattr(digits, changed).copy()
    other[:2] = other[1::-1]
    monkeypatch.setattr(data, "load_dataset", lambda *_: digits._replace(**{changed: other}))
    assert run_command(line) == 2
    assert f"holds another run: {changed} was" in capsys.readouterr().err


@pytest.mark.usefixtures("already_trained")
def test_a_run_is_not_gone_on_with_other_options_that_change_bits(tmp_path, capsys, monkeypatch):
    line = [*TOY, "--out", str(tmp_path), "--resume"]
    assert run_command(line) == 0
    with jax.threefry_partitionable(False):
        assert run_command(line) == 2
    assert "jax_threefry_partitionable was True, got False" in capsys.readouterr().err
    monkeypatch.setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=true")
    assert run_command(line) == 2
    assert "XLA_FLAGS was" in capsys.readouterr().err
    mark = folder.read_mark(tmp_path)
    assert mark
    identity = mark.identity
    assert versions().items() <= identity.items()
    assert (identity["backend"], identity["device kind"], identity["block"]) == ("cpu", "cpu", 1)


@pytest.mark.slow
@pytest.mark.parametrize("module", ["jax", "jaxlib"])
def test_an_interrupt_while_jax_is_imported_ends_the_command_at_once(module, tmp_path):
    code = f"""
import os, signal, sys
class Interrupting:
    def find_spec(self, name, *_):
        if name == {module!r}:
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Interrupting())
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
from dropout_jax.cli.main import main
main()
"""
    status, out, err = run_alone("-c", code, *TOY, "--out", str(tmp_path / "run"))
    assert (status, out, err) == (-signal.SIGINT, "", "")
    assert not (tmp_path / "run").exists()


@pytest.mark.slow
def test_an_interrupted_command_waits_for_nothing_that_is_still_compiled(tmp_path):
    code = """
import os, signal, time
from dropout_jax.cli.main import main
from dropout_jax.runs import run
def compile_long(*_):
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(60)
run.compile_measures = compile_long
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background job ignores it
main()
"""
    begun = perf_counter()
    status, _, err = run_alone("-c", code, *TOY, "--out", str(tmp_path / "run"))
    assert perf_counter() - begun < 45
    assert status == 130
    assert err.count("dropout-jax: interrupted; go on with the same command") == 1
    assert "Traceback" not in err


def test_what_nobody_foresaw_is_one_line_that_names_the_log(tmp_path, capsys, monkeypatch):
    def fail(*_):
        raise RuntimeError("no such luck")

    monkeypatch.setattr(data, "load_dataset", fail)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert run_command(TOY) == 1
    output = capsys.readouterr().err
    (log,) = tmp_path.glob("*.log")
    assert output == f"dropout-jax: RuntimeError: no such luck; the traceback is in {log}\n"
    assert log.read_text().startswith("Traceback")


DRAWN = {
    "box": "\x1b[31m╭─ Value error ──╮\n│ Error parsing --seeds: │\n│ 'ten' │\n│ ──── │\n"
    "│ Argument helptext: │\n╰────╯\n",
    "lines": " Value error    \n ------------ \n  Error parsing --seeds:\n  'ten'\n  ------\n"
    "  For full helptext, see\n",
    "ascii": "+- Value error -+\n| Error parsing --seeds: |\n| 'ten' |\n+----+\n",
}


@pytest.mark.parametrize("how", DRAWN)
def test_the_message_of_a_bad_option_does_not_depend_on_how_it_is_drawn(how):
    assert parsing_line(DRAWN[how], {}) == "Error parsing --seeds: 'ten'"


def run_alone(*arguments, **environment):
    """Python in a process of its own: status, output, errors."""
    done = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[2],
        env={**os.environ, **environment},
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


FORBIDDEN = {"jax_numpy_dtype_promotion": "strict", "jax_transfer_guard": "disallow"}


@pytest.mark.slow
def test_a_platform_that_is_not_there_is_one_line():
    code = """
import sys
from dropout_jax.cli.main import run_command
print([run_command(line.split()) for line in sys.argv[1:]])
"""
    lines = (" ".join(TOY), "doctor --dataset digits", "inspect a.npz")
    no_home = {"HOME": os.devnull, "MPLCONFIGDIR": f"{os.devnull}/none"}  # matplotlib tells of it
    forbidden = {name.upper(): value for name, value in FORBIDDEN.items()}  # also on import
    given = {**no_home, **forbidden, "JAX_PLATFORMS": "nope"}
    status, out, err = run_alone("-c", code, *lines, **given)
    assert (status, out, err.count("\n")) == (0, "[2, 2, 2]\n", 3)
    for said in err.splitlines():
        assert said.startswith("dropout-jax: JAX cannot start: Unable to initialize backend 'nope'")


def test_other_libraries_do_not_speak_beside_the_one_line(caplog):
    assert run_command(["inspect", "none.npz"]) == 2
    for name in ("absl", "asyncio", "matplotlib.font_manager"):
        logging.getLogger(name).error("a future of which the exception was never retrieved")
    assert not caplog.records


@pytest.mark.slow
@undrawn()
def test_what_a_user_forbids_in_programs_of_their_own_does_not_stop_a_run(tmp_path, capsys):
    try:
        for name, value in FORBIDDEN.items():
            jax.config.update(name, value)
        assert run_command([*TOY, "--out", str(tmp_path / "run")]) == 0
    finally:
        backend.start()
    assert "All numbers, weights and figures" in capsys.readouterr().out


@pytest.mark.slow
def test_a_search_for_nan_that_finds_one_is_one_line(tmp_path, capsys, monkeypatch):
    # A width of its own: a program that was compiled before says instead that its input is gone.
    line = "train --dataset digits --features 7 --epochs 1 --seeds 2 --condition a"
    line += f" --learning-rate 1e30 --out {tmp_path}/run"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with jax.debug_nans(True):
        assert run_command(line.split()) == 1
    err = capsys.readouterr().err
    assert "dropout-jax: FloatingPointError: " in err
    assert "Traceback" not in err
    assert len(list(tmp_path.glob("*.log"))) == 1


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no device that is always full")
@pytest.mark.parametrize("line", ["--version", "--help", "doctor --help"])
def test_an_output_that_is_full_is_one_line(line):
    code = "from dropout_jax.cli.main import main; main()"
    code = f"exec {sys.executable} -c '{code}' {line} >/dev/full"
    root = Path(__file__).parents[2]
    done = subprocess.run(["sh", "-c", code], stderr=subprocess.PIPE, cwd=root, check=False)
    assert done.returncode == 1
    lines = done.stderr.decode().splitlines()
    assert lines == [
        "dropout-jax: the output could not be written: [Errno 28] No space left on device"
    ]


@pytest.mark.usefixtures("already_trained")
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EPIPE])
def test_a_run_is_written_also_if_nobody_can_read_what_is_printed(code, tmp_path, monkeypatch):
    class Full(io.StringIO):
        def write(self, _: str) -> int:
            raise OSError(code, os.strerror(code))

    monkeypatch.setattr(sys, "stdout", Full())
    monkeypatch.setattr(sys, "stderr", Full())
    assert run_command([*TOY, "--out", str(tmp_path / "run")]) == 1
    sys.stdout.close()  # what took its place
    mark = folder.read_mark(tmp_path / "run")
    assert mark
    assert mark.done
    assert (tmp_path / "run" / "report.html").exists()


@pytest.mark.usefixtures("already_trained")
def test_what_the_output_cannot_show_is_replaced(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["dropout-jax", *TOY, "--out", str(tmp_path / "run")])
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding="ascii"))
    with pytest.raises(SystemExit) as stop:
        main.main()
    assert stop.value.code == 0


@pytest.mark.usefixtures("already_trained")
def test_the_folder_is_printed_as_it_is_called(tmp_path, capsys):
    assert run_command([*TOY, "--out", str(tmp_path / "[old]")]) == 0
    assert "[old]" in capsys.readouterr().out


@pytest.mark.usefixtures("already_trained")
@pytest.mark.parametrize("found", [False, True])
def test_without_a_browser_the_page_to_open_is_told(found, tmp_path, capsys, monkeypatch):
    asked = []
    monkeypatch.setattr(train.webbrowser, "open", lambda page: asked.append(page) or found)
    assert run_command([*TOY, "--open", "--out", str(tmp_path / "run")]) == 0
    assert asked == [(tmp_path / "run" / "report.html").as_uri()]
    assert (
        f"No browser was found; open this address in one: {asked[0]}" in capsys.readouterr().out
    ) == (not found)


@pytest.mark.slow
def test_the_package_can_be_run_as_a_module():
    status, _, said = run_alone("-m", "dropout_jax", "compare", "--seeds", "1")
    assert status == 2
    assert said.startswith("dropout-jax: --seeds must be at least 2")


def test_the_version_is_the_installed_one(capsys):
    assert run_command(["--version"]) == 0
    with open(Path(__file__).parents[2] / "pyproject.toml", "rb") as file:
        assert capsys.readouterr().out == f"{tomllib.load(file)['project']['version']}\n"


def test_a_message_of_anything_is_not_long(capsys):
    for line in (
        "train --condition " + "x" * 9_000,
        "inspect " + "a/" * 2_000,
        "compare --seeds 1",
    ):
        assert run_command([*line.split()[:-1], line.split()[-1] + "0" * 4_000]) == 2
        assert len(capsys.readouterr().err) < 1_100
