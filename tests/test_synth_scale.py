"""SynthKitchen at the paper's size: lengths and people of a whole dataset, its stamps, and a disk that is full."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from eailkit.datasets import stamps
from eailkit.datasets.egoexo4d import EgoExo4D
from eailkit.errors import ConfigError, DatasetError
from eailkit.profiles import PAPER, QUICK
from eailkit.synthkitchen.dataset import synthesize
from eailkit.synthkitchen.splits import DatasetConfig, TakeJob, dataset_jobs
from eailkit.synthkitchen.version import Stamp

SMALL = DatasetConfig(train_takes_per_room=1, unseen_takes_per_room=1, val_seen_rooms=0, long_takes=0, frame_px=32)
ASKED = {"rooms": 2, "participants": 2, "minutes": 0.3, "seed": 5, "progress": False, "workers": 1, "config": SMALL}


def jobs_of(size, seed: int = 0) -> list[TakeJob]:
    """The takes that a profile plans, scans left out."""
    config = DatasetConfig(
        val_unseen_rooms=size.val_unseen_rooms,
        test_unseen_rooms=size.test_unseen_rooms,
        train_takes_per_room=size.train_takes_per_room,
        unseen_takes_per_room=size.unseen_takes_per_room,
        long_takes=size.long_takes,
        minutes_spread=size.minutes_spread,
    )
    rooms = size.seen_rooms + size.val_unseen_rooms + size.test_unseen_rooms
    return [j for j in dataset_jobs(rooms, size.participants, size.minutes, seed, config) if j.split != "scan"]


# -- lengths and people ----------------------------------------------------------------------------------------


def test_the_bench_is_the_papers_size():
    jobs = jobs_of(PAPER.data)
    minutes = np.array([j.minutes for j in jobs])
    assert len({j.room_id for j in jobs}) == 60 and len({j.participant for j in jobs}) == 173
    assert minutes.min() >= 2.0 and minutes.max() <= 40.0 and minutes.mean() == pytest.approx(9.0, abs=0.5)
    assert minutes.sum() / 60 > 30
    assert np.percentile(minutes, 5) < 4 and np.percentile(minutes, 95) > 15  # spread, not nine minutes each
    seen = {"train", "val-seen", "test-seen"}
    people = {s: {j.participant for j in jobs if j.split == s} for s in ("val-unseen", "test-unseen")}
    trained = {j.participant for j in jobs if j.split in seen}
    assert not trained & (people["val-unseen"] | people["test-unseen"])
    assert not people["val-unseen"] & people["test-unseen"]
    for split in ("test-seen", "test-unseen"):
        assert sum(j.minutes >= 10 for j in jobs if j.split == split) >= PAPER.data.long_takes


def test_lengths_have_the_mean_asked_for():
    config = DatasetConfig(train_takes_per_room=40, long_takes=0, minutes_spread=0.6)
    for mean in (5.0, 9.0, 15.0):
        jobs = [j for seed in range(5) for j in dataset_jobs(50, 60, mean, seed, config)]
        minutes = np.array([j.minutes for j in jobs if j.split != "scan"])
        assert minutes.mean() == pytest.approx(mean, rel=0.03)
        assert minutes.min() >= 2 and minutes.max() <= 40 and (minutes == 40).mean() < 0.01  # cut, not clamped
    logs = np.log(minutes[(minutes > 2) & (minutes < 40)])
    assert abs(np.mean((logs - logs.mean()) ** 3) / logs.std() ** 3) < 0.6  # symmetric on a log scale, but for the cut


def test_quick_takes_stay_short():
    minutes = np.array([j.minutes for j in jobs_of(QUICK.data) if not j.split.startswith("test")])
    assert minutes.min() >= 3 and minutes.max() <= 5


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"minutes_spread": -1.0}, "minutes_spread: found -1"),
        ({"minutes_spread": float("nan")}, "minutes_spread: found nan"),
        ({"shortest_minutes": 50.0}, "shortest_minutes, longest_minutes: found 50 and 40"),
    ],
)
def test_impossible_spreads_are_refused(options, says):
    with pytest.raises(ConfigError, match=says):
        DatasetConfig(**options)


def test_a_mean_outside_the_cuts_is_refused():
    with pytest.raises(ConfigError, match="minutes: found a mean of 1 for takes of 2 to 40 min"):
        dataset_jobs(12, 12, 1.0, 0, DatasetConfig(minutes_spread=0.6))


# -- version and parameters in every file ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return synthesize(tmp_path_factory.mktemp("scale") / "data", **ASKED)


def test_every_file_says_which_simulator_made_it(root):
    card = stamps.card_stamp(root)
    assert len(card.parameter_hash) == 16 and card.version
    files = [p for p in sorted(root.rglob("*")) if p.is_file() and p.name != "synthkitchen.json"]
    kinds = {p.suffix for p in files}
    assert kinds == {".json", ".parquet", ".mp4", ".gz", ".csv"}
    for path in files:
        if path.name == "closed_loop_trajectory.csv":  # MPS's columns alone: the world's uid says it
            room = next(t.room for t in EgoExo4D(root).takes if t.name == path.parents[1].name)
            assert card.uid("graph", room) in path.read_text().splitlines()[1]
            assert Stamp(card.version, "0" * 16).uid("graph", room) != card.uid("graph", room)
        else:
            assert stamps.read_stamp(path) == card, path.name
    for name in ("takes.json", "captures.json", "participants.json", "physical_setting.json"):
        assert all(Stamp.of(entry) == card for entry in json.loads((root / name).read_text()))


def restamped(root: Path, to: Path, name: str) -> None:
    """Put a file of a dataset that differs in its seed in the place of the same file here."""
    found = sorted(root.rglob(name))[0]
    shutil.copy(found, sorted(to.rglob(name))[0])


@pytest.mark.parametrize(
    "name",
    [
        "imu-left.parquet", "closed_loop_trajectory.csv", "semidense_points.csv.gz", "timesync.csv",
        "aria01_214-1.mp4", "synthkitchen_take.json", "keystep_train.json", "atomic_descriptions_train.json",
    ],
)  # fmt: skip
def test_a_file_of_another_dataset_is_refused(root, other, tmp_path, name):
    mixed = tmp_path / "mixed"
    shutil.copytree(root, mixed)
    restamped(other, mixed, name)
    with pytest.raises(DatasetError) as error:
        data = EgoExo4D(mixed)
        for take in data.takes:
            if take.split != "scan":
                data.recording(take.name)
    text = str(error.value)
    assert name in text and "not a mix" in text and "\n" not in text and text.endswith(".")


@pytest.fixture(scope="module")
def other(tmp_path_factory) -> Path:
    return synthesize(tmp_path_factory.mktemp("other") / "data", **{**ASKED, "minutes": 0.35})


def test_takes_of_another_version_are_neither_read_nor_finished(root, tmp_path):
    mixed = tmp_path / "mixed"
    shutil.copytree(root, mixed)
    sidecar = sorted(mixed.rglob("synthkitchen_take.json"))[0]
    content = json.loads(sidecar.read_text())
    for change in ({"synthkitchen_version": "0"}, {"parameter_hash": "f" * 16}):
        sidecar.write_text(json.dumps({**content, **change}))
        with pytest.raises(DatasetError, match="not a mix"):
            EgoExo4D(mixed)
        with pytest.raises(DatasetError, match="not a mix"):
            synthesize(mixed, **ASKED)
    sidecar.write_text(json.dumps({k: v for k, v in content.items() if k not in Stamp("", "").keys}))
    with pytest.raises(DatasetError, match="not a mix"):
        EgoExo4D(mixed)


def test_a_first_version_without_stamps_still_opens(root, tmp_path):
    old = tmp_path / "old"
    shutil.copytree(root, old)
    card = json.loads((old / "synthkitchen.json").read_text())
    (old / "synthkitchen.json").write_text(json.dumps({**card, "version": "1"}))
    with pytest.raises(DatasetError, match="not a mix"):
        EgoExo4D(old)
    for path in [old / "takes.json", *old.rglob("synthkitchen_take.json")]:
        text = path.read_text().replace('"synthkitchen_version"', '"a"').replace('"parameter_hash"', '"b"')
        path.write_text(text)
    assert EgoExo4D(old).takes


# -- a full disk -------------------------------------------------------------------------------------------------

FULL = """
import json, resource, sys
from test_synth_scale import ASKED
from eailkit.errors import DatasetError
from eailkit.synthkitchen.dataset import synthesize
limit, out = int(sys.argv[1]), sys.argv[2]
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
try:
    synthesize(out, **ASKED)
except DatasetError as error:
    sys.stderr.write(str(error))
    sys.exit(3)
"""


def made_in_little_space(limit: int, out: Path) -> subprocess.CompletedProcess:
    """Make the dataset in a process of its own that can write no file of more than `limit` bytes (0: any)."""
    path = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    return subprocess.run(
        [sys.executable, "-c", FULL, str(limit), str(out)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
        timeout=200,
    )


def files_of(root: Path) -> dict[str, int]:
    return {str(p.relative_to(root)): p.stat().st_size for p in sorted(root.rglob("*")) if p.is_file()}


def check_full_disk(out: Path, done: subprocess.CompletedProcess, whole: dict[str, int]) -> None:
    assert done.returncode == 3, done.stderr
    assert "the disk is full" in done.stderr and done.stderr.endswith(".") and "\n" not in done.stderr
    left = files_of(out)
    assert set(left) <= set(whole), "something half-written is left"
    partial = {k for k, size in left.items() if size != whole[k] and k != "synthkitchen.json"}
    assert not partial


@pytest.mark.skipif(sys.platform == "win32", reason="no limit on a process's file sizes here")
@pytest.mark.parametrize("kib", [0.2, 90])
def test_a_file_that_gets_no_space_stops_with_one_sentence_and_can_be_finished(root, tmp_path, kib):
    """0.2 KiB stops the card, 90 the first cloud."""
    whole, out = files_of(root), tmp_path / "out"
    done = made_in_little_space(int(1024 * kib), out)
    check_full_disk(out, done, whole)
    synthesize(out, **ASKED)
    assert files_of(out) == whole


@pytest.mark.parametrize("share", [0.4, 0.99])
def test_a_disk_that_is_full_can_be_freed_and_the_dataset_finished(root, tmp_path, share):
    """A real file system of too few bytes; needs the right to mount one."""
    whole, disk = files_of(root), tmp_path / "disk"
    disk.mkdir()
    size = int(share * sum(whole.values()))
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    if shutil.which("mount") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("mounting a small file system isn't allowed here")
    try:
        check_full_disk(disk / "out", made_in_little_space(0, disk / "out"), whole)
        subprocess.run(["mount", "-o", "remount,size=100m", str(disk)], check=True)
        synthesize(disk / "out", **ASKED)
        assert files_of(disk / "out") == whole
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_video_on_a_full_disk_is_no_half_video(tmp_path):
    """ffmpeg writes the file's index last: the error must come out of closing it, too."""
    code = (
        "import resource, sys, numpy as np; from pathlib import Path\n"
        "from eailkit.synthkitchen import folder, version, writing\n"
        "frames = np.random.default_rng(0).integers(0, 255, (40, 64, 64, 3), dtype=np.uint8)\n"
        "out, stamp = Path(sys.argv[1]), version.Stamp('2', 'a')\n"
        "writing.write_video(out / 'whole.mp4', frames, stamp)\n"
        "size = (out / 'whole.mp4').stat().st_size\n"
        "for limit in (0, size // 2, size - 1000, size - 1):\n"
        "    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))\n"
        "    try:\n"
        "        with folder.write_errors(out / 'v.mp4'):\n"
        "            writing.write_video(out / 'v.mp4', frames, stamp)\n"
        "        sys.exit(f'no error at {limit}')\n"
        "    except folder.DatasetError as error:\n"
        "        assert 'disk is full' in str(error)\n"
    )
    if sys.platform == "win32":
        pytest.skip("no limit on a process's file sizes here")
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, timeout=100)
    assert done.returncode == 0, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["whole.mp4"]


def test_a_video_is_the_same_bytes_whatever_memory_held_before(tmp_path):
    """libx264's macroblock tree reads memory that nobody has written; glibc fills fresh memory with a given byte."""
    code = (
        "import sys, numpy as np; from pathlib import Path\n"
        "from eailkit.synthkitchen import version, writing\n"
        "rng = np.random.default_rng(0)\n"
        "blocks = np.kron(rng.integers(0, 235, (20, 8, 8, 3)), np.ones((1, 8, 8, 1), int))\n"
        "frames = (np.cumsum(blocks, 0) // np.arange(1, 21)[:, None, None, None]).astype(np.uint8)\n"
        "frames += rng.integers(0, 20, frames.shape, dtype=np.uint8)\n"
        "writing.write_video(Path(sys.argv[1]), frames, version.Stamp('2', 'a'))\n"
    )
    if not sys.platform.startswith("linux"):
        pytest.skip("glibc alone fills memory by MALLOC_PERTURB_")
    made = set()
    for byte in ("0", "1", "85", "170"):
        command, env = [sys.executable, "-c", code, str(tmp_path / "v.mp4")], {**os.environ, "MALLOC_PERTURB_": byte}
        subprocess.run(command, check=True, env=env, timeout=100)
        made.add((tmp_path / "v.mp4").read_bytes())
    assert len(made) == 1


def test_one_setting_more_is_another_dataset(root):
    with pytest.raises(DatasetError, match="other settings.*long_takes"):
        synthesize(root, **{**ASKED, "config": replace(SMALL, long_takes=1)})
