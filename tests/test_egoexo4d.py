"""Ego-Exo4D's layout: clocks, maps of other takes, words, frames, splits, and what is said when a part is broken."""

import gzip
import json

import numpy as np
import pytest
from fake_dataset import CLOCK_START_S, one_sentence, position_at, write_dataset, write_video

from eailkit.datasets import EgoExo4D, open_recording
from eailkit.datasets.video import decode_frames, video_times_s
from eailkit.errors import DatasetError, EailkitError


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("kitchens"))


def test_take_folder_is_a_recording_on_the_device_clock(root):
    recording = open_recording(root / "takes" / "kitchen1_a")
    start = CLOCK_START_S["kitchen1_a"]
    assert EgoExo4D(root).start_s("kitchen1_a") == pytest.approx(start, abs=1e-6)
    assert recording.imu.t_s[0] == pytest.approx(start - 0.73, abs=1e-6)  # not shifted to zero
    assert recording.imu.label == "imu-left" and recording.imu.rate_hz == pytest.approx(800, rel=1e-6)
    assert recording.imu.R_head_sensor is not None
    np.testing.assert_allclose(
        recording.trajectory.position_at(np.array([start + 4.0])), position_at(np.array([4.0])), atol=2e-3
    )
    assert [(n.text, round(n.t_s - start, 3)) for n in recording.narrations] == [
        ("C stirs at 0.4", 0.4),
        ("C stirs at 3.4", 3.4),
        ("C washes", 8.6),
    ]
    assert [round(a.start_s - start, 3) for a in recording.actions] == [0.0, 3.0, 6.0]
    np.testing.assert_allclose(recording.frame_times_s - start, np.arange(12) + 0.5, atol=1e-6)
    assert recording.load_frames([3, 1]).shape == (2, 32, 32, 3)
    assert (recording.room, recording.participant, recording.split) == ("kitchen1", "7", "train")


def test_the_map_comes_from_the_scan_and_never_from_the_take(root):
    dataset = EgoExo4D(root)
    assert dataset.map_take("kitchen1_a").name == "kitchen1_scan"
    recording = dataset.recording("kitchen1_a")
    assert len(recording.map) > 10_000 and "kitchen1_scan (scan)" in recording.map_source
    lonely = dataset.recording("kitchen2_a")
    assert lonely.map is None and "no scan" in lonely.map_source


def test_another_takes_map_serves_only_in_the_same_frame(tmp_path):
    root = write_dataset(tmp_path, seconds=2)
    scan = root / "takes" / "kitchen1_scan" / "trajectory" / "semidense_points.csv.gz"
    own = root / "takes" / "kitchen1_b" / "trajectory" / scan.name
    scan.rename(own)
    assert EgoExo4D(root).map_take("kitchen1_a").name == "kitchen1_b"
    assert "another take" in EgoExo4D(root).recording("kitchen1_a").map_source
    assert EgoExo4D(root).map_take("kitchen1_b") is None  # its own cloud doesn't count
    own.write_bytes(gzip.compress(gzip.decompress(own.read_bytes()).replace(b"graph-kitchen1", b"graph-other")))
    assert EgoExo4D(root).map_take("kitchen1_a") is None


def test_splits_and_action_names(root):
    dataset = EgoExo4D(root)
    assert dataset.splits["train"] == ("kitchen1_a",) and dataset.splits["scan"] == ("kitchen1_scan",)
    assert dataset.action_names == ("cut bread", "stir", "wash")


def test_released_split_file_is_read_too(tmp_path):
    root = write_dataset(tmp_path, seconds=2)
    (root / "splits.json").unlink()
    (root / "annotations" / "splits.json").write_text(json.dumps({"take_uid_to_split": {"uid-kitchen1_a": "val"}}))
    assert EgoExo4D(root).info("kitchen1_a").split == "val"
    assert EgoExo4D(root).info("kitchen1_b").split == ""


def test_frames_come_in_any_order_and_size(tmp_path):
    write_video(tmp_path / "v.mp4", 9)
    np.testing.assert_allclose(video_times_s(tmp_path / "v.mp4"), np.arange(9) + 0.5)
    frames = decode_frames(tmp_path / "v.mp4", [7, 0, 7], size=16)
    assert frames.shape == (3, 16, 16, 3)
    np.testing.assert_allclose(frames.mean(axis=(1, 2, 3)), [66, 10, 66], atol=4)
    with pytest.raises(DatasetError, match="no frame 9"):
        decode_frames(tmp_path / "v.mp4", [9])
    (tmp_path / "w.mp4").write_bytes(b"nothing")
    with pytest.raises(DatasetError, match="video"):
        video_times_s(tmp_path / "w.mp4")


def broken(root, what):
    take = root / "takes" / "kitchen1_a"
    if what == "takes.json":
        (root / "takes.json").write_text('[{"take_name": "kit')
    elif what == "list":
        (root / "takes.json").write_text('{"a": 1}')
    elif what == "timesync":
        (root / "captures" / "capture_kitchen1_a" / "timesync.csv").unlink()
    elif what == "timesync columns":
        (root / "captures" / "capture_kitchen1_a" / "timesync.csv").write_text("a,b\n1,2\n")
    elif what == "imu":
        (take / "imu-left.parquet").rename(take / "imu-right.parquet")
    elif what == "unknown":
        take.rename(take.with_name("other"))


@pytest.mark.parametrize(
    "what, words",
    [
        ("takes.json", "takes.json"),
        ("list", "list of takes"),
        ("timesync", "timesync.csv"),
        ("timesync columns", "aria01_214-1_capture_timestamp_ns"),
        ("imu", "imu-right.parquet"),
        ("unknown", "no take 'kitchen1_a'"),
    ],
)
def test_broken_datasets_get_one_sentence(tmp_path, what, words):
    root = write_dataset(tmp_path, seconds=2)
    broken(root, what)
    with pytest.raises(EailkitError) as error:
        EgoExo4D(root).recording("kitchen1_a")
    one_sentence(error, words, str(tmp_path))


def test_no_dataset_at_all_gets_one_sentence(tmp_path):
    with pytest.raises(DatasetError) as error:
        EgoExo4D(tmp_path)
    one_sentence(error, "takes.json", "eailkit synth")


def test_timesync_with_missing_first_frames(tmp_path):
    """A frame that the ego camera lost at the take's start is bridged by the rig's 30 Hz."""
    root = write_dataset(tmp_path, seconds=2)
    path = root / "captures" / "capture_kitchen1_a" / "timesync.csv"
    lines = path.read_text().splitlines()
    for row in (15, 16):
        lines[1 + row] = "0,"
    path.write_text("\n".join(lines) + "\n")
    assert EgoExo4D(root).start_s("kitchen1_a") == pytest.approx(CLOCK_START_S["kitchen1_a"], abs=1e-6)
