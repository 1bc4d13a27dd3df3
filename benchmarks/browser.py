"""A page of HTML as a PNG, by a headless Chromium or Chrome that is installed here."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "chrome")
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
    browser = os.environ.get("CHROME") or next(filter(None, map(shutil.which, NAMES)), None)
    if browser is None:
        raise SystemExit(
            f"found none of {', '.join(NAMES)}; expected a browser for pictures; install one or set CHROME."
        )
    path = Path(path).absolute()
    with tempfile.TemporaryDirectory() as folder:
        page = Path(folder) / "page.html"
        page.write_text(html, encoding="utf-8")
        size = (f"--window-size={width},{height}", f"--user-data-dir={folder}/profile", f"--screenshot={path}")
        done = subprocess.run([browser, *QUIET, *size, page.as_uri()], capture_output=True, text=True, timeout=120)
    if done.returncode or not path.exists():
        raise SystemExit(f"{browser} drew nothing: {done.stderr.strip()[-300:]}")
    return path
