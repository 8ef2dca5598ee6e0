import io
import logging
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pandas as pd
import pytest
import soundfile as sf
from browser import FAKE_MICROPHONE, browser, needs_chromium
from starlette.testclient import TestClient

from bench.served import memory_mib, open_sounds, served
from respcam.errors import Refused
from respcam.experiments.opened_run import open_run
from respcam.experiments.served import ServeLimits, Server


def sound(seconds=2.0, rate_hz=8000, **options):
    """A sound as the bytes of a file."""
    memory = io.BytesIO()
    noise = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * rate_hz))
    sf.write(memory, noise, rate_hz, format=options.pop("format", "WAV"), **options)
    return memory.getvalue()


def client_of(run, **limits):
    return TestClient(Server(open_run(run), limits=ServeLimits(**limits)).app, base_url="http://localhost")


@pytest.fixture(scope="module")
def client(finished):
    return client_of(finished[1])


def test_the_page_says_what_it_is(client):
    page = client.get("/").text
    for words in ("not a medical device", "this model has AUROC", "is not kept"):
        assert words in page
    assert "connect-src &#39;self&#39;" in page


def test_a_sound_gets_the_scores_of_the_run(client, finished):
    opened = open_run(finished[1])
    path = next(finished[0].glob("store/synthetic/*/audio/*.wav"))
    answer = client.post("/explain", content=path.read_bytes())
    assert answer.status_code == 200
    view = answer.json()["units"][0]["views"][0]
    expected = list(opened.probability(path).values())
    np.testing.assert_allclose(view["p"], expected, atol=1e-4)  # four digits
    assert view["heat"][0][0]["png"]


def test_a_muted_band_changes_the_score(client, finished):
    predictions = pd.read_csv(finished[1] / "predictions.csv", dtype={"recording_id": str})
    rows = predictions[(predictions["true_class"] == "adventitious") & (predictions["p_adventitious"] > 0.5)]
    name = rows["recording_id"].iloc[0]
    body = next(finished[0].glob(f"store/synthetic/*/audio/{name}.wav")).read_bytes()
    nothing, plant = (
        client.post(f"/muted?low_hz={low}&high_hz={high}", content=body).json() for low, high in ((0, 0), (700, 1100))
    )
    assert nothing["n_bands"] == 0
    assert nothing["p"][1] == pytest.approx(rows["p_adventitious"].iloc[0], abs=1e-4)
    assert plant["n_bands"] > 5
    assert plant["p"][1] < nothing["p"][1] - 0.2
    assert client.post("/muted?low_hz=x&high_hz=1", content=body).status_code == 422


@pytest.mark.parametrize(
    ("body", "status", "words"),
    [
        (b"", 422, "0 bytes"),
        (b"no sound at all", 422, "no sound that can be read"),
        (sound(seconds=0.001), 422, "0 frames of log-mel"),
        (sound(seconds=700, rate_hz=1000), 422, "700 s; expected at most 600 s"),
        (sound()[:8000], 422, "announces"),
    ],
)
def test_a_sound_that_cannot_be_used_is_refused_in_a_line(client, body, status, words):
    answer = client.post("/explain", content=body)
    assert answer.status_code == status
    assert words in answer.json()["error"]
    assert "/proc" not in answer.text


def test_an_upload_beyond_the_limit_is_not_read(finished):
    client = client_of(finished[1], bytes=10_000)
    assert client.post("/explain", content=sound(10)).status_code == 413
    chunks = (bytes(4000) for _ in range(10))  # without a length
    assert client.post("/explain", content=chunks).status_code == 413


@pytest.mark.parametrize(
    "headers",
    [{"host": "attacker.example"}, {"host": "localhost:80@attacker.example"}, {"origin": "http://attacker.example"}],
)
def test_foreign_hosts_and_origins_are_refused(client, headers):
    assert client.get("/", headers=headers).status_code == 403
    assert client.post("/explain", content=sound(), headers=headers).status_code == 403


def test_the_own_origin_is_answered(client):
    headers = {"origin": "http://localhost"}
    assert client.post("/explain", content=sound(), headers=headers).status_code == 200


def test_one_sound_at_a_time_few_wait_and_the_others_come_back_later(finished, monkeypatch):
    server = Server(open_run(finished[1]), limits=ServeLimits(waiting=1))
    inside, most, gate = 0, 0, threading.Event()

    def slow(body):
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        gate.wait(10)
        inside -= 1
        return {}

    monkeypatch.setattr(server, "_player_of", slow)
    with TestClient(server.app, base_url="http://localhost") as client, ThreadPoolExecutor(6) as pool:
        answers = [pool.submit(client.post, "/explain", content=b"x") for _ in range(6)]
        refused = []
        while len(refused) < 4:
            refused = [answer for answer in answers if answer.done()]
        gate.set()
        states = Counter(answer.result().status_code for answer in answers)
    assert states == {200: 2, 503: 4}
    assert most == 1
    assert all(answer.result().headers["retry-after"] == "5" for answer in refused)


def test_nothing_is_logged_but_lengths(finished, caplog):
    with caplog.at_level(logging.DEBUG, logger="respcam"):
        client_of(finished[1]).post("/explain?patient=secret", content=sound())
    texts = [record.getMessage() for record in caplog.records if record.name.endswith("served")]
    assert texts == [f"a sound of {len(sound())} bytes, 2.00 s"]


def test_many_requests_at_once_leave_nothing_behind(finished):
    """Every answer is right or a clear refusal; scripts/bench/served.py does more of them."""
    good, bad = sound(1.0), b"no sound"
    with served(finished[1]) as (address, pid):

        def ask(number):
            body = bad if number % 5 == 0 else good
            return number, httpx.post(f"{address}explain", content=body, timeout=60)

        first = httpx.post(f"{address}explain", content=good, timeout=60).json()["units"][0]["views"][0]["p"]
        before = memory_mib(pid)
        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(40)))
        for number, answer in answers:
            if answer.status_code == 503:
                assert answer.json()["error"].startswith("the model is busy")
            elif number % 5 == 0:
                assert answer.status_code == 422
            else:
                assert answer.json()["units"][0]["views"][0]["p"] == first
        assert Counter(answer.status_code for _, answer in answers)[200] >= 8
        assert memory_mib(pid) < before + 60
        assert open_sounds(pid) == 0


@needs_chromium
def test_a_file_and_a_microphone_are_heard_and_a_band_is_muted(finished, tmp_path):
    (tmp_path / "breath <b>.wav").write_bytes(sound(3.0))
    with served(finished[1]) as (address, _), browser(arguments=FAKE_MICROPHONE) as opened:
        opened.page.context.grant_permissions(["microphone"])
        page = opened.open(address).page
        assert opened.violations() == ""
        page.set_input_files("#file", tmp_path / "breath <b>.wav")
        page.wait_for_selector("#player[data-shown='breath <b>.wav']")
        opened.drawn()
        assert page.locator("#unit-title").inner_text() == "breath <b>.wav"
        page.fill("#low", "700")
        page.fill("#high", "1100")
        page.click("#mute")
        page.locator("#without", has_text="before").wait_for()
        page.click("#record")
        page.wait_for_timeout(1500)
        page.click("#record")
        page.wait_for_selector("#player[data-shown='recording']")
        opened.drawn()
        page.click("#play")
        page.wait_for_timeout(300)
        assert float(page.locator("#clock").inner_text().removesuffix(" s")) > 0
        assert opened.violations() == ""
        assert opened.errors == []
        assert {url.split("?")[0].removeprefix(address) for url in opened.outside()} <= {
            "explain",
            "muted",
            "recorder.js",
            "favicon.ico",
        }


def test_other_machines_are_let_in_by_a_second_flag_only(finished, command):
    result = command("serve", str(finished[1]), "--host", "0.0.0.0")
    assert result.returncode == 1
    assert "add --allow-remote if that is wanted" in result.stderr


def test_a_port_that_is_none_is_refused(command):
    assert command("serve", "run", "--port", "0").returncode == 2


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(Refused, match="not a finished run"):
        open_run(tmp_path)
