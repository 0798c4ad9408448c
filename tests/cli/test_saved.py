"""Commands about runs that are done: list, diff, figures."""

import json
import os
import re
import shutil
from pathlib import Path

import jax
import pytest

from dropout_jax.cli.main import run_command
from dropout_jax.data import load_dataset
from dropout_jax.networks.mlp import MLP
from dropout_jax.runs import folder, write
from dropout_jax.runs.run import compare
from dropout_jax.training.config import Config, Hparams

pytestmark = pytest.mark.slow  # a run is trained and written


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Two runs of three seeds that differ in their batches, one begun, and something else."""
    place = tmp_path_factory.mktemp("runs")
    conditions = {"none": Hparams((0.0, 0.0)), "half": Hparams((0.0, 0.5))}
    config, data = Config(MLP((4, 10)), epochs=1), load_dataset("digits")
    result = compare(config, conditions, range(3), jax.random.key(0), data)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "page", lambda *_: "")  # these commands do not read it
        result.save(place / "one")
    other = shutil.copytree(place / "one", place / "other")
    settings = json.loads((other / "config.json").read_text("utf-8"))
    (other / "config.json").write_text(json.dumps({**settings, "batch_size": 64}), "utf-8")
    (place / "thesis").mkdir()
    (place / "thesis" / "summary.json").write_text("[]")
    (place / "begun").mkdir()
    folder.begin(place / "begun", {"dataset": "digits", "seeds": 5})
    return place


def test_runs_are_listed_with_their_seeds_and_what_is_no_run_is_not(runs, capsys):
    assert run_command(["list", str(runs)]) == 0
    output = capsys.readouterr().out
    rows = [line.split()[0] for line in output.splitlines() if not line.startswith(" ")]
    assert rows == ["run", "begun", "one", "other"]
    assert "with half, all is undecided" in " ".join(output.split())  # three seeds
    assert "thesis" not in output
    assert "half: pixels 0, hidden 0.5" in output
    assert run_command(["list", str(runs / "one")]) == 0
    alone = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in alone if not line.startswith(" ")] == ["run", "one"]


@pytest.mark.parametrize("text", ["", "{", '{"a": 1}'])
def test_a_run_that_cannot_be_read_is_listed_with_the_reason(text, runs, tmp_path, capsys):
    copy = shutil.copytree(runs / "one", tmp_path / "copy")
    (copy / "summary.json").write_text(text, "utf-8")
    shutil.copy(runs / "begun" / folder.MARK, copy)
    folder.update(copy, done=True)
    assert run_command(["list", str(tmp_path)]) == 0
    assert "cannot be read: " in capsys.readouterr().out


def test_a_list_knows_no_pixels_of_a_network_other_than_an_mlp(runs, tmp_path, capsys):
    copy = shutil.copytree(runs / "one", tmp_path / "copy")
    summary = json.loads((copy / "summary.json").read_text("utf-8"))
    (copy / "summary.json").write_text(json.dumps({**summary, "layers": ["a.w", "b.w"]}), "utf-8")
    assert run_command(["list", str(tmp_path)]) == 0
    assert "half: rates 0 0.5" in capsys.readouterr().out


def test_a_list_has_the_date_that_a_run_holds_or_else_that_of_its_file(runs, tmp_path, capsys):
    copy = shutil.copytree(runs / "one", tmp_path / "copy")
    environment = json.loads((copy / "environment.json").read_text("utf-8"))
    os.utime(copy / "summary.json", (0, 86_400 * 365))  # a copy is newer, or as old as it likes
    for written, shown in (("2020-02-03T04:05:06", "2020-02-03 04:05"), (None, "1971-01-0")):
        told = json.dumps({**environment, "written": written})
        (copy / "environment.json").write_text(told, "utf-8")
        assert run_command(["list", str(tmp_path)]) == 0
        assert shown in capsys.readouterr().out


def test_a_list_says_how_to_go_on_with_what_is_unfinished(runs, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder.begin(shutil.copytree(runs / "one", tmp_path / "part"), {"seeds": 5})
    Path("killed").mkdir()
    folder.begin(Path("killed"), {"dataset": "digits", "seeds": 5})
    assert run_command(["list", "."]) == 0
    output = " ".join(capsys.readouterr().out.split())
    for name in ("killed", "part"):
        assert output.count(name) == 2
    assert output.count("unfinished: go on with the command that began it") == 2
    assert "digits 0 of 5" in output


@pytest.mark.parametrize("length", [29, 200])
def test_a_list_cuts_no_name(length, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = "".join(str(i % 10) for i in range(length))
    Path(name).mkdir()
    folder.begin(Path(name), {"dataset": "fashion_mnist", "seeds": 5})
    assert run_command(["list", "."]) == 0
    output = capsys.readouterr().out
    assert "…" not in output
    of_name = "".join(line.split(" ")[0] for line in output.splitlines()[1:])
    assert of_name == name  # each line begins with a part of it
    if length < 30:
        assert name in output
    assert output.count("--out") == 1


def test_a_folder_without_runs_says_so(tmp_path, capsys):
    assert run_command(["list", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"There is no run in this folder: {tmp_path}\n"


@pytest.mark.parametrize("summary", ["{}", '{"conditions": [], "n_seeds": 3}', "[" * 200_000])
def test_files_of_something_else_are_no_run_in_a_list_and_refused_by_diff(
    summary, tmp_path, capsys
):
    for name, text in {"config": "{}", "environment": "{}", "summary": summary}.items():
        (tmp_path / f"{name}.json").write_text(text, "utf-8")
    assert run_command(["list", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"There is no run in this folder: {tmp_path}\n"
    assert run_command(["diff", str(tmp_path), str(tmp_path)]) == 2
    expected = f"dropout-jax: expected the folder of a run, got {tmp_path}\n"
    assert capsys.readouterr().err == expected


def test_two_runs_differ_in_the_settings_that_are_shown_and_in_no_others(runs, capsys):
    assert run_command(["diff", str(runs / "one"), str(runs / "other")]) == 0
    output = capsys.readouterr().out.split()
    assert output[-3:] == ["batch_size", "128", "64"]
    assert "epochs" not in output
    assert run_command(["diff", str(runs / "one"), str(runs / "one")]) == 0
    assert capsys.readouterr().out == (
        "The two runs have the same settings and versions, test errors to .01 % (or four "
        "digits), and verdicts on the Gini of contributions and weights.\n"
    )


def test_verdicts_that_differ_are_shown(runs, tmp_path, capsys):
    for name in ("config.json", "summary.json", "environment.json"):
        (tmp_path / name).write_text((runs / "one" / name).read_text("utf-8"), "utf-8")
    summary = json.loads((tmp_path / "summary.json").read_text("utf-8"))
    rows = [r for r in summary["comparisons"] if (r["view"], r["measure"]) == ("entries", "gini")]
    rows[0] |= {"verdict": "more uniform", "difference": -0.25}
    summary["conditions"]["half"]["test_error"]["mean"] = 0.123
    summary["conditions"]["half"]["rates"] = [0.0, 0.2]
    (tmp_path / "summary.json").write_text(json.dumps(summary), "utf-8")
    environment = json.loads((tmp_path / "environment.json").read_text("utf-8"))
    environment["versions"]["jax"] = "0.0.1"
    (tmp_path / "environment.json").write_text(json.dumps(environment), "utf-8")
    assert run_command(["diff", str(runs / "one"), str(tmp_path)]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert re.search(r"half, layer 0, Gini of weights \w+ \S+ more uniform -0\.250", output)
    assert "condition half pixels 0, hidden 0.5 pixels 0, hidden 0.2 " in output
    assert "rates" not in output
    assert f"version of jax {jax.__version__} 0.0.1" in output
    assert re.search(r"half, test error \d+\.\d\d % 12\.30 %", output)
    assert "none, test error" not in output
    (tmp_path / "summary.json").write_text(json.dumps({**summary, "own_metrics": ["error"]}))
    assert run_command(["diff", str(runs / "one"), str(tmp_path)]) == 0
    output = " ".join(capsys.readouterr().out.split())
    assert re.search(r"half, test error \d+\.\d\d % 0\.123 ", output)


def test_figures_are_drawn_again_to_the_byte_and_larger_for_slides(runs, tmp_path):
    run = runs / "one"
    assert run_command(["figures", str(run), "--out", str(tmp_path)]) == 0
    drawn = sorted(path.name for path in tmp_path.iterdir())
    assert drawn == sorted(path.name for path in (run / "figures").iterdir())
    for name in drawn:
        assert (tmp_path / name).read_bytes() == (run / "figures" / name).read_bytes()
    assert run_command(["figures", str(run), "--slides", "--out", str(tmp_path / "slides")]) == 0
    kinds = {path.suffix for path in (tmp_path / "slides").iterdir()}
    assert kinds == {".png", ".pdf"}
    header = (tmp_path / "slides" / "weights.png").read_bytes()[16:24]
    width, height = int.from_bytes(header[:4]), int.from_bytes(header[4:])
    assert abs(width / height - 16 / 9) < 0.01
    assert width > 2000


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("list nowhere", "the folder of runs must exist, got nowhere"),
        ("diff thesis thesis", "expected the folder of a run, got thesis"),
        ("figures thesis", "expected the folder of a run, got thesis"),
        (
            "figures nowhere",
            "expected the folder of a run, got nowhere, where config.json is missing",
        ),
        ("figures one/report.html", "got one/report.html, where config.json is missing"),
        (
            "figures one --out one/report.html",
            "a folder must be given to write to, got the file one/report.html",
        ),
        ("diff one begun", "got begun, which is unfinished: go on with the command that began it"),
        ("figures begun", "got begun, which is unfinished: go on with the command that began it"),
    ],
)
def test_what_is_no_run_is_refused_in_one_line(words, expected, runs, capsys, monkeypatch):
    monkeypatch.chdir(runs)
    before = sorted(os.listdir(runs))
    assert run_command(words.split()) == 2
    output = capsys.readouterr()
    assert expected in output.err
    assert output.err.count("\n") == 1
    assert output.out == ""
    assert sorted(os.listdir(runs)) == before
