import ast
import importlib
import json
import re
from inspect import signature
from pathlib import Path
from types import SimpleNamespace

import jax
import pytest

from experiments import srivastava
from experiments.run_all import OPTIONAL, STUDIES, run_all
from experiments.shared import command, record
from experiments.shared.command import start
from experiments.shared.judging import judged_by_verdict, judged_within
from experiments.shared.record import values_of
from experiments.shared.study import Size

EXPERIMENTS = Path(__file__).parent.parent / "experiments"


@pytest.mark.studies
@pytest.mark.parametrize("name", STUDIES)
def test_a_study_runs_at_toy_size_and_writes_its_record(name, tmp_path, capsys):
    study = importlib.import_module(f"experiments.{name}")
    record.begin(tmp_path, name)
    try:
        study.main(tmp_path, study.QUICK)
    except ModuleNotFoundError as error:
        if error.name not in OPTIONAL:
            raise
        pytest.skip(f"{error.name} is not installed: it is of the extra [bench]")
    for file in ("config.json", "environment.json", "summary.json"):
        assert json.loads((tmp_path / file).read_text())
    assert json.loads((tmp_path / "config.json").read_text())["study"] == name
    judged = json.loads((tmp_path / "predictions.json").read_text())
    committed = json.loads((study.RESULTS / "predictions.json").read_text())
    assert [one["claim"] for one in judged] == [one["claim"] for one in committed]
    assert capsys.readouterr().out


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_has_a_committed_record_of_small_files_and_a_line_in_the_index(name):
    files = [path for path in (EXPERIMENTS / "results" / name).rglob("*") if path.is_file()]
    assert {"config.json", "environment.json", "summary.json", "predictions.json"} <= {
        path.name for path in files
    }
    limits = {"values.json": 2_000_000, f"{name}.html": 600_000}  # numbers of every seed, a page
    assert all(path.stat().st_size < limits.get(path.name, 300_000) for path in files)
    assert f"]({name}.py)" in (EXPERIMENTS / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", sorted(EXPERIMENTS.rglob("*.py")), ids=lambda path: path.stem)
def test_no_other_name_in_a_study_is_that_of_a_module_it_imports(path):
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    imports = [node for node in nodes if isinstance(node, ast.Import | ast.ImportFrom)]
    imported = {alias.asname or alias.name for node in imports for alias in node.names}
    stored = {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}
    assert not imported & (stored | {node.arg for node in nodes if isinstance(node, ast.arg)})


def studies_with(text):
    return [s for s in STUDIES if text in (EXPERIMENTS / f"{s}.py").read_text(encoding="utf-8")]


SUMMARISED_AGAIN = [*studies_with("def summarise(values:"), "data_size/smaller_rates"]
SLOW = {"coadaptation": pytest.mark.slow}


@pytest.mark.parametrize("name", [pytest.param(n, marks=SLOW.get(n, ())) for n in SUMMARISED_AGAIN])
def test_a_record_is_summarised_and_judged_again_without_training(name):
    study = importlib.import_module(f"experiments.{name.partition('/')[0]}")
    folder = EXPERIMENTS / "results" / name
    committed = json.loads((folder / "predictions.json").read_text())
    again = study.judge(study.summarise(values_of(folder)))
    assert [one["held"] for one in again] == [one["held"] for one in committed]


@pytest.mark.parametrize("name", studies_with("def judge(summary:"))
def test_the_predictions_of_a_record_are_those_of_its_summary(name):
    study = importlib.import_module(f"experiments.{name}")
    summary = json.loads((study.RESULTS / "summary.json").read_text())
    committed = json.loads((study.RESULTS / "predictions.json").read_text())
    again = [(one["claim"], one["held"]) for one in study.judge(summary)]
    assert again == [(one["claim"], one["held"]) for one in committed]


WITH_VALUES = {path.parent.name for path in (EXPERIMENTS / "results").glob("*/values.json")}
WITH_VALUES -= {"weight_uniformity"}  # whose pictures show the weights themselves


@pytest.mark.parametrize("name", sorted(WITH_VALUES))
def test_the_figures_of_a_record_are_drawn_again_without_training(name):
    study = importlib.import_module(f"experiments.{name}")
    summary = json.loads((study.RESULTS / "summary.json").read_text())
    given = {"summary": summary, "values": values_of(study.RESULTS)}
    if name == "multiverse":  # every twelfth of whose settings is drawn as all are
        given["values"] = dict(list(given["values"].items())[::12])
    drawn = study.figures(
        **{of: given[of] for of in signature(study.figures).parameters if of in given}
    )
    assert set(drawn) == {path.stem for path in (study.RESULTS / "figures").glob("*.png")}


def test_the_figure_of_the_papers_networks_is_drawn_again_from_its_rows():
    from experiments.srivastava import RESULTS, ROWS, plot, slug

    paths = {name: RESULTS / "rows" / f"{slug(name)}.json" for name in ROWS}
    found = {name: json.loads(path.read_text()) for name, path in paths.items() if path.is_file()}
    summary = json.loads((RESULTS / "summary.json").read_text())
    assert set(found) == {row["row"] for row in summary["rows"]}
    assert len(plot(found).axes) == 6


def test_the_papers_networks_have_no_record_before_that_whose_passes_are_averaged(
    monkeypatch, tmp_path
):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(srivastava, "train_row", interrupted)
    assert list(srivastava.ROWS).index(srivastava.AVERAGED) == 2  # as the page of the study says
    with pytest.raises(SystemExit, match="no record before the row ReLU, dropout, max-norm"):
        srivastava.main(tmp_path, srivastava.QUICK)


@pytest.mark.parametrize(
    ("ends", "where"),
    [((-1, 0.5), "within"), ((0.4, 0.6), "undecided"), ((0.6, 0.7), "outside")],
)
def test_a_claim_about_differences_holds_only_if_their_intervals_lie_within_it(ends, where):
    rows = [{"ci_low": 0, "ci_high": 0}, dict(zip(("ci_low", "ci_high"), ends, strict=True))]
    judged = judged_within("R", "at most a half", rows, high=0.5)
    assert judged["held"] == (where == "within")
    assert [row["interval"] for row in judged["evidence"]] == ["within", where]


@pytest.mark.parametrize("judge", [judged_within, judged_by_verdict])
def test_a_claim_about_no_difference_does_not_hold(judge):
    assert not judge("R", "at most a half", [])["held"]


def test_the_judge_calls_each_prediction_held_or_failed_by_the_verdicts():
    from experiments.weight_uniformity import RESULTS, judge

    summary = json.loads((RESULTS / "summary.json").read_text())
    for row in summary["comparisons"]:
        row |= {"verdict": "undecided", "ci_low": -1, "ci_high": 1}
    assert not any(one["held"] for one in judge(summary))


def test_a_study_that_fails_is_named_when_the_others_have_run(monkeypatch, tmp_path, capsys):
    ran = []

    def main(folder, size):
        if folder.name == "second":
            raise ValueError("what went wrong")
        if folder.name == "needy":
            raise SystemExit("needs data that are not here")
        ran.append((folder.name, size))

    study = SimpleNamespace(main=main, QUICK="toy", Size=lambda: "full")
    monkeypatch.setattr(importlib, "import_module", lambda _: study)
    monkeypatch.setattr(jax, "clear_caches", lambda: None)  # other tests go on with them
    (tmp_path / "foreign").mkdir()
    (tmp_path / "foreign" / "thesis.tex").touch()
    names = ["first", "second", "foreign", "needy", "third"]
    assert run_all(names, tmp_path, True, None) == ["second", "foreign", "needy"]
    assert ran == [("first", "toy"), ("third", "toy")]
    output = capsys.readouterr()
    assert "what went wrong" in output.err
    assert "needs data that are not here" in output.out


@pytest.mark.parametrize(
    ("arguments", "where"),
    [([], "record"), (["--quick"], "runs/quick/record"), (["--quick", "--out", "here"], "here")],
)
def test_a_study_at_toy_size_leaves_the_committed_record_alone(
    arguments, where, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.argv", ["study", *arguments])
    monkeypatch.setattr(jax.config, "update", lambda *_: None)  # the number of devices is settled
    called = []
    start("Why?", lambda out, _: called.append(out), Path("record"), Size(), Size())
    assert called == [Path(where)]


def test_the_help_of_a_study_says_what_each_option_is_and_its_default(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["study", "--help"])
    monkeypatch.setenv("COLUMNS", "200")  # so that no line is broken within a default
    with pytest.raises(SystemExit):
        start("Why?", print, Path("record"), Size(), Size(), list(command._FOLDERS))
    _, *options = capsys.readouterr().out.split("\n  --")
    assert len(options) == 6
    assert all(re.search(r"\(default: .*\)\s*$", option) for option in options)


def test_a_study_that_was_cut_off_goes_on_and_no_other_begins_in_its_folder(tmp_path):
    for rows in (0, 1):
        record.begin(tmp_path / "of any name", "rates")
        record.write_values(tmp_path / "of any name" / "rows", {"errors": [rows]})
    record.write(tmp_path / "of any name", {}, {}, [], {}, start=0)
    assert json.loads((tmp_path / "of any name" / "config.json").read_text())["study"] == "rates"
    with pytest.raises(ValueError, match="must be a new or empty folder or a record of l2, got "):
        record.begin(tmp_path / "of any name", "l2")
