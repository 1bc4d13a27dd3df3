"""Windows, frames and words that belong together, against a naive reading of the same takes."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from eailkit.datasets import EgoExo4D
from eailkit.errors import DatasetError
from eailkit.preprocess.imu import resample
from eailkit.primus import triplets
from eailkit.primus.triplets import build, clean
from eailkit.scenarios import synthesize_scenarios
from eailkit.vision_language.towers import VisionLanguage


class Towers(VisionLanguage):
    """Features that say where they come from: a frame's number, a text's length."""

    name, embed_dim = "known", 3

    def encode_images(self, images: np.ndarray, *, ids: list[str]) -> np.ndarray:
        assert len(images) == len(ids)
        number = np.array([float(i.rsplit("/", 1)[1]) for i in ids])
        return np.stack([np.ones_like(number), number, number**2], axis=1)

    def encode_texts(self, texts: list[str]) -> np.ndarray:
        return np.array([[len(t), t.count("C"), 1.0] for t in texts], dtype=np.float32).reshape(-1, 3)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three people, of whom one is tested; frames for the others."""
    return synthesize_scenarios(
        tmp_path_factory.mktemp("scenes") / "set", scenarios=("desk work", "walking about"), participants=3,
        minutes=0.6, workers=1, progress=False,
    )  # fmt: skip


@pytest.fixture(scope="module")
def built(root: Path, tmp_path_factory: pytest.TempPathFactory) -> triplets.Triplets:
    return build(root, Towers(), tmp_path_factory.mktemp("cache"), progress=False)


def spaced(recording, gap_s: float) -> list:
    """Narrations of which each comes at least gap_s after the last one kept."""
    kept = []
    for n in sorted(recording.narrations, key=lambda n: n.t_s):
        if not kept or n.t_s - kept[-1].t_s >= gap_s:
            kept.append(n)
    return kept


def test_a_window_lies_around_its_narration(root, built):
    dataset, seen = EgoExo4D(root), 0
    for take in (t for t in dataset.takes if t.split == "train"):
        recording, start = dataset.recording(take.name, with_map=False), dataset.start_s(take.name)
        stream = resample(recording.imu, 50.0, start_s=start)
        values = np.concatenate([stream.acc_mps2, stream.gyro_radps], axis=1)
        rows = np.flatnonzero(built.take == take.name)
        own = built.subset(rows)
        expected = []
        for narration in spaced(recording, 1.0):
            first = int(np.argmin(np.abs(stream.t_s - (narration.t_s - 2.5))))
            if narration.t_s - 2.5 >= start - 0.01 and first + 250 <= len(stream):
                expected.append(narration)
        assert len(expected) == len(own) > 2 and set(own.task) == {take.task}
        for narration, imu, text, at in zip(expected, own.imu, own.text, own.start_s, strict=True):
            first = int(np.argmin(np.abs(stream.t_s - (start + at))))
            np.testing.assert_allclose(imu, values[first : first + 250].T, atol=1e-5)
            assert text[0] == len(clean(narration.text))
            assert abs(stream.t_s[first] + 2.5 - narration.t_s) <= 0.0101  # half a sample
        seen += len(own)
    assert seen == len(built) and built.has_text.all() and built.imu.dtype == np.float32
    norm = np.linalg.norm(built.imu[:, :3].mean(2), axis=1)
    assert (np.abs(norm - 9.81) < 1.0).all()


def test_video_is_the_mean_of_the_frames_inside(root, built):
    dataset = EgoExo4D(root)
    assert built.has_video.all()
    for take in (t for t in dataset.takes if t.split == "train"):
        times, start = dataset.recording(take.name, with_map=False).frame_times_s, dataset.start_s(take.name)
        own = built.subset(built.take == take.name)
        for video, at in zip(own.video, own.start_s + start, strict=True):
            inside = np.array([k for k, t in enumerate(times) if at <= t < at + 5.0])
            assert 4 <= len(inside) <= 6
            mean = np.array([1.0, inside.mean(), (inside**2).mean()])
            np.testing.assert_allclose(video, mean / np.linalg.norm(mean), rtol=1e-5)


def test_takes_without_a_camera_keep_a_mask(root, tmp_path):
    tested = build(root, Towers(), tmp_path, split="test", progress=False)
    assert len(tested) and not tested.has_video.any() and not tested.video.any() and tested.has_text.all()


def test_windows_keep_their_distance(root, built, tmp_path):
    wide = build(root, Towers(), tmp_path, min_gap_s=6.0, progress=False)
    assert 0 < len(wide) < len(built)
    for found, gap_s in ((built, 1.0), (wide, 6.0)):
        for take in np.unique(found.take):
            assert (np.diff(found.start_s[found.take == take]) >= gap_s - 0.021).all()
    pairs = list(zip(built.take, built.start_s, strict=True))
    assert len(set(pairs)) == len(pairs)


def test_a_second_call_reads_what_the_first_wrote(root, built, tmp_path, monkeypatch):
    first = build(root, Towers(), tmp_path, progress=False)
    monkeypatch.setattr(triplets, "of_recording", None)  # nothing is made again
    again = build(root, Towers(), tmp_path, progress=False)
    assert first.data_hash == again.data_hash == built.data_hash
    one = sorted(set(built.take))[0]
    chosen = build(root, Towers(), tmp_path, takes=[one], task="cooking", progress=False)
    assert set(chosen.take) == {one} and set(chosen.task) == {"cooking"} and 0 < len(chosen) < len(built)


def test_another_sensor_other_content_and_other_towers_are_never_the_first_ones(root, built, tmp_path):
    """In one cache folder, one after the other; what was there first is found again in the end."""
    other = tmp_path / "other"
    shutil.copytree(root, other)
    for path in other.glob("takes/*/imu-left.parquet"):
        table = pq.read_table(path)
        turned = table.set_column(1, "acc_x", pc.negate(table["acc_x"])).replace_schema_metadata(
            table.schema.metadata | {b"label": b"imu-right"}
        )
        pq.write_table(turned, path.with_name("imu-right.parquet"))
    cache = tmp_path / "cache"
    left = build(other, Towers(), cache, progress=False)
    right = build(other, Towers(), cache, imu="imu-right", progress=False)
    np.testing.assert_allclose(right.imu[:, 0], -left.imu[:, 0], atol=1e-5)
    assert left.data_hash == built.data_hash

    notes = other / "annotations" / "atomic_descriptions_train.json"
    notes.write_text(notes.read_text().replace("C ", "C slowly "))
    told = build(other, Towers(), cache, progress=False)
    assert (told.text[:, 0] > left.text[:, 0]).any()

    class Louder(Towers):
        def encode_texts(self, texts):
            return 2 * super().encode_texts(texts)

        @property
        def identity(self):
            return super().identity.also(factor=2)

    np.testing.assert_array_equal(build(other, Louder(), cache, progress=False).text, 2 * told.text)
    assert build(other, Towers(), cache, imu="imu-right", progress=False).imu[0, 0, 0] == right.imu[0, 0, 0]


def test_a_split_or_take_that_does_not_exist_is_refused(root, tmp_path):
    for options in ({"split": "tests"}, {"takes": ["nobody"]}):
        with pytest.raises(DatasetError, match="train") as fault:
            build(root, Towers(), tmp_path, progress=False, **options)
        assert "\n" not in str(fault.value)
    with pytest.raises(DatasetError, match=r"takes\.json"):
        build(tmp_path, Towers(), tmp_path, progress=False)


def test_only_the_word_c_is_left_out():
    assert clean("C does CPR with C") == "does CPR with"
    assert clean("CC picks a C-clamp") == "CC picks a C-clamp" and clean("C") == ""
    assert clean("C " + 200 * "a") == 128 * "a"
