"""Imports run one way: scripts -> stages -> core."""

import ast
import re
from pathlib import Path

import pytest
from conftest import PROJECT

SOURCES = sorted((PROJECT / "src").rglob("*.py"))


def imports_of(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {f"{node.module}.{alias.name}" for alias in node.names} | {node.module or ""}
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_configuration_stays_outside(path):
    found = {name for name in imports_of(path) if re.match(r"(hydra|omegaconf|edge)\b", name)}
    assert not found


@pytest.mark.parametrize("path", [p for p in SOURCES if p.parent.name == "respcam"], ids=lambda path: path.stem)
def test_the_core_does_not_know_the_stages(path):
    assert not {name for name in imports_of(path) if name.startswith("respcam.stages")}


def test_scripts_compute_nothing():
    for path in sorted((PROJECT / "scripts").glob("*.py")):
        assert not {name for name in imports_of(path) if re.match(r"(numpy|torch|pandas|sklearn|scipy)\b", name)}, (
            path
        )
