"""What respcam is made of: locked with hashes, listed with licences, and complete in its bill of materials.

python tests/test_supply.py writes the bill of materials anew.
"""

import json
import re
import tomllib
from importlib.metadata import requires

import pytest
from conftest import PROJECT
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

BILL = PROJECT / "src" / "respcam" / "bill_of_materials.cdx.json"
LICENCES = PROJECT / "src" / "respcam" / "report" / "assets" / "vega.js.LICENSES.txt"
LOCK = (PROJECT / "requirements.lock").read_text()
PYPROJECT = tomllib.loads((PROJECT / "pyproject.toml").read_text())


def locked():
    """Version of every package of the lock."""
    return dict(re.findall(r"^([\w.-]+)==(\S+)", LOCK, re.MULTILINE))


def shipped():
    """Packages within vega.js: (name, version, licence)."""
    rows = []
    for block in LICENCES.read_text().split("=" * 100)[1:]:
        head = block.strip().partition("\n\n")[0].splitlines()
        rows += [(*line.split(" "), head[-1]) for line in head[:-1]]
    return rows


def expected_bill():
    """CycloneDX 1.6: what is shipped in the package, and the locked version of everything that it may install."""
    python = [{"type": "library", "name": name, "version": version, "purl": f"pkg:pypi/{name}@{version}"}
              for name, version in locked().items()]  # fmt: skip
    scripts = [{"type": "library", "name": name, "version": version, "purl": f"pkg:npm/{name}@{version}",
                "licenses": [{"license": {"id": licence}}]} for name, version, licence in shipped()]  # fmt: skip
    application = {"type": "application", "name": "respcam", "version": PYPROJECT["project"]["version"],
           "licenses": [{"license": {"id": PYPROJECT["project"]["license"]}}]}  # fmt: skip
    return {"bomFormat": "CycloneDX", "specVersion": "1.6", "version": 1, "metadata": {"component": application},
            "components": [*scripts, *python]}  # fmt: skip


def write_bill():
    BILL.write_text(json.dumps(expected_bill(), indent=1) + "\n")


def test_the_bill_of_materials_is_that_of_the_lock_and_the_assets():
    assert json.loads(BILL.read_text()) == expected_bill()
    assert len(shipped()) > 50
    assert "respcam" in PYPROJECT["tool"]["setuptools"]["package-data"]


def test_every_package_is_locked_with_hashes():
    packages = re.split(r"^(?=[\w.-]+==)", LOCK, flags=re.MULTILINE)[1:]
    assert len(packages) == len(locked())
    for package in packages:
        assert re.search(r"--hash=sha256:[0-9a-f]{64}", package), package.partition("\n")[0]


@pytest.mark.parametrize("extra", ["", *PYPROJECT["project"]["optional-dependencies"]])
def test_what_is_asked_for_is_locked(extra):
    names = {canonicalize_name(name) for name in locked()}
    for line in requires("respcam"):
        requirement = Requirement(line)
        if extra == "bench" or requirement.name == "respcam":
            continue
        if requirement.marker is None or requirement.marker.evaluate({"extra": extra}):
            assert canonicalize_name(requirement.name) in names, line


def test_every_asset_that_others_wrote_names_its_licence():
    notices = {"vega.js": LICENCES}
    for path in LICENCES.parent.iterdir():
        if path.suffix in (".js", ".css") and path.name not in notices:
            assert "Copyright" not in path.read_text()  # ours, under LICENSE
    for name, notice in notices.items():
        assert (LICENCES.parent / name).is_file()
        assert notice.is_file()


if __name__ == "__main__":
    write_bill()
