"""ClassyGlass: pairs of CSV files with two clocks, their pack, and the odd recordings that both hold."""

from pathlib import Path

import numpy as np
import pytest
from fake_dataset import one_sentence

from eailkit.datasets import ClassyGlass, open_recording
from eailkit.datasets.classyglass import label_of, up_sensor
from eailkit.errors import DatasetError, EailkitError, RecordingError

START_MS = 1_568_483_294_077
UNITS = {"Accelerometer": "g", "Gyroscope": "deg/s"}


def motion(t_s: np.ndarray) -> dict[str, np.ndarray]:
    """A slow nod: what both sensors read at any time, in the files' units; linear pieces would hide a wrong clock."""
    angle, rate = 0.4 * np.sin(t_s), 0.4 * np.cos(t_s)
    return {
        "Accelerometer": np.column_stack([np.sin(angle), np.cos(angle), 0.02 + 0.01 * np.sin(3 * t_s)]),
        "Gyroscope": np.column_stack([0.3 * t_s, 2 + 0 * t_s, np.rad2deg(rate)]),
    }


def file_name(experiment: int, sensor: str, rate: float = 100.0, date: str = "2019-09-14") -> str:
    return f"{experiment}_MetaWear_{date}T13.48.13.875_F1E55E2FE95F_{sensor}_{rate:.3f}Hz_1.4.5.csv"


def rows_of(
    sensor: str, seconds: float = 6.0, rate: float = 100.0, offset_ms: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    t_ms = START_MS + offset_ms + np.round(np.arange(0, seconds * 1e3, 1e3 / rate)).astype(np.int64)
    return t_ms, motion((t_ms - START_MS) * 1e-3)[sensor]


def write(
    folder: Path, experiment: int, sensor: str, t_ms, values, *, unit: str = "", order: str = "xyz", **name
) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / file_name(experiment, sensor, **name)
    header = ["epoch (ms)", "time (-13:00)", "elapsed (s)"] + [f"{a}-axis ({unit or UNITS[sensor]})" for a in order]
    lines = [",".join(header)]
    for t, row in zip(t_ms, values, strict=True):
        texts = [f"{row['xyz'.index(a)]:.3f}" for a in order]
        lines.append(",".join([str(t), "2019-09-14T13:48:14.077", f"{(t - t_ms[0]) / 1e3:.3f}", *texts]))
    path.write_text("\n".join(lines) + "\n")
    return path


def write_pair(folder: Path, experiment: int = 20, gyro_offset_ms: int = -37, **options) -> dict[str, Path]:
    return {
        sensor: write(folder, experiment, sensor, *rows_of(sensor, offset_ms=offset), **options)
        for sensor, offset in (("Accelerometer", 0), ("Gyroscope", gyro_offset_ms))
    }


def test_two_clocks_become_one_in_si_units(tmp_path):
    write_pair(tmp_path / "Datasets" / "Dataset_1A" / "User2")
    dataset = ClassyGlass(tmp_path)
    (entry,) = dataset.entries
    assert (entry.name, entry.dataset, entry.participant, entry.activity) == ("e020", "1A", "user02", "walking")
    recording = dataset.recording("e020")
    imu, t = recording.imu, recording.imu.t_s - START_MS * 1e-3
    assert imu.frame == "sensor" and imu.R_head_sensor is None and imu.rate_hz == pytest.approx(100, abs=0.01)
    truth = motion(t)
    np.testing.assert_allclose(imu.acc_mps2, truth["Accelerometer"] * 9.80665, atol=0.0006 * 9.81)
    # taken row by row, the gyroscope's x would be off by 37 ms of 0.3 deg/s a second: 0.011 deg/s
    np.testing.assert_allclose(np.rad2deg(imu.gyro_radps), truth["Gyroscope"], atol=0.0015)
    assert t[0] == pytest.approx(0, abs=1e-6) and t[-1] <= 5.99 - 0.037 + 1e-6, "only where both exist"
    assert recording.actions[0].label == "walking" and recording.participant == "user02" and recording.split == "1A"
    with pytest.raises(RecordingError, match="without a rotation to the head"):
        imu.in_head_frame()


def test_either_file_opens_the_pair(tmp_path):
    paths = write_pair(tmp_path)
    both = [open_recording(path) for path in paths.values()]
    np.testing.assert_array_equal(both[0].imu.acc_mps2, both[1].imu.acc_mps2)
    assert both[0].name == "e020" and both[0].participant == "user02"


def test_columns_go_by_name_and_not_by_place(tmp_path):
    write_pair(tmp_path / "a")
    write_pair(tmp_path / "b", order="zxy")
    a, b = (ClassyGlass(tmp_path / name).recording("e020").imu for name in "ab")
    np.testing.assert_array_equal(a.acc_mps2, b.acc_mps2)
    np.testing.assert_array_equal(a.gyro_radps, b.gyro_radps)


def test_up_is_all_that_is_estimated_of_the_mounting(tmp_path):
    write_pair(tmp_path)
    imu = ClassyGlass(tmp_path).recording("e020").imu
    up = up_sensor(imu)
    assert np.linalg.norm(up) == pytest.approx(1) and up[1] > 0.99


def test_numbers_of_experiments_say_wearer_and_activity():
    assert label_of(1) == ("1A", "user01", "sit_read_book") and label_of(132) == ("1A", "user12", "stairs")
    assert label_of(133) == ("1B", "user13", "sit_read_book") and label_of(297)[1:] == ("user23", "pick_items_standing")
    assert label_of(307) == ("1B", "user24", "stairs"), "from participant 24 on nobody runs"
    with pytest.raises(DatasetError) as error:
        label_of(400)
    one_sentence(error, "400", "353")


def spoil(folder: Path, fault: str) -> None:
    """A pair of files with one fault that real folders have or could have."""
    paths = write_pair(folder)
    acc, gyro = paths["Accelerometer"], paths["Gyroscope"]
    t_ms, values = rows_of("Accelerometer")
    if fault == "no gyro":
        gyro.unlink()
    elif fault == "no acc":
        acc.unlink()
    elif fault == "slow gyro":
        gyro.unlink()
        write(folder, 20, "Gyroscope", *rows_of("Gyroscope", rate=25.0), rate=25.0)
    elif fault == "backwards":
        write(folder, 20, "Accelerometer", np.concatenate([t_ms[:300], t_ms[200:500]]), values)
    elif fault == "standing clock":
        write(folder, 20, "Accelerometer", t_ms // 20 * 20, values)
    elif fault == "cut row":
        acc.write_bytes(acc.read_bytes()[:-17])
    elif fault == "cut file":
        acc.write_text("\n".join(acc.read_text().split("\n")[:200]) + "\n")
    elif fault == "empty":
        gyro.write_bytes(b"")
    elif fault == "header":
        gyro.write_text(gyro.read_text().split("\n")[0] + "\n")
    elif fault == "m/s²":
        write(folder, 20, "Accelerometer", t_ms, values * 9.80665)
    elif fault == "unit in header":
        write(folder, 20, "Gyroscope", *rows_of("Gyroscope"), unit="rad/s")
    elif fault == "swapped":
        content = acc.read_bytes()
        acc.write_bytes(gyro.read_bytes())
        gyro.write_bytes(content)
    elif fault == "gap":
        write(folder, 20, "Accelerometer", np.delete(t_ms, range(300, 310)), np.delete(values, range(300, 310), axis=0))
    elif fault == "no number":
        acc.write_text(acc.read_text().replace(",0.000,", ",0.000,x", 1))
    elif fault == "another hour":
        write(folder, 20, "Gyroscope", *rows_of("Gyroscope", offset_ms=3_600_000))


@pytest.mark.parametrize(
    "fault, words",
    [
        ("no gyro", ("no gyroscope", "experiment 020")),
        ("no acc", ("no accelerometer", "Gyroscope")),
        ("slow gyro", ("gyroscope of 25 Hz", "min_rate_hz")),
        ("backwards", ("backwards by 0.99", "row 301")),
        ("standing clock", ("time of the row before", "1 %")),
        ("cut row", ("truncated", "Accelerometer")),
        ("cut file", ("in common", "truncated")),
        ("empty", ("empty", "Gyroscope")),
        ("header", ("Gyroscope",)),
        ("m/s²", ("|acc| near 96",)),
        ("unit in header", ("x-axis (rad/s)", "x-axis (deg/s)")),
        ("swapped", ("x-axis (deg/s)", "x-axis (g)")),
        ("gap", ("gap of 0.11 s in the accelerometer after 3.0 s", "0.05 s", "parts()")),
        ("no number", ("text in column x-axis (g)",)),
        ("another hour", ("0.0 s in common",)),
    ],
)
def test_wrong_pairs_get_one_sentence(tmp_path, fault, words):
    spoil(tmp_path, fault)
    with pytest.raises(RecordingError) as error:
        ClassyGlass(tmp_path).recording("e020")
    one_sentence(error, str(tmp_path), *words)


def test_parts_leave_out_the_gap_of_either_sensor(tmp_path):
    write_pair(tmp_path)
    for sensor, hole in (("Accelerometer", slice(200, 210)), ("Gyroscope", slice(400, 420))):
        t_ms, values = rows_of(sensor)
        write(tmp_path, 20, sensor, np.delete(t_ms, hole), np.delete(values, hole, axis=0))
    parts = ClassyGlass(tmp_path).parts("e020")
    assert [p.name for p in parts] == ["e020.1", "e020.2", "e020.3"]
    spans = [(round(p.imu.t_s[0] - START_MS / 1e3, 2), round(p.imu.t_s[-1] - START_MS / 1e3, 2)) for p in parts]
    assert spans == [(0.0, 1.99), (2.1, 3.99), (4.2, 5.99)]
    assert len(ClassyGlass(tmp_path).parts("e020", max_gap_s=0.3)) == 1
    opened, refused = ClassyGlass(tmp_path).open_all("1A")
    assert len(opened) == 3 and not refused


def test_folders_that_are_something_else_get_one_sentence(tmp_path):
    with pytest.raises(DatasetError) as error:
        ClassyGlass(tmp_path)
    one_sentence(error, str(tmp_path), "index.csv")
    later = write_pair(tmp_path / "Dataset_2" / "SensorData" / "User1", date="2021-10-29")["Accelerometer"]
    with pytest.raises(DatasetError):
        ClassyGlass(tmp_path)
    with pytest.raises(DatasetError) as error:
        open_recording(later)
    one_sentence(error, str(later), "neither")
    write_pair(tmp_path / "Dataset_1A" / "User5")
    with pytest.raises(DatasetError) as error:
        ClassyGlass(tmp_path)
    one_sentence(error, "User5", "user02")
    write_pair(tmp_path / "twice" / "one")
    write_pair(tmp_path / "twice" / "two")
    with pytest.raises(DatasetError) as error:
        ClassyGlass(tmp_path / "twice")
    one_sentence(error, "second Accelerometer")
    (tmp_path / "index.csv").write_text("a,b\n1,2\n")
    with pytest.raises(DatasetError) as error:
        ClassyGlass(tmp_path)
    one_sentence(error, "index.csv", "acc_n")


def write_pack(root: Path) -> None:
    """Experiment 20 with both sensors and 21 without a gyroscope, in the packed form."""
    held = {}
    for sensor, key, scale in (("Accelerometer", "acc", 1e3), ("Gyroscope", "gyr", 16.4)):
        t_ms, values = rows_of(sensor)
        for name in ("e020", "e021")[: 2 if key == "acc" else 1]:
            held[f"{name}_{key}"] = np.round(values * scale).astype(np.int16)
            held[f"{name}_{key}_t0ms"] = np.int64(t_ms[0])
            held[f"{name}_{key}_dtms"] = np.diff(t_ms).astype(np.int16)
    (root / "1A").mkdir(parents=True)
    np.savez(root / "1A" / "user02.npz", **held)
    (root / "index.csv").write_text(
        "dataset,user,exp,activity_id,activity,npz,key,acc_n,gyr_n\n"
        "1A,2,20,9,walking,1A/user02.npz,e020,600.0,600.0\n1A,2,21,10,running,1A/user02.npz,e021,600.0,\n"
    )


def test_the_pack_opens_by_name_by_path_and_with_reasons(tmp_path):
    write_pack(tmp_path)
    opened, refused = ClassyGlass(tmp_path).open_all("1A")
    assert [r.name for r in opened] == ["e020"] and list(refused) == ["e021"] and "no gyroscope" in refused["e021"]
    by_path = open_recording(tmp_path / "1A" / "user02.npz" / "e020")
    np.testing.assert_array_equal(by_path.imu.acc_mps2, opened[0].imu.acc_mps2)
    assert by_path.actions == opened[0].actions and by_path.participant == "user02"
    for entry, words in (("e021", "no e021_gyr"), ("e099", "no e099_acc")):
        with pytest.raises(RecordingError) as error:
            open_recording(tmp_path / "1A" / "user02.npz" / entry)
        one_sentence(error, words)
    with pytest.raises(RecordingError) as error:
        open_recording(tmp_path / "1A" / "user02.npz")
    one_sentence(error, "2 recordings", "user02.npz/e020")
    with pytest.raises(DatasetError) as error:
        ClassyGlass(tmp_path).recording("e777")
    one_sentence(error, "e777", "e020")
    with pytest.raises(DatasetError) as error:
        ClassyGlass(tmp_path).open_all("1B")
    one_sentence(error, "1B")
    whole = (tmp_path / "1A" / "user02.npz").read_bytes()
    (tmp_path / "1A" / "user02.npz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(EailkitError) as error:
        ClassyGlass(tmp_path).recording("e020")
    one_sentence(error, "truncated")


# --- the real files


@pytest.fixture(scope="module")
def real(real_data) -> ClassyGlass:
    if not (real_data / "classyglass" / "index.csv").is_file():
        pytest.skip("the folder of real recordings has no classyglass/index.csv")
    return ClassyGlass(real_data / "classyglass")


def test_original_files_and_pack_are_the_same_recordings(real):
    original = ClassyGlass(real.root / "original_csv")
    assert [e.name for e in original.entries] == ["e003", "e004"]
    for entry in original.entries:
        csv, pack = original.recording(entry.name), real.recording(entry.name)
        assert csv.actions == pack.actions and csv.participant == pack.participant
        np.testing.assert_array_equal(csv.imu.t_s, pack.imu.t_s)
        np.testing.assert_allclose(csv.imu.acc_mps2, pack.imu.acc_mps2, rtol=0, atol=1e-12)
        assert np.rad2deg(np.abs(csv.imu.gyro_radps - pack.imu.gyro_radps)).max() <= 0.0005


def test_the_rule_of_experiment_numbers_agrees_with_the_index(real):
    for entry in real.entries:
        assert label_of(int(entry.name[1:])) == (entry.dataset, entry.participant, entry.activity), entry.name


def test_all_of_1a_opens(real):
    opened, refused = real.open_all("1A")
    assert not refused and len(opened) == 129
    counts = {}
    for recording in opened:
        counts[recording.actions[0].label] = counts.get(recording.actions[0].label, 0) + 1
    assert len(counts) == 11
    assert {a for a, n in counts.items() if n == 11} == {"sit_read_book", "sit_move_head_body", "standing"}
    assert set(counts.values()) == {11, 12}
    assert {r.participant for r in opened} == {f"user{k:02d}" for k in range(1, 13)}
    assert all(r.imu.rate_hz == pytest.approx(100, abs=0.1) and r.imu.duration_s > 25 for r in opened)
    ups = {r.participant: up_sensor(r.imu)[1] for r in opened if r.actions[0].label == "standing"}
    assert {w for w, y in ups.items() if y > 0.85} == {f"user{k:02d}" for k in range(1, 7)}, "y is up for 1 to 6"
    assert {w for w, y in ups.items() if y < -0.85} == {f"user{k:02d}" for k in range(7, 12)}, "and down for the others"


def test_1b_opens_but_for_what_its_notes_say(real):
    opened, refused = real.open_all("1B")
    assert set(refused) == {"e173", "e273", "e321", "e325", "e327"}
    assert {n for n, why in refused.items() if "25 Hz" in why} == {"e273", "e321"}
    assert len(opened) == 209 and [r.name for r in opened if "." in r.name] == ["e345.1", "e345.2"]
    assert not {r.participant for r in opened} & {e.participant for e in real.entries if e.dataset == "1A"}
    with pytest.raises(RecordingError, match="gap of 0.1"):
        real.recording("e345")
