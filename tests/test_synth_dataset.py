"""SynthKitchen on disk: layout, splits, resuming, determinism, and what wrong input gets."""

from __future__ import annotations

import hashlib
import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet
import pytest
from scipy.spatial.transform import Rotation

from eailkit.datasets.egoexo4d import EgoExo4D
from eailkit.errors import ConfigError, DatasetError, EailkitError
from eailkit.provenance import fingerprint
from eailkit.synthkitchen.actions import ACTION_NAMES
from eailkit.synthkitchen.dataset import synthesize
from eailkit.synthkitchen.room import generate_room
from eailkit.synthkitchen.splits import DatasetConfig, dataset_jobs

SMALL = DatasetConfig(train_takes_per_room=1, unseen_takes_per_room=1, val_seen_rooms=0, long_takes=0, frame_px=32)
ASKED = {"rooms": 2, "participants": 2, "minutes": 0.5, "seed": 11, "progress": False, "workers": 1, "config": SMALL}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return synthesize(tmp_path_factory.mktemp("synth") / "data", **ASKED)


def digests(root: Path) -> dict[str, str]:
    files = [p for p in sorted(root.rglob("*")) if p.is_file() and p.suffix != ".mp4"]
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


# -- layout and content ------------------------------------------------------------------------------------


def test_the_layout_is_ego_exo4ds(root):
    for name in ("takes.json", "captures.json", "participants.json", "physical_setting.json", "splits.json"):
        assert json.loads((root / name).read_text())
    takes = json.loads((root / "takes.json").read_text())
    captures = {c["capture_uid"]: c["capture_name"] for c in json.loads((root / "captures.json").read_text())}
    for take in takes:
        assert (root / take["root_dir"] / "trajectory" / "closed_loop_trajectory.csv").is_file()
        assert captures[take["capture_uid"]] == take["capture"]["capture_name"]
        assert take["timesync_end_idx"] - take["timesync_start_idx"] == pytest.approx(30 * take["duration_sec"], abs=2)
    words = json.loads((root / "annotations" / "atomic_descriptions_train.json").read_text())["annotations"]
    uids = {t["take_uid"] for t in takes}
    assert words and set(words) <= uids
    assert all(d["subject"] == "C" and d["timestamp"] >= 0 for a in words.values() for d in a[0]["descriptions"])
    assert json.loads((root / "synthkitchen.json").read_text())["complete"] is True
    assert not list(root.rglob("*part_*"))


def test_every_take_reads_back_on_one_clock_in_one_frame(root):
    data = EgoExo4D(root)
    takes = [t for t in data.takes if t.split != "scan"]
    assert {t.split for t in takes} == {"train", "test-seen", "test-unseen"}
    for take in takes:
        r = data.recording(take.name)
        start = data.start_s(take.name)
        assert r.imu.t_s[0] + 2.9 < start and 795 < r.imu.rate_hz < 807
        assert r.map is not None and "scan" in r.map_source and len(r.map.confident()) > 10_000
        assert {a.label for a in r.actions} <= set(ACTION_NAMES) and r.narrations
        assert all(start - 0.01 <= a.start_s < a.end_s <= start + take.duration_s + 0.01 for a in r.actions)
        acc = r.imu.in_head_frame().acc_mps2
        at = [np.interp(r.trajectory.t_s, r.imu.t_s, acc[:, k]) for k in range(3)]
        up = Rotation.from_quat(r.trajectory.quat_world_device_xyzw).apply(np.stack(at, axis=1)).mean(axis=0)
        assert np.allclose(up, [0, 0, 9.81], atol=0.3)
        low, high = np.percentile(r.map.confident().points_world_m, [1, 99], axis=0)
        inside = ((r.trajectory.position_world_m > low) & (r.trajectory.position_world_m < high)).all(axis=1)
        assert inside.mean() > 0.9


def test_people_stand_on_the_rooms_free_floor(root):
    jobs = {j.name: j for j in dataset_jobs(2, 2, 0.5, 11, SMALL)}
    data = EgoExo4D(root)
    for take in (t for t in data.takes if t.split != "scan"):
        room = generate_room(jobs[take.name].room_seed, take.room)
        xy = data.recording(take.name, with_map=False).trajectory.position_world_m[:, :2]
        floor = room.free_centres()
        off = np.sqrt(((xy[::10, None] - floor) ** 2).sum(axis=2).min(axis=1))
        assert np.percentile(off, 95) < 0.6  # a head leans over worktops, by no more than a trunk allows


def test_frames_belong_to_training_takes_and_to_their_seconds(root):
    data = EgoExo4D(root)
    train = data.recording(data.splits["train"][0], with_map=False)
    assert len(train.frame_times_s) == int(data.info(train.name).duration_s)
    assert train.frame_times_s[0] == pytest.approx(data.start_s(train.name) + 0.5, abs=1e-3)
    images = train.load_frames([0, 5, 11])
    assert images.shape == (3, 32, 32, 3) and images.std() > 10 and len(np.unique(images[0])) > 20
    assert data.recording(data.splits["test-seen"][0], with_map=False).load_frames is None


def test_imu_parquet_says_its_axes(root):
    path = next((root / "takes").glob("*/imu-left.parquet"))
    schema = pyarrow.parquet.read_schema(path)
    T = np.array(json.loads(schema.metadata[b"T_device_imu"]))
    R = np.array(json.loads(schema.metadata[b"R_head_sensor"]))
    assert schema.metadata[b"label"] == b"imu-left"
    assert np.allclose(T[:3, :3], R) and np.linalg.det(R) == pytest.approx(1)
    assert str(schema.field("t_ns").type) == "int64" and str(schema.field("gyro_z").type) == "float"


# -- splits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("rooms", "people"), [(1, 1), (2, 2), (4, 6), (12, 8), (24, 26), (60, 173)])
def test_unseen_rooms_and_people_are_never_trained_on(rooms, people):
    jobs = dataset_jobs(rooms, people, 4.0, 0, DatasetConfig())
    by = {s: [j for j in jobs if j.split == s] for s in {j.split for j in jobs}}
    assert len({j.name for j in jobs}) == len(jobs)
    assert len({j.seed for j in jobs if j.split != "scan"}) == len(jobs) - rooms
    train = by["train"]
    for split in ("val-unseen", "test-unseen"):
        for what in ("room_seed", "person_seed"):
            assert not {getattr(j, what) for j in by.get(split, [])} & {getattr(j, what) for j in train}
        others = by.get("test-unseen" if split == "val-unseen" else "val-unseen", [])
        assert not {j.participant for j in by.get(split, [])} & {j.participant for j in others}
    assert {j.room_id for j in by["test-seen"]} == {j.room_id for j in train}
    for split in ("test-seen", "test-unseen"):
        found = by.get(split, [])
        assert sum(j.minutes >= 10 for j in found) == min(2, len(found))
    assert all(j.frame_px == 0 for j in jobs if j.split != "train") and all(j.frame_px for j in train)


def test_the_config_sets_the_splits_and_pretraining_is_disjoint():
    config = DatasetConfig(val_unseen_rooms=2, test_unseen_rooms=6, val_seen_rooms=4)
    jobs = dataset_jobs(24, 26, 4.0, 0, config)
    count = {s: sum(j.split == s for j in jobs) for s in {j.split for j in jobs}}
    assert count == {"scan": 24, "train": 64, "val-seen": 4, "test-seen": 16, "val-unseen": 4, "test-unseen": 12}
    pretrain = dataset_jobs(24, 26, 4.0, 0, replace(config, pretrain=True))
    assert {j.split for j in pretrain} == {"pretrain", "scan"}
    for what in ("room_seed", "person_seed", "room_id", "name"):
        assert not {getattr(j, what) for j in pretrain if j.split != "scan"} & {getattr(j, what) for j in jobs}
    assert min(j.room_seed for j in pretrain) >= 2**31 > max(j.room_seed for j in jobs)


# -- resuming and determinism ----------------------------------------------------------------------------------


def test_an_interrupted_dataset_is_finished_with_the_same_bytes(root, tmp_path):
    whole = digests(root)
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    lost = sorted((copy / "takes").iterdir())[1]
    (lost / "synthkitchen_take.json").unlink()  # as a kill before the last file leaves it
    shutil.rmtree(sorted((copy / "takes").iterdir())[-1])
    (copy / "takes.json").unlink()
    kept = sorted((copy / "takes").iterdir())[0] / "trajectory" / "closed_loop_trajectory.csv"
    before = kept.stat().st_mtime_ns
    synthesize(copy, **ASKED)
    assert digests(copy) == whole and kept.stat().st_mtime_ns == before


def test_a_whole_dataset_that_is_asked_for_again_is_only_read(root):
    """Notebooks that run side by side all ask for it, and others read it meanwhile."""
    told = lambda: {p: (p.stat().st_ino, p.stat().st_mtime_ns) for p in root.rglob("*") if p.is_file()}  # noqa: E731
    before = told()
    synthesize(root, **ASKED)
    assert told() == before


def test_what_is_being_written_is_no_part_of_a_datasets_fingerprint(root, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(root, copy)
    (copy / "annotations" / "part_keystep_train.json").write_text("{")
    assert fingerprint(copy) == fingerprint(root)
    (copy / "splits.json").write_text("{}")
    assert fingerprint(copy) != fingerprint(root)


def test_two_workers_make_the_same_bytes(root, tmp_path):
    other = synthesize(tmp_path / "parallel", **{**ASKED, "workers": 2})
    assert digests(other) == digests(root)
    name = EgoExo4D(root).splits["train"][0]
    a, b = (EgoExo4D(r).recording(name, with_map=False).load_frames(list(range(20))) for r in (root, other))
    # Not bit for bit: an encoder may spend its bits differently from run to run, the pictures are the same.
    assert np.abs(a.astype(float) - b).mean() < 2.0


def test_another_seed_is_another_dataset(root, tmp_path):
    jobs, others = dataset_jobs(2, 2, 0.5, 11, SMALL), dataset_jobs(2, 2, 0.5, 12, SMALL)
    assert not {j.room_seed for j in jobs} & {j.room_seed for j in others}
    with pytest.raises(DatasetError, match="other settings.*seed"):
        synthesize(root, **{**ASKED, "seed": 12})
    with pytest.raises(DatasetError, match="other settings.*minutes"):
        synthesize(root, **{**ASKED, "minutes": 0.6})


# -- wrong input ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"rooms": 0}, "rooms: found 0"),
        ({"participants": 0}, "participants: found 0"),
        ({"minutes": -3.0}, "minutes: found -3"),
        ({"minutes": float("nan")}, "minutes: found nan"),
        ({"seed": -1}, "seed: found -1"),
        ({"workers": 0}, "workers: found 0"),
        ({"config": replace(SMALL, test_unseen_rooms=2)}, "rooms: found 2"),
        ({"participants": 1, "config": replace(SMALL, test_unseen_rooms=1)}, "participants: found 1"),
    ],
)
def test_impossible_counts_get_one_sentence_and_leave_no_folder(tmp_path, wrong, says):
    with pytest.raises(ConfigError) as error:
        synthesize(tmp_path / "out", **{**ASKED, **wrong})
    text = str(error.value)
    assert text.startswith(says) and "expected" in text and text.endswith(".") and "\n" not in text
    assert not (tmp_path / "out").exists()


def test_frame_options_are_checked():
    for wrong in ({"frame_px": 33}, {"frame_splits": ("training",)}, {"long_takes": -1}):
        with pytest.raises(EailkitError, match=next(iter(wrong))):
            DatasetConfig(**wrong)


def test_a_folder_that_cant_hold_the_dataset_gets_one_sentence(tmp_path):
    file = tmp_path / "file"
    file.write_text("mine")
    with pytest.raises(DatasetError, match="found a file"):
        synthesize(file, **ASKED)
    with pytest.raises(DatasetError, match="can't be written"):
        synthesize(file / "below", **ASKED)
    full = tmp_path / "full"
    full.mkdir()
    (full / "thesis.txt").write_text("mine")
    with pytest.raises(DatasetError, match="no synthkitchen.json"):
        synthesize(full, **ASKED)
    assert [p.name for p in full.iterdir()] == ["thesis.txt"]
    (full / "synthkitchen.json").write_text(json.dumps({"version": "0"}))
    with pytest.raises(DatasetError, match="version 0"):
        synthesize(full, **ASKED)
    (full / "synthkitchen.json").write_text("{")
    with pytest.raises(DatasetError, match="can't be read"):
        synthesize(full, **ASKED)
