"""A page of HTML as a PNG, by a headless Chromium or Chrome that is installed here."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path

from eailkit.course.doctor import find_browser

QUIET = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update", "--hide-scrollbars",
    "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--virtual-time-budget=20000",
)  # fmt: skip


def screenshot(html: str, path: str | Path, width: int, height: int) -> Path:
    """Write a PNG of a self-contained page, width x height pixels.

    Raises:
        SystemExit: no browser is installed, or it drew nothing.
    """
    browser = find_browser()
    if browser is None:
        raise SystemExit("found no Chromium; expected one for pictures; install one or set CHROMIUM to its path.")
    path = Path(path).absolute()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(html, encoding="utf-8")
        size = (f"--window-size={width},{height}", f"--user-data-dir={folder}/profile", f"--screenshot={path}")
        done = subprocess.run([browser, *QUIET, *size, page.as_uri()], capture_output=True, text=True, timeout=120)
    if done.returncode or not path.exists():
        raise SystemExit(f"{browser} drew nothing: {done.stderr.strip()[-300:]}")
    return path
