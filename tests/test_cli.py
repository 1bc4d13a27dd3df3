"""The command line as a user meets it: in a process of its own, by exit code and what it prints."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import torch

from eailkit import __version__, cli
from eailkit.course.doctor import Check, _packages, describe, examine, find_browser, requirements
from eailkit.datasets import EgoExo4D
from eailkit.experiments import registry
from eailkit.files import DATA_SAMPLES, refuse_overwrite
from eailkit.primus.config import PrimusConfig
from eailkit.primus.model import Primus, save
from eailkit.results.names import FIGURES
from eailkit.scenarios import HELD_OUT

COMMANDS = ("doctor", "course", "synth", "localize", "live", "embed", "reproduce")


def eailkit(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    """Run `eailkit` as a command."""
    command = [sys.executable, "-m", "eailkit.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, env={**os.environ, **environment})


def test_help_names_every_command_and_loads_no_torch():
    done = eailkit("--help")
    assert done.returncode == 0
    assert all(name in done.stdout for name in COMMANDS)
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


@pytest.mark.parametrize("command", COMMANDS)
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


@pytest.fixture
def own_files(tmp_path: Path) -> dict[str, Path]:
    """A user's recording and map, small; nothing in them need be right."""
    take = next((DATA_SAMPLES / "kitchens" / "takes").glob("*/imu-left.parquet"))
    files = {"imu": tmp_path / "imu.parquet", "map": tmp_path / "map.csv"}
    shutil.copyfile(take, files["imu"])
    files["map"].write_text("my map")
    return files


def another_name(path: Path, kind: str) -> Path:
    """The same file by another name."""
    beside = path.with_name(f"{kind}{path.suffix}")
    if kind == "itself":
        return path
    if kind == "relative":
        return Path(os.path.relpath(path))
    if kind == "roundabout":
        path.with_name("folder").mkdir()
        return path.parent / "folder" / ".." / path.name
    if kind == "spelling":
        other = path.with_name(path.name.upper())
        if not other.exists():
            pytest.skip("this file system tells upper from lower case: another spelling is another file")
        return other
    {"symlink": os.symlink, "hardlink": os.link}[kind](path, beside)
    return beside


@pytest.mark.parametrize("kind", ["itself", "relative", "roundabout", "symlink", "hardlink", "spelling"])
@pytest.mark.parametrize("option", ["imu", "map", "plot", "embed"])
def test_no_command_overwrites_what_it_reads(kind, option, own_files, tmp_path, capsys):
    before = {name: path.read_bytes() for name, path in own_files.items()}
    imu, map_ = str(own_files["imu"]), str(own_files["map"])
    target = str(another_name(own_files["map" if option in ("map", "plot") else "imu"], kind))
    free = str(tmp_path / "free.csv")
    arguments = {
        "embed": ["embed", "--imu", imu, "--out", target],
        "plot": ["localize", "--imu", imu, "--map", map_, "--out", free, "--plot", target],
    }.get(option, ["localize", "--imu", imu, "--map", map_, "--out", target])
    message = refused(capsys, arguments)
    assert "found the input" in message and target in message
    assert {name: path.read_bytes() for name, path in own_files.items()} == before and not Path(free).exists()


def test_outputs_that_meet_and_folders_that_are_read_are_refused(own_files, tmp_path, capsys):
    imu, map_ = str(own_files["imu"]), str(own_files["map"])
    twice = [
        "localize",
        "--imu",
        imu,
        "--map",
        map_,
        "--out",
        str(tmp_path / "a"),
        "--plot",
        str(tmp_path / "b" / ".." / "a"),
    ]
    assert "two outputs" in refused(capsys, twice)
    within = ["embed", "--imu", str(tmp_path), "--out", imu]  # a take's folder, and a file of it
    assert "found the input" in refused(capsys, within)
    weights = ["embed", "--imu", imu, "--weights", map_, "--out", map_]
    assert "found the input" in refused(capsys, weights)
    for option in ("--kitchens", "--real"):
        same = ["reproduce", "primus-fig4", option, str(tmp_path), "--out", str(tmp_path)]
        assert "found the input" in refused(capsys, same)
    course = ["course", "--notebooks", str(tmp_path / "n"), "--out", str(tmp_path / "n")]
    (tmp_path / "n").mkdir()
    (tmp_path / "n" / "00_a.ipynb").write_text('{"cells": [], "metadata": {}}')
    assert "found the input" in refused(capsys, course) and os.listdir(tmp_path / "n") == ["00_a.ipynb"]
    refuse_overwrite([tmp_path / "new.csv", None], [imu, None, tmp_path])  # a new file beside what is read is fine


def refused(capsys, arguments: list[str]) -> str:
    """As `one_sentence`, of a command that runs in this process."""
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    done = subprocess.CompletedProcess(arguments, end.value.code, *capsys.readouterr())
    return one_sentence(done)


def test_embed_writes_parquet_and_names_what_is_wrong(tmp_path: Path, capsys):
    torch.manual_seed(0)
    config = PrimusConfig(encoder_options={"embed_dim": 32}, queue=8)
    weights = save(Primus(config, feature_dim=16), tmp_path / "w.safetensors")
    imu, out = next((DATA_SAMPLES / "kitchens" / "takes").glob("*/imu-left.parquet")), tmp_path / "f" / "out.parquet"
    done = eailkit("embed", "--imu", str(imu), "--weights", str(weights), "--stride", "2", "--out", str(out))
    assert done.returncode == 0 and str(out) in done.stdout, done.stderr
    found = pd.read_parquet(out)
    assert list(found.columns[:3]) == ["start_s", "end_s", "f000"] and found.shape[1] == 34 and len(found) > 3
    assert (found["start_s"].diff().dropna() - 2.0).abs().max() < 1e-6
    lost = ["embed", "--imu", str(tmp_path / "absent.csv"), "--weights", str(weights), "--out", str(tmp_path / "b")]
    assert "absent.csv" in refused(capsys, lost) and not (tmp_path / "b").exists()
    assert "none" in refused(
        capsys, ["embed", "--imu", str(imu), "--weights", str(tmp_path / "none"), "--out", str(out)]
    )


def test_reproduce_knows_every_figure_and_refuses_before_work(tmp_path: Path, capsys):
    assert set(registry.EXPERIMENTS) >= {*FIGURES, "primus-claims", "primus-placement", "localization", "joined"}
    done = eailkit("reproduce", "primus-fig9")
    assert done.returncode == 2 and "primus-fig4" in done.stderr and "Traceback" not in done.stderr
    out = tmp_path / "run"
    for option, named in (("--kitchens", "takes.json"), ("--real", "index.csv")):
        wrong = ["reproduce", "primus-fig4", "--out", str(out), option, str(tmp_path)]
        assert named in refused(capsys, wrong) and not out.exists()


def test_synth_makes_scenarios(tmp_path: Path):
    out = tmp_path / "set"
    few = ("--participants", "1", "--minutes", "0.6", "--no-frames", "--workers", "1")
    both = eailkit("synth", "--out", str(out), "--scenarios", "held-out", "--rooms", "2")
    assert both.returncode == 2 and "--rooms" in both.stderr and not out.exists()
    done = eailkit("synth", "--out", str(out), "--scenarios", "held-out", *few)
    assert done.returncode == 0 and f"wrote {out}" in done.stdout, done.stderr
    assert {t.task for t in EgoExo4D(out).takes} == set(HELD_OUT)


@pytest.mark.parametrize("command", ["embed", "reproduce", "synth"])
def test_ctrl_c_says_what_stays(monkeypatch, capsys, tmp_path, command):
    def stop(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("eailkit.embed.embed_files", stop)
    monkeypatch.setattr("eailkit.experiments.primus_curves.record_figure", stop)
    monkeypatch.setattr("eailkit.scenarios.dataset.synthesize_scenarios", stop)
    out = str(tmp_path / "run")
    arguments = {
        "embed": ["embed", "--imu", "a.csv", "--out", out],
        "reproduce": ["reproduce", "primus-fig4", "--out", out],
        "synth": ["synth", "--scenarios", "pretraining", "--out", out],
    }[command]
    with pytest.raises(SystemExit) as end:
        cli.main(arguments)
    said = capsys.readouterr().err.strip()
    assert end.value.code == 130 and said.startswith("interrupted") and (command == "embed" or out in said)


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
    needed = [re.match(r"[\w.-]+", line).group() for line in requirements()]
    assert {"torch", "numpy", "psutil", "pytest"} <= set(needed)
    for name in (*needed, "device", "threads", "memory", "disk", "data samples"):
        assert name in done.stdout
    assert (done.returncode == 1) == ("MISSING" in done.stdout)
    assert re.search(r"the course +about \d+ min here at quick", done.stdout), "what to expect"


def test_doctor_reads_markers_extras_and_versions():
    lines = ["numpy>=2.0", "pandas>=900", "no-such-package; extra == 'dev'", "elsewhere; sys_platform == 'plan9'"]
    found = {check.name: check for check in _packages([*lines, "click; extra == 'aria'"])}
    assert found["numpy"].level == "ok" and found["click"].level == "ok" and "elsewhere" not in found
    assert found["pandas"].level == "missing" and ">=900 is needed" in found["pandas"].found
    assert found["no-such-package"].level == "optional" and "the tests" in found["no-such-package"].found
    (alone,) = _packages([])
    assert alone.level == "missing" and "not installed" in alone.found


def test_doctor_says_why_training_is_in_float32(monkeypatch):
    monkeypatch.setenv("EAILKIT_PRECISION", "float32")
    (check,) = [check for check in examine() if check.name == "training"]
    assert check.found == "in float32, as EAILKIT_PRECISION says"


def test_doctor_says_what_to_do_where_something_lacks(monkeypatch, tmp_path):
    monkeypatch.setattr("eailkit.course.doctor.requirements", lambda: ["torch", "no-such-package"])
    monkeypatch.setenv("CHROMIUM", str(tmp_path / "no-browser"))
    assert find_browser() is None
    checks = {check.name: check for check in examine(tmp_path / "not" / "yet" / "there")}
    assert checks["no-such-package"].level == "missing" and "pip install" in checks["no-such-package"].advice
    assert checks["browser"].level == "optional" and checks["torch"].level == "ok"
    assert str(tmp_path) in checks["disk"].found, "the nearest folder that exists stands for one that doesn't"
    text = describe([Check("disk", "1 GB free", "missing", "free 3 GB")])
    assert "MISSING" in text and "-> free 3 GB" in text
