import signal

import pytest

from respcam.cli.main import COMMANDS, _terminate, main


def said(monkeypatch, capsys, *words):
    monkeypatch.setattr("sys.argv", ["respcam", *words])
    main()
    return capsys.readouterr().out


@pytest.mark.parametrize("words", [[], ["-h"], ["--help"]])
def test_help_lists_every_command(monkeypatch, capsys, words):
    lines = said(monkeypatch, capsys, *words).splitlines()
    assert [line.split()[1] for line in lines if line.startswith("  respcam ")] == list(COMMANDS)


def test_the_version_is_that_of_the_package(monkeypatch, capsys):
    assert said(monkeypatch, capsys, "--version").startswith("respcam 0.")


def test_an_interruption_before_anything_was_begun_is_one_line(monkeypatch, capsys):
    def interrupted(name):
        raise KeyboardInterrupt

    monkeypatch.setattr("respcam.cli.main.import_module", interrupted)
    with pytest.raises(SystemExit) as ended:
        said(monkeypatch, capsys, "run")
    assert (ended.value.code, capsys.readouterr().err) == (130, "interrupted: nothing was begun\n")


def test_a_second_sigterm_ends_the_command_at_once():
    before = signal.signal(signal.SIGTERM, _terminate)
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGTERM)
        assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL
    finally:
        signal.signal(signal.SIGTERM, before)
