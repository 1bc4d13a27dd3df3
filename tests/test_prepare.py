"""The cache of a dataset: one clock for everything, resumable, the same in one process and in several."""

import json
import subprocess
import sys

import numpy as np
import pytest
from fake_dataset import ACTIONS, CLOCK_START_S, position_at, write_dataset

from eailkit.datasets import EgoExo4D
from eailkit.eail.prepared import prepare
from eailkit.errors import ConfigError, DatasetError, RecordingError


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("kitchens"))


@pytest.fixture(scope="module")
def prepared(dataset, tmp_path_factory):
    return prepare(dataset, tmp_path_factory.mktemp("cache"), points_per_cell=64, workers=1, progress=False)


def test_prepare_puts_everything_on_take_time(prepared):
    """The first IMU sample is 0.73 s before take time 0; windows, labels and frames must not notice."""
    assert [t.name for t in prepared.takes] == ["kitchen1_a", "kitchen1_b"]  # kitchen2 has no map but its own
    for take in prepared.takes:
        assert take.start_s == pytest.approx(CLOCK_START_S[take.name], abs=1e-6)
        np.testing.assert_allclose(take.mid_s, np.arange(12) + 0.5, atol=1e-6)
        np.testing.assert_allclose(take.position, position_at(take.mid_s)[:, :2], atol=2e-3)
        grid = prepared.rooms[take.room].grid
        np.testing.assert_array_equal(take.cell, grid.label(take.position.astype(float)))
        expected = [int(t // 3) if t % 3 < 2.9 and t < 9 else -1 for t in take.mid_s]
        names = [prepared.action_names[a] if a >= 0 else None for a in take.action]
        assert names == [ACTIONS[e] if e >= 0 else None for e in expected]
        assert take.caption.tolist()[:4] == ["C stirs at 0.4", "C stirs at 0.4", "C stirs at 3.4", "C stirs at 3.4"]
        assert take.caption[6] == "" and take.caption[8] == "C washes" and take.caption[11] == ""
        assert "O waits" not in take.caption and "C is wrong" not in take.caption
        level = np.asarray(prepared.frames(take)[take.frame]).mean(axis=(1, 2, 3))
        np.testing.assert_allclose(level, 10 + 8 * np.arange(12), atol=4)  # frame k shows second k
        assert take.participant == "7"


def test_prepared_windows_are_gravity_aligned_at_400_hz(prepared, dataset):
    take = prepared.takes[0]
    assert take.windows.shape == (12, 6, 400) and take.windows.dtype == np.float32
    assert isinstance(take.windows, np.memmap)
    assert take.windows[:, :3].mean(axis=(0, 2)) == pytest.approx([0, 0, 9.81], abs=0.02)
    # The nod of the fake wearer is 0.2 cos(2 t) rad/s about the sensor's x, which alignment leaves horizontal.
    t = take.mid_s[:, None] - 0.5 + np.arange(400) / 400
    assert np.abs(np.hypot(take.windows[:, 3], take.windows[:, 4]) - np.abs(0.2 * np.cos(2 * t))).mean() < 3e-3
    assert np.ptp(take.heading) < 0.01  # true and estimated orientation keep their angle


def test_prepared_splits_and_rooms(prepared):
    assert [t.name for t in prepared.by_split("train")] == ["kitchen1_a"]
    assert [t.name for t in prepared.by_split("test-seen")] == ["kitchen1_b"]
    assert prepared.by_split("nonsense") == []
    room = prepared.rooms["kitchen1"]
    assert room.source == "kitchen1_scan"
    assert room.points.shape == (400, 64, 3) and room.valid.shape == (400, 64)
    assert room.free.sum() > 50 and room.empty.sum() < 200
    assert 2.0 < room.grid.side_m < 4.3


def test_prepare_resumes_and_repairs(prepared, dataset):
    """Finished takes are not touched; a take whose .npz is missing is made again, the same."""
    first, second = (t.path for t in prepared.takes)
    before = first.stat().st_mtime_ns
    content = np.load(second.with_suffix(".windows.npy"))
    second.unlink()
    again = prepare(dataset, prepared.cache_dir, points_per_cell=64, workers=1, progress=False)
    assert first.stat().st_mtime_ns == before and second.is_file()
    np.testing.assert_array_equal(np.load(second.with_suffix(".windows.npy")), content)
    assert again.data_hash == prepared.data_hash
    assert not [p for p in prepared.cache_dir.rglob(".*") if p.is_file()]  # nothing half-written stays


def test_prepare_refuses_a_cache_of_other_options(prepared, dataset):
    with pytest.raises(DatasetError, match="points_per_cell = 64.*128"):
        prepare(dataset, prepared.cache_dir, points_per_cell=128, workers=1, progress=False)
    with pytest.raises(ConfigError, match="points_per_cell=0"):
        prepare(dataset, prepared.cache_dir, points_per_cell=0)


def test_prepare_in_processes_gives_the_same(prepared, dataset, tmp_path):
    other = prepare(dataset, tmp_path, points_per_cell=64, workers=2, progress=False, frames=False)
    for a, b in zip(prepared.takes, other.takes, strict=True):
        np.testing.assert_array_equal(a.windows, b.windows)
        np.testing.assert_array_equal(a.cell, b.cell)
        assert (b.frame == -1).all() and len(other.frames(b)) == 0
    np.testing.assert_array_equal(prepared.rooms["kitchen1"].points, other.rooms["kitchen1"].points)
    assert other.data_hash != prepared.data_hash


def test_prepare_says_when_no_take_has_a_map(dataset, tmp_path):
    with pytest.raises(DatasetError, match="no take with a map"):
        prepare(dataset, tmp_path, points_per_cell=64, workers=1, progress=False, takes=["kitchen2_a"])


def test_a_broken_take_names_its_file_and_keeps_the_others(tmp_path):
    root = write_dataset(tmp_path / "d", seconds=4)
    broken = root / "takes" / "kitchen1_b" / "imu-left.parquet"
    broken.write_bytes(broken.read_bytes()[:1000])
    with pytest.raises(RecordingError, match="kitchen1_b/imu-left.parquet"):
        prepare(root, tmp_path / "c", points_per_cell=32, workers=1, progress=False)
    assert (tmp_path / "c" / "takes" / "kitchen1_a.npz").is_file()
    assert json.loads((tmp_path / "c" / "cache.json").read_text())["parts"]["points_per_cell"] == 32


@pytest.fixture(scope="module")
def kitchens(tmp_path_factory):
    """Two small kitchens of SynthKitchen itself, one seen and one unseen, and their cache."""
    from eailkit.synthkitchen.dataset import synthesize
    from eailkit.synthkitchen.splits import DatasetConfig

    config = DatasetConfig(train_takes_per_room=1, unseen_takes_per_room=1, val_seen_rooms=0, long_takes=0)
    folder = tmp_path_factory.mktemp("synthkitchen")
    root = synthesize(
        folder / "data", rooms=2, participants=2, minutes=0.5, seed=5, workers=1, progress=False, config=config
    )
    return root, prepare(root, folder / "cache", points_per_cell=128, workers=1, progress=False)


def test_synthkitchen_goes_through_the_same_reader(kitchens):
    root, prepared = kitchens
    assert {t.split for t in prepared.takes} == {"train", "test-seen", "test-unseen"}
    for take in prepared.takes:
        info = EgoExo4D(root).info(take.name)
        assert take.seconds == int(info.duration_s + 1e-6)
        assert np.isfinite(take.position).all() and np.isfinite(take.heading).all()
        assert (take.cell >= 0).mean() > 0.95 and (take.action >= 0).mean() > 0.4
        room = prepared.rooms[take.room]
        assert room.source == f"{take.room}_scan" and not room.empty[take.cell[take.cell >= 0]].any()
        assert take.windows[:, :3].mean(axis=(0, 2)) == pytest.approx([0, 0, 9.81], abs=0.2)
        assert np.ptp(np.unwrap(take.heading)) < 0.5  # VQF's heading drifts slowly
    train = prepared.by_split("train")[0]
    assert (train.frame >= 0).mean() > 0.9 and prepared.frames(train).shape[1:] == (64, 64, 3)


def test_synthkitchen_recording_agrees_with_its_own_take(kitchens):
    """What was simulated is what is read: IMU, trajectory and words, to the precision of the files."""
    from eailkit.synthkitchen.person import draw_person
    from eailkit.synthkitchen.room import generate_room
    from eailkit.synthkitchen.splits import DatasetConfig, dataset_jobs
    from eailkit.synthkitchen.take import simulate_take

    root, _ = kitchens
    config = DatasetConfig(train_takes_per_room=1, unseen_takes_per_room=1, val_seen_rooms=0, long_takes=0)
    job = next(j for j in dataset_jobs(2, 2, 0.5, 5, config) if j.split == "train")
    truth = simulate_take(
        generate_room(job.room_seed, job.room_id),
        draw_person(job.person_seed),
        job.minutes,
        job.seed,
        device_seed=job.device_seed,
    )
    recording = EgoExo4D(root).recording(job.name)
    np.testing.assert_allclose(recording.imu.t_s, truth.recording.imu.t_s, atol=1e-8)
    np.testing.assert_allclose(recording.imu.acc_mps2, truth.recording.imu.acc_mps2, atol=1e-4)
    assert EgoExo4D(root).start_s(job.name) == pytest.approx(float(truth.device_time(truth.lead_s)), abs=0.02)
    at = truth.recording.trajectory.t_s[10:-10:7]
    np.testing.assert_allclose(
        recording.trajectory.position_at(at), truth.recording.trajectory.position_at(at), atol=1e-3
    )
    assert [n.text for n in recording.narrations] == [n.text for n in truth.recording.narrations]


def test_workers_import_no_torch():
    """Each of them would spend longer on the import than on a take."""
    code = "import sys, eailkit.eail.prepared; sys.exit('torch' in sys.modules or 'scipy.signal' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
