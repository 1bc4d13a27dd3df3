"""The command line as a user meets it: in a process of its own, by exit code and what it prints."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eailkit import __version__
from eailkit.doctor import PACKAGES, Check, describe, examine, find_browser


def eailkit(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Run `eailkit` as a command."""
    command = [sys.executable, "-m", "eailkit.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **environment})


def test_help_names_every_command_and_loads_no_torch():
    done = eailkit("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in ("doctor", "course", "synth", "localize"))
    heavy = "import sys, eailkit.cli; print([m for m in ('torch', 'numpy', 'plotly', 'papermill') if m in sys.modules])"
    loaded = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    assert loaded.stdout.strip() == "[]"
    assert eailkit("--version").stdout.strip().endswith(__version__)


def test_help_answers_at_once():
    def seconds() -> float:
        start = time.perf_counter()
        eailkit("course", "--help")
        return time.perf_counter() - start

    assert min(seconds() for _ in range(5)) < 0.5


@pytest.mark.parametrize("command", ["doctor", "course", "synth", "localize"])
def test_each_command_explains_itself(command):
    done = eailkit(command, "--help")
    assert done.returncode == 0 and "Usage: eailkit " + command in done.stdout


def one_sentence(done: subprocess.CompletedProcess) -> str:
    """The message of a command that was given wrong input; asserts its form."""
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2 and done.stdout == ""
    assert len(lines) == 1 and lines[0].startswith("eailkit: "), done.stderr
    return lines[0]


def test_wrong_input_is_one_sentence_and_exit_2(fixture_notebooks: Path, tmp_path: Path):
    wrong = ("course", "--notebooks", str(fixture_notebooks), "--out", str(tmp_path / "run"), "-p", "wavs", "2")
    assert "'wavs'" in one_sentence(eailkit(*wrong))
    assert not (tmp_path / "run").exists()
    debug = eailkit(*wrong, EAILKIT_DEBUG="1")
    assert debug.returncode != 0 and "Traceback" in debug.stderr and "ConfigError" in debug.stderr


def test_localize_names_the_file_that_is_not_there(tmp_path: Path):
    imu, map_ = str(tmp_path / "absent_imu.csv"), str(tmp_path / "absent_map.csv.gz")
    message = one_sentence(eailkit("localize", "--imu", imu, "--map", map_, "--out", str(tmp_path / "out.csv")))
    assert "absent_" in message and not (tmp_path / "out.csv").exists()


@pytest.mark.parametrize("area", ["1,2", "1,2,-3", "here", "nan,0,3"])
def test_an_area_that_is_none_is_refused(area, tmp_path):
    done = eailkit("localize", "--imu", "a", "--map", "b", "--out", str(tmp_path / "c.csv"), "--area", area)
    assert done.returncode == 2 and "--area" in done.stderr and "x,y,side" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_option_that_does_not_exist_is_exit_2():
    done = eailkit("synth", "--out", "x", "--rooms", "0")
    assert done.returncode == 2 and "--rooms" in done.stderr and "Traceback" not in done.stderr


def test_doctor_prints_versions_device_and_advice():
    done = eailkit("doctor")
    assert done.returncode in (0, 1), done.stderr
    for name in (*PACKAGES, "device", "threads", "memory", "disk", "data samples"):
        assert name in done.stdout
    assert (done.returncode == 1) == ("MISSING" in done.stdout)


def test_doctor_says_what_to_do_where_something_lacks(monkeypatch, tmp_path):
    monkeypatch.setattr("eailkit.doctor.PACKAGES", ("torch", "no-such-package"))
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "no-browser"))
    assert find_browser() is None
    checks = {check.name: check for check in examine(tmp_path / "not" / "yet" / "there")}
    assert checks["no-such-package"].level == "missing" and "pip install" in checks["no-such-package"].advice
    assert checks["browser"].level == "optional" and checks["torch"].level == "ok"
    assert str(tmp_path) in checks["disk"].found, "the nearest folder that exists stands for one that doesn't"
    text = describe([Check("disk", "1 GB free", "missing", "free 3 GB")])
    assert "MISSING" in text and "-> free 3 GB" in text
