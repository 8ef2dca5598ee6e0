"""READMEs: the first page is short and has a picture, sentences are short, every command and link is there."""

import re
import statistics

import pytest
from conftest import PROJECT

READMES = [
    PROJECT / name
    for name in (
        "README.md",
        "conf/README.md",
        "conf/experiment/README.md",
        "data_manifests/README.md",
        "scripts/bench/README.md",
        "src/respcam/README.md",
        "src/respcam/evidence/README.md",
        "src/respcam/experiments/README.md",
        "tests/README.md",
    )
]
PROGRAMS = {"respcam", "python", "pip", "./scripts/demo", "./scripts/test", "source"}
CONF = PROJECT / "conf"
GROUPS = {path.name for path in CONF.iterdir() if path.is_dir()}
OPTIONS = {f"{path.parent.name}={path.stem}" for path in CONF.glob("*/*.yaml")}
OWN = {"experiment=mine", "task=mine"}  # examples of a user's own files
SWEPT = re.compile(r"=(?=[^\[{'\"]*,)([^\[{'\", ]+),[^ ]*")


def commands_of(path):
    """Indented lines, joined where one ends with a backslash, without those of a Python example."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL).replace("\\\n", " ")
    lines = [re.sub(r"\s+# .*", "", line).strip() for line in re.findall(r"^    (\S.*)$", text, flags=re.MULTILINE)]
    return [line for line in lines if line.split()[0] in PROGRAMS]


def sentences_of(path):
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.DOTALL)
    lines = [line for line in text.splitlines() if not re.match(r"\s*\||#|    ", line)]
    paragraphs = re.sub(r"\n(?=- |\d\. )", "\n\n", "\n".join(lines)).split("\n\n")
    prose = [re.sub(r"\(([^)]*)\)|!\[.*?\]\(.*?\)", r"\1", " ".join(words.split())) for words in paragraphs]
    return [words for text in prose for words in re.split(r"(?<=[.?!:])\s+", text) if len(words.split()) > 1]


def test_no_readme_is_left_out():
    ours = [PROJECT / name for name in ("conf", "data_manifests", "scripts", "src", "tests")]
    assert {PROJECT / "README.md", *(path for folder in ours for path in folder.rglob("README.md"))} == set(READMES)


def test_the_first_page_is_short_and_has_a_picture():
    text = READMES[0].read_text()
    assert len(text.encode()) <= 8000
    assert re.search(r"!\[[^\]]{20,}\]\(([^)]+\.png)\)", text)


def test_sentences_are_short():
    lengths = [len(sentence.split()) for path in READMES for sentence in sentences_of(path)]
    assert len(lengths) > 200
    assert statistics.median(lengths) <= 16


@pytest.mark.parametrize("path", READMES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_links_lead_somewhere(path):
    for target in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", READMES, ids=lambda path: str(path.relative_to(PROJECT)))
def test_options_and_scripts_are_there(path):
    text = path.read_text()
    for script in re.findall(r"scripts/[\w/]+(?:\.py)?", text):
        assert (PROJECT / script).exists() or (PROJECT / f"{script}.md").exists(), script
    for group, value in re.findall(r"(?<![\w./])(\w+)=([\w,]+)", text):
        if group in GROUPS:
            for option in value.split(","):
                assert {f"{group}={option}"} <= OPTIONS | OWN, f"{group}={option}"


@pytest.mark.parametrize(
    "command",
    [command for path in READMES for command in commands_of(path) if re.match(r"respcam run (?!--help)", command)],
)
def test_every_run_of_a_readme_composes(command, tmp_path, monkeypatch):
    """The command line is taken as a shell would take it; of a sweep, the first value."""
    import shlex

    from respcam.cli.composition import composed, settings_of

    if "--config-dir" in command:
        pytest.skip("tests/cli/test_mistakes.py runs a user's own files")
    words = [word for word in shlex.split(command)[2:] if word != "-m"]
    overrides = [SWEPT.sub(r"=\1", word).replace("=DIR", "=/data").replace("=FILE", "=/data/m.csv") for word in words]
    settings_of(composed([word for word in overrides if not word.startswith("hydra")]))


def test_every_other_command_of_a_readme_is_one():
    from respcam.cli.main import COMMANDS

    commands = [command.split() for path in READMES for command in commands_of(path)]
    assert len(commands) > 30
    for words in commands:
        if words[0] == "respcam":
            assert words[1] in COMMANDS
        if words[0] == "python":
            assert (PROJECT / words[1]).is_file()
