"""What SIGKILL at random moments leaves of a run: nothing that is believed though it is broken.

Three kills of a small stage 1, from the dataset to its features; `python -m benchmarks.kills` does it to a course.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time

import numpy as np
import pytest

from benchmarks.kills import contents, differences, run_killed

PROGRAM = """
import sys
from dataclasses import replace
from eailkit.experiments.eail_run import Run
from eailkit.profiles import SMOKE, DatasetSize
data = DatasetSize(1, 0, 0, 2, 0.3, 1, 0, 0)
run = Run(sys.argv[1], replace(SMOKE, data=data, points_per_cell=64, stage1_batch=4, imu_width=8), progress=False)
run.features(run.train_stage1()[0])
"""


@pytest.mark.whole
def test_a_killed_run_ends_with_the_files_of_an_uninterrupted_one(tmp_path):
    command = lambda name: [sys.executable, "-c", PROGRAM, str(tmp_path / name)]  # noqa: E731
    began = time.monotonic()
    subprocess.run(command("whole"), check=True, capture_output=True)
    seconds, whole = time.monotonic() - began, contents(tmp_path / "whole")
    assert {name.split("/")[0].split("-")[0] for name in whole} == {
        "synthkitchen", "cache", "vision", "weights", "features",
    }  # fmt: skip
    rng = np.random.default_rng(int(time.time()))  # other moments every time
    done = run_killed(
        [(command("killed"), seconds)], tmp_path / "killed", 3, rng=rng, whole=whole, say=lambda text: None
    )
    assert len(done.moments) == 3 and not done.faults
    assert not differences(whole, contents(tmp_path / "killed"))


def test_a_truncated_file_another_number_and_a_missing_file_are_differences(tmp_path):
    for name, value in (("one", 1.0), ("two", 2.0)):
        folder = tmp_path / name
        folder.mkdir()
        np.save(folder / "a.npy", np.full(3, value))
        np.savez(folder / "same.npz", b=np.arange(3))
        (folder / "log.json").write_text(json.dumps({"steps": [1], "minutes": value, "device": name}))
        (folder / ".hidden").write_text(name)
    (tmp_path / "two" / "more.txt").write_text("")
    found = differences(contents(tmp_path / "one"), contents(tmp_path / "two"))
    assert found == ["more.txt: only in the second", "a.npy: differs"]
    whole = (tmp_path / "one" / "same.npz").read_bytes()
    (tmp_path / "one" / "same.npz").write_bytes(whole[:-10])
    assert contents(tmp_path / "one")["same.npz"].startswith("broken")
