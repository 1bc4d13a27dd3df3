"""A page on localhost that plays a recording on a map, as if its wearer walked now (`eailkit live`).

One thread plays the samples at their own pace into `Localizer`; the page hears of each second by server-sent events.
Only the standard library serves, and the page asks for nothing outside.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import resources
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from eailkit.datasets import open_recording
from eailkit.errors import ConfigError, EailkitError, RecordingError
from eailkit.files import check_writable, refuse_overwrite, write_atomically
from eailkit.live.localizer import Localizer, Room, Second
from eailkit.plots.theme import faded
from eailkit.recording import ImuStream

FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
BLOCK_S = 0.05  # of signal that is pushed at once
LONGEST_WAIT_S = 2.0  # of signal: nobody wants to watch a long gap
POINTS = 14_000  # of the map that the page draws
BODY_M = (0.15, 2.3)  # heights above the floor of those points: neither floor nor ceiling
COLUMNS = ("time_s", "x_m", "y_m", "radius_90_m", "probability", "heading_rad", "heading_certainty", "action", "note")


class Replay:
    """Plays a recording into a localizer and keeps what came of it, for any number of pages.

    Args:
        live: a fresh localizer.
        imu: raw, sensor or head axes.
        speed: times real time.
    """

    def __init__(self, live: Localizer, imu: ImuStream, speed: float = 1.0) -> None:
        self.live, self.imu, self.speed = live, imu, speed
        self.rows: list[dict] = []
        self.place = ""  # of the last row
        self.paused, self.ended, self.stopped = False, False, False
        self.failure: EailkitError | None = None
        self.changed = threading.Condition()
        self._thread = threading.Thread(target=self._play, daemon=True)

    def begin(self) -> None:
        """Start playing; a second call does nothing."""
        with self.changed:
            if self._thread.ident is None and not self.stopped:
                self._thread.start()

    def toggle(self) -> None:
        """Pause, or go on."""
        with self.changed:
            self.paused = not self.paused
            self.changed.notify_all()

    def stop(self) -> None:
        """End playing, and every wait for more."""
        with self.changed:
            self.stopped = True
            self.changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join()

    @property
    def state(self) -> str:
        """ "waiting", "playing", "paused" or "ended"."""
        if self.ended:
            return "ended"
        return "waiting" if self._thread.ident is None else "paused" if self.paused else "playing"

    def events(self, first: int) -> Iterator[str]:
        """Server-sent events from row `first` on: states and seconds, the last of which has its places; blocks."""
        told, k = "", first
        while True:
            with self.changed:
                known = (told, k)
                self.changed.wait_for(lambda known=known: self.stopped or self._news(*known), timeout=10)
                rows, place, state, stopped = self.rows[k:], self.place, self.state, self.stopped
            if stopped:
                return
            for i, row in enumerate(rows):
                last = {"place": place} if i == len(rows) - 1 else {}
                yield f"event: second\nid: {k + i}\ndata: {json.dumps(row | last)}\n\n"
            k += len(rows)
            # also when nothing is new, so that a page that has gone is noticed
            yield f"event: state\ndata: {json.dumps(state)}\n\n"
            told = state

    def _news(self, told: str, row: int) -> bool:
        return self.state != told or row < len(self.rows)

    def frame(self) -> pd.DataFrame:
        """What came of it, a row a second: columns as `COLUMNS`."""
        table = pd.DataFrame([{name: row[name] for name in COLUMNS} for row in self.rows], columns=list(COLUMNS))
        return table.round(4)

    def _play(self) -> None:
        try:
            self._push_all()
            self._add(self.live.finish())
        except EailkitError as error:
            self.failure = error
        with self.changed:
            self.ended = True
            self.changed.notify_all()

    def _push_all(self) -> None:
        imu = self.imu
        step = np.nan_to_num(np.diff(imu.t_s, prepend=imu.t_s[0]))
        elapsed_s = np.cumsum(np.clip(step, 0.0, LONGEST_WAIT_S))
        edges = np.searchsorted(elapsed_s, np.arange(0.0, elapsed_s[-1] + BLOCK_S, BLOCK_S))
        began = time.monotonic()
        for low, high in zip(edges, np.append(edges[1:], len(imu)), strict=True):
            if high > low:
                began += self._wait_until(began + elapsed_s[high - 1] / self.speed)
                if self.stopped:
                    return
                self._add(self.live.push(imu.t_s[low:high], imu.acc_mps2[low:high], imu.gyro_radps[low:high]))

    def _wait_until(self, due: float) -> float:
        """Returns how long it was paused meanwhile, s."""
        paused_s = 0.0
        with self.changed:
            while not self.stopped:
                now = time.monotonic()
                if self.paused:
                    self.changed.wait_for(lambda: self.stopped or not self.paused)
                    paused_s += time.monotonic() - now
                elif (left := due + paused_s - now) > 0:
                    self.changed.wait(left)
                else:
                    break
        return paused_s

    def _add(self, seconds: list[Second]) -> None:
        for second in seconds:
            row, place = _row(second)
            with self.changed:
                self.rows.append(row)
                self.place = place
                self.changed.notify_all()


def _row(second: Second) -> tuple[dict, str]:
    x_m, y_m = second.position_m
    row = {
        "time_s": second.time_s, "x_m": float(x_m), "y_m": float(y_m), "radius_90_m": second.radius_90_m,
        "probability": second.probability, "heading_rad": second.heading_rad,
        "heading_certainty": second.heading_certainty, "action": second.action,
        "action_probability": second.action_probability, "note": second.note.replace("\n", " "),
        "facing_rad": second.facing_rad if np.isfinite(second.facing_rad) else None,
    }  # fmt: skip
    shade = np.sqrt(second.place / second.place.max())  # a probability of a tenth of the highest still shows
    return row, base64.b64encode(np.round(255 * shade).astype(np.uint8).tobytes()).decode()


def describe(room: Room, name: str, speed: float, length_s: float) -> dict:
    """What the page draws under the track: the map's points as centimetres from the square's middle, and the square."""
    height = room.cloud[:, 2] - room.grid.floor_z_m
    near = np.abs(room.cloud[:, :2] - room.grid.centre_xy_m).max(axis=1) < room.grid.side_m / 2 + 1.0
    shown = room.cloud[(height > BODY_M[0]) & (height < BODY_M[1]) & near, :2]
    shown = np.random.default_rng(0).permutation(shown)[:POINTS]
    points = np.round(100 * (shown - room.grid.centre_xy_m)).astype("<i2")
    return {
        "name": name, "speed": speed, "length_s": length_s,
        "centre_m": [float(v) for v in room.grid.centre_xy_m], "side_m": float(room.grid.side_m),
        "points_cm": base64.b64encode(points.tobytes()).decode(), "colours": [colour for _, colour in faded(steps=16)],
    }  # fmt: skip


def handler(replay: Replay, room: dict) -> type[BaseHTTPRequestHandler]:
    """Answers for the page's files, `/room.json`, `/events` and `/pause`."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            if self.path in FILES:
                name, kind = FILES[self.path]
                self._send(resources.files("eailkit.live").joinpath(name).read_bytes(), kind)
            elif self.path == "/room.json":
                self._send(json.dumps(room).encode(), "application/json")
            elif self.path == "/events":
                self._stream()
            else:
                self.send_error(404)

        def do_POST(self) -> None:
            if self.path != "/pause":
                self.send_error(404)
                return
            replay.toggle()
            self._send(b"", "text/plain")

        def _send(self, body: bytes, kind: str) -> None:
            self.send_response(200)
            self.send_header("Content-Type", f"{kind}; charset=utf-8")
            self.send_header("Content-Length", str(len(body)))
            self.send_header("Content-Security-Policy", "default-src 'self'; img-src data:")
            self.send_header("Cache-Control", "no-store")
            self.end_headers()
            self.wfile.write(body)

        def _stream(self) -> None:
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Cache-Control", "no-store")
            self.send_header("Connection", "close")
            self.end_headers()
            self.close_connection = True
            replay.begin()  # the recording waits for somebody who watches
            try:
                for event in replay.events(int(self.headers.get("Last-Event-ID") or -1) + 1):
                    self.wfile.write(event.encode())
                    self.wfile.flush()
            except OSError:
                return  # the page was closed

        def log_message(self, format: str, *args: object) -> None:
            return

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A browser that leaves in the middle of an answer is no error."""


def serve(
    live: Localizer,
    imu: ImuStream,
    *,
    name: str = "recording",
    port: int = 0,
    speed: float = 1.0,
    out: str | Path | None = None,
    say: Callable[[str], object] = print,
) -> None:
    """Serve the page until Ctrl-C; the recording plays once a page is open.

    Args:
        live: a fresh localizer.
        imu: what is played.
        name: of the recording, for the page.
        port: on localhost; 0 takes any that is free.
        speed: times real time.
        out: CSV of every second, written when the recording ends and when serving does.
        say: called with a line about the address, and about the end.

    Raises:
        ConfigError: the port is taken or not to be had.
        EailkitError: what the localizer says of the recording.
    """
    replay = Replay(live, imu, speed)
    length_s = float(np.clip(np.nan_to_num(np.diff(imu.t_s)), 0.0, None).sum())
    try:
        server = _Server(("127.0.0.1", port), handler(replay, describe(live.room, name, speed, length_s)))
    except OSError as error:
        raise ConfigError(
            f"--port: found {port}, which can't be used ({error.strerror or error}); expected a free one; give "
            "another, or 0 for any."
        ) from error

    def wait_for_the_end() -> None:
        with replay.changed:
            replay.changed.wait_for(lambda: replay.ended or replay.stopped)
        if replay.failure is not None:
            server.shutdown()
        elif replay.ended:
            _write(replay, out)
            say("the recording has ended; the page stays until Ctrl-C")

    watcher = threading.Thread(target=wait_for_the_end, daemon=True)
    with server:
        say(f"serving http://127.0.0.1:{server.server_port}/ (open it to begin; Ctrl-C ends)")
        watcher.start()
        try:
            server.serve_forever(poll_interval=0.2)
        except KeyboardInterrupt:
            say("stopped")
        finally:
            replay.stop()
            watcher.join()
    if replay.failure is not None:
        raise replay.failure
    _write(replay, out)


def _write(replay: Replay, out: str | Path | None) -> None:
    if out is not None:
        write_atomically(out, lambda beside: replay.frame().to_csv(beside, index=False))


def serve_files(
    replay: str | Path,
    map: str | Path,
    *,
    weights: str | Path | None = None,
    port: int = 0,
    speed: float = 1.0,
    out: str | Path | None = None,
    say: Callable[[str], object] = print,
) -> None:
    """Play a recording file on a map file: what `eailkit live` does.

    Args:
        replay: anything that `open_recording` reads.
        map: anything that `open_map` reads.

    Raises:
        OutputError: `out` can't be written, or is one of the inputs; said before anything is read.
        EailkitError: one sentence about what is wrong with which file or option.
    """
    refuse_overwrite((out,), (replay, map, weights))
    if out is not None:
        check_writable(out)
    imu = open_recording(replay).imu
    if imu.frame == "gravity" or len(imu) < 2:
        found = "an IMU in the gravity frame" if len(imu) > 1 else f"{len(imu)} samples"
        raise RecordingError(
            f"{imu.source}: found {found}; expected a recording in sensor or head axes; give a raw one."
        )
    mounting = np.eye(3) if imu.frame == "head" else imu.R_head_sensor
    torch.set_num_threads(1)  # a second takes a few milliseconds: threads would wait for each other
    live = Localizer.load(map, weights, R_head_sensor=mounting)
    name = Path(replay).name.removesuffix(".gz").removesuffix(Path(replay).suffix)
    serve(live, imu, name=name, port=port, speed=speed, out=out, say=say)
