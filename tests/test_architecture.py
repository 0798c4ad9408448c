"""The rooms and the arrows between them, and other habits, read off the source."""

import ast
import doctest
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

import dropout_jax

PACKAGE = Path(dropout_jax.__file__).parent
ROOT = Path(__file__).parents[1]
PATHS = sorted(PACKAGE.rglob("*.py"))
TREES = {
    ".".join(path.relative_to(PACKAGE).with_suffix("").parts): ast.parse(path.read_text("utf-8"))
    for path in PATHS
}
MODULES = [name for name in TREES if not name.endswith(("__init__", "__main__"))]

ROOMS = {  # what each may import from, beside itself
    "noise": set(),
    "io": set(),
    "data": {"io"},
    "networks": {"noise"},
    "training": {"noise", "data", "networks"},
    "populations": {"noise", "data", "io", "networks", "training"},
    "analysis": {"data", "networks", "training", "populations"},
    "inspection": {"io", "analysis"},
    "runs": {"data", "io", "networks", "training", "populations", "analysis"},
    "cli": {"data", "io", "networks", "training", "populations", "analysis", "inspection", "runs"},
}
JOINS_BOTH = {
    "analysis.members",
    "analysis.comparison",
}  # the rest of the analysis knows arrays and trees alone
BEFORE_JAX = [  # what is loaded before JAX is
    *("cli.arguments", "cli.checks", "cli.conditions", "cli.errors", "cli.main"),
    *("cli.tables", "cli.terminal"),
]
DRAW_TABLES = ("cli.tables", "cli.file_tables", "cli.run_tables", "cli.saved")


def room(name: str) -> str:
    return name.partition(".")[0]


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
    return {room(name) for name in names} - sys.stdlib_module_names


def imported_modules(tree: ast.AST) -> set[str]:
    """Modules of the library that a tree imports, such as `populations.blocks`."""
    names = {name.removeprefix("dropout_jax.") for name in imports(tree)}
    return names & set(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_a_room_imports_only_from_rooms_below_it(module):
    assert {room(m) for m in imported_modules(TREES[module])} <= ROOMS[room(module)] | {
        room(module)
    }


def test_the_rooms_and_their_files_have_no_cycle():
    for arrows in (ROOMS, {m: imported_modules(TREES[m]) for m in MODULES}):
        below: set[str] = set()
        while ready := {m for m, allowed in arrows.items() if allowed <= below} - below:
            below |= ready
        assert below == set(arrows)


@pytest.mark.parametrize("module", [m for m in MODULES if room(m) == "analysis"])
def test_the_analysis_knows_arrays_and_trees_alone(module):
    if module not in JOINS_BOTH:
        used = {room(m) for m in imported_modules(TREES[module])}
        assert used <= {"analysis", "networks"}
        assert roots(imports(TREES[module])) <= {"chex", "jax", "numpy", "scipy", "dropout_jax"}


@pytest.mark.parametrize("module", MODULES)
def test_no_module_imports_relatively_or_from_experiments_or_tests(module):
    assert not {"", "experiments", "tests", "conftest"} & roots(imports(TREES[module]))


def test_what_draws_needs_only_numpy_and_matplotlib_without_its_global_state():
    for name in ("plots", "panels", "style", "drawing", "notebook"):
        assert roots(imports(TREES[f"runs.{name}"])) <= {"numpy", "matplotlib", "dropout_jax"}
    assert not any("pyplot" in name for tree in TREES.values() for name in imports(tree))


def test_each_dependency_is_imported_and_each_import_is_declared():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {re.split("[<>=]", line)[0] for line in project["dependencies"]}
    optional = {"tensorboardX"}
    of_module = metadata.packages_distributions()
    used = {room(name) for tree in TREES.values() for name in roots(imports(tree))} - {
        "dropout_jax"
    }
    providers = {
        module: {name if name in optional else name.lower() for name in of_module[module]}
        & (declared | optional)
        for module in used
    }
    assert all(providers.values()), providers
    assert set().union(*providers.values()) - optional == declared


@pytest.mark.slow
def test_an_older_python_is_refused_in_one_line():
    lacks = "sys.modules['importlib.metadata'] = None"  # as Python 3.7 does
    code = f"import sys; sys.version_info = (3, 7, 4); {lacks}; import dropout_jax"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    *_, last = done.stderr.splitlines()
    assert last.startswith("ImportError: dropout_jax needs Python 3.11 or newer, got ")


@pytest.mark.slow
def test_the_library_is_loaded_without_what_draws_and_what_parses():
    code = "import sys; from dropout_jax import *; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    draws = {"matplotlib", "PIL", "jinja2", "markupsafe"}
    parses = {"tyro", "pandas", "sklearn", "mlxtend", "orbax", "safetensors", "tensorboardX"}
    assert not (draws | parses) & set(done.stdout.split())


@pytest.mark.slow
def test_the_package_itself_loads_nothing_but_its_names():
    code = "import sys; had = {*sys.modules}; import dropout_jax; print(*{*sys.modules} - had)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loads = {"jax", "numpy", "flax", "scipy", "importlib.metadata"}
    assert not loads & set(done.stdout.split())


def test_every_public_name_is_there_and_listed():
    for name in dropout_jax.__all__:
        assert getattr(dropout_jax, name).__doc__
    assert dropout_jax.__version__ == metadata.version("dropout_jax")
    assert dir(dropout_jax) == sorted({*dropout_jax.__all__, "__version__", *ROOMS})
    with pytest.raises(AttributeError, match="dropout_jax has no attribute 'nope'"):
        dropout_jax.nope  # noqa: B018  # pyright: ignore  to ask for it is the test


@pytest.mark.slow
def test_every_room_is_there_once_the_package_is_imported():
    code = f"import dropout_jax; print(*(getattr(dropout_jax, r).__name__ for r in {[*ROOMS]}))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [f"dropout_jax.{name}" for name in ROOMS]


def test_the_help_of_the_package_names_every_room():
    assert dropout_jax.__doc__
    assert [name for name in ROOMS if f"\n  {name}" not in dropout_jax.__doc__] == []


@pytest.mark.parametrize("name", sorted(ROOMS.keys() - set(MODULES)))
def test_the_docstring_of_a_room_names_its_modules(name):
    told = set(re.findall(r"`(\w+)`", ast.get_docstring(TREES[f"{name}.__init__"]) or ""))
    assert {module.partition(".")[2] for module in MODULES if room(module) == name} <= told


@pytest.mark.parametrize("module", BEFORE_JAX)
def test_the_command_line_imports_jax_only_inside_functions(module):
    at_once = [node for node in TREES[module].body if isinstance(node, ast.Import | ast.ImportFrom)]
    assert roots(imports(ast.Module(list(at_once), []))) <= {"tyro", "rich", "dropout_jax"}
    assert imported_modules(ast.Module(list(at_once), [])) <= set(BEFORE_JAX)
    others = [node for node in TREES[module].body if isinstance(node, ast.If | ast.Try | ast.With)]
    assert all(isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING" for n in others)


@pytest.mark.parametrize("module", [m for m in MODULES if m != "cli.terminal"])
def test_only_the_command_line_prints(module):
    called = {ast.unparse(n.func) for n in ast.walk(TREES[module]) if isinstance(n, ast.Call)}
    assert not called & {"print", "sys.stdout.write", "sys.stderr.write", "jax.debug.print"}
    assert module in DRAW_TABLES or "rich" not in roots(imports(TREES[module]))


@pytest.mark.parametrize("module", [m for m in MODULES if m != "cli.backend"])
def test_only_the_command_line_sets_global_jax_configuration(module):
    touched = {ast.unparse(n) for n in ast.walk(TREES[module]) if isinstance(n, ast.Attribute)}
    assert not touched & {"jax.config", "os.environ"}
    assert not imports(TREES[module]) & {"jax.config", "os.environ", "os.putenv"}


def test_settings_are_frozen_dataclasses_and_other_records_named_tuples():
    decorated = {
        (module, ast.unparse(decorator))
        for module, tree in TREES.items()
        for node in ast.walk(tree)
        if isinstance(node, ast.ClassDef)
        for decorator in node.decorator_list
    }
    settings = ("training.config", "cli.arguments", "runs.saved")  # the last: a network
    assert decorated == {(module, "dataclass(frozen=True)") for module in settings}


@pytest.mark.parametrize("module", MODULES)
def test_no_module_unpickles(module):
    assert not {"pickle", "dill", "joblib", "shelve", "marshal"} & {
        room(name) for name in imports(TREES[module])
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


def public_modules():
    """Modules without a room, and those that the docstring of their room says are public."""
    public = {name for name in MODULES if "." not in name}
    for name in ROOMS.keys() - public:
        doc = ast.get_docstring(TREES[f"{name}.__init__"]) or ""
        (listed,) = re.findall(
            r"^Public (?:is|are) (.*?)\.$|All of it is private", doc, re.M | re.S
        )
        public |= {f"{name}.{module}" for module in re.findall(r"`(\w+)`", listed)}
    return public


@pytest.mark.parametrize("module", sorted(public_modules()))
def test_every_public_function_is_called_in_an_example_of_its_module(module):
    nodes = [n for n in TREES[module].body if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    public = [node for node in nodes if not node.name.startswith("_")]
    parser = doctest.DocTestParser()
    examples = [e for node in public for e in parser.get_examples(ast.get_docstring(node) or "")]
    calls = ast.walk(ast.parse("".join(example.source for example in examples)))
    called = {ast.unparse(call.func) for call in calls if isinstance(call, ast.Call)}
    assert public
    assert [n.name for n in public if isinstance(n, ast.FunctionDef) and n.name not in called] == []


def test_what_is_public_is_on_the_page_of_the_library_and_few_enough_to_be_known():
    page = (PACKAGE.parent / "experiments" / "tutorials" / "api.md").read_text("utf-8")
    named = re.findall(r"^### dropout_jax\.([\w.]+)$", page, re.MULTILINE)
    documented = re.findall(r"automodule:: dropout_jax\.([\w.]+)$", page, re.MULTILINE)
    assert named == documented
    assert sorted(named) == sorted(public_modules())
    assert {f"dropout_jax.{name}" for name in named} >= {
        getattr(dropout_jax, name).__module__ for name in dropout_jax.__all__
    }
    defined = [node for name in named for node in TREES[name].body]
    names = [n.name for n in defined if isinstance(n, ast.FunctionDef | ast.ClassDef)]
    assert len([name for name in names if not name.startswith("_")]) < 150


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.name)
def test_nothing_is_left_to_do(path):
    assert "TODO" not in path.read_text("utf-8")
