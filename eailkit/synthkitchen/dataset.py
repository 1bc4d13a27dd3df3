"""A whole SynthKitchen dataset on disk, in Ego-Exo4D's layout: made in parallel, resumable, checked.

Takes are independent jobs (see `splits`); each is made in a folder of its own and renamed when whole, and
the indexes (`takes.json`, annotations, splits) are gathered from finished takes at the end.
"""

from __future__ import annotations

import functools
from dataclasses import replace
from pathlib import Path

import numpy as np

from eailkit.errors import ConfigError
from eailkit.synthkitchen import writing
from eailkit.synthkitchen.actions import ACTION_NAMES, ACTIONS
from eailkit.synthkitchen.camera import CameraConfig, render_frames
from eailkit.synthkitchen.folder import CARD, check_dataset, is_finished, make_takes, open_folder, write_errors
from eailkit.synthkitchen.indexes import write_indexes
from eailkit.synthkitchen.narration import NarrationConfig
from eailkit.synthkitchen.paths import FloorPaths
from eailkit.synthkitchen.person import draw_person
from eailkit.synthkitchen.room import Room, RoomConfig, generate_room
from eailkit.synthkitchen.scan import ScanConfig, scan_room
from eailkit.synthkitchen.sensor import ARIA_LEFT
from eailkit.synthkitchen.splits import DatasetConfig, TakeJob, dataset_jobs
from eailkit.synthkitchen.take import TRAJECTORY_HZ, frame_hints, scan_motion, simulate_take
from eailkit.synthkitchen.version import SYNTHKITCHEN_VERSION, Stamp, as_plain, parameter_hash


def synthesize(
    out_dir: str | Path,
    *,
    rooms: int = 12,
    participants: int = 12,
    minutes: float = 5.0,
    seed: int = 0,
    frames: bool = True,
    workers: int | None = None,
    progress: bool = True,
    config: DatasetConfig | None = None,
) -> Path:
    """Make a dataset, or finish one that was interrupted; the same numbers for the same arguments.

    Args:
        out_dir: folder of the dataset; made where absent.
        rooms, participants: how many kitchens and people.
        minutes: mean length of a take (0.75 to 1.25 of it, or 2 to 40 min where the config says so; a few test
            takes are longer).
        seed: of everything.
        frames: render egocentric frames for the splits that the config names.
        workers: processes; one a core where None; 1 works in this process.
        progress: show a bar.
        config: takes per room and splits.

    Returns:
        the folder.

    Raises:
        ConfigError: a count that can't be.
        DatasetError: the folder is a file, can't be written, holds something else or another dataset, or
            the finished dataset fails its check.
    """
    config = config or DatasetConfig()
    if workers is not None and workers < 1:
        raise ConfigError(f"workers: found {workers}; expected 1 or more processes; give a count or leave it out.")
    jobs = dataset_jobs(rooms, participants, minutes, seed, config)
    if not frames:
        jobs = [replace(job, frame_px=0) for job in jobs]
    out = Path(out_dir)
    asked = {"rooms": rooms, "participants": participants, "minutes": minutes, "seed": seed, "frames": frames}
    digest = parameter_hash(
        asked, config, RoomConfig(), ScanConfig(), CameraConfig(), NarrationConfig(), ARIA_LEFT, ACTIONS
    )
    stamp = Stamp(SYNTHKITCHEN_VERSION, digest)
    card = {
        "version": stamp.version,
        "seed": seed,
        "parameter_hash": stamp.parameter_hash,
        "config": {**asked, **as_plain(config)},
        "actions": list(ACTION_NAMES),  # so that a small dataset, which may lack some, has the same classes
        "complete": False,
    }
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


@functools.lru_cache(maxsize=2)
def _room(seed: int, room_id: str) -> tuple[Room, FloorPaths]:
    room = generate_room(seed, room_id)
    return room, FloorPaths(room.free, room.free_origin_xy_m, room.free_pitch_m)


def _write_take(job: TakeJob, folder: Path, capture: Path, stamp: Stamp) -> dict:
    return (_make_scan if job.split == "scan" else _make_recording)(job, folder, capture, stamp)


def _make_scan(job: TakeJob, folder: Path, capture: Path, stamp: Stamp) -> dict:
    room, paths = _room(job.room_seed, job.room_id)
    graph_uid = stamp.uid("graph", job.room_id)
    cloud = scan_room(room, job.seed)
    writing.write_cloud(folder / "trajectory" / "semidense_points.csv.gz", cloud, graph_uid, stamp)
    motion = scan_motion(room, paths, job.seed)
    t = np.arange(int(motion.duration_s * TRAJECTORY_HZ) + 1) / TRAJECTORY_HZ
    writing.write_trajectory(folder / "trajectory" / "closed_loop_trajectory.csv", t, motion.sample(t), graph_uid)
    start, end = _write_timesync(capture, 0.0, 0.0, 1.0, motion.duration_s, stamp)
    return {"task": "scan", "duration_s": motion.duration_s, "start_row": start, "end_row": end}


def _make_recording(job: TakeJob, folder: Path, capture: Path, stamp: Stamp) -> dict:
    room, paths = _room(job.room_seed, job.room_id)
    person = draw_person(job.person_seed)
    take = simulate_take(room, person, job.minutes, job.seed, name=job.name, device_seed=job.device_seed, paths=paths)
    writing.write_imu(folder / "imu-left.parquet", take.recording.imu, ARIA_LEFT, stamp)
    t = np.arange(int(take.motion.duration_s * TRAJECTORY_HZ) + 1) / TRAJECTORY_HZ
    trajectory = folder / "trajectory" / "closed_loop_trajectory.csv"
    writing.write_trajectory(trajectory, take.device_time(t), take.motion.sample(t), stamp.uid("graph", job.room_id))
    device = take.device
    start, end = _write_timesync(capture, device.clock_offset_s, take.lead_s, device.clock_rate, take.duration_s, stamp)
    if job.frame_px:
        when = take.lead_s + 0.5 + np.arange(int(take.duration_s))
        truth = take.motion.sample(when)
        hands, held = frame_hints(take.plan, room, person, when, truth.position_m)
        images = render_frames(
            room, truth.position_m, truth.quat_world_head_xyzw, size=job.frame_px, hands_world_m=hands, held_rgb=held
        )
        (folder / "frame_aligned_videos").mkdir()
        writing.write_video(folder / "frame_aligned_videos" / f"{writing.EGO_CAMERA}.mp4", images, stamp)
    begin = float(take.device_time(take.lead_s))
    seconds = lambda device_s: round((device_s - begin) / device.clock_rate, 3)  # noqa: E731
    return {
        "task": take.plan.recipe,
        "duration_s": take.duration_s,
        "start_row": start,
        "end_row": end,
        "person": {"height_m": round(person.height_m, 3), "right_handed": person.handedness > 0},
        "descriptions": [[seconds(n.t_s), n.text] for n in take.recording.narrations],
        "keysteps": [[seconds(a.start_s), seconds(a.end_s), a.label] for a in take.recording.actions],
    }


def _write_timesync(
    capture: Path, offset_s: float, lead_s: float, rate: float, duration_s: float, stamp: Stamp
) -> tuple[int, int]:
    """Rows from shortly after the first IMU sample to the take's end; returns the take's first and last row."""
    start = int(lead_s * writing.TIMESYNC_HZ)
    end = start + int(duration_s * writing.TIMESYNC_HZ)
    plan_s = lead_s + (np.arange(end + 1) - start) / writing.TIMESYNC_HZ
    t_ns = np.round((offset_s + rate * plan_s) * 1e9).astype(np.int64)
    writing.write_timesync(capture / "timesync.csv", t_ns, stamp)
    return start, end
