"""Served page: one model behind a page on this machine that hears a dropped or recorded sound.

Nothing is written to disk and nothing is logged but lengths. One sound is examined at a time, a few wait, and all
others are told to come back.
"""

import asyncio
import logging
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from respcam.errors import Reason, Refused, Unusable
from respcam.experiments.opened_run import OpenedRun
from respcam.experiments.prediction import COLUMNS, axes_of, row_of, unit_of
from respcam.report.page import asset, render
from respcam.report.player import PlayerContent, View
from respcam.sound.audio import read_raw

log = logging.getLogger(__name__)

LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
HEADERS = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store"}


@dataclass(frozen=True)
class ServeLimits:
    """Limits of a served page.

    Attributes
    ----------
    bytes : int
        Largest upload.
    duration_s : float
        Longest sound.
    waiting : int
        Number of sounds that may wait; further ones get status 503.
    """

    bytes: int = 50_000_000
    duration_s: float = 600.0
    waiting: int = 8


class _Busy(Exception):
    """The queue is full."""


class _TooLarge(Exception):
    """The upload is larger than the limit."""


class Server:
    """Requests of the page.

    Parameters
    ----------
    run : OpenedRun
    hosts : iterable of str
        Names, without port, by which the page may be called.
    limits : ServeLimits
    """

    def __init__(self, run: OpenedRun, hosts: Iterable[str] = LOOPBACK, limits: ServeLimits = ServeLimits()):
        self.run, self.hosts, self.limits = run, frozenset(hosts), limits
        self._turn = asyncio.Lock()
        self._n_inside = 0

    @property
    def app(self) -> Starlette:
        """The application for an ASGI server."""
        routes = [
            Route("/", self._guarded(self._page)),
            Route("/recorder.js", self._guarded(self._recorder)),
            Route("/explain", self._guarded(self._explain), methods=["POST"]),
            Route("/muted", self._guarded(self._muted), methods=["POST"]),
        ]
        return Starlette(routes=routes)

    def _guarded(self, answer: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        """Refuse foreign hosts and origins, and turn refusals into an answer."""

        async def guarded(request: Request) -> Response:
            host = request.headers.get("host", "")
            origin = request.headers.get("origin")
            if _without_port(host) not in self.hosts:
                return _refusal(403, "this page is not served under that name")
            if origin is not None and origin not in (f"http://{host}", f"https://{host}"):
                return _refusal(403, "requests of other pages are not answered")
            try:
                response = await answer(request)
            except _Busy:
                response = _refusal(503, "the model is busy; try again in a few seconds")
                response.headers["Retry-After"] = "5"
            except _TooLarge:
                response = _refusal(413, f"more than {self.limits.bytes // 1_000_000} MB")
            except ClientDisconnect:
                response = _refusal(400, "the upload broke off")
            except Refused as error:
                response = _refusal(422, str(error))
            response.headers.update(HEADERS)
            return response

        return guarded

    async def _page(self, request: Request) -> Response:
        info = self.run.info
        page = render(
            "served.html",
            scripts=["player.js", "served.js"],
            connects=True,
            title="respcam: a model listens",
            run=info.name,
            description=info.description,
            standings=[row.sentence for row in info.standings],
            supported=[row.is_supported for row in info.standings],
            megabytes=self.limits.bytes // 1_000_000,
            minutes=f"{self.limits.duration_s / 60:g}",
        )
        return HTMLResponse(page)

    async def _recorder(self, request: Request) -> Response:
        return Response(str(asset("recorder.js")), media_type="text/javascript")

    async def _explain(self, request: Request) -> Response:
        return JSONResponse(await self._in_turn(request, self._player_of))

    async def _muted(self, request: Request) -> Response:
        low_hz, high_hz = (_number(request, name) for name in ("low_hz", "high_hz"))
        return JSONResponse(await self._in_turn(request, lambda body: self._without(body, low_hz, high_hz)))

    async def _in_turn(self, request: Request, work: Callable[[bytes], Any]) -> Any:
        """Read the upload, wait for the turn, and work in a thread."""
        async with self._place():
            body = await self._body(request)
            async with self._turn:
                return await run_in_threadpool(work, body)

    @asynccontextmanager
    async def _place(self) -> AsyncIterator[None]:
        if self._n_inside > self.limits.waiting:
            raise _Busy
        self._n_inside += 1
        try:
            yield
        finally:
            self._n_inside -= 1

    async def _body(self, request: Request) -> bytes:
        announced = request.headers.get("content-length", "0")
        if announced.isdecimal() and int(announced) > self.limits.bytes:
            raise _TooLarge
        chunks, size = [], 0
        async for chunk in request.stream():
            size += len(chunk)
            if size > self.limits.bytes:
                raise _TooLarge
            chunks.append(chunk)
        return b"".join(chunks)

    def _decoded(self, body: bytes) -> tuple[np.ndarray, int]:
        """Decode an upload in memory, after a look at its header."""
        handle = os.memfd_create("sound")
        path = Path(f"/proc/self/fd/{handle}")
        try:
            with open(handle, "wb", closefd=False) as file:
                file.write(body)
            if body:
                try:
                    header = sf.info(path)
                except sf.LibsndfileError as error:
                    raise Unusable(Reason.NOT_AUDIO, "this is no sound that can be read") from error
                duration_s = header.frames / header.samplerate
                if duration_s > self.limits.duration_s:
                    raise Unusable(
                        Reason.TOO_LONG, f"{duration_s:.0f} s; expected at most {self.limits.duration_s:g} s"
                    )
            try:
                raw, rate_hz = read_raw(path)
            except Unusable as error:
                raise Unusable(error.reason, error.detail.replace(f"{path}: ", "")) from error
        finally:
            os.close(handle)
        log.info("a sound of %d bytes, %.2f s", len(body), len(raw) / rate_hz)
        return raw, rate_hz

    def _player_of(self, body: bytes) -> dict[str, Any]:
        """Content of the player for one sound."""
        run = self.run
        closeup, facts = run.examine(*self._decoded(body))
        row = row_of(run, "your sound", closeup, facts)
        unit = unit_of(row, run.info.class_names, None, (View(title="", closeup=closeup),))
        content = PlayerContent(axes=axes_of(run.info), columns=COLUMNS, units=[unit]).plain
        return {**content, "facts": asdict(facts)}

    def _without(self, body: bytes, low_hz: float, high_hz: float) -> dict[str, Any]:
        """Probabilities with a band of Hz replaced by its mean over the training."""
        run = self.run
        waveform = run.prepared(*self._decoded(body))
        p, n_bands = run.probability_without(waveform, low_hz, high_hz)
        return {"p": p, "n_bands": n_bands}


def _without_port(host: str) -> str:
    name, separator, port = host.rpartition(":")
    return name if separator and port.isdecimal() else host


def _number(request: Request, name: str) -> float:
    try:
        value = float(request.query_params.get(name, ""))
    except ValueError as error:
        raise Refused(f"{name} is {request.query_params.get(name)!r}; expected a number of Hz") from error
    if not 0 <= value <= 1e6:
        raise Refused(f"{name} is {value:g}; expected 0 to 1000000 Hz")
    return value


def _refusal(status: int, words: str) -> JSONResponse:
    return JSONResponse({"error": words}, status_code=status, headers=HEADERS)
