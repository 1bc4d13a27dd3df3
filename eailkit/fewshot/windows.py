"""Labelled windows of several participants: what PRIMUS's few-shot protocol is measured on (PRIMUS sections 3.1 and 4).

Five seconds at 50 Hz of accelerometer and gyroscope in the sensor's own axes, with the activity, the participant and
the recording of each. It cuts what the readers give and fills nothing in: a recording that can't be cut is left out and
named in `refused`. A file holds them, so that a dataset is read and resampled once. Folds and draws are `protocol`'s.
"""

from __future__ import annotations

import functools
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path

import numpy as np
from jaxtyping import Float, Float32, Int

from eailkit.datasets import ClassyGlass, EgoExo4D, RealWorld
from eailkit.datasets.classyglass import ACTIVITIES as CLASSYGLASS
from eailkit.datasets.merge import open_all
from eailkit.datasets.realworld import ACTIVITIES as REALWORLD
from eailkit.errors import CheckpointError, ConfigError, DatasetError, EailkitError
from eailkit.files import write_atomically
from eailkit.preprocess.windows import LENGTH_S, cut_windows
from eailkit.recording import Recording

COVER = 0.6  # share of a window that one activity must fill to name it
MAX_GAP_S = 0.09  # of a phone's log; `resample` takes steps of at most 0.1 s, of which epoch seconds may round up
COMMON = CLASSYGLASS[:11]  # what ClassyGlass 1A and 1B both have

CLASSYGLASS_PROMPTS = {  # as narrators say it: short, a verb and a thing
    "sit_read_book": "C reads a book.",
    "sit_write_notebook": "C writes in the notebook.",
    "computer_typing": "C types on the keyboard.",
    "computer_browsing": "C scrolls with the mouse.",
    "sit_move_head_body": "C turns the head to look around.",
    "sit_move_chair": "C swivels the chair.",
    "sit_to_stand": "C sits down and stands up.",
    "standing": "C stands still.",
    "walking": "C walks around.",
    "running": "C runs.",
    "stairs": "C climbs the stairs.",
    "don_doff_sitting": "C sits and puts the glasses on and off.",
    "don_doff_standing": "C stands and puts the glasses on and off.",
    "pick_items_sitting": "C sits and picks up items from the floor.",
    "pick_items_standing": "C stands and picks up items from the floor.",
}
REALWORLD_PROMPTS = {
    "climbingdown": "C walks down the stairs.",
    "climbingup": "C walks up the stairs.",
    "jumping": "C jumps.",
    "lying": "C lies down.",
    "running": "C runs.",
    "sitting": "C sits.",
    "standing": "C stands.",
    "walking": "C walks.",
}


@dataclass(frozen=True, eq=False)
class ActivityWindows:
    """Windows with what is known of each.

    Attributes:
        imu: acc xyz in m/s² with gravity, gyro xyz in rad/s, sensor axes, 50 Hz, 5 s: (n, 6, 250).
        label: index into `classes`, -1 where unlabelled, (n,).
        participant, recording: names, (n,).
        start_s: start on the recording's clock, seconds, (n,).
        classes: names of the activities.
        prompts: one English sentence a class, as a narrator would say it of the camera wearer C.
        name: of the whole, for tables and messages.
        refused: recordings that gave no window, with the sentence that says why.

    Raises:
        DatasetError: lengths disagree, a value isn't finite, or a label isn't a class.
    """

    imu: Float32[np.ndarray, "n 6 250"]
    label: Int[np.ndarray, " n"]
    participant: np.ndarray
    recording: np.ndarray
    start_s: Float[np.ndarray, " n"]
    classes: tuple[str, ...]
    prompts: tuple[str, ...]
    name: str
    refused: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        n, C = len(self.imu), len(self.classes)
        lengths = [len(v) for v in (self.label, self.participant, self.recording, self.start_s)]
        if self.imu.ndim != 3 or self.imu.shape[1] != 6 or lengths != [n] * 4 or len(self.prompts) != C:
            raise DatasetError(
                f"{self.name}: found windows {self.imu.shape}, {lengths} labels, participants, recordings and starts, "
                f"and {len(self.prompts)} prompts for {C} classes; expected (n, 6, samples), n of each, and one prompt "
                "a class; build it with from_recordings()."
            )
        if n and (int(self.label.min()) < -1 or int(self.label.max()) >= C):
            raise DatasetError(
                f"{self.name}: found labels from {int(self.label.min())} to {int(self.label.max())}; expected -1 "
                f"(unlabelled) to {C - 1}; check the list of classes."
            )
        bad = ~np.isfinite(self.imu).all(axis=(1, 2))
        if bad.any():
            raise DatasetError(
                f"{self.name}: found NaN or infinite values in {int(bad.sum())} windows, the first of recording "
                f"{self.recording[np.argmax(bad)]}; expected none; leave them out."
            )

    def __len__(self) -> int:
        return len(self.imu)

    def subset(self, keep: np.ndarray) -> ActivityWindows:
        """The windows that a mask or indices name; classes and prompts stay as they are."""
        rows = ("imu", "label", "participant", "recording", "start_s")
        return replace(self, **{name: getattr(self, name)[keep] for name in rows})

    def counts(self) -> Int[np.ndarray, " classes"]:
        """Windows of each class."""
        return np.bincount(self.label[self.label >= 0], minlength=len(self.classes))


def covering_activity(
    recording: Recording, start_s: Float[np.ndarray, " n"], length_s: float = LENGTH_S, *, cover: float = COVER
) -> list[str]:
    """Name of the activity that fills at least `cover` of each window, "" where none does.

    Segments of one name add up. The papers don't say what a window across a change is called; 60 % can't be reached
    by two at once, and leaves the ambiguous ones unlabelled.
    """
    names = sorted({a.label for a in recording.actions})
    filled = np.zeros((len(names) + 1, len(start_s)))  # the last row is "none"
    for action in recording.actions:
        overlap = np.minimum(start_s + length_s, action.end_s) - np.maximum(start_s, action.start_s)
        filled[names.index(action.label)] += np.maximum(overlap, 0.0)
    best = np.where(filled.max(axis=0) >= cover * length_s - 1e-6, filled.argmax(axis=0), len(names))
    return [[*names, ""][k] for k in best]


LabelOf = Callable[[Recording, np.ndarray, float], Sequence[str]]


def from_recordings(
    recordings: Iterable[Recording],
    classes: Sequence[str],
    prompts: Sequence[str],
    name: str,
    *,
    stride_s: float = LENGTH_S,
    label_of: LabelOf = covering_activity,
    spans: Mapping[str, tuple[float, float]] | None = None,
    refused: Mapping[str, str] | None = None,
) -> ActivityWindows:
    """Windows of labelled recordings; one that can't be cut is left out and named in `refused`.

    Args:
        recordings: `participant` names the participant.
        classes, prompts: activities and one sentence for each; a window of any other activity is unlabelled (-1).
        label_of: called with the recording, window starts and length; returns a name a window, "" for none.
        spans: (start, end) on a recording's clock by its name, where not all of it counts.
        refused: what the reader had to leave out already.

    Raises:
        DatasetError: no recording gives a window.
    """
    index = {c: k for k, c in enumerate(classes)}
    refused = dict(refused or {})
    parts: list[tuple] = []
    for recording in recordings:
        start, end = (spans or {}).get(recording.name, (None, None))
        try:
            imu, start_s = cut_windows(recording.imu, stride_s=stride_s, start_s=start, end_s=end)
        except EailkitError as fault:
            refused[recording.name] = str(fault)
            continue
        label = [index.get(c, -1) for c in label_of(recording, start_s, LENGTH_S)]
        parts.append((imu, label, [recording.participant] * len(imu), [recording.name] * len(imu), start_s))
    if not parts:
        reason = next(iter(refused.values()), "the list is empty")
        raise DatasetError(
            f"{name}: found no recording of {LENGTH_S:g} s or more that can be cut into windows (the first: "
            f"{reason.rstrip('.')}); expected at least one; check the recordings."
        )
    imu, label, participant, recording, start_s = (np.concatenate(column) for column in zip(*parts, strict=True))
    return ActivityWindows(
        imu, label.astype(np.int64), participant, recording, start_s, tuple(classes), tuple(prompts), name, refused
    )


def classyglass(
    root: str | Path, dataset: str = "1B", *, classes: str = "common", stride_s: float = LENGTH_S
) -> ActivityWindows:
    """ClassyGlass 1A (12 participants) or 1B (15 others): one activity a recording, worn on the right temple.

    1B is the test set of the few-shot curves; 1A is for tuning and for unlabelled windows.

    Args:
        root: as `datasets.ClassyGlass` takes.
        dataset: "1A" or "1B".
        classes: "common" for the eleven activities that both have, "all" for all that `dataset` has (1B: fifteen).

    Raises:
        ConfigError: another word for the classes.
        DatasetError: the folder has none of that dataset.
    """
    if classes not in ("common", "all"):
        raise ConfigError(f"classyglass: found classes '{classes}'; expected 'common' or 'all'.")
    names = COMMON if classes == "common" or dataset == "1A" else CLASSYGLASS
    reader = ClassyGlass(Path(root))
    recordings, refused = reader.open_all(dataset)
    held = [r for r in recordings if r.actions[0].label in names]
    refused = {k: why for k, why in refused.items() if reader.entry(k).activity in names}
    prompts = [CLASSYGLASS_PROMPTS[c] for c in names]
    return from_recordings(held, names, prompts, f"ClassyGlass {dataset}", stride_s=stride_s, refused=refused)


def realworld(root: str | Path, *, stride_s: float = LENGTH_S) -> ActivityWindows:
    """RealWorld (Mannheim): 15 people, the phone at the head, eight activities, zips as downloaded.

    Raises:
        DatasetError: no such zips.
    """
    reader = RealWorld(Path(root), position="head")
    read = functools.partial(reader.parts, max_gap_s=MAX_GAP_S)
    recordings, refused = open_all(reader.names, read)
    names = REALWORLD
    prompts = [REALWORLD_PROMPTS[c] for c in names]
    return from_recordings(recordings, names, prompts, "RealWorld (head)", stride_s=stride_s, refused=refused)


def from_egoexo4d(
    root: str | Path,
    *,
    by: str = "task",
    split: str | Sequence[str] | None = None,
    stride_s: float = LENGTH_S,
    tasks: Sequence[str] | Mapping[str, str] | None = None,
    takes: Iterable[str] | None = None,
) -> ActivityWindows:
    """Takes of an Ego-Exo4D or SynthKitchen root: imu-left, from the take's first to its last second.

    Args:
        by: "task", what the whole take is about (PRIMUS's eight activities are such), or "keystep", the annotated
            step that fills at least 60 % of a window; other windows are unlabelled.
        split: names of splits; default all takes. Scans never count.
        tasks: the classes, in this order (tasks or keysteps, as `by` says), and with a mapping the sentence for each.
            Default: all that the chosen takes have (tasks), or `EgoExo4D.action_names` (keysteps).
        takes: names, where not all.

    Raises:
        ConfigError: `by` is another word.
        DatasetError: no take of that split, or none with an IMU and a clock.
    """
    if by not in ("task", "keystep"):
        raise ConfigError(f"from_egoexo4d: found by='{by}'; expected 'task' or 'keystep'.")
    dataset = EgoExo4D(Path(root))
    wanted = None if split is None else {split} if isinstance(split, str) else set(split)
    named = None if takes is None else set(takes)
    takes = [t for t in dataset.takes if t.task != "scan" and (wanted is None or t.split in wanted)]
    takes = [t for t in takes if named is None or t.name in named]
    if not takes:
        raise DatasetError(
            f"{root}: found no take of split {split} among {', '.join(sorted(dataset.splits)) or 'none'}; expected "
            "one; check its name."
        )
    names = tuple(tasks or (dataset.action_names if by == "keystep" else sorted({t.task for t in takes if t.task})))
    say = sentence if by == "keystep" else task_sentence
    prompts = [tasks[c] if isinstance(tasks, Mapping) else say(c) for c in names]
    recordings, spans, refused = [], {}, {}
    for take in takes:
        try:
            start = dataset.start_s(take.name)
            spans[take.name] = (start, start + take.duration_s if take.duration_s else None)
            actions = dataset.keysteps(take.name) if by == "keystep" else ()
            recordings.append(
                Recording(take.name, dataset.imu(take.name), actions=actions, participant=take.participant)
            )
        except EailkitError as fault:
            refused[take.name] = str(fault)
    task_of = {t.name: t.task for t in takes}
    label_of = covering_activity if by == "keystep" else lambda r, start_s, length_s: [task_of[r.name]] * len(start_s)
    name = f"{Path(root).name} {by}" + (f" {split}" if isinstance(split, str) else "")
    return from_recordings(
        recordings, names, prompts, name, stride_s=stride_s, label_of=label_of, spans=spans, refused=refused
    )


def sentence(name: str) -> str:
    """A keystep's name as a narration of the camera wearer.

    Example:
        >>> sentence("wash dishes")
        'C washes dishes.'
    """
    verb, _, rest = name.strip().partition(" ")
    verb = verb.lower() + ("es" if verb.endswith(("s", "sh", "ch", "x", "z", "o")) else "s")
    return f"C {verb} {rest}".strip() + "."


def task_sentence(name: str) -> str:
    """A task's name as a sentence: "Making a salad" becomes "C is making a salad.", "salad" "C is busy with salad."."""
    first = name.split(" ")[0]
    return f"C is {name[:1].lower()}{name[1:]}." if first.endswith("ing") else f"C is busy with {name}."


def save_windows(windows: ActivityWindows, path: str | Path) -> Path:
    """Write windows as one npz, atomically.

    Raises:
        OutputError: it can't be written there.
    """
    arrays = {f.name: getattr(windows, f.name) for f in fields(windows) if f.name != "refused"}
    return write_atomically(Path(path), lambda p: np.savez(p, **arrays, refused=json.dumps(windows.refused)))


def load_windows(path: str | Path) -> ActivityWindows:
    """What `save_windows` wrote.

    Raises:
        CheckpointError: no such file, or another one.
    """
    try:
        with np.load(path, allow_pickle=False) as held:
            arrays = {k: held[k] for k in held.files}
        words = {k: tuple(map(str, arrays.pop(k))) for k in ("classes", "prompts")}
        refused = json.loads(str(arrays.pop("refused")))
        return ActivityWindows(**arrays | {"name": str(arrays["name"])}, **words, refused=refused)
    except (OSError, ValueError, KeyError, TypeError) as fault:
        raise CheckpointError(
            f"{path}: can't be read as windows of activities ({str(fault)[:120]}); expected a file that save_windows "
            "wrote; delete it and run again."
        ) from None
