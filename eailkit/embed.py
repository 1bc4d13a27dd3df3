"""A pretrained IMU encoder on anybody's recordings: a table of features, and a classifier from a few labelled seconds.

Five seconds at 50 Hz become one row. Nothing here trains an encoder; `primus.model.pretrain` does. What PRIMUS calls a
linear classifier on frozen features (section 4) is `probe.fit_probe`, here with names and seconds instead of arrays.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from eailkit.datasets import open_recording
from eailkit.encoders._gru.inference import fast
from eailkit.errors import ConfigError, EailkitError, RecordingError
from eailkit.fewshot.probe import Probe, fit_probe
from eailkit.fewshot.windows import COVER
from eailkit.files import DATA_SAMPLES, check_writable, refuse_overwrite, write_atomically
from eailkit.preprocess.imu import resample
from eailkit.preprocess.windows import LENGTH_S, RATE_HZ, cut_windows
from eailkit.primus.model import Primus, load, load_released
from eailkit.recording import ImuStream

WEIGHTS = {"primus-quick": DATA_SAMPLES / "primus_quick" / "model.safetensors"}  # what ships, by name
RELEASED = (".pt", ".pth", ".ckpt")  # how the public checkpoint of PRIMUS ends
LAYERS = ("encoder", "multimodal", "ssl")  # where features are taken
Span = tuple[float, float] | tuple[str, float, float]


def load_encoder(weights: str | Path = "primus-quick") -> Primus:
    """The encoder of a shipped name, of a file that `primus.model.save` wrote, or of PRIMUS's public checkpoint.

    Args:
        weights: a file that ends in .pt, .pth or .ckpt is read as the public checkpoint.

    Returns:
        in eval mode.

    Raises:
        CheckpointError: the file is missing, truncated or of something else.
    """
    path = WEIGHTS.get(str(weights), Path(weights))
    return load_released(path) if path.suffix in RELEASED else load(path)[0]


def embed_file(
    imu: str | Path, weights: str | Path = "primus-quick", *, stride_s: float = LENGTH_S, at: str = "encoder"
) -> pd.DataFrame:
    """Features of a recording, a row a window of 5 s; an incomplete one at the end gives none.

    The stream is low-passed and brought to 50 Hz first, in the sensor's own axes, as in pretraining.

    Args:
        imu: anything that `open_recording` reads: m/s² with gravity, rad/s, 40 Hz or more.
        weights: a shipped name or a file.
        stride_s: from the start of one window to the next; below 5 they overlap.
        at: "encoder" (before the heads: the best for other activities), "multimodal" (comparable with text) or "ssl".

    Returns:
        columns start_s, end_s (seconds from the recording's first sample), f000, f001, ...; `attrs` says how.

    Raises:
        RecordingError: the recording can't be right: too short, too slow, no gyroscope, g, deg/s, gaps, ...
        CheckpointError: as `load_encoder`.
        ConfigError: another `at`, or a stride of less than a sample.

    Example:
        >>> features = embed_file("walk.csv", stride_s=1.0)  # doctest: +SKIP
    """
    _check_options(stride_s, at)
    stream = _open(imu)  # what is wrong with the user's own file comes first
    return _frame(*_embed(stream, _encode(load_encoder(weights), at), stride_s), _told(weights, at, stride_s))


def embed_files(
    imu: str | Path | Iterable[str | Path],
    weights: str | Path = "primus-quick",
    *,
    stride_s: float = LENGTH_S,
    at: str = "encoder",
    out: str | Path | None = None,
) -> pd.DataFrame:
    """Features of one or more recordings, with a column `recording` (the path as given) where there are several.

    A file that can't be used is left out with a warning that says why, and `attrs["refused"]` keeps the sentence.

    Args:
        out: Parquet file to write too, atomically.

    Raises:
        EailkitError: the only file can't be used, or none of several; or as `embed_file`.
        OutputError: `out` can't be written, or is one of the inputs; said before anything is read.
    """
    _check_options(stride_s, at)
    paths = [imu] if isinstance(imu, (str, Path)) else list(imu)
    if out is not None:
        refuse_overwrite([out], [*paths, WEIGHTS.get(str(weights), weights)])
        check_writable(out)
    if not paths:
        raise ConfigError("embed: found no recording; expected at least one file; give its path.")
    if len(paths) == 1:
        frame = embed_file(paths[0], weights, stride_s=stride_s, at=at)
    else:
        encode, parts, refused = None, [], {}
        for path in paths:
            try:
                stream = _open(path)
                encode = encode or _encode(load_encoder(weights), at)
                part = _frame(*_embed(stream, encode, stride_s), {})
            except RecordingError as fault:
                refused[str(path)] = str(fault)
                warnings.warn(f"left out: {fault}", stacklevel=2)
                continue
            part.insert(0, "recording", str(path))
            parts.append(part)
        if not parts:
            raise RecordingError(
                f"embed: found none of {len(paths)} recordings that can be used; the first: "
                + next(iter(refused.values()))
            )
        frame = pd.concat(parts, ignore_index=True)
        frame.attrs = _told(weights, at, stride_s) | {"refused": refused}
    if out is not None:
        write_atomically(out, lambda p: frame.to_parquet(p, index=False))
    return frame


def _check_options(stride_s: float, at: str) -> None:
    if at not in LAYERS:
        raise ConfigError(f"embed: found at='{at}'; expected one of {', '.join(LAYERS)}; choose one of these.")
    if not stride_s >= 1 / RATE_HZ or not np.isfinite(stride_s):
        raise ConfigError(f"embed: found a stride of {stride_s:g} s; expected {1 / RATE_HZ:g} s (a sample) or more.")


def _told(weights: str | Path, at: str, stride_s: float) -> dict:
    return {"weights": str(weights), "at": at, "stride_s": float(stride_s)}


def _open(path: str | Path) -> ImuStream:
    """A recording's IMU, of which both sensors really sample at 40 Hz or more.

    Raises:
        RecordingError: a sensor holds its value over rows, as logs with a slower gyroscope do.
    """
    try:
        stream = open_recording(path).imu.validate()
    except RecordingError:
        raise
    except EailkitError as fault:  # a reader's own word for it, such as DatasetError
        raise RecordingError(str(fault)) from fault
    for name, values in (("accelerometer", stream.acc_mps2), ("gyroscope", stream.gyro_radps)):
        changes = (np.diff(values, axis=0) != 0).any(axis=1).sum() / max(stream.duration_s, 1e-9)
        if changes < 0.7 * RATE_HZ <= stream.rate_hz:
            raise RecordingError(
                f"{stream.source}: found a new value of the {name} {changes:.2g} times a second in rows of "
                f"{stream.rate_hz:.4g} Hz; expected {0.8 * RATE_HZ:g} or more; log the {name} faster, as repeated "
                "values hold no motion."
            )
    if _looks_like_degrees(stream):
        raise RecordingError(
            f"{stream.source}: found a gyroscope that turns about 57 times as fast as gravity does; "
            "expected rad/s; it looks like deg/s: multiply by pi/180."
        )
    return stream


def _looks_like_degrees(stream: ImuStream) -> bool:
    """Whether a calm wearer's gyroscope can only be in deg/s; `ImuStream.validate` finds the lively ones.

    Seen from the sensor, gravity's direction u turns by du/dt = u x omega. The least-squares factor between the two
    sides, over half-second means, is near 1 in rad/s and 1/57 in deg/s.
    """
    even, k = resample(stream, RATE_HZ), int(RATE_HZ / 2)
    if len(even) < LENGTH_S * RATE_HZ or np.linalg.norm(even.acc_mps2, axis=1).std() > 2.0:
        return False  # running shakes the accelerometer too much to show gravity
    total = lambda v: np.cumsum(np.concatenate([np.zeros((1, 3)), v]), axis=0)  # noqa: E731
    acc, gyro = ((total(v)[k:] - total(v)[:-k]) / k for v in (even.acc_mps2, even.gyro_radps))
    up = acc / np.linalg.norm(acc, axis=1, keepdims=True)
    turns, said = np.gradient(up, 1 / RATE_HZ, axis=0), np.cross(up, gyro - np.median(gyro, axis=0))
    lively = np.percentile(np.linalg.norm(even.gyro_radps, axis=1), 90) > 1.0
    return bool(lively and abs((turns * said).sum()) < 0.06 * (said**2).sum())


def _encode(model: Primus, at: str):
    return fast(model.encoder, head=None if at == "encoder" else at)


def _embed(stream: ImuStream, encode, stride_s: float) -> tuple[np.ndarray, np.ndarray]:
    windows, start_s = cut_windows(stream, stride_s=stride_s)
    blocks = [encode(torch.from_numpy(np.ascontiguousarray(windows[k : k + 512]))) for k in range(0, len(windows), 512)]
    return torch.cat(blocks).numpy(), start_s - stream.t_s[0]


def _frame(features: np.ndarray, start_s: np.ndarray, told: dict) -> pd.DataFrame:
    start_s = np.round(start_s, 6)
    columns = {"start_s": start_s, "end_s": start_s + LENGTH_S}
    frame = pd.DataFrame(columns | {f"f{k:03d}": features[:, k] for k in range(features.shape[1])})
    frame.attrs = told
    return frame


@dataclass(frozen=True, eq=False)
class LabelClassifier:
    """A classifier of windows by name; `fit_labels` makes it.

    Attributes:
        names: of the classes.
        windows: training windows of each.
        probe: the fitted classifier.
        columns: features that it reads.
    """

    names: tuple[str, ...]
    windows: dict[str, int]
    probe: Probe
    columns: tuple[str, ...]

    def predict(self, features: pd.DataFrame) -> pd.DataFrame:
        """The likeliest name of every window and its probability among the names that were taught.

        A probability is the classifier's own: of few labels it is a ranking, and an activity that nobody labelled gets
        one of the names too.

        Returns:
            columns start_s, end_s, label, probability, and recording where the features have it.

        Raises:
            ConfigError: features of another encoder.
        """
        if feature_columns(features) != self.columns:
            raise ConfigError(
                f"predict: found {len(feature_columns(features))} features; expected the {len(self.columns)} that the "
                "classifier was fitted on; embed with the same weights and the same place (at)."
            )
        logits = self.probe.logits(features[list(self.columns)].to_numpy())
        logits = logits - logits.max(axis=1, keepdims=True)
        share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        found = features[[c for c in ("recording", "start_s", "end_s") if c in features]].copy()
        found["label"] = np.array(self.names, dtype=object)[share.argmax(axis=1)]
        found["probability"] = share.max(axis=1)
        found.attrs = {}
        return found


def feature_columns(features: pd.DataFrame) -> tuple[str, ...]:
    """Names of the columns that hold features, in order.

    Raises:
        ConfigError: there are none, or start_s and end_s are missing.
    """
    columns = tuple(c for c in map(str, features.columns) if c[:1] == "f" and c[1:].isdigit())
    if not columns or not {"start_s", "end_s"} <= set(features.columns):
        raise ConfigError(
            f"features: found columns {', '.join(map(str, features.columns[:6]))}; expected start_s, end_s, f000, ...; "
            "make them with embed_file."
        )
    return columns


def fit_labels(features: pd.DataFrame, labels: Mapping[str, Sequence[Span]]) -> LabelClassifier:
    """A classifier from a few labelled seconds.

    A window has a name where its spans fill 60 % of it or more; all others train nothing.

    Args:
        features: of `embed_file` or `embed_files`.
        labels: name -> spans (start, end) in seconds from the recording's first sample; with several recordings
            (recording, start, end), the recording as its column has it.

    Raises:
        ConfigError: fewer than two names, a span that ends before it starts or names no recording, spans of two names
            that overlap, or a name without a window.

    Example:
        >>> features = embed_file("walk.csv")  # doctest: +SKIP
        >>> classifier = fit_labels(features, {"walking": [(0, 20)], "typing": [(60, 90)]})  # doctest: +SKIP
        >>> classifier.predict(features)  # doctest: +SKIP
    """
    columns, names = feature_columns(features), tuple(map(str, labels))
    if len(names) < 2:
        raise ConfigError(f"fit_labels: found {len(names)} name(s); expected two or more to tell apart; add one.")
    spans = _spans(features, labels)
    filled = np.zeros((len(features), len(names)))  # seconds of each window that each name's spans fill
    for recording, start, end, name in spans:
        own = (features["recording"] == recording).to_numpy() if recording else np.ones(len(features), bool)
        overlap = np.minimum(features["end_s"], end) - np.maximum(features["start_s"], start)
        filled[:, names.index(name)] += np.where(own, np.maximum(overlap, 0.0), 0.0)
    named = filled >= COVER * LENGTH_S - 1e-6
    for name, count in zip(names, named.sum(axis=0), strict=True):
        if not count:
            end = float(features["end_s"].max())
            raise ConfigError(
                f"fit_labels: found no window of {LENGTH_S:g} s in the spans of '{name}'; expected "
                f"{COVER * LENGTH_S:g} s or more of one, between 0 and {end:g} s; give a longer span or embed with a "
                "shorter stride."
            )
    rows = named.any(axis=1)
    x, y = features.loc[rows, list(columns)].to_numpy(), named[rows].argmax(axis=1)
    counts = {name: int(n) for name, n in zip(names, named.sum(axis=0), strict=True)}
    return LabelClassifier(names, counts, fit_probe(x, y, len(names)), columns)


def _spans(features: pd.DataFrame, labels: Mapping[str, Sequence[Span]]) -> list[tuple[str, float, float, str]]:
    """Spans as (recording or "", start, end, name), sorted, none inside another."""
    several, found = "recording" in features, []
    known = set(features["recording"]) if several else {""}
    for name, spans in labels.items():
        for span in spans:
            if len(span) != 2 + several or not float(span[-1]) > float(span[-2]):
                raise ConfigError(
                    f"fit_labels: found {tuple(span)!r} for '{name}'; expected "
                    f"{'(recording, start, end)' if several else '(start, end)'} in seconds, the end after the start; "
                    "correct it."
                )
            recording = str(span[0]) if several else ""
            if recording not in known:
                raise ConfigError(
                    f"fit_labels: found no recording '{recording}'; expected one of {', '.join(sorted(known)[:5])}; "
                    "write it as the column has it."
                )
            found.append((recording, float(span[-2]), float(span[-1]), str(name)))
    found.sort()
    for one, two in zip(found, found[1:], strict=False):
        if one[0] == two[0] and two[1] < one[2]:
            raise ConfigError(
                f"fit_labels: found '{one[3]}' until {one[2]:g} s and '{two[3]}' from {two[1]:g} s; expected one name "
                "for every moment; shorten one of them."
            )
    return found
