"""The direction of the arrows between modules, and other habits, read off the source."""

import ast
import doctest
import re
import sys
from pathlib import Path

import pytest

import dropout_jax

PACKAGE = Path(dropout_jax.__file__).parent
TREES = {path.stem: ast.parse(path.read_text("utf-8")) for path in sorted(PACKAGE.glob("*.py"))}
MODULES = [name for name in TREES if name != "__init__"]

MAY_IMPORT = {
    "dropout": set(),
    "objectives": set(),
    "files": set(),
    "data": {"files"},
    "weights": set(),
    "units": set(),
    "ablation": set(),
    "ensemble": set(),
    "theory": {"ensemble", "networks"},
    "statistics": set(),
    "unpaired": {"statistics"},
    "plots": set(),
    "records": set(),
    "folder": {"records"},
    "networks": {"dropout"},
    "linen": {"dropout"},
    "nnx": {"dropout", "networks"},
    "training": {"dropout", "networks", "objectives", "data"},
    "processes": set(),
    "blocks": {"training", "networks", "data", "processes"},
    "interrupts": set(),
    "schedules": set(),
    "perturbations": set(),
    "checkpoints": {"blocks", "training", "data", "records", "processes"},
    "population": {"checkpoints", "blocks", "training", "networks", "dropout", "data"}
    | {"processes"},
    "comparison": {"population", "blocks", "training", "networks", "data"}
    | {"weights", "units", "statistics"},
    "runs": {"comparison", "checkpoints", "population", "training", "networks", "data"}
    | {"plots", "records", "report"},
    "charts": set(),
    "report": {"charts"},
    "tensorboard": {"runs", "networks"},
    "tensors": {"files"},
    "layers": {"tensors", "weights"},
    "inspection": {"files", "layers", "tensors", "weights", "statistics", "unpaired"},
    "arguments": set(),
    "conditions": {"arguments", "training", "networks", "data"},
    "jobs": {"arguments", "conditions", "runs", "checkpoints", "blocks", "training", "data"}
    | {"folder", "records", "processes", "tensorboard"},
    "doctor": {"population", "blocks", "training", "networks", "data", "records"},
    "tables": {"inspection"},
    "cli": {
        "inspection",
        "tensors",
        "records",
        "arguments",
        "conditions",
        "jobs",
        "doctor",
        "tables",
        "runs",
        "comparison",
        "folder",
    }
    | {"population", "interrupts", "processes"},
}

OF_THE_COMMAND_LINE = {"cli", "arguments", "conditions", "jobs", "doctor", "tables", "tensorboard"}
OF_THE_COMMAND_LINE |= {"processes", "interrupts", "files", "folder"}
BEFORE_JAX = ("arguments", "conditions", "tables", "cli")  # read before it is loaded


def imports(tree: ast.AST) -> set[str]:
    """The dotted names that a tree imports anywhere: `from a import b` gives a and a.b."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            source = "." * node.level + (node.module or "")
            names |= {source} | {f"{source}.{alias.name}" for alias in node.names}
    return names


def roots(names: set[str]) -> set[str]:
    """Top-level packages outside the standard library."""
    return {name.partition(".")[0] for name in names} - sys.stdlib_module_names


def imported_siblings(tree: ast.AST) -> set[str]:
    parts = [name.split(".") for name in imports(tree)]
    return {part[1] for part in parts if part[0] == "dropout_jax" and len(part) > 1}


@pytest.mark.parametrize("module", MODULES)
def test_modules_import_only_from_below(module):
    assert module in MAY_IMPORT, f"say in MAY_IMPORT what {module}.py may import"
    assert imported_siblings(TREES[module]) & set(MODULES) <= MAY_IMPORT[module]


def test_the_arrows_have_no_cycle():
    below: set[str] = set()
    while ready := {m for m, allowed in MAY_IMPORT.items() if allowed <= below} - below:
        below |= ready
    assert below == set(MAY_IMPORT) == set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_no_module_imports_relatively_or_from_experiments_or_tests(module):
    assert not {"", "experiments", "tests", "conftest"} & roots(imports(TREES[module]))


@pytest.mark.parametrize("module", ["weights", "units", "ablation", "ensemble", "statistics"])
def test_what_measures_weights_needs_only_jax_numpy_and_scipy(module):
    assert roots(imports(TREES[module])) <= {"jax", "numpy", "scipy"}


def test_what_draws_needs_only_numpy_and_matplotlib_without_its_global_state():
    assert roots(imports(TREES["plots"])) == {"numpy", "matplotlib"}
    assert not any("pyplot" in name for tree in TREES.values() for name in imports(tree))


def test_the_package_itself_imports_nothing():
    assert not imports(TREES["__init__"])


@pytest.mark.parametrize("module", BEFORE_JAX)
def test_the_command_line_imports_jax_only_inside_functions(module):
    at_once = [node for node in TREES[module].body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert roots(imports(ast.Module(list(at_once), []))) <= {"tyro", "rich", "dropout_jax"}
    assert imported_siblings(ast.Module(list(at_once), [])) & set(MODULES) <= set(BEFORE_JAX)
    others = [node for node in TREES[module].body if isinstance(node, ast.If | ast.Try | ast.With)]
    assert all(isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING" for n in others)


@pytest.mark.parametrize("module", [module for module in MODULES if module != "cli"])
def test_only_the_command_line_prints(module):
    called = {ast.unparse(n.func) for n in ast.walk(TREES[module]) if isinstance(n, ast.Call)}
    assert not called & {"print", "sys.stdout.write", "sys.stderr.write", "jax.debug.print"}
    assert module == "tables" or "rich" not in roots(imports(TREES[module]))


@pytest.mark.parametrize("module", [module for module in MODULES if module != "cli"])
def test_only_the_command_line_sets_global_jax_configuration(module):
    touched = {ast.unparse(n) for n in ast.walk(TREES[module]) if isinstance(n, ast.Attribute)}
    assert not touched & {"jax.config", "os.environ"}
    assert not imports(TREES[module]) & {"jax.config", "os.environ", "os.putenv"}


@pytest.mark.parametrize("module", MODULES)
def test_no_module_unpickles(module):
    assert not {"pickle", "dill", "joblib", "shelve", "marshal"} & {
        name.partition(".")[0] for name in imports(TREES[module])
    }
    allowed = [n for n in ast.walk(TREES[module]) if isinstance(n, ast.keyword)]
    assert all(ast.unparse(n.value) == "False" for n in allowed if n.arg == "allow_pickle")


@pytest.mark.parametrize("module", TREES)
def test_everything_public_has_a_docstring(module):
    tree = TREES[module]
    documented: list[ast.Module | ast.ClassDef | ast.FunctionDef] = [tree]
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            documented += [node, *(n for n in node.body if isinstance(n, ast.FunctionDef))]
        elif isinstance(node, ast.FunctionDef):
            documented.append(node)
    bare = [getattr(n, "name", module) for n in documented if not ast.get_docstring(n)]
    assert [name for name in bare if not name.startswith("_")] == []


@pytest.mark.parametrize("module", sorted(set(TREES) - OF_THE_COMMAND_LINE - {"__init__"}))
def test_every_public_function_is_called_in_an_example_of_its_module(module):
    nodes = [n for n in TREES[module].body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    public = [node for node in nodes if not node.name.startswith("_")]
    parser = doctest.DocTestParser()
    examples = [e for node in public for e in parser.get_examples(ast.get_docstring(node) or "")]
    calls = ast.walk(ast.parse("".join(example.source for example in examples)))
    called = {ast.unparse(call.func) for call in calls if isinstance(call, ast.Call)}
    assert public
    assert [n.name for n in public if isinstance(n, ast.FunctionDef) and n.name not in called] == []


def test_every_module_has_its_place_on_the_page_of_the_library():
    page = (PACKAGE.parent / "experiments" / "tutorials" / "api.md").read_text("utf-8")
    named = re.findall(r"^### dropout_jax\.(\w+)$", page, re.MULTILINE)
    documented = re.findall(r"automodule:: dropout_jax\.(\w+)$", page, re.MULTILINE)
    assert named == documented
    assert sorted(named) == sorted(set(MODULES) - OF_THE_COMMAND_LINE)


@pytest.mark.parametrize("module", TREES)
def test_nothing_is_left_to_do(module):
    assert "TODO" not in (PACKAGE / f"{module}.py").read_text("utf-8")
