"""Features of a user's recordings and a classifier of a few labelled seconds, as a user meets them."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from eailkit.datasets import open_recording
from eailkit.embed import embed_file, embed_files, fit_labels
from eailkit.errors import CheckpointError, ConfigError, OutputError, RecordingError
from eailkit.preprocess.windows import cut_windows
from eailkit.primus.config import ENCODERS, PrimusConfig
from eailkit.primus.model import Primus, load, save

WALKS, TYPES = [(0.0, 20.0), (45.0, 60.0)], [(20.0, 45.0)]


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Untrained weights of both encoders as files."""
    folder, made = tmp_path_factory.mktemp("weights"), {}
    for name in ENCODERS:
        torch.manual_seed(0)
        options = {"embed_dim": 64} if name == "stacked_rnn" else {}
        model = Primus(PrimusConfig(encoder=name, encoder_options=options, queue=8), feature_dim=32)
        made[name] = save(model, folder / f"{name}.safetensors", note="random")
    return made


def samples(seconds: float = 60.0, rate_hz: float = 100.0, seed: int = 0) -> pd.DataFrame:
    """A head that walks at 2 Hz, except in TYPES, where it is nearly still; a tilted sensor."""
    rng, t = np.random.default_rng(seed), np.arange(int(seconds * rate_hz)) / rate_hz
    walking = np.where((t >= TYPES[0][0]) & (t < TYPES[0][1]), 0.02, 1.0)
    acc = np.stack([1.0 + walking * np.sin(4 * np.pi * t), 0.5 + 0 * t, 9.7 + 2 * walking * np.cos(4 * np.pi * t)], 1)
    gyro = np.stack([0.3 * walking * np.sin(2 * np.pi * t), 0.1 * walking * np.cos(4 * np.pi * t), 0 * t], 1)
    acc, gyro = acc + rng.normal(0, 0.05, acc.shape), gyro + rng.normal(0, 0.01, gyro.shape)
    columns = {"t_s": 100.0 + t} | {f"acc_{a}": acc[:, k] for k, a in enumerate("xyz")}
    return pd.DataFrame(columns | {f"gyro_{a}": gyro[:, k] for k, a in enumerate("xyz")})


def written(frame: pd.DataFrame, path: Path) -> Path:
    frame.to_csv(path, index=False)
    return path


@pytest.mark.parametrize("at", ["encoder", "multimodal", "ssl"])
@pytest.mark.parametrize("name", sorted(ENCODERS))
def test_a_row_a_window_with_the_encoders_own_features(weights, tmp_path, name, at):
    path = written(samples(), tmp_path / "walk.csv")
    found = embed_file(path, weights[name], stride_s=2.5, at=at)
    windows, start_s = cut_windows(open_recording(path).imu, stride_s=2.5)
    assert list(found.columns[:3]) == ["start_s", "end_s", "f000"] and found.attrs["at"] == at
    np.testing.assert_allclose(found["start_s"], start_s - 100.0, atol=1e-6)
    np.testing.assert_allclose(found["end_s"] - found["start_s"], 5.0)
    expected = load(weights[name])[0].embed(windows, at=at)
    np.testing.assert_allclose(found.iloc[:, 2:].to_numpy(), expected, atol=2e-5)


def test_the_sample_rate_of_a_recording_does_not_matter(weights, tmp_path):
    fast_, slow = (
        embed_file(written(samples(rate_hz=r), tmp_path / f"{r}.csv"), weights["stacked_rnn"]) for r in (400.0, 50.0)
    )
    a, b = (frame.iloc[[0, 1, 2, 9, 10], 2:].to_numpy() for frame in (fast_, slow))  # where it walks; noise differs
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosine.min() > 0.99


def test_a_few_labelled_seconds_name_the_rest(weights, tmp_path):
    features = embed_file(written(samples(), tmp_path / "walk.csv"), weights["motion_gru"], stride_s=1.0)
    classifier = fit_labels(features, {"walking": [(0, 10)], "typing": [(22, 30)]})
    assert classifier.windows["walking"] >= 6 and classifier.names == ("walking", "typing")
    found = classifier.predict(features)
    still = (found["start_s"] >= 20) & (found["end_s"] <= 45)
    moving = (found["end_s"] <= 20) | (found["start_s"] >= 45)
    assert (found["label"][still] == "typing").all() and (found["label"][moving] == "walking").all()
    assert found["probability"].between(0.5, 1.0).all() and list(found)[:2] == ["start_s", "end_s"]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ({"walking": [(0, 20)]}, "two or more"),
        ({"walking": [(0, 20)], "typing": [(40, 30)]}, "the end after the start"),
        ({"walking": [(0, 20)], "typing": [(15, 30)]}, "one name for every moment"),
        ({"walking": [(0, 20)], "typing": [(400, 430)]}, "between 0 and 55"),
        ({"walking": [(0, 20)], "typing": [("b.csv", 30, 40)]}, "(start, end)"),
    ],
)
def test_labels_that_cannot_be_are_refused(weights, tmp_path, labels, said):
    features = embed_file(written(samples(59.0), tmp_path / "walk.csv"), weights["stacked_rnn"])
    with pytest.raises(ConfigError) as fault:
        fit_labels(features, labels)
    assert said in str(fault.value) and "\n" not in str(fault.value)


def test_features_of_another_encoder_are_refused(weights, tmp_path):
    path = written(samples(), tmp_path / "walk.csv")
    one, two = (embed_file(path, weights[n]) for n in ("stacked_rnn", "motion_gru"))
    classifier = fit_labels(one, {"walking": WALKS, "typing": TYPES})
    with pytest.raises(ConfigError, match="same weights"):
        classifier.predict(two)
    with pytest.raises(ConfigError, match="embed_file"):
        classifier.predict(one[["start_s", "end_s"]])


def test_several_recordings_one_of_them_bad(weights, tmp_path):
    good = [written(samples(seed=k), tmp_path / f"{k}.csv") for k in (1, 2)]
    bad = written(samples(3.0), tmp_path / "short.csv")
    with pytest.warns(UserWarning, match=r"short\.csv.*5 s"):
        found = embed_files([*good, bad], weights["motion_gru"], out=tmp_path / "out.parquet")
    assert list(found["recording"].unique()) == [str(p) for p in good] and list(found.attrs["refused"]) == [str(bad)]
    again = pd.read_parquet(tmp_path / "out.parquet")
    pd.testing.assert_frame_equal(again, found)
    assert again.attrs["weights"] == str(weights["motion_gru"])
    labels = {"walking": [(str(good[0]), 0, 20)], "typing": [(str(good[0]), 20, 45)]}
    told = fit_labels(found, labels).predict(found)
    other = told[told["recording"] == str(good[1])]
    assert (other["label"][(other["start_s"] >= 20) & (other["end_s"] <= 45)] == "typing").all()
    with pytest.raises(ConfigError, match="no recording 'else'"):
        fit_labels(found, labels | {"typing": [("else", 20, 45)]})
    with pytest.raises(ConfigError, match="(recording, start, end)"):
        fit_labels(found, labels | {"typing": [(20, 45)]})


def changed(**columns) -> pd.DataFrame:
    frame = samples(12.0)
    return frame.assign(**{k: f(frame[k]) for k, f in columns.items()})


WRONG = {
    "short": (lambda: samples(4.0), "at least one window of 5 s"),
    "slow": (lambda: samples(12.0, rate_hz=25.0), "40 Hz or more"),
    "no gyro": (lambda: samples(12.0).drop(columns=["gyro_x", "gyro_y", "gyro_z"]), "gyro_x"),
    "slow gyro": (
        lambda: changed(**{f"gyro_{a}": lambda v: v.iloc[::10].reindex(v.index, method="ffill") for a in "xyz"}),
        "gyroscope 9.9 times a second",
    ),
    "g": (lambda: changed(**{f"acc_{a}": lambda v: v / 9.80665 for a in "xyz"}), "multiply by 9.80665"),
    "deg/s": (lambda: changed(**{f"gyro_{a}": lambda v: np.rad2deg(v) for a in "xyz"}), "multiply by pi/180"),
}


@pytest.mark.parametrize("fault", WRONG)
def test_a_wrong_recording_is_one_clear_sentence(weights, tmp_path, fault):
    make, said = WRONG[fault]
    path = written(make(), tmp_path / "mine.csv")
    with pytest.raises(RecordingError) as error:
        embed_file(path, weights["stacked_rnn"])
    assert said in str(error.value) and "mine.csv" in str(error.value) and "\n" not in str(error.value)


def test_a_calm_wearer_whose_gyroscope_is_in_degrees_is_noticed(weights, tmp_path):
    t, rng = np.arange(3000) / 100, np.random.default_rng(0)
    pitch, rate = 0.08 * np.sin(1.5 * t), 0.12 * np.cos(1.5 * t)  # 7 deg/s at most: no threshold would see it
    frame = samples(30.0).assign(acc_x=-9.81 * np.sin(pitch), acc_y=0.1, acc_z=9.81 * np.cos(pitch))
    frame += rng.normal(0, 0.02, frame.shape) * (frame.columns != "t_s")
    turning = {f"gyro_{a}": v + rng.normal(0, 0.005, 3000) for a, v in zip("xyz", (0 * t, rate, 0 * t), strict=True)}
    embed_file(written(frame.assign(**turning), tmp_path / "rad.csv"), weights["stacked_rnn"])
    degrees = {k: np.rad2deg(v) for k, v in turning.items()}
    with pytest.raises(RecordingError, match=r"deg\.csv.*multiply by pi/180"):
        embed_file(written(frame.assign(**degrees), tmp_path / "deg.csv"), weights["stacked_rnn"])


def test_wrong_options_and_weights_are_said_before_work(weights, tmp_path):
    path = written(samples(12.0), tmp_path / "walk.csv")
    with pytest.raises(ConfigError, match="at='top'"):
        embed_file(path, weights["stacked_rnn"], at="top")
    with pytest.raises(ConfigError, match="stride"):
        embed_file(path, weights["stacked_rnn"], stride_s=0.0)
    with pytest.raises(CheckpointError, match=r"none\.safetensors"):
        embed_file(path, tmp_path / "none.safetensors")
    with pytest.raises(CheckpointError, match=r"walk\.csv"):
        embed_file(path, path)
    with pytest.raises(ConfigError, match="no recording"):
        embed_files([], weights["stacked_rnn"])
    with pytest.raises(OutputError):
        embed_files(path, weights["stacked_rnn"], out=tmp_path)
    with pytest.raises(RecordingError, match="none of 2"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        embed_files([tmp_path / "a.csv", tmp_path / "b.csv"], weights["stacked_rnn"])


def test_real_recordings_of_calm_people_are_not_taken_for_held_values(real_data, weights):
    root = real_data / "classyglass"
    index = pd.read_csv(root / "index.csv").query("activity == 'sit_read_book'").head(4)
    assert len(index), "the pack lists nobody who reads"
    found = embed_files([root / row.npz / row.key for row in index.itertuples()], weights["stacked_rnn"])
    assert len(found) > 20 and not found.attrs["refused"]
