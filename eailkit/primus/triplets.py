"""PRIMUS's pretraining data: five seconds of IMU, the frames in them and the narration in their middle (section 4).

Any Ego-Exo4D root serves, SynthKitchen's too. Frames and narrations become features of frozen towers once; a window
without one of them keeps a mask, never a stand-in.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Float32, Int
from tqdm.auto import tqdm

from eailkit.datasets import EgoExo4D
from eailkit.errors import ConfigError, DatasetError
from eailkit.files import save_npz
from eailkit.preprocess.imu import resample
from eailkit.preprocess.windows import LENGTH_S, RATE_HZ
from eailkit.provenance import fingerprint, identity, take_files
from eailkit.recording import ImuStream, Narration, Recording
from eailkit.vision_language import VisionLanguage


@dataclass(frozen=True, eq=False)
class Triplets:
    """Aligned windows; row i of every array belongs together.

    Attributes:
        imu: acc xyz (m/s2, gravity included), gyro xyz (rad/s), sensor axes, 50 Hz.
        video: mean of the frames' features, normalised; meaningless where not has_video.
        text: feature of the narration; meaningless where not has_text.
        take, start_s: where a window comes from: two rows with both equal hold the same samples.
        task: what the take was about ("cooking").
    """

    imu: Float32[np.ndarray, "n 6 250"]
    video: Float32[np.ndarray, "n d"]
    text: Float32[np.ndarray, "n d"]
    has_video: Bool[np.ndarray, " n"]
    has_text: Bool[np.ndarray, " n"]
    take: np.ndarray
    start_s: Float[np.ndarray, " n"]
    task: np.ndarray

    def __len__(self) -> int:
        return len(self.imu)

    def subset(self, rows: Int[np.ndarray, " m"] | Bool[np.ndarray, " n"]) -> Triplets:
        """Some rows, in the given order."""
        return Triplets(**{f.name: getattr(self, f.name)[rows] for f in fields(self)})

    def aligned(self, share: float, seed: int = 0) -> Triplets:
        """The same windows, of which only a random share keeps its frame and narration (PRIMUS Fig. 6).

        A smaller share is part of every larger one of the same seed.

        Raises:
            ConfigError: a share outside 0..1.
        """
        if not 0.0 <= share <= 1.0:
            raise ConfigError(f"aligned: found a share of {share}; expected 0 to 1; give 0.1 for 10 %.")
        keep = np.random.default_rng([seed, 0xA116]).permutation(len(self)) < round(share * len(self))
        return replace(self, has_video=self.has_video & keep, has_text=self.has_text & keep)

    @property
    def data_hash(self) -> str:
        """Sixteen hex digits over every value."""
        digest = hashlib.sha256()
        for f in fields(self):
            values = np.ascontiguousarray(getattr(self, f.name))
            digest.update(values.astype("S").tobytes() if values.dtype.kind == "U" else values.tobytes())
        return digest.hexdigest()[:16]


def concatenate(parts: Sequence[Triplets]) -> Triplets:
    """The rows of several, one after the other.

    Raises:
        ConfigError: nothing given, or features of different towers.
    """
    if not parts or len({p.video.shape[1] for p in parts}) > 1:
        raise ConfigError(
            f"concatenate: found {len(parts)} sets with features of widths "
            f"{sorted({p.video.shape[1] for p in parts})}; expected one width; use one pair of towers."
        )
    return Triplets(**{f.name: np.concatenate([getattr(p, f.name) for p in parts]) for f in fields(Triplets)})


def unlabelled(imu: Float32[np.ndarray, "n 6 250"], take: np.ndarray, start_s: np.ndarray, width: int) -> Triplets:
    """Windows with neither frame nor narration: the self-supervised term alone sees them.

    Args:
        width: of the towers' features, so that they can be concatenated with aligned ones.
    """
    n, none = len(imu), np.zeros((len(imu), width), np.float32)
    no = np.zeros(n, bool)
    return Triplets(
        np.asarray(imu, np.float32), none, none, no, no, take.astype(str), start_s, np.full(n, "unlabelled")
    )


def build(
    root: str | Path,
    towers: VisionLanguage,
    cache_dir: str | Path,
    *,
    split: str = "train",
    min_gap_s: float = 1.0,
    imu: str = "imu-left",
    takes: Iterable[str] | None = None,
    task: str | None = None,
    progress: bool = True,
) -> Triplets:
    """Triplets of every take of a split, made once: a file a take in cache_dir, named by all that made it.

    PRIMUS cuts a window around every narration. In its data 21 % of them are exact duplicates, because narrations come
    1.1 s apart and starts were floored to whole seconds; here a narration closer than `min_gap_s` to the last one
    taken is left out.

    Args:
        root: Ego-Exo4D, SynthKitchen or scenarios.
        towers: frozen.
        min_gap_s: least time between two windows' middles.
        imu: label of the sensor.
        takes: names, where not all of the split.
        task: what they are about, where takes.json is finer (a recipe instead of "cooking").

    Raises:
        DatasetError: no take of that split, or none with a narration.
        RecordingError: a take's IMU can't be right.
    """
    dataset, out = EgoExo4D(Path(root)), Path(cache_dir)
    wanted = None if takes is None else set(takes)
    chosen = [t for t in dataset.takes if t.split == split and t.task != "scan"]
    chosen = [t for t in chosen if wanted is None or t.name in wanted]
    if not chosen:
        raise DatasetError(
            f"{root}: found no take of split '{split}'; expected one of {', '.join(sorted(dataset.splits))}."
        )
    parts, of = [], {"dataset": fingerprint(root), "towers": towers.identity, "imu": imu, "min_gap_s": min_gap_s}
    for take in tqdm(chosen, desc=f"triplets of {split}", unit="take", disable=not progress, leave=False):
        files = take_files(Path(root) / "takes" / take.name)
        made = identity("triplets", code=("eailkit.primus.triplets",), take=take.name, files=files, **of)
        path = out / f"{take.name}.{made.key}.npz"
        if not path.exists():
            recording = dataset.recording(take.name, imu=imu, with_map=False)
            start_s = dataset.start_s(take.name)
            part = of_recording(recording, towers, take.task, start_s=start_s, min_gap_s=min_gap_s)
            save_npz(path, {f.name: getattr(part, f.name) for f in fields(part)})
        with np.load(path, allow_pickle=False) as a:
            part = Triplets(**{f.name: a[f.name] for f in fields(Triplets)})
        parts.append(part if task is None else replace(part, task=np.full(len(part), task)))
    both = concatenate(parts)
    if not len(both):
        raise DatasetError(f"{root}: found no narration with five seconds of IMU around it in split '{split}'.")
    return both


def of_recording(
    recording: Recording, towers: VisionLanguage, task: str, *, start_s: float, min_gap_s: float = 1.0
) -> Triplets:
    """The triplets of one recording.

    Args:
        start_s: device time of the take's start; windows before it don't count.
    """
    stream = resample(recording.imu, RATE_HZ, start_s=start_s)
    told = _spaced(recording.narrations, min_gap_s)
    n = int(RATE_HZ * LENGTH_S)
    first = np.array([round((w.t_s - LENGTH_S / 2 - stream.t_s[0]) * RATE_HZ) for w in told], int)
    inside = (first >= max(0, round((start_s - stream.t_s[0]) * RATE_HZ))) & (first + n <= len(stream))
    first, told = first[inside], [w for w, ok in zip(told, inside, strict=True) if ok]
    imu = _cut(stream, first, n)
    text = towers.encode_texts([clean(w.text) for w in told])
    begin = stream.t_s[first] if len(first) else np.zeros(0)
    video, has_video = _frames(recording, towers, begin)
    some = lambda value: np.full(len(told), value)  # noqa: E731
    return Triplets(
        imu,
        video,
        np.asarray(text, np.float32),
        has_video,
        some(True),
        some(recording.name),
        begin - start_s,
        some(task),
    )


def clean(text: str) -> str:
    """A narration as PRIMUS reads it: without the word "C" for the wearer, at most 128 characters.

    The release deletes every capital C ("CPR" becomes "PR"); only the word is meant.
    """
    return " ".join(word for word in text.split() if word != "C")[:128]


def _spaced(narrations: Iterable[Narration], min_gap_s: float) -> list[Narration]:
    kept: list[Narration] = []
    for narration in sorted(narrations, key=lambda w: w.t_s):
        if not kept or narration.t_s - kept[-1].t_s >= min_gap_s:
            kept.append(narration)
    return kept


def _cut(stream: ImuStream, first: Int[np.ndarray, " n"], length: int) -> Float32[np.ndarray, "n 6 length"]:
    samples = np.concatenate([stream.acc_mps2, stream.gyro_radps], axis=1).astype(np.float32)
    rows = first[:, None] + np.arange(length)
    return (
        np.ascontiguousarray(samples[rows].transpose(0, 2, 1)) if len(first) else np.zeros((0, 6, length), np.float32)
    )


def _frames(recording: Recording, towers: VisionLanguage, begin: Float[np.ndarray, " n"]):
    """Mean of the features of all frames inside each window, normalised (PRIMUS section 4)."""
    video, has = np.zeros((len(begin), towers.embed_dim), np.float32), np.zeros(len(begin), bool)
    times = recording.frame_times_s
    if recording.load_frames is None or not len(times) or not len(begin):
        return video, has
    low, high = np.searchsorted(times, begin), np.searchsorted(times, begin + LENGTH_S)
    numbers = sorted({k for a, b in zip(low, high, strict=True) for k in range(a, b)})
    if not numbers:
        return video, has
    ids = [f"{recording.name}/{k}" for k in numbers]
    features = np.asarray(towers.encode_images(recording.load_frames(numbers), ids=ids))
    row = {k: i for i, k in enumerate(numbers)}
    for i, (a, b) in enumerate(zip(low, high, strict=True)):
        if b > a:
            mean = features[[row[k] for k in range(a, b)]].mean(axis=0)
            video[i], has[i] = mean / max(float(np.linalg.norm(mean)), 1e-12), True
    return video, has
