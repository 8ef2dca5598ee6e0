"""Every setting with every kind of value: it is taken, or refused in one line."""

import copy
import re

import pytest
from omegaconf import DictConfig, OmegaConf, open_dict

from respcam.cli.composition import NODES, composed, settings_of, typed
from respcam.cli.mistakes import in_one_line
from respcam.errors import Refused

VALUES = [
    *(
        None,
        "",
        "x",
        "~nobody-here/x",
        "???",
        "${missing}",
        "\0",
        "a" * 5000,
        True,
        -1,
        10**30,
        1e-300,
        float("nan"),
        float("inf"),
    ),
    *([], ["x"], [2, 1], [[1]], [float("nan"), 1], [None], {}, {"a": ["x"]}),
]


@pytest.fixture(scope="module")
def cfg():
    return composed([])


def leaves(node, prefix=()):
    """Paths of all settings of a tree."""
    for key in node:
        child = node._get_node(key)
        if OmegaConf.is_dict(child) and len(child):
            yield from leaves(child, (*prefix, key))
        else:
            yield (*prefix, key)


def refusal_of(cfg: DictConfig, place, value) -> str:
    """Line that refuses a value; blank where it is taken."""
    name = place[0] if len(place) > 1 else ""
    node = OmegaConf.select(cfg, ".".join(place[:-1])) if name else cfg
    before = copy.copy(node._get_node(place[-1]))  # a value is set in place
    try:
        with in_one_line(), open_dict(node):
            node[place[-1]] = value
            typed(NODES[name], cfg, name) if name else settings_of(cfg)
    except Refused as refusal:
        return str(refusal)
    finally:
        node._set_item_impl(place[-1], before)
    return ""


@pytest.mark.parametrize("name", [*NODES, ""])
def test_a_setting_is_taken_or_refused_by_its_name(cfg, name):
    places = [place for place in leaves(cfg) if (place[0] if len(place) > 1 else "") == name]
    lines = {(place, str(value)[:20]): refusal_of(cfg, place, value) for place in places for value in VALUES}
    # its own name, or that of another setting that it contradicts
    assert not [case for case, line in lines.items() if line and not re.search(rf"\b{name}\.\w|{case[0][-1]}", line)]
    n_refused = sum(map(bool, lines.values()))
    assert 0 < n_refused < len(lines)


@pytest.mark.parametrize("folder", ["", "a\0b"])
def test_a_folder_of_results_has_a_name(cfg, folder):
    assert refusal_of(cfg, ("paths", "store"), folder) == f"paths.store is {folder!r}; expected a folder"
