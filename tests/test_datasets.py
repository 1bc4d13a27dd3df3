"""Readers: what is right comes back in the right units on the right clock; what is wrong gets one sentence."""

import json
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fake_dataset import imu_samples, one_sentence, position_at, room_cloud, write_trajectory

from eailkit.datasets import open_map, open_recording
from eailkit.datasets.aria import read_trajectory
from eailkit.errors import MapError, RecordingError

COLUMNS = ("acc_x", "acc_y", "acc_z", "gyro_x", "gyro_y", "gyro_z")


def imu_table(seconds: float = 2.0, start_s: float = 12.0, rate_hz: float = 800.0) -> pd.DataFrame:
    t, acc, gyro = imu_samples(seconds, start_s, rate_hz)
    return pd.DataFrame(np.column_stack([t, acc, gyro]), columns=["t_s", *COLUMNS])


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet"])
@pytest.mark.parametrize("unit, scale", [("t_s", 1.0), ("t_ms", 1e3), ("t_us", 1e6), ("t_ns", 1e9)])
def test_tables_of_every_kind_give_the_same_stream(tmp_path, suffix, unit, scale):
    table = imu_table()
    written = table.rename(columns={"t_s": unit})
    written[unit] = table["t_s"] if unit == "t_s" else np.round(table["t_s"] * scale).astype(np.int64)
    path = tmp_path / f"walk{suffix}"
    if suffix == ".parquet":
        written.to_parquet(path)
    else:
        written.to_csv(path, index=False)
    recording = open_recording(path)
    assert recording.name == "walk" and recording.imu.frame == "sensor" and recording.trajectory is None
    np.testing.assert_allclose(recording.imu.t_s, table["t_s"], atol=1e-3 if unit == "t_ms" else 1e-6)
    np.testing.assert_allclose(recording.imu.acc_mps2, table[list(COLUMNS[:3])], atol=1e-9)
    np.testing.assert_allclose(recording.imu.gyro_radps, table[list(COLUMNS[3:])], atol=1e-9)


@pytest.mark.parametrize(
    "names",
    [
        ("accl_x", "accl_y", "accl_z", "gyro_x", "gyro_y", "gyro_z"),
        ("ax", "ay", "az", "gx", "gy", "gz"),
        ("Acc_X", "Acc_Y", "Acc_Z", "Gyr_X", "Gyr_Y", "Gyr_Z"),
        ("accel_x", "accel_y", "accel_z", "wx", "wy", "wz"),
    ],
)
def test_column_aliases(tmp_path, names):
    table = imu_table()
    table.rename(columns=dict(zip(COLUMNS, names, strict=True))).to_csv(tmp_path / "a.csv", index=False)
    imu = open_recording(tmp_path / "a.csv").imu
    np.testing.assert_allclose(imu.gyro_radps[:, 0], table["gyro_x"])
    np.testing.assert_allclose(imu.acc_mps2[:, 2], table["acc_z"])


def test_npz_with_arrays_and_mounting(tmp_path):
    t, acc, gyro = imu_samples(2, 5.0)
    R = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 0.0, 0.0]])
    np.savez(tmp_path / "a.npz", t_s=t, acc=acc, gyro=gyro, R_head_sensor=R)
    imu = open_recording(tmp_path / "a.npz").imu
    np.testing.assert_array_equal(imu.acc_mps2, acc)
    np.testing.assert_allclose(imu.in_head_frame().acc_mps2, acc @ R.T)


def spoil(table: pd.DataFrame, fault: str) -> pd.DataFrame:
    table = table.copy()
    acc, gyro = list(COLUMNS[:3]), list(COLUMNS[3:])
    if fault == "nan":
        table.loc[100, "acc_y"] = np.nan
    elif fault == "gap":
        table = table.drop(index=range(400, 800))
    elif fault == "duplicate":
        table.loc[50, "t_s"] = table.loc[49, "t_s"]
    elif fault == "backwards":
        table = table.iloc[::-1]
    elif fault == "g":
        table[acc] /= 9.80665
    elif fault == "deg":
        table[gyro] = table[gyro] * 180 / np.pi * 3  # livelier than the gentle nod
    elif fault == "identical":
        table["acc_x"] = table["acc_y"]
    elif fault == "swapped":
        table[acc], table[gyro] = table[gyro].to_numpy(), table[acc].to_numpy()
    elif fault == "columns":
        table = table.drop(columns=["gyro_y"])
    elif fault == "no time":
        table = table.rename(columns={"t_s": "timestamp"})
    elif fault == "text":
        table["acc_z"] = "strong"
    elif fault == "header":
        table = table.iloc[:0]
    elif fault == "short":
        table = table.iloc[:20]
    return table


@pytest.mark.parametrize(
    "fault, words",
    [
        ("nan", "NaN"),
        ("gap", "gap of 0.50 s"),
        ("duplicate", "strictly increasing"),
        ("backwards", "strictly increasing"),
        ("g", "looks like g"),
        ("deg", "deg/s"),
        ("identical", "identical"),
        ("swapped", "swapped"),
        ("columns", "gyro_x, gyro_y, gyro_z"),
        ("no time", "time column"),
        ("text", "text in column acc_z"),
        ("header", "without rows"),
        ("short", "0.02 s"),
    ],
)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_wrong_tables_get_one_sentence(tmp_path, fault, words, suffix):
    path = tmp_path / f"bad{suffix}"
    table = spoil(imu_table(), fault)
    table.to_parquet(path) if suffix == ".parquet" else table.to_csv(path, index=False)
    with pytest.raises(RecordingError) as error:
        open_recording(path)
    one_sentence(error, str(path), words)


def test_runners_in_flight_are_no_wrong_unit(tmp_path):
    """Light for 55 % of a stride and heavy on the ground: the median |acc| is 0.67 g, the mean still about g."""
    table = imu_table()
    up = np.array([0.1, 0.2, 0.97]) / np.linalg.norm([0.1, 0.2, 0.97])
    flight = np.sin(2 * np.pi * 1.4 * table["t_s"]) > -0.156
    table[list(COLUMNS[:3])] = np.where(flight, 6.6, 15.0)[:, None] * up
    table.to_csv(tmp_path / "run.csv", index=False)
    assert np.median(np.linalg.norm(open_recording(tmp_path / "run.csv").imu.acc_mps2, axis=1)) < 7
    table[list(COLUMNS[:3])] *= 0.5
    table.to_csv(tmp_path / "run.csv", index=False)
    with pytest.raises(RecordingError) as error:
        open_recording(tmp_path / "run.csv")
    one_sentence(error, "gravity included")


@pytest.mark.parametrize("suffix", [".csv", ".csv.gz", ".parquet", ".npz", ".vrs"])
def test_missing_empty_and_cut_files_get_one_sentence(tmp_path, suffix):
    path = tmp_path / f"walk{suffix}"
    with pytest.raises(RecordingError) as error:
        open_recording(path)
    one_sentence(error, str(path), "no such file")
    path.write_bytes(b"")
    with pytest.raises(RecordingError) as error:
        open_recording(path)
    one_sentence(error, str(path), "empty")
    if suffix == ".vrs":
        return
    table = imu_table()
    if suffix == ".npz":
        np.savez(path, **{c: table[c].to_numpy() for c in table})
    elif suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2 + 11])
    with pytest.raises(RecordingError) as error:
        open_recording(path)
    one_sentence(error, str(path), "truncated")


def test_other_file_types_and_folders_get_one_sentence(tmp_path):
    (tmp_path / "walk.docx").write_text("hello")
    with pytest.raises(RecordingError) as error:
        open_recording(tmp_path / "walk.docx")
    one_sentence(error, ".docx", ".csv")
    with pytest.raises(RecordingError) as error:
        open_recording(tmp_path)
    one_sentence(error, "closed_loop_trajectory.csv")


def test_vrs_without_projectaria_tools_says_how_to_get_it(tmp_path, monkeypatch):
    for module in ("projectaria_tools", "projectaria_tools.core"):
        monkeypatch.setitem(sys.modules, module, None)
    (tmp_path / "a.vrs").write_bytes(b"x" * 100)
    with pytest.raises(RecordingError) as error:
        open_recording(tmp_path / "a.vrs")
    one_sentence(error, 'pip install "eailkit[aria]"')


def test_parquet_metadata_names_sensor_and_mounting(tmp_path):
    table = imu_table()
    R = [[0, 0, 1], [1, 0, 0], [0, 1, 0]]
    written = pa.Table.from_pandas(table).replace_schema_metadata(
        {"label": "imu-right", "R_head_sensor": json.dumps(R)}
    )
    pq.write_table(written, tmp_path / "x.parquet")
    imu = open_recording(tmp_path / "x.parquet").imu
    assert imu.label == "imu-right"
    np.testing.assert_allclose(imu.in_head_frame().gyro_radps, imu.gyro_radps @ np.array(R, float).T)


# --- clouds


def write_cloud_csv(path, columns=("px_world", "py_world", "pz_world"), points=None):
    points = room_cloud(0)[0] if points is None else points
    table = pd.DataFrame(points, columns=list(columns))
    table["inv_dist_std"], table["dist_std"] = 5e-4, 0.02
    table.loc[:99, "inv_dist_std"] = 0.0011
    table.loc[100:149, "dist_std"] = 0.051
    table.to_csv(path, index=False)
    return points


@pytest.mark.parametrize("name", ["semidense_points.csv.gz", "global_points.csv.gz", "cloud.csv"])
def test_clouds_and_their_confidence(tmp_path, name):
    points = write_cloud_csv(tmp_path / name)
    cloud = open_map(tmp_path / name)
    np.testing.assert_allclose(cloud.points_world_m, points)
    np.testing.assert_allclose(cloud.confident().points_world_m, points[150:])
    if name != "cloud.csv":
        assert len(open_map(tmp_path)) == len(points)  # a folder finds either name


def test_npz_and_plain_clouds(tmp_path):
    points = room_cloud(1)[0]
    np.savez(tmp_path / "m.npz", points_world_m=points)
    assert open_map(tmp_path / "m.npz").inv_dist_std is None
    write_cloud_csv(tmp_path / "plain.csv", ("x", "y", "z"), points)
    np.testing.assert_allclose(open_map(tmp_path / "plain.csv").points_world_m, points)


def test_wrong_clouds_get_one_sentence(tmp_path):
    cases = {
        "missing.csv": None,
        "empty.csv": b"",
        "columns.csv": b"a,b\n1,2\n",
        "rows.csv": b"px_world,py_world,pz_world\n",
    }
    whole = tmp_path / "semidense_points.csv.gz"
    write_cloud_csv(whole)
    cases["cut.csv.gz"] = whole.read_bytes()[:20000]
    cases["nan.csv"] = b"px_world,py_world,pz_world\nnan,nan,nan\n"
    for name, content in cases.items():
        if content is not None:
            (tmp_path / name).write_bytes(content)
        with pytest.raises(MapError) as error:
            open_map(tmp_path / name)
        one_sentence(error, str(tmp_path / name))
    np.savez(tmp_path / "flat.npz", points=np.zeros((5, 2)))
    with pytest.raises(MapError, match="shape"):
        open_map(tmp_path / "flat.npz")


# --- trajectories


def test_trajectory_drops_poor_rows_and_duplicates(tmp_path):
    t = np.array([1.0, 1.1, 1.2, 1.2, 1.25, 1.3])
    write_trajectory(tmp_path / "closed_loop_trajectory.csv", t, position_at(t), "g")
    trajectory = read_trajectory(tmp_path / "closed_loop_trajectory.csv")
    np.testing.assert_allclose(trajectory.t_s, [1.2, 1.25, 1.3])  # the first two are of quality 0.5
    np.testing.assert_allclose(trajectory.position_world_m[0], position_at(t)[2], atol=1e-6)
    assert len(read_trajectory(tmp_path / "closed_loop_trajectory.csv", min_quality=0.5).t_s) == 5


def test_wrong_trajectories_get_one_sentence(tmp_path):
    path = tmp_path / "closed_loop_trajectory.csv"
    t = np.arange(20) / 20.0
    write_trajectory(path, t[::-1], position_at(t), "g")
    with pytest.raises(RecordingError) as error:
        read_trajectory(path)
    one_sentence(error, str(path), "backwards")
    write_trajectory(path, t, position_at(t), "g")
    path.write_text(path.read_text().replace(",0.000000,-9.810000,", ",-9.810000,0.000000,"))
    with pytest.raises(RecordingError) as error:
        read_trajectory(path)
    one_sentence(error, "gravity", "z up")
    write_trajectory(path, t[:2], position_at(t[:2]), "g")
    with pytest.raises(RecordingError) as error:
        read_trajectory(path)
    one_sentence(error, "quality")
    path.write_text("a,b\n1,2\n")
    with pytest.raises(RecordingError) as error:
        read_trajectory(path)
    one_sentence(error, "tracking_timestamp_us")
