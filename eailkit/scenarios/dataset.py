"""A whole set of scenarios on disk, in Ego-Exo4D's layout: resumable, stamped, split by participant.

Files, folders and stamps are those of the kitchens' dataset, so that one reader reads both; `task_name` is the
scenario. There are no clouds: no map is needed to recognise an activity.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from eailkit.errors import ConfigError
from eailkit.scenarios import PRETRAINING
from eailkit.scenarios.scenes import build_scene, scene_of
from eailkit.scenarios.take import ScenarioTake, check_scenario, scenario_hands, simulate_scenario
from eailkit.scenarios.words import TellingConfig
from eailkit.synthkitchen import writing
from eailkit.synthkitchen.camera import CameraConfig, render_frames
from eailkit.synthkitchen.folder import CARD, check_dataset, is_finished, make_takes, open_folder, write_errors
from eailkit.synthkitchen.indexes import write_indexes
from eailkit.synthkitchen.person import draw_person
from eailkit.synthkitchen.room import Room
from eailkit.synthkitchen.sensor import ARIA_LEFT
from eailkit.synthkitchen.splits import TakeJob
from eailkit.synthkitchen.take import TRAJECTORY_HZ
from eailkit.synthkitchen.version import Stamp, code_digest, parameter_hash

SCENARIOS_VERSION = "2"
_NO_PHYSICS = ("__init__", "dataset")
_FRAME_PX = 64  # as the kitchens
_FRAME_SPLITS = ("train", "val")
_DEVICES = 8  # pairs of glasses that the takes share


def synthesize_scenarios(
    out_dir: str | Path,
    *,
    scenarios: Sequence[str] = PRETRAINING,
    participants: int = 12,
    minutes: float = 3.0,
    seed: int = 0,
    frames: bool = True,
    workers: int | None = None,
    progress: bool = True,
    test_share: float = 1 / 3,
) -> Path:
    """Make a set with one take a participant and scenario, or finish one that was interrupted.

    Splits are by participant: about `test_share` of them are "test", one in eight of the rest (one at least, where
    there are three) is "val", the others are "train"; nobody is in two. Frames are rendered for train and val.

    Args:
        out_dir: folder of the set; made where absent.
        scenarios: some of PRETRAINING and HELD_OUT.
        minutes: mean length of a take; each lasts 0.85 to 1.15 of it.
        frames: render one egocentric frame a second.
        workers: processes; one a core where None; 1 works in this process.

    Returns:
        the folder.

    Raises:
        ConfigError: an unknown scenario, or a number that can't be.
        DatasetError: the folder is a file, can't be written, or holds something else or another dataset.
    """
    jobs = scenario_jobs(tuple(scenarios), participants, minutes, seed, frames=frames, test_share=test_share)
    if workers is not None and workers < 1:
        raise ConfigError(f"workers: found {workers}; expected 1 or more processes; give a count or leave it out.")
    out = Path(out_dir)
    asked = {
        "scenarios": list(scenarios), "participants": participants, "minutes": minutes, "seed": seed,
        "frames": frames, "test_share": test_share,
    }  # fmt: skip
    digest = parameter_hash(asked, SCENARIOS_VERSION, code_hash(), CameraConfig(), TellingConfig(), ARIA_LEFT)
    stamp = Stamp(f"scenarios-{SCENARIOS_VERSION}", digest)
    card = {
        "version": stamp.version, "seed": seed, "parameter_hash": stamp.parameter_hash, "config": asked,
        "complete": False,
    }  # fmt: skip
    open_folder(out, card)
    left = [job for job in jobs if not is_finished(out, job, stamp)]
    if left:
        writing.write_json(out / CARD, card)  # takes of a whole dataset may have been deleted
    make_takes(_write_take, left, out, stamp, workers=workers, progress=progress, total=len(jobs))
    write_indexes(out, jobs, stamp)
    check_dataset(out, jobs)
    with write_errors(out):
        writing.write_json(out / CARD, {**card, "complete": True})
    return out


@functools.cache
def code_hash() -> str:
    """Hash of the code that shapes the scenarios' motion, pictures and words; comments and layout don't count."""
    parts = [p for p in sorted(Path(__file__).parent.glob("*.py")) if p.stem not in _NO_PHYSICS]
    return "".join(code_digest(p.read_text(encoding="utf-8"))[:16] for p in parts)


def scenario_jobs(
    scenarios: tuple[str, ...], participants: int, minutes: float, seed: int, *, frames: bool, test_share: float
) -> list[TakeJob]:
    """Every take of a set, participant by participant.

    Raises:
        ConfigError: an unknown scenario, or a number that can't be.
    """
    for name in scenarios:
        check_scenario(name)
    if not scenarios or len(set(scenarios)) < len(scenarios):
        raise ConfigError(
            f"scenarios: found {len(scenarios)} with repeats or none; expected one or more different ones."
        )
    if participants < 1:
        raise ConfigError(f"participants: found {participants}; expected 1 or more people; give a count.")
    if not 0.6 <= minutes <= 200:
        raise ConfigError(f"minutes: found {minutes:g}; expected 0.6 to 200; give for example 3.")
    if not 0.0 <= test_share < 1.0:
        raise ConfigError(f"test_share: found {test_share:g}; expected 0 to below 1; give for example 0.33.")
    if seed < 0:
        raise ConfigError(f"seed: found {seed}; expected 0 or more; give another.")
    splits = _splits(participants, test_share)
    jobs = []
    for k, split in enumerate(splits):
        for name in scenarios:
            own = [seed, k, *name.encode()]
            rng = np.random.default_rng([*own, 0x5CE0])
            slug = name.replace(" ", "_")
            jobs.append(TakeJob(
                name=f"{slug}_p{k:03d}", split=split, room_id=f"{scene_of(name).replace(' ', '_')}_p{k:03d}",
                room_seed=int(np.random.default_rng([seed, k, 0x5CE1]).integers(1 << 31)),
                participant=f"person_{k:03d}", person_seed=int(np.random.default_rng([seed, k]).integers(1 << 31)),
                minutes=float(np.round(minutes * rng.uniform(0.85, 1.15), 3)), seed=int(rng.integers(1 << 31)),
                device_seed=1000 * seed + k % _DEVICES, frame_px=_FRAME_PX if frames and split in _FRAME_SPLITS else 0,
            ))  # fmt: skip
    return jobs


def _splits(participants: int, test_share: float) -> list[str]:
    test = min(int(round(test_share * participants)), participants - 1)
    if test_share > 0 and participants > 1:
        test = max(test, 1)
    rest = participants - test
    val = max(int(round(rest / 8)), 1) if rest > 1 else 0
    return ["train"] * (rest - val) + ["val"] * val + ["test"] * test


def scenario_of(job: TakeJob) -> str:
    """The scenario that a job's name begins with."""
    return job.name.rsplit("_p", 1)[0].replace("_", " ")


@functools.lru_cache(maxsize=16)
def _scene(kind: str, seed: int) -> Room:
    return build_scene(kind, seed)


def _write_take(job: TakeJob, folder: Path, capture: Path, stamp: Stamp) -> dict:
    name, person = scenario_of(job), draw_person(job.person_seed)
    take = simulate_scenario(
        name, person, job.minutes, job.seed, take_name=job.name, device_seed=job.device_seed
    )  # fmt: skip
    writing.write_imu(folder / "imu-left.parquet", take.recording.imu, ARIA_LEFT, stamp)
    t = np.arange(int(take.motion.duration_s * TRAJECTORY_HZ) + 1) / TRAJECTORY_HZ
    path = folder / "trajectory" / "closed_loop_trajectory.csv"
    writing.write_trajectory(path, take.device_time(t), take.motion.sample(t), stamp.uid("graph", job.room_id))
    start = int(take.lead_s * writing.TIMESYNC_HZ)
    end = start + int(take.duration_s * writing.TIMESYNC_HZ)
    rows_s = take.lead_s + (np.arange(end + 1) - start) / writing.TIMESYNC_HZ
    writing.write_timesync(capture / "timesync.csv", np.round(take.device_time(rows_s) * 1e9).astype(np.int64), stamp)
    if job.frame_px:
        (folder / "frame_aligned_videos").mkdir()
        images = take_frames(take, build_scene_of(job), size=job.frame_px)
        writing.write_video(folder / "frame_aligned_videos" / f"{writing.EGO_CAMERA}.mp4", images, stamp)
    begin = float(take.device_time(take.lead_s))
    seconds = lambda device_s: round((device_s - begin) / take.device.clock_rate, 3)  # noqa: E731
    return {
        "task": name,
        "parent_task": name,
        "duration_s": take.duration_s,
        "start_row": start,
        "end_row": end,
        "person": {"height_m": round(person.height_m, 3), "right_handed": person.handedness > 0},
        "descriptions": [[seconds(n.t_s), n.text] for n in take.recording.narrations],
        "keysteps": [[seconds(a.start_s), seconds(a.end_s), a.label] for a in take.recording.actions],
    }


def build_scene_of(job: TakeJob) -> Room:
    """The scene that a job's participant is in; the same for the same job."""
    return _scene(scene_of(scenario_of(job)), job.room_seed)


def take_frames(take: ScenarioTake, scene: Room, *, size: int = _FRAME_PX) -> np.ndarray:
    """One frame a second of a take's own time, in the middle of each second, (seconds, size, size, 3) uint8."""
    when = take.lead_s + 0.5 + np.arange(int(take.duration_s))
    truth = take.motion.sample(when)
    facing = take.motion.coordinates(when)[0][:, 3]
    hands, held = scenario_hands(take, when, truth.position_m, facing)
    return render_frames(
        scene, truth.position_m, truth.quat_world_head_xyzw, size=size, hands_world_m=hands, held_rgb=held
    )
