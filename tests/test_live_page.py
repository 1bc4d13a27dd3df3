"""The live page: opened in headless Chromium while a recording plays, and ended by Ctrl-C."""

from __future__ import annotations

import base64
import io
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from live_page import example
from PIL import Image

from eailkit.errors import ConfigError, RecordingError
from eailkit.live.serve import COLUMNS, Replay, serve

SERVER = Path(__file__).with_name("live_page.py")


class Served:
    """A served recording in a process of its own."""

    def __init__(self, *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, str(SERVER), *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        self.line = self.process.stdout.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", self.line)
        assert found, self.line + self.process.stderr.read()
        self.address = found.group()

    def interrupt(self) -> tuple[int, str, str]:
        """What Ctrl-C leaves: exit code, output, errors."""
        self.process.send_signal(signal.SIGINT)
        out, err = self.process.communicate(timeout=60)
        return self.process.returncode, out, err


@pytest.fixture
def served() -> Iterator[Callable[..., Served]]:
    started: list[Served] = []

    def start(*options: str) -> Served:
        started.append(Served(*options))
        return started[-1]

    yield start
    for one in started:
        if one.process.poll() is None:
            one.process.kill()
            one.process.communicate()


def open_page(browser, address: str, **options) -> tuple[object, list[str]]:
    page, wrong = browser.new_page(**options), []
    page.on("request", lambda r: wrong.append(r.url) if not r.url.startswith((address, "data:")) else None)
    page.on("pageerror", lambda error: wrong.append(f"script error: {error}"))
    page.on("console", lambda said: wrong.append(f"console: {said.text}") if said.type == "error" else None)
    page.goto(address)
    page.wait_for_selector("html[data-ready]", state="attached", timeout=30_000)
    return page, wrong


def until(holds: Callable[[], object], seconds: float = 30.0):
    """Wait until something holds, and give it."""
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end, "it never came"
        time.sleep(0.05)
    return found


def seen(page) -> int:
    return int(page.evaluate("document.body.dataset.seconds ?? 0"))


def picture(page) -> np.ndarray:
    """The canvas as (height, width, 4) bytes."""
    png = page.evaluate("document.getElementById('map').toDataURL()").split(",")[1]
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(png))).convert("RGBA"))


def test_a_recording_plays_on_the_page(browser, served, tmp_path):
    out = tmp_path / "track.csv"
    server = served("--speed", "10", "--seconds", "20", "--out", str(out))
    page, wrong = open_page(browser, server.address, viewport={"width": 1000, "height": 700})
    before = picture(page)
    assert (before[..., 3] > 0).mean() > 0.003, "the map is there before anybody walks"
    until(lambda: seen(page) >= 5)
    first, drawn = page.evaluate("track.length"), picture(page)
    changed = (drawn != before).any(axis=2).mean()
    assert changed > 0.01, "heat, track and circle"
    late, late_wrong = open_page(browser, server.address, viewport={"width": 390, "height": 844})
    until(lambda: page.get_attribute("#state", "data-state") == "ended")
    until(lambda: seen(page) == seen(late) == 20)
    assert page.evaluate("track.length") == 20 > first, "the track grows to the recording's end"
    assert page.evaluate("track.map(s => s.time_s)") == late.evaluate("track.map(s => s.time_s)")
    assert page.inner_text("#time") == "0:19" and page.inner_text("#action") in ("stir", "wash", "walk")
    assert "found 5 samples with NaN" in page.inner_text("#notes")
    for one in (page, late):
        assert one.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert not wrong and not late_wrong
    table = pd.read_csv(until(lambda: out.exists() and out))
    track = pd.DataFrame(page.evaluate("track"))
    assert np.allclose(table[["time_s", "x_m", "y_m"]], track[["time_s", "x_m", "y_m"]], atol=1e-4)
    page.close(), late.close()
    code, said, errors = server.interrupt()
    assert code == 0 and said.split("\n")[:2] == ["the recording has ended; the page stays until Ctrl-C", "stopped"]
    assert errors == ""


def test_the_page_can_be_read_in_light_and_dark(browser, served):
    server = served("--speed", "20", "--seconds", "8")
    for scheme in ("light", "dark"):
        page, wrong = open_page(browser, server.address, color_scheme=scheme)
        until(lambda page=page: seen(page) == 8)
        for chosen in (".fact h2", "#position", "#state", "#pause", "#name"):
            ink, paper = page.evaluate(
                """chosen => { const e = document.querySelector(chosen), card = e.closest(".fact") ?? document.body;
                return [getComputedStyle(e).color, getComputedStyle(card).backgroundColor]; }""",
                chosen,
            )
            assert contrast(ink, paper) > 4.5, chosen
        card = page.evaluate("getComputedStyle(document.querySelector('figure')).backgroundColor")
        drawn = picture(page)
        cloud = np.median(drawn[(drawn[..., 3] > 100) & (np.ptp(drawn[..., :3], axis=2) < 30)], axis=0)
        assert contrast("{} {} {}".format(*cloud[:3].astype(int)), card) > 3, "the map stands out from its card"
        assert not wrong
        page.close()


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two CSS colours as WCAG defines it."""

    def luminance(colour: str) -> float:
        channels = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    bright, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def test_pausing_holds_the_recording_and_ctrl_c_writes_what_there_is(browser, served, tmp_path):
    out = tmp_path / "track.csv"
    server = served("--speed", "5", "--seconds", "60", "--out", str(out))
    page, wrong = open_page(browser, server.address)
    until(lambda: seen(page) >= 3)
    page.click("#pause")
    until(lambda: page.inner_text("#state") == "paused")
    time.sleep(0.3)
    held = seen(page)
    time.sleep(1.0)  # five seconds of the recording
    assert seen(page) == held
    page.keyboard.press("Space") if page.evaluate("document.activeElement.id") != "pause" else page.click("#pause")
    until(lambda: seen(page) >= held + 2, 5)
    code, said, errors = server.interrupt()
    assert code == 0 and "stopped" in said and errors == ""
    assert held + 2 <= len(pd.read_csv(out)) < 40
    until(lambda: page.inner_text("#state") == "no connection")
    page.close()


def test_plain_answers(served):
    server = served("--seconds", "3")
    port = int(server.address.rsplit(":", 1)[1].strip("/"))
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(server.address + "../etc/passwd")
    with socket.create_connection(("127.0.0.1", port)) as rude:
        rude.sendall(b"GET /page.js HTTP/1.1\r\n\r\n")  # and gone
    for name in ("", "page.css", "page.js"):
        text = urllib.request.urlopen(server.address + name).read().decode()
        assert not re.search(r"(src|href)=.?(https?:)?//|url\(|@import|https?://", text), name
    with pytest.raises(ConfigError, match=f"--port: found {port}, which can't be used .*; give another"):
        serve(*example(3.0), port=port)
    code, _, errors = server.interrupt()
    assert code == 0 and errors == ""


def test_what_is_wrong_with_the_recording_ends_serving_in_one_sentence():
    live, imu = example(3.0)
    said: list[str] = []
    raised: list[BaseException] = []

    def in_g() -> None:
        try:
            serve(live, replace(imu, acc_mps2=imu.acc_mps2 / 9.80665), speed=50, say=said.append)
        except RecordingError as error:
            raised.append(error)

    thread = threading.Thread(target=in_g)
    thread.start()
    address = re.search(r"http://\S+", until(lambda: said)[0]).group()
    with urllib.request.urlopen(address + "events") as events:  # somebody watches
        thread.join(20)
        assert b'"waiting"' not in events.read(200)
    assert not thread.is_alive() and "multiply by 9.80665" in str(raised[0])


def test_a_gap_of_minutes_is_played_in_two_seconds():
    live, imu = example(6.0)
    t_s = imu.t_s + np.where(imu.t_s - imu.t_s[0] > 3.2, 600.0, 0.0)
    replay = Replay(live, replace(imu, t_s=t_s, acc_mps2=np.nan_to_num(imu.acc_mps2)), speed=10)
    assert replay.state == "waiting"
    began = time.monotonic()
    replay.begin()
    until(lambda: replay.ended, 10)
    assert time.monotonic() - began < 5 and replay.state == "ended"
    assert replay.frame()["time_s"].diff().max() > 600 and "found a gap of 600.00 s" in replay.frame()["note"].sum()
    assert list(replay.frame().columns) == list(COLUMNS)
