"""How Sphinx makes the pages: the API from docstrings, the tutorials by running them."""

import importlib.metadata
from typing import Any

project = "dropout_jax"
author = "The authors of dropout_jax"
release = importlib.metadata.version("dropout_jax")
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "myst_nb"]
html_theme = "furo"
html_title = "dropout_jax"
html_static_path: list[str] = []

nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 300  # seconds a cell
nb_merge_streams = True
myst_enable_extensions = ["dollarmath", "deflist"]

default_role = "code"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "exclude-members": "activation, kernel_init, noise"}
autodoc_typehints = "description"
autodoc_typehints_format = "short"
autodoc_typehints_description_target = "documented"
autodoc_preserve_defaults = True
python_use_unqualified_type_names = True
napoleon_use_ivar = True


def setup(app: Any) -> None:
    """In a docstring |w| is a magnitude, and no substitution."""

    def escape(_app: Any, _what: str, _name: str, _of: Any, _options: Any, lines: list) -> None:
        lines[:] = [line.replace("|", "\\|").replace("*", "\\*") for line in lines]

    app.connect("autodoc-process-docstring", escape)
