import json
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_readme_is_short_and_its_quickstart_near_the_top():
    assert len(README.split()) < 900
    assert README[: README.index("```python")].count("\n") < 60


@pytest.mark.slow
def test_the_quickstart_runs_and_prints_a_gini_per_condition_for_every_layer(capsys):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    exec(compile(code, "README.md", "exec"), {})
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    for l, line in enumerate(lines):
        name, values = line.split(maxsplit=1)
        assert name == f"layer_{l}"
        ginis = [float(value) for value in values.strip("[]").split()]
        assert len(ginis) == 2
        assert all(0.3 < gini < 0.6 for gini in ginis)


def test_the_seconds_stated_are_those_recorded():
    record = ROOT / "experiments" / "results" / "compare" / "environment.json"
    environment = json.loads(record.read_text(encoding="utf-8"))
    seconds = environment["seconds"]
    assert f"training takes {seconds['training']:.0f} s" in README
    assert f"compilation {seconds['compilation']:.0f} s" in README
    after = sum(seconds[part] for part in ("analysis", "files", "figures", "page"))
    assert f"figures and page {after:.0f} s" in README
    assert f"JAX {environment['versions']['jax']}" in README


def test_the_two_commands_name_what_the_project_declares():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "dropout-jax" in project["scripts"]
    assert {"test", "dev", "docs"} <= project["optional-dependencies"].keys()
    assert ".venv/bin/dropout-jax compare\n" in README
    assert ".venv/bin/pip install -e '.[test]' && .venv/bin/pytest\n" in README
    assert f"Python {project['requires-python'].removeprefix('>=')} or newer" in README


def test_three_findings_without_a_number_link_to_studies_of_the_index():
    from experiments.run_all import STUDIES

    (said,) = re.findall(r"## Three findings\n(.*?)\n##", README, re.DOTALL)
    findings = re.findall(r"^- (.*?)\(\[(\w+)\]\(experiments/(\w+)\.py\)\)", said, re.M | re.S)
    assert len(findings) == 3
    for sentence, name, study in findings:
        assert name == study
        assert study in STUDIES
        assert not re.search(r"(?<!L)\d", sentence)


def test_the_commands_of_the_table_are_those_of_the_program():
    from dropout_jax.cli.main import COMMANDS

    named = re.findall(r"^\| `dropout-jax (\w+)", README, re.MULTILINE)
    assert sorted(named) == sorted(COMMANDS)


def test_every_picture_and_link_of_the_readme_is_there_and_small():
    links = re.findall(r'(?:src="|\]\()([^)"#]+)', README)
    local = [ROOT / link for link in links if not link.startswith("http")]
    assert len(local) > 20
    assert [path for path in local if not path.exists() or path.stat().st_size > 300_000] == []
