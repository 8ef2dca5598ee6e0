"""The command ``respcam``: one command per task, each in its own module."""

import signal
import sys
from importlib import import_module
from importlib.metadata import version

from respcam.errors import there_are

INTERRUPTED = 130  # the exit status of a command that Ctrl-C ended, in every shell
COMMANDS = {
    "run": "run the stages of one experiment, or of a sweep with -m",
    "compare": "compare the arms of an experiment",
    "runs": "list every requested run with its state and metrics",
    "rerun": "make a run again and say what is identical",
    "predict": "score recordings with the model of a finished run",
    "serve": "serve a page that hears a sound with the model of a finished run",
    "export": "export the model of a finished run as one ONNX file",
    "manifest": "make a manifest, or check a folder against one",
}


def main() -> None:
    """Hand the command line on to the command that it names."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name in ("-h", "--help"):
        print(usage())
    elif name == "--version":
        print(f"respcam {version('respcam')}")
    elif name in COMMANDS:
        sys.argv = [f"respcam {name}", *sys.argv[2:]]
        signal.signal(signal.SIGTERM, _terminate)
        try:
            import_module(f"respcam.cli.{name}").main()
        except KeyboardInterrupt:  # while it was imported
            print("interrupted: nothing was begun", file=sys.stderr)
            raise SystemExit(INTERRUPTED) from None
        finally:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)  # another one, while Python ends, gives no traceback
    else:
        print(f"error: respcam {name}: no such command; {there_are(COMMANDS, name)}", file=sys.stderr)
        raise SystemExit(2)


def _terminate(number: int, frame: object) -> None:
    """End as after Ctrl-C where a scheduler or a shell ends the command; a second signal ends it at once."""
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise KeyboardInterrupt


def usage() -> str:
    """What the command can do, a line per command."""
    lines = [f"  respcam {name:10}{title}" for name, title in COMMANDS.items()]
    return "\n".join(["respcam: which frequencies does a respiratory-sound classifier listen to?", "", *lines])


if __name__ == "__main__":
    main()
