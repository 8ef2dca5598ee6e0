"""The house: imports run downward, rooms stay small, functions short, names are nouns."""

import ast
import io
import re
import tokenize
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from conftest import PROJECT

SOURCE = PROJECT / "src" / "respcam"
#: from the top down; a module imports from its own room and from those after it
ROOMS = (
    "cli", "experiments", "stages", "report", "evidence", "network", "data", "heat", "store", "sound", "metrics", "errors",
)  # fmt: skip
FILES = sorted(SOURCE.rglob("*.py"))
PRONOUNS = {"own", "each", "found", "known", "told", "asked"}
MOST_PARAMETERS = 7
MOST_LINES = 50
MOST_OF_A_ROOM = 0.20


def name_of(path: Path) -> str:
    """Dotted name of a module below respcam: ``heat.cam``."""
    return ".".join(path.relative_to(SOURCE).with_suffix("").parts).removesuffix(".__init__")


MODULES = {name_of(path): path for path in FILES}


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


def imports_of(path: Path) -> set[str]:
    """Every imported name with dots, inside functions and for type checkers too."""
    names = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return names


def modules_below(path: Path) -> set[str]:
    """Modules of respcam that a module imports."""
    inner = {name.removeprefix("respcam.") for name in imports_of(path) if name.startswith("respcam.")}
    return {name for name in inner if name in MODULES and MODULES[name].name != "__init__.py"}


def functions_of(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef, path: Path) -> int:
    """Lines of a function's body that hold code: neither docstring nor blank nor comment."""
    body = function.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    if not body:
        return 0
    lines = set()
    skipped = {tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER}
    for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline):
        if token.type not in skipped:
            lines |= set(range(token.start[0], token.end[0] + 1))
    return len(lines & set(range(body[0].lineno, (body[-1].end_lineno or 0) + 1)))


def bound_names(path: Path) -> set[str]:
    """Names that a module binds: variables, parameters, loop variables, attributes, fields."""
    names = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Name | ast.Attribute) and isinstance(node.ctx, ast.Store):
            names.add(node.id if isinstance(node, ast.Name) else node.attr)
        elif isinstance(node, ast.arg):
            names.add(node.arg)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.alias):
            names.add(node.asname or node.name)
    return names


def test_every_module_lies_in_a_room():
    assert {name.split(".")[0] for name in MODULES if name != "__init__"} == set(ROOMS)


@pytest.mark.parametrize("module", MODULES)
def test_imports_run_downward(module):
    room = module.split(".")[0]
    if room == "__init__":
        return
    upward = {name for name in modules_below(MODULES[module]) if ROOMS.index(name.split(".")[0]) < ROOMS.index(room)}
    assert not upward


def test_no_modules_import_one_another_in_a_circle():
    list(TopologicalSorter({name: modules_below(path) for name, path in MODULES.items()}).static_order())


@pytest.mark.parametrize("module", [name for name in MODULES if not name.startswith("cli")])
def test_only_commands_know_the_configuration_library(module):
    assert not {name for name in imports_of(MODULES[module]) if re.match(r"(hydra|omegaconf)\b", name)}


@pytest.mark.parametrize("room", [room for room in ROOMS if (SOURCE / room).is_dir()])
def test_no_room_holds_more_than_a_fifth_of_the_lines(room):
    lines = {path: len(path.read_text().splitlines()) for path in FILES}
    share = sum(n for path, n in lines.items() if path.is_relative_to(SOURCE / room)) / sum(lines.values())
    assert share <= MOST_OF_A_ROOM


@pytest.mark.parametrize("module", MODULES)
def test_functions_are_short_and_take_little(module):
    path = MODULES[module]
    for function in functions_of(path):
        parameters = function.args
        n_parameters = len([*parameters.posonlyargs, *parameters.args, *parameters.kwonlyargs])
        n_parameters += (parameters.vararg is not None) + (parameters.kwarg is not None)
        assert n_parameters <= MOST_PARAMETERS, f"{module}.{function.name} takes {n_parameters} parameters"
        n_lines = code_lines(function, path)
        assert n_lines <= MOST_LINES, f"{module}.{function.name} has {n_lines} lines of code"


@pytest.mark.parametrize("module", MODULES)
def test_names_are_nouns(module):
    assert not bound_names(MODULES[module]) & PRONOUNS


@pytest.mark.parametrize("module", MODULES)
def test_lines_are_formatted(module):
    assert "fmt: skip" not in MODULES[module].read_text()


@pytest.mark.parametrize("module", [name for name in MODULES if re.match(r"(stages|evidence)\.\w+", name)])
def test_every_module_of_stages_and_evidence_has_its_tests(module):
    room, name = module.split(".")
    assert (PROJECT / "tests" / room / f"test_{name}.py").is_file()


def test_scripts_are_a_few_lines():
    for path in sorted((PROJECT / "scripts").glob("*.py")):
        assert len(path.read_text().splitlines()) <= 8, path
        assert {name.split(".")[0] for name in imports_of(path)} == {"respcam"}, path
