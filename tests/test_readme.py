import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_quickstart_runs_and_prints_a_gini_per_condition_for_every_layer(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for line in lines:
        values = [float(value) for value in line.strip("[]").split()]
        assert len(values) == 2
        assert all(0.3 < value < 0.6 for value in values)


def test_the_answer_is_the_one_in_the_committed_record():
    from experiments import weight_uniformity

    (said,) = re.findall(r"<!-- answer -->\n(.*?)<!-- /answer -->", README, re.DOTALL)
    assert weight_uniformity.markdown(weight_uniformity.RESULTS) in said


def test_the_table_of_the_papers_is_the_one_in_the_committed_record():
    from experiments import srivastava

    index = (ROOT / "experiments" / "README.md").read_text(encoding="utf-8")
    (said,) = re.findall(r"<!-- papers -->\n(.*?)<!-- /papers -->", index, re.DOTALL)
    assert said == srivastava.markdown(srivastava.RESULTS)


def test_the_seconds_stated_are_those_recorded():
    record = ROOT / "experiments" / "results" / "compare" / "environment.json"
    environment = json.loads(record.read_text(encoding="utf-8"))
    seconds = environment["seconds"]
    assert f"training takes {seconds['training']:.0f} s" in README
    assert f"figures {seconds['analysis'] + seconds['figures']:.0f} s" in README
    assert f"JAX {environment['versions']['jax']}" in README


def test_the_speeds_and_the_memory_stated_are_those_recorded():
    from experiments import benchmark, soak

    (said,) = re.findall(r"<!-- speed -->\n(.*?)<!-- /speed -->", README, re.DOTALL)
    assert benchmark.markdown(benchmark.RESULTS) in said
    pieces = json.loads((benchmark.RESULTS / "summary.json").read_text("utf-8"))["pieces"]
    (mask,) = [row["ratio"] for row in pieces if row["piece"] == "a mask"]
    assert f"{mask:.1f} times as fast as `jax.random.bernoulli`" in " ".join(README.split())
    parts = json.loads((soak.RESULTS / "summary.json").read_text("utf-8"))["parts"]
    assert f"took {max(part['peak_mib'] for part in parts):.0f} MiB" in " ".join(README.split())


NORMS = {"baseline": "L2", "condition": "dropout, equal norm"}
LAST = "Gini of contributions, layer 1"


@pytest.mark.parametrize(
    ("study", "which", "digits"),
    [
        ("weight_uniformity", {"layer": 1, "view": "contribution", "measure": "gini"}, 3),
        ("weight_uniformity", {"layer": 0, "view": "entries", "measure": "gini"}, 3),
        ("reliance", {"layer": 1, "quantity": "relative pair interaction"}, 3),
        ("l2", {"baseline": "none", "quantity": "norm of all weights"}, 2),
        ("l2", {**NORMS, "quantity": LAST}, 3),
        ("robustness", {"quantity": "noise"}, 1),
        ("robustness", {"quantity": "contrast"}, 1),
        ("data_size", {"examples": 1_000, "quantity": "test error, %"}, 2),
        ("data_size", {"examples": 60_000, "quantity": "test error, %"}, 2),
    ],
)
def test_every_interval_of_the_answer_is_recorded(study, which, digits):
    record = ROOT / "experiments" / "results" / study / "summary.json"
    rows = json.loads(record.read_text("utf-8"))["comparisons"]
    if "condition" in rows[0]:
        which = {"condition": "dropout", **which}
    (row,) = [row for row in rows if which.items() <= row.items()]
    shown = [f"{row[key]:+.{digits}f}" for key in ("difference", "ci_low", "ci_high")]
    said = f"{shown[0]} [{shown[1]}, {shown[2]}]".replace("-", "−")
    assert said in " ".join(README.split())


def test_the_shares_of_the_multiverse_stated_are_those_recorded():
    record = ROOT / "experiments" / "results" / "multiverse" / "summary.json"
    units = json.loads(record.read_text("utf-8"))["questions"]["units_last"]
    of = units["by_choice"]["optimizer"]
    every, sgd, adam = (
        f"{100 * part['more uniform']:.0f} %" for part in (units["all"], of["SGD"], of["Adam"])
    )
    said = f"{every} of {units['all']['n']} reasonable settings, {sgd} of those with SGD and {adam}"
    assert said in " ".join(README.split())


def test_every_promise_names_a_test_that_is_there():
    named = re.findall(r"\[(test_\w+)\]\((tests/\w+\.py)\)", README)
    assert len(named) >= 8
    for test, file in named:
        assert f"\ndef {test}(" in (ROOT / file).read_text(encoding="utf-8"), test


def test_the_cost_of_a_million_networks_follows_from_the_record():
    from experiments.benchmark import RESULTS

    def said(name: str) -> float:
        return float(re.findall(rf"<!-- {name} -->([\d.]+)<!-- /{name} -->", README)[0])

    rows = json.loads((RESULTS / "summary.json").read_text("utf-8"))["rows"]
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
    record = ROOT / "experiments" / "results" / "interval_coverage" / "summary.json"
    rows = json.loads(record.read_text(encoding="utf-8"))["coverage"]
    at_10 = [row["coverage"] for row in rows if row["n"] == 10]
    stated = f"{100 * min(at_10):.1f} to {100 * max(at_10):.1f} % over four laws"
    assert stated in " ".join(README.split())


def test_every_file_that_the_readme_shows_is_there_and_small():
    for path in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / path).is_file(), path
        assert (ROOT / path).stat().st_size < 300_000, path


def test_the_two_commands_name_what_the_project_declares():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "dropout-jax" in project["scripts"]
    assert "test" in project["optional-dependencies"]
    assert ".venv/bin/dropout-jax compare\n" in README
    assert ".venv/bin/pip install -e '.[test]' && .venv/bin/pytest\n" in README


def test_every_picture_and_link_of_the_readme_is_there():
    links = re.findall(r'(?:src="|\]\()([^)"#]+)', README)
    local = [link for link in links if not link.startswith("http")]
    assert len(local) > 20
    assert [link for link in local if not (ROOT / link).exists()] == []
