"""Serve a page that hears a sound with the model of a finished run: respcam serve outputs/runs/RUN"""

import argparse
import ipaddress
import logging
from pathlib import Path

from respcam.cli.refusals import LOG_FORMAT, reports_refusals
from respcam.errors import Refused


@reports_refusals
def serve(arguments: argparse.Namespace) -> None:
    """Serve until Ctrl-C."""
    if not _is_loopback(arguments.host) and not arguments.allow_remote:
        raise Refused(
            f"--host is {arguments.host}, which other machines reach; recordings are data of patients: "
            "add --allow-remote if that is wanted"
        )
    try:
        import uvicorn

        from respcam.experiments.served import LOOPBACK, Server
    except ModuleNotFoundError as error:
        raise Refused(f"respcam serve needs {error.name}; install it with pip install 'respcam[serve]'") from error
    from respcam.experiments.opened_run import open_run

    run = open_run(arguments.run, arguments.device)
    hosts = {*LOOPBACK, arguments.host, *arguments.name}
    address = f"[{arguments.host}]" if ":" in arguments.host else arguments.host
    print(f"http://{address}:{arguments.port}/", flush=True)
    uvicorn.run(
        Server(run, hosts).app, host=arguments.host, port=arguments.port, log_level="warning", access_log=False
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _port(text: str) -> int:
    if not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 1 to 65535")
    return int(text)


def main() -> None:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="folder of a finished run")
    parser.add_argument("--port", type=_port, default=8000, help="port on this machine")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on")
    parser.add_argument("--allow-remote", action="store_true", help="let --host be reached by other machines")
    parser.add_argument("--name", action="append", default=[], help="another name by which the page may be called")
    parser.add_argument("--device", default="cpu", help="auto, cpu, cuda, ...")
    logging.basicConfig(level=logging.INFO, format=LOG_FORMAT)
    serve(parser.parse_args())
