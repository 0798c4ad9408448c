"""The pages of the documentation say what records hold, and nothing that is not there."""

import doctest
import importlib.util
import json
import re
import tomllib
from pathlib import Path

import pytest

from experiments.run_all import STUDIES
from experiments.tutorials import study_pages, study_tables

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "experiments" / "results"
PAGES = ROOT / "experiments" / "tutorials"
REMARKS = sorted((PAGES / "remarks").glob("*.md"))
WRITTEN = [
    ROOT / "README.md",
    ROOT / "experiments" / "README.md",
    *sorted(PAGES.glob("*.md")),
    *REMARKS,
]


def text(page: str) -> str:
    return (PAGES / f"{page}.md").read_text(encoding="utf-8")


def in_one_line(page: str) -> str:
    return " ".join(text(page).split())


def record(study: str, part: str = "summary"):
    return json.loads((RESULTS / study / f"{part}.json").read_text(encoding="utf-8"))


def test_the_answer_is_the_one_in_the_committed_record():
    from experiments import weight_uniformity

    (said,) = re.findall(r"<!-- answer -->\n(.*?)<!-- /answer -->", text("findings"), re.DOTALL)
    assert weight_uniformity.markdown(weight_uniformity.RESULTS) in said


def test_the_speeds_and_the_memory_stated_are_those_recorded():
    from experiments import benchmark

    (said,) = re.findall(r"<!-- speed -->\n(.*?)<!-- /speed -->", text("speed"), re.DOTALL)
    assert benchmark.markdown(benchmark.RESULTS) in said
    (other,) = re.findall(r"<!-- other -->\n(.*?)<!-- /other -->", text("speed"), re.DOTALL)
    assert benchmark.markdown(benchmark.RESULTS / "other_processor") in other
    of = json.loads((benchmark.RESULTS / "environment.json").read_text("utf-8"))
    assert f"vectors of {of['vector_bits']} bits" in in_one_line("speed")
    pieces = record("benchmark")["pieces"]
    (mask,) = [row["ratio"] for row in pieces if row["piece"] == "a mask"]
    assert f"{mask:.1f} times as fast as `jax.random.bernoulli`" in in_one_line("speed")
    seconds = record("compare", "environment")["seconds"]
    listed = ("training", "compilation", "figures", "analysis", "page")
    shown = ", ".join(f"{part} {seconds[part]:.1f} s" for part in listed)
    shown += f" and imports {seconds['import']:.1f} s"
    assert shown in in_one_line("speed")
    assert f"took {sum(seconds.values()):.1f} s" in in_one_line("speed")
    speeds = {
        row["contender"]: row["gflops"]
        for row in record("benchmark")["rows"]
        if (row["width"], row["dropout"]) == (256, "hidden layers")
    }
    longer = speeds["its own products alone"] / speeds["this library"]
    assert f"a step takes {longer:.2f} times as long as its own products" in in_one_line("speed")
    parts = record("soak")["parts"]
    assert f"took {max(part['peak_mib'] for part in parts):.0f} MiB" in in_one_line("speed")


def needs_of_missed_loops(part):
    """Of each goal against a loop at 1024 that was missed: the share of a step's own products that
    it would need, and the share that was reached."""
    from experiments import benchmark

    rows = record("benchmark", f"{part}summary")["rows"]
    speed = {(row["contender"], row["width"], row["dropout"]): row["gflops"] for row in rows}
    loops = (benchmark.FLAX, benchmark.TORCH, benchmark.TORCH_FUNC)
    for rival, width, least, dropouts in benchmark.GOALS:
        for dropout in dropouts if rival in loops and width == 1024 else ():
            rivals, own, products = (
                speed[name, width, dropout]
                for name in (rival, benchmark.LIBRARY, benchmark.PRODUCTS)
            )
            if own < least * rivals:
                yield least * rivals / products, own / products


def test_what_the_missed_goals_at_the_largest_width_would_need_is_told():
    (hidden, has_hidden), (pixels, has_pixels) = needs_of_missed_loops("")
    assert f"a step would need {hidden:.2f} or {pixels:.2f} of the speed" in in_one_line("speed")
    assert f"It has {has_hidden:.2f} and {has_pixels:.2f}." in in_one_line("speed")
    needs = [need for need, _ in needs_of_missed_loops("other_processor/")]
    assert len(needs) == 4
    assert f"would need {min(needs):.2f} to {max(needs):.2f} of the speed" in in_one_line("speed")


@pytest.mark.parametrize("study", ["compare", "weight_uniformity"])
def test_the_verdict_of_a_record_is_what_the_library_says_of_it(study):
    from dropout_jax.runs.verdicts import verdict

    assert record(study)["verdict"] == verdict(record(study))


NORMS = {"baseline": "L2", "condition": "dropout, equal norm"}
LAST = "Gini of contributions, layer 1"
MATCHED = {"layer": 1, "quantity": "relative interaction in nats, matched damage"}


@pytest.mark.parametrize(
    ("study", "which", "digits"),
    [
        ("weight_uniformity", {"layer": 1, "view": "contribution", "measure": "gini"}, 3),
        ("weight_uniformity", {"layer": 0, "view": "entries", "measure": "gini"}, 3),
        ("coadaptation", MATCHED, 3),
        ("l2", {"baseline": "none", "quantity": "norm of all weights"}, 2),
        ("l2", {**NORMS, "quantity": LAST}, 3),
        ("l2", {**NORMS, "condition": "dropout, equal error", "quantity": LAST}, 3),
        ("robustness", {"quantity": "noise", "strength": 0.5}, 1),
        ("robustness", {"quantity": "intensity", "strength": 0.9}, 1),
        ("robustness", {"quantity": "contrast", "strength": 0.76}, 1),
        ("data_size", {"examples": 1_000, "quantity": "test error, %"}, 2),
        ("data_size", {"examples": 60_000, "quantity": "test error, %"}, 2),
    ],
)
def test_every_interval_of_the_answer_is_recorded(study, which, digits):
    rows = record(study)["comparisons"]
    if "condition" in rows[0]:
        which = {"condition": "dropout", **which}
    (row,) = [row for row in rows if which.items() <= row.items()]
    shown = [f"{row[key]:+.{digits}f}" for key in ("difference", "ci_low", "ci_high")]
    said = f"{shown[0]} [{shown[1]}, {shown[2]}]".replace("-", "−")
    assert said in in_one_line("findings")


@pytest.mark.parametrize(
    ("study", "which", "said"),
    [
        ("weight_uniformity", {"layer": 1, "view": "contribution", "measure": "gini"}, "{:.3f}"),
        ("coadaptation", MATCHED, "from {:.3f}"),
        ("l2", {"baseline": "none", "quantity": "norm of all weights"}, "from {:.1f}"),
    ],
)
def test_the_values_without_dropout_are_recorded(study, which, said):
    which = {"condition": "dropout", **which}
    (row,) = [row for row in record(study)["comparisons"] if which.items() <= row.items()]
    assert said.format(row["baseline_mean"]) in in_one_line("findings")


LARGEST, EVEN = {"quantity": "largest damage"}, {"quantity": "Gini of damages"}
LOGITS = {"quantity": "relative interaction in logits"}
NATS = {"quantity": "relative interaction in nats, matched damage"}
UNITS, WEIGHTS = ({"measure": "gini", "view": view} for view in ("contribution", "entries"))
NORM = {"baseline": "none", "quantity": "norm of all weights"}


@pytest.mark.parametrize(
    ("said", "study", "condition", "quantity", "verdicts"),
    [
        ("one unit does falls in both", "reliance", "dropout", LARGEST, "lower lower"),
        ("and under max-norm, too", "reliance", "max-norm", LARGEST, "lower lower"),
        ("In the first that is undecided", "reliance", "dropout", EVEN, "undecided lower"),
        ("less even with three hidden", "coadaptation", "dropout", EVEN, "higher lower lower"),
        ("interact less in the loss, and", "coadaptation", "dropout", LOGITS, "lower lower lower"),
        ("interact less in the loss, and", "coadaptation", "dropout", NATS, "lower lower lower"),
        ("Max-norm lowers both", "coadaptation", "max-norm", NATS, "lower lower lower"),
        ("hidden units contribute is spread", "weight_uniformity", "dropout", UNITS, "more more"),
        ("only in the output layer", "weight_uniformity", "dropout", WEIGHTS, "less less more"),
        ("L2 spreads neither weights nor", "weight_uniformity", "l2", WEIGHTS, "less less less"),
        ("L2 spreads neither weights nor", "weight_uniformity", "l2", UNITS, "less less"),
        ("Dropout makes weights larger", "l2", "dropout", NORM, "higher"),
        ("L2 makes them smaller", "l2", "L2", NORM, "lower"),
    ],
)
def test_what_is_said_of_the_lecture_follows_from_verdicts(
    said, study, condition, quantity, verdicts
):
    assert said in in_one_line("sentences")
    assert_verdicts(study, condition, quantity, verdicts)


def assert_verdicts(study, condition, quantity, verdicts):
    which = {"condition": condition, **quantity}
    rows = [row for row in record(study)["comparisons"] if which.items() <= row.items()]
    rows.sort(key=lambda row: row.get("layer", 0))
    assert len(rows) == len(verdicts.split())
    for row, verdict in zip(rows, verdicts.split(), strict=True):
        assert verdict in row["verdict"].split()


@pytest.mark.parametrize("page", ["index", "../../README"])
def test_the_three_findings_follow_from_verdicts(page):
    findings = in_one_line(page)
    assert (
        "hidden units contribute more evenly, but single weights are more uniform only" in findings
    )
    assert_verdicts("weight_uniformity", "dropout", UNITS, "more more")
    assert_verdicts("weight_uniformity", "dropout", WEIGHTS, "less less more")
    assert "nearer to the sum of their single damages" in findings
    for quantity in (LOGITS, NATS, {"quantity": "relative interaction in nats"}):
        assert_verdicts("coadaptation", "dropout", quantity, "lower lower lower")
    assert "makes the weights larger, and L2 makes them smaller" in findings
    assert_verdicts("l2", "dropout", NORM, "higher")
    assert_verdicts("l2", "L2", NORM, "lower")


@pytest.mark.parametrize(
    ("said", "study", "prediction", "held"),
    [
        ("the change goes with the distance", "time_course", "C1", False),
        ("flat to a fifth of a point from 20 to 50 %", "rates", "R1", False),
        ("10 to 30 % of the pixels too lowers it", "rates", "R5", True),
        ("At 80 % the error rises", "rates", "R2", True),
        ("dimmer digits", "robustness", "B4", True),
        ("faint grey backgrounds", "robustness", "B5", False),
        ("linear regression on features of one scale the two nearly agree", "l2", "N3", True),
        ("the last hidden layer the scaled network is the geometric", "ensemble", "Baldi", True),
    ],
)
def test_what_is_said_of_the_lecture_follows_from_predictions(said, study, prediction, held):
    assert said in in_one_line("sentences")
    parts = [part for part in record(study, "predictions") if part["prediction"] == prediction]
    assert all(part["held"] for part in parts) == held


def test_no_other_interval_is_in_the_findings():
    prose = in_one_line("findings").split("<!-- answer -->")[0]
    assert len(re.findall(r"\[[−+][\d.]+, [−+][\d.]+\]", prose)) == 11


def test_the_shares_of_the_multiverse_stated_are_those_recorded():
    units = record("multiverse")["questions"]["units_last"]
    of = units["by_choice"]["optimizer"]
    every, sgd, adam = (
        f"{100 * part['more uniform']:.0f} %" for part in (units["all"], of["SGD"], of["Adam"])
    )
    said = f"{every} of {units['all']['n']} reasonable settings, {sgd} of those with SGD and {adam}"
    assert said in in_one_line("findings")
    first = record("multiverse")["questions"]["weights_first"]["by_choice"]["optimizer"]
    assert "with SGD they are less uniform in more than half, and" in in_one_line("sentences")
    assert first["SGD"]["less uniform"] > 0.5
    assert first["SGD"]["less uniform"] + first["SGD"]["negligible"] == 1
    assert "With Adam it is mostly negligible, and in none are they" in in_one_line("sentences")
    assert first["Adam"]["negligible"] > 0.5
    assert first["SGD"]["more uniform"] == first["Adam"]["more uniform"] == 0


@pytest.mark.parametrize("study", STUDIES)
def test_the_index_says_of_how_many_seeds_a_record_is(study):
    (n,) = re.findall(rf"^\| \[{study}\].* \| (.+?) \| .+? \|$", text("../README"), re.MULTILINE)
    seeds = record(study, "config").get("seeds")
    if isinstance(seeds, int):  # studies of coverage and speed have none
        assert f"{seeds:,}" in n


def test_every_promise_names_a_test_that_is_there():
    rows = re.findall(r"^\| (?!what|-).*$", text("promises"), re.MULTILINE)
    named = re.findall(r"\[(test_\w+)\]\(\.\./\.\./(tests/[\w/]+\.py)\)", text("promises"))
    assert len(named) >= len(rows) - 1  # one is held by a study, which takes long
    assert len(named) >= 8
    for test, file in named:
        assert f"\ndef {test}(" in (ROOT / file).read_text(encoding="utf-8"), test


def test_the_cost_of_a_million_networks_follows_from_the_record():
    def said(name: str) -> float:
        return float(re.findall(rf"<!-- {name} -->([\d.]+)<!-- /{name} -->", text("long_runs"))[0])

    rows = record("benchmark")["rows"]
    key = (64, "hidden layers", "this library")
    (speed,) = [r["gflops"] for r in rows if (r["width"], r["dropout"], r["contender"]) == key]
    kernels = 784 * 64 + 64 * 64 + 64 * 10
    flops = 6 * 128 * kernels * (4_000 // 128) * 30
    kilobytes = 4 * (kernels + 64 + 64 + 10) / 1e3
    assert said("one") == round(flops / speed / 1e9, 2)
    assert said("million") == round(flops / speed / 1e9 * 1e6 / 3600)
    assert said("bytes") == round(kilobytes)
    assert said("all") == round(kilobytes * 4 / 3)


def test_the_coverage_stated_is_that_recorded():
    from experiments import interval_coverage

    (said,) = re.findall(
        r"<!-- coverage -->\n(.*?)<!-- /coverage -->", text("statistics"), re.DOTALL
    )
    assert interval_coverage.markdown(interval_coverage.RESULTS) == said
    of_six = [row["coverage"] for row in record("interval_coverage")["coverage"] if row["n"] == 6]
    low, high = (f"{100 * end:.0f}" for end in (min(of_six), max(of_six)))
    assert f"six differences it does so in {low} to {high} of 100" in in_one_line("lecture")


@pytest.mark.parametrize("module", [study_pages, study_tables])
def test_the_examples_of_the_generator_hold(module):
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("study", STUDIES)
def test_the_page_of_a_study_shows_its_record(study):
    page = study_pages.page(study)
    lines = page.splitlines()
    assert lines[0].startswith(f"# {study}: ")
    assert f"**Answer.** {study_pages.answer(study)}" in lines
    for one in record(study, "predictions"):
        verdict = "held" if one["held"] else study_pages.verdict(one)
        row = f"| {study_tables.cell(one['prediction'])} | {study_tables.cell(one['claim'])} |"
        assert any(line.startswith(f"{row} {verdict} |") for line in lines)
    for figure in (RESULTS / study / "figures").glob("*.png"):
        assert f"(../../results/{study}/figures/{figure.name})" in page
    for row in record(study).get("comparisons", []):
        if row.get("measure", "gini") == "gini":
            assert study_tables.estimate(row) in page
    assert f"python -m experiments.{study}" in page
    assert "None" not in page
    tables = re.findall(r"(?:^\|.*\n)+", page, re.MULTILINE)
    assert len(tables) >= 3
    for table in tables:  # as many cells in every line; an escaped bar is not a border
        assert len({len(re.findall(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


def test_the_page_of_the_papers_has_the_table_of_the_committed_record():
    from experiments import srivastava

    assert srivastava.markdown(srivastava.RESULTS) in study_pages.page("srivastava") + "\n"


def test_pages_are_written_anew_and_nothing_else_stays(tmp_path):
    folder = tmp_path / "studies"
    folder.mkdir()
    (folder / "gone.md").write_text("of a study that is no more")
    study_pages.write(folder)
    assert sorted(path.stem for path in folder.iterdir()) == sorted(STUDIES)


@pytest.mark.parametrize("path", REMARKS, ids=lambda path: path.stem)
def test_remarks_are_words_the_numbers_are_in_the_tables(path):
    assert path.stem in STUDIES
    assert not re.search(r"\d %|(?<!§)\d\.\d|\[[-+−]?\.?\d", path.read_text(encoding="utf-8"))


def test_the_index_has_one_sentence_an_answer():
    index = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| \[(\w+)\]\((\w+)\.py\) \| ([^|]+) \| ([^|]+) \|", index, re.MULTILINE)
    assert sorted(name for name, *_ in rows) == sorted(STUDIES)
    for name, file, question, answer in rows:
        assert name == file
        assert question.endswith("?")
        assert answer.endswith(".")
        assert ". " not in answer
        assert "[" not in answer


def test_the_table_of_moved_modules_names_modules_that_are_there():
    rows = re.findall(r"^\| `(\w+)` \| (.*) \|$", text("changelog"), re.MULTILINE)
    assert len(rows) > 30
    for _, to in rows:
        for module in re.findall(r"`([a-z]+(?:\.[a-z]+)?)`", to):
            if "." in module or module in ("data", "noise"):
                assert importlib.util.find_spec(f"dropout_jax.{module}"), module


def sentences(markdown: str) -> list[str]:
    """The sentences of a page; code, tables and comments have none."""
    prose = re.sub(r"\A---\n.*?\n---\n|```.*?```|<!--.*?-->", "\n\n", markdown, flags=re.DOTALL)
    prose = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", re.sub(r"`[^`]*`", "code", prose))
    blocks = re.split(r"\n\s*\n|\n(?=\s*(?:[-*#|]|\d+\.) ?)", prose)
    said = [" ".join(b.split()) for b in blocks if not b.lstrip().startswith("|")]
    return [one for block in said for one in re.split(r"(?<=[.?!])[\"*)]*\s+(?=\S)", block)]


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_no_sentence_has_more_than_thirty_words(path):
    if path.name == "references.md":
        return
    long = [s for s in sentences(path.read_text(encoding="utf-8")) if len(s.split()) > 30]
    assert long == []


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_every_link_of_a_page_leads_to_a_file(path):
    markdown = re.sub(r"```.*?```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL)
    for link in re.findall(r"\]\((?!http)([^)#]+)\)", markdown):
        assert (path.parent / link).exists(), link
        if path.parent == PAGES and link.endswith(".py") and not link.startswith("../../"):
            assert Path(link).stem in STUDIES  # a page in the site, see `conf.to_pages`


def test_every_page_is_in_a_table_of_contents():
    named = {line.strip() for line in text("index").splitlines()}
    assert {path.stem for path in PAGES.glob("*.md")} - {"index"} <= named


def test_the_page_says_what_each_dependency_is_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    needed = [re.split(r"[<>=]", name)[0] for name in project["dependencies"]]
    (table,) = re.findall(r"\| package \|.*?\n\n", text("opinions"), re.DOTALL)
    named = re.findall(r"^\| ([a-z][^|]*) \|", table, re.MULTILINE)[1:]
    assert sorted(", ".join(named).split(", ")) == sorted(needed)


def test_the_views_are_called_and_explained_as_the_command_does():
    from dropout_jax.runs.views import VIEWS

    for view, (name, meaning) in VIEWS.items():
        escaped = meaning.replace("|", r"\|")
        assert f"| `{view}` | {name} | {escaped} |" in text("run_folder")
