"""Ego4D's IMU tables and narrations, with the faults that its tables are known for."""

import json

import numpy as np
import pandas as pd
import pytest
from fake_dataset import imu_samples, one_sentence

from eailkit.datasets.ego4d import AXES, Ego4D
from eailkit.errors import DatasetError, RecordingError

NARRATIONS = {
    "narration_pass_1": {
        "narrations": [
            {"timestamp_sec": 4.5, "timestamp_frame": 135, "narration_text": "#C C pours water"},
            {"timestamp_sec": 2.0, "timestamp_frame": 60, "narration_text": "#C C opens a door "},
            {"timestamp_sec": 3.0, "timestamp_frame": 90, "narration_text": "#O A man walks"},
        ],
        "summaries": [],
    },
    "narration_pass_2": {"narrations": [{"timestamp_sec": 3.5, "narration_text": "#c C looks around"}]},
}


def imu_table() -> pd.DataFrame:
    t, acc, gyro = imu_samples(6.0, 1.0, rate_hz=200.0)
    stamps = np.round(t * 1e3, 3)
    columns = [*AXES["gyroscope"], *AXES["accelerometer"]]
    table = pd.DataFrame(np.column_stack([gyro, acc]), columns=columns)
    table.insert(0, "canonical_timestamp_ms", stamps)
    table.insert(0, "component_timestamp_ms", stamps - stamps[0])
    table.insert(0, "component_idx", 0)
    return table


def write(root, table: pd.DataFrame | None, nested: bool = True):
    (root / "v2" / "imu").mkdir(parents=True, exist_ok=True)
    (root / "ego4d.json").write_text(
        json.dumps({"videos": [{"video_uid": "u1", "duration_sec": 8.0, "has_imu": True}]})
    )
    content = {"u1": NARRATIONS}
    (root / "v2" / "annotations").mkdir(exist_ok=True)
    (root / "v2" / "annotations" / "narration.json").write_text(json.dumps({"videos": content} if nested else content))
    if table is not None:
        table.to_csv(root / "v2" / "imu" / "u1.csv", index=False)
    return root


@pytest.mark.parametrize("nested", [True, False])
def test_rows_in_any_order_and_words_of_the_wearer(tmp_path, nested):
    table = imu_table()
    shuffled = table.sample(frac=1.0, random_state=0)
    shuffled.iloc[5, 2] = np.nan  # no canonical time
    shuffled.iloc[9, 2] = -4e9
    shuffled.iloc[11, 2] = 7e12
    (recording,) = Ego4D(write(tmp_path, shuffled, nested)).parts("u1")
    lost = shuffled.index[[5, 9, 11]]
    kept = table.drop(index=lost)
    np.testing.assert_allclose(recording.imu.t_s, kept["canonical_timestamp_ms"] / 1e3)
    np.testing.assert_allclose(recording.imu.acc_mps2, kept[list(AXES["accelerometer"])])
    np.testing.assert_allclose(recording.imu.gyro_radps, kept[list(AXES["gyroscope"])])
    assert [(n.t_s, n.text) for n in recording.narrations] == [
        (2.0, "C opens a door"),
        (3.5, "C looks around"),
        (4.5, "C pours water"),
    ]


def test_missing_components_cut_and_never_fill(tmp_path):
    table = imu_table()
    table.loc[400:799, list(AXES["gyroscope"])] = np.nan
    parts = Ego4D(write(tmp_path, table)).parts("u1")
    assert [p.name for p in parts] == ["u1.1", "u1.2"]
    t = table["canonical_timestamp_ms"] / 1e3
    assert parts[0].imu.t_s[-1] <= t[399] + 1e-9 and parts[1].imu.t_s[0] >= t[800] - 1e-9
    assert sum(len(p.narrations) for p in parts) == 2, "what was said in the hole belongs to neither"


@pytest.mark.parametrize("fault", ["null", "identical", "columns", "header", "cut", "g"])
def test_wrong_tables_get_one_sentence(tmp_path, fault):
    table = imu_table()
    if fault == "null":
        table.loc[:200, "canonical_timestamp_ms"] = np.nan
    elif fault == "identical":
        table["accl_y"] = table["accl_z"]
    elif fault == "columns":
        table = table.drop(columns="gyro_z")
    elif fault == "header":
        table = table.iloc[:0]
    elif fault == "g":
        table[list(AXES["accelerometer"])] /= 9.80665
    path = write(tmp_path, table) / "v2" / "imu" / "u1.csv"
    if fault == "cut":
        path.write_bytes(path.read_bytes()[:-70])
    words = {"null": "201 of", "identical": "identical", "columns": "gyro_z", "cut": "truncated", "g": "looks like g"}
    with pytest.raises(RecordingError) as error:
        Ego4D(tmp_path).parts("u1")
    one_sentence(error, str(path), words.get(fault, "rows"))
    assert list(Ego4D(tmp_path).open_all()[1]) == ["u1"]


def test_wrong_roots_get_one_sentence(tmp_path):
    with pytest.raises(DatasetError) as error:
        Ego4D(tmp_path)
    one_sentence(error, "ego4d.json")
    write(tmp_path, None)
    with pytest.raises(DatasetError) as error:
        Ego4D(tmp_path)
    one_sentence(error, "v2/imu")
    write(tmp_path, imu_table())
    with pytest.raises(DatasetError) as error:
        Ego4D(tmp_path).parts("u2")
    one_sentence(error, "u2")
    (tmp_path / "ego4d.json").write_text('{"videos": [')
    with pytest.raises(DatasetError) as error:
        Ego4D(tmp_path)
    one_sentence(error, "JSON")
