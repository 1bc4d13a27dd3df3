"""Locks between processes: one at a time, none left behind by a kill, and a training that two ask for is done once."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from eailkit.parallel import WorkerDied, held, run_all

HOLDS = """
import sys, time
from eailkit.parallel import held
with held(sys.argv[1]):
    print("held", flush=True)
    time.sleep(float(sys.argv[2]))
"""


def holder(path: Path, seconds: float) -> subprocess.Popen:
    """A process that holds a lock; returns when it does."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(path), str(seconds)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "held\n"
    return process


def test_a_lock_is_waited_for_said_once_and_leaves_no_file(tmp_path):
    path, said = tmp_path / "weights" / ".net.lock", []
    other = holder(path, 1.5)
    began = time.monotonic()
    with held(path, say=said.append):
        assert other.wait(10) == 0 and path.exists()
    assert time.monotonic() - began > 0.3 and not path.exists()
    assert said == ["net: another process is making it; waiting for its end"]


def test_a_killed_process_holds_nothing(tmp_path):
    path, said = tmp_path / ".net.lock", []
    other = holder(path, 60)
    other.kill()
    other.wait(10)
    with held(path, say=said.append):
        assert path.exists(), "the file may stay, the lock doesn't"
    assert not said or len(said) == 1


def test_a_worker_that_dies_is_one_sentence_and_ends_the_others():
    began = time.monotonic()
    with pytest.raises(WorkerDied, match=r"ended early; expected enough memory.*what is finished is kept"):
        run_all([(os._exit, 9), (time.sleep, 90)], 2, False, "jobs")
    assert time.monotonic() - began < 60


def test_a_folder_that_cant_be_written_is_nobodys_to_hold(tmp_path):
    (tmp_path / "file").write_text("")
    entered = False
    with held(tmp_path / "file" / ".net.lock"):
        entered = True
    assert entered and (tmp_path / "file").is_file()


TRAINS = """
import sys, torch
from torch import nn
from eailkit.training import TrainConfig, fit
steps = 0
def batch(rng, step):
    global steps
    steps += 1
    return {"x": torch.from_numpy(rng.normal(size=(512, 256)).astype("float32"))}
def loss(model, batch):
    return {"total": model(batch["x"]).square().mean()}
torch.manual_seed(0)
config = TrainConfig(steps=150, warmup_steps=3, checkpoint_every=10, device="cpu")
history = fit(nn.Linear(256, 256), batch, loss, config, out_dir=sys.argv[1], name="net", progress=False)
print(steps, len(history.steps), history.steps[-1]["total"])
"""


def test_two_processes_that_want_the_same_weights_train_them_once(tmp_path):
    command = [sys.executable, "-c", TRAINS, str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    lines = []
    for process in both:
        stdout, stderr = process.communicate(timeout=120)
        assert process.returncode == 0, stderr
        lines.append(stdout.splitlines()[-1].split())
    assert sorted(int(steps) for steps, *_ in lines) == [0, 150], "one trains, the other finds it"
    assert lines[0][1:] == lines[1][1:]
    assert not list(tmp_path.glob(".*lock"))
