"""RealWorld: zips in zips, two styles of names, two clocks; written here in the layout of the download."""

import io
import zipfile
from pathlib import Path

import numpy as np
import pytest
from fake_dataset import one_sentence

from eailkit.datasets import RealWorld, open_recording
from eailkit.errors import DatasetError, RecordingError

START_MS = 1_435_993_800_000


def motion(t_s: np.ndarray) -> dict[str, np.ndarray]:
    angle = 0.3 * np.sin(t_s)
    return {
        "acc": 9.81 * np.column_stack([np.sin(angle), np.cos(angle), 0.02 * np.cos(2 * t_s)]),
        "gyr": np.column_stack([0.01 * t_s, 0.1 + 0 * t_s, 0.3 * np.cos(t_s)]),
    }


def rows_of(sensor: str, seconds: float = 8.0, offset_ms: int = 0, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """About 50 Hz, uneven by a few ms as phones are."""
    rng = np.random.default_rng(seed)
    t_ms = START_MS + offset_ms + np.cumsum(rng.integers(16, 25, int(seconds * 50)))
    return t_ms, motion((t_ms - START_MS) * 1e-3)[sensor]


def csv_of(t_ms, values, order: str = "xyz") -> str:
    lines = ["id,attr_time," + ",".join(f"attr_{a}" for a in order)]
    lines += [
        f"{k + 1},{t}," + ",".join(f"{row['xyz'.index(a)]:.6f}" for a in order)
        for k, (t, row) in enumerate(zip(t_ms, values, strict=True))
    ]
    return "\n".join(lines) + "\n"


def zip_of(members: dict[str, str | bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


ACC, GYR = csv_of(*rows_of("acc")), csv_of(*rows_of("gyr", offset_ms=-45, seed=1))


def write_zips(root: Path, acc: dict, gyr: dict, *, person: str = "proband1", activity: str = "walking") -> Path:
    folder = root / person / "data"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"acc_{activity}_csv.zip").write_bytes(zip_of(acc))
    (folder / f"gyr_{activity}_csv.zip").write_bytes(zip_of(gyr))
    return folder


@pytest.mark.parametrize("style", ["gyr", "Gyroscope"])
def test_both_names_of_the_gyroscope_give_one_stream(tmp_path, style):
    waist = csv_of(*rows_of("acc", seed=5))
    folder = write_zips(
        tmp_path,
        {
            "acc_walking_waist.csv": waist,
            "acc_walking_head.csv": ACC,
            "readMe": "x",
            "__MACOSX/._acc_walking_head.csv": "",
        },
        {f"{style}_walking_head.csv": GYR},
    )
    dataset = RealWorld(tmp_path)
    assert dataset.names == ("proband1/walking",)
    (recording,) = dataset.parts("proband1/walking")
    imu, truth = recording.imu, motion(recording.imu.t_s - START_MS * 1e-3)
    np.testing.assert_allclose(imu.acc_mps2, truth["acc"], atol=1e-5)
    np.testing.assert_allclose(imu.gyro_radps, truth["gyr"], atol=1e-4)  # a straight line over 24 ms of a sine
    assert imu.rate_hz == pytest.approx(50, rel=0.05) and imu.R_head_sensor is None and "head" in imu.label
    assert recording.participant == "proband1" and recording.actions[0].label == "walking"
    for path in sorted(folder.iterdir()):
        np.testing.assert_array_equal(open_recording(path).imu.t_s, imu.t_s)


def test_columns_go_by_name(tmp_path):
    write_zips(tmp_path / "a", {"acc_walking_head.csv": ACC}, {"gyr_walking_head.csv": GYR})
    swapped = csv_of(*rows_of("acc"), order="zyx")
    write_zips(tmp_path / "b", {"acc_walking_head.csv": swapped}, {"gyr_walking_head.csv": GYR})
    a, b = (RealWorld(tmp_path / k).parts("proband1/walking")[0].imu for k in "ab")
    np.testing.assert_array_equal(a.acc_mps2, b.acc_mps2)


@pytest.mark.parametrize("numbered", ["zip", "before", "after"])
def test_sessions_of_nested_zips(tmp_path, numbered):
    later = {s: csv_of(*rows_of(s, offset_ms=60_000, seed=7 + k)) for k, s in enumerate(("acc", "gyr"))}
    zips = {}
    for sensor, prefix, first in (("acc", "acc", ACC), ("gyr", "Gyroscope", GYR)):
        second_name = {"zip": "climbingup_head", "before": "climbingup_2_head", "after": "climbingup_head_2"}[numbered]
        zips[sensor] = {
            f"{sensor}_climbingup_1_csv.zip": zip_of({f"{prefix}_climbingup_head.csv": first}),
            f"{sensor}_climbingup_2_csv.zip": zip_of({f"{prefix}_{second_name}.csv": later[sensor]}),
        }
    folder = write_zips(tmp_path, zips["acc"], zips["gyr"], person="proband4", activity="climbingup")
    one, two = RealWorld(tmp_path).parts("proband4/climbingup")
    assert (one.name, two.name) == ("proband4/climbingup", "proband4/climbingup-2")
    assert two.imu.t_s[0] - one.imu.t_s[0] == pytest.approx(60, abs=0.2)
    with pytest.raises(RecordingError) as error:
        open_recording(folder / "acc_climbingup_csv.zip")
    one_sentence(error, "2 sessions", "parts")
    del zips["gyr"]["gyr_climbingup_2_csv.zip"]
    write_zips(tmp_path, zips["acc"], zips["gyr"], person="proband4", activity="climbingup")
    with pytest.raises(RecordingError) as error:
        RealWorld(tmp_path).parts("proband4/climbingup")
    one_sentence(error, "sessions [1, 2]", "[1]")


def spoiled(fault: str) -> tuple[dict, dict]:
    acc, gyr = {"acc_walking_head.csv": ACC}, {"gyr_walking_head.csv": GYR}
    t_ms, values = rows_of("acc")
    table = None
    if fault == "position":
        acc = {"acc_walking_chest.csv": ACC}
    elif fault == "no csv":
        gyr = {"readMe": "x"}
    elif fault == "backwards":
        table = csv_of(t_ms[::-1], values)
    elif fault == "g":
        table = csv_of(t_ms, values / 9.81)
    elif fault == "seconds":
        table = csv_of(np.round(t_ms / 1e3, 3), values)
    elif fault == "cut row":
        table = ACC[: len(ACC) - 30]
    elif fault == "cut file":
        table = ACC[: ACC.index("\n", len(ACC) // 2) + 1]
    elif fault == "columns":
        table = ACC.replace("attr_z", "z")
    elif fault == "empty":
        table = ""
    elif fault == "header":
        table = "id,attr_time,attr_x,attr_y,attr_z\n"
    elif fault == "deg/s":
        t_gyr, turning = rows_of("gyr", offset_ms=-45, seed=1)
        gyr = {"gyr_walking_head.csv": csv_of(t_gyr, np.rad2deg(turning) * 2)}
    elif fault == "swapped":
        acc, gyr = {"acc_walking_head.csv": GYR}, {"gyr_walking_head.csv": ACC}
    return ({"acc_walking_head.csv": table} if table is not None else acc), gyr


@pytest.mark.parametrize(
    "fault, words",
    [
        ("position", ("no accelerometer at 'head'", "chest")),
        ("no csv", ("no gyroscope at 'head'",)),
        ("backwards", ("backwards", "row 2")),
        ("g", ("looks like g",)),
        ("seconds", ("Unix milliseconds",)),
        ("cut row", ("acc_walking_head.csv", "truncated")),
        ("cut file", ("in common", "truncated")),
        ("columns", ("attr_z",)),
        ("empty", ("acc_walking_head.csv", "table")),
        ("header", ("acc_walking_head.csv",)),
        ("deg/s", ("deg/s",)),
        ("swapped", ("swapped",)),
    ],
)
def test_wrong_files_get_one_sentence(tmp_path, fault, words):
    write_zips(tmp_path, *spoiled(fault))
    with pytest.raises(RecordingError) as error:
        RealWorld(tmp_path).parts("proband1/walking")
    one_sentence(error, str(tmp_path), *words)


def test_gaps_cut_and_missing_zips_are_listed(tmp_path):
    t_ms, values = rows_of("gyr", offset_ms=-45, seed=1)
    hole = slice(150, 170)
    gyr = csv_of(np.delete(t_ms, hole), np.delete(values, hole, axis=0))
    folder = write_zips(tmp_path, {"acc_walking_head.csv": ACC}, {"gyr_walking_head.csv": gyr})
    two = write_zips(tmp_path, {}, {}, person="proband2", activity="lying")
    (two / "gyr_lying_csv.zip").unlink()
    dataset = RealWorld(tmp_path)
    opened, refused = dataset.open_all()
    assert [r.name for r in opened] == ["proband1/walking.1", "proband1/walking.2"]
    before, after = t_ms[149] * 1e-3, t_ms[170] * 1e-3
    assert opened[0].imu.t_s[-1] <= before and opened[1].imu.t_s[0] >= after, "nothing is made up inside the gap"
    assert list(refused) == ["proband2/lying"] and "gyr_lying_csv.zip: no such file" in refused["proband2/lying"]
    with pytest.raises(RecordingError) as error:
        open_recording(folder / "acc_walking_csv.zip")
    one_sentence(error, "gap of 0.4", "gyroscope", "0.1 s")


def test_broken_zips_and_wrong_names_get_one_sentence(tmp_path):
    with pytest.raises(DatasetError) as error:
        RealWorld(tmp_path)
    one_sentence(error, str(tmp_path), "acc_<activity>_csv.zip")
    folder = write_zips(tmp_path, {"acc_walking_head.csv": ACC}, {"gyr_walking_head.csv": GYR})
    with pytest.raises(DatasetError) as error:
        RealWorld(tmp_path, position="nose")
    one_sentence(error, "nose", "head")
    with pytest.raises(DatasetError) as error:
        RealWorld(tmp_path).parts("proband9/walking")
    one_sentence(error, "proband9/walking", "proband1/walking")
    path = folder / "acc_walking_csv.zip"
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2 : len(whole) // 2 + 200] = bytes(200)
    for content in (whole[: len(whole) // 2], bytes(damaged), b""):
        path.write_bytes(content)
        with pytest.raises(RecordingError) as error:
            RealWorld(tmp_path).parts("proband1/walking")
        one_sentence(error, str(path), "truncated")
