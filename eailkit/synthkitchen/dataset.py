"""A whole SynthKitchen dataset on disk, in Ego-Exo4D's layout: made in parallel, resumable, checked.

Takes are independent jobs (see `splits`); each is made in a folder of its own and renamed when whole, and
the indexes (`takes.json`, annotations, splits) are gathered from finished takes at the end.
"""

from __future__ import annotations

import functools
import json
import multiprocessing
import os
import shutil
import signal
import uuid
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import replace
from pathlib import Path

import numpy as np
from tqdm.auto import tqdm

from eailkit.errors import ConfigError, DatasetError
from eailkit.synthkitchen import writing
from eailkit.synthkitchen.actions import ACTION_NAMES, ACTIONS
from eailkit.synthkitchen.camera import CameraConfig, render_frames
from eailkit.synthkitchen.paths import FloorPaths
from eailkit.synthkitchen.person import draw_person
from eailkit.synthkitchen.room import Room, RoomConfig, generate_room
from eailkit.synthkitchen.scan import ScanConfig, scan_room
from eailkit.synthkitchen.sensor import ARIA_LEFT
from eailkit.synthkitchen.splits import DatasetConfig, TakeJob, dataset_jobs
from eailkit.synthkitchen.take import TRAJECTORY_HZ, frame_hints, scan_motion, simulate_take
from eailkit.synthkitchen.version import SYNTHKITCHEN_VERSION, as_plain, parameter_hash

_CARD = "synthkitchen.json"
_SIDECAR = "synthkitchen_take.json"
_TRAIN_SPLITS = ("train", "pretrain")


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
    card = {
        "version": SYNTHKITCHEN_VERSION,
        "seed": seed,
        "parameter_hash": parameter_hash(asked, config, RoomConfig(), ScanConfig(), CameraConfig(), ARIA_LEFT, ACTIONS),
        "config": {**asked, **as_plain(config)},
        "actions": list(ACTION_NAMES),  # so that a small dataset, which may lack some, has the same classes
        "complete": False,
    }
    _open_folder(out, card)
    left = [job for job in jobs if not (out / "takes" / job.name / _SIDECAR).is_file()]
    _run(left, out, workers or os.cpu_count() or 1, progress, len(jobs))
    _write_indexes(out, jobs)
    check_dataset(out, jobs)
    writing.write_json(out / _CARD, {**card, "complete": True})
    return out


def _open_folder(out: Path, card: dict) -> None:
    if out.exists() and not out.is_dir():
        raise DatasetError(f"{out}: found a file; expected a folder to write the dataset to; give another path.")
    try:
        out.mkdir(parents=True, exist_ok=True)
        if any(out.iterdir()):
            _check_card(out, card)
        writing.write_json(out / _CARD, card)
        for name in ("takes", "captures", "annotations"):
            (out / name).mkdir(exist_ok=True)
    except OSError as error:
        raise DatasetError(
            f"{out}: can't be written ({error.strerror}); expected a folder with write permission and space; "
            "give another path."
        ) from None


def _check_card(out: Path, card: dict) -> None:
    try:
        found = json.loads((out / _CARD).read_text())
    except FileNotFoundError:
        raise DatasetError(
            f"{out}: found files but no {_CARD}; expected an empty folder or a SynthKitchen dataset; give another path."
        ) from None
    except (OSError, ValueError):
        raise DatasetError(
            f"{out / _CARD}: can't be read; expected JSON; delete the folder and make it again."
        ) from None
    if found.get("version") != card["version"]:
        raise DatasetError(
            f"{out}: found a dataset of SynthKitchen version {found.get('version')}; expected version "
            f"{card['version']}; give another folder, or delete this one to make it again."
        )
    if found.get("parameter_hash") != card["parameter_hash"]:
        old, new = found.get("config", {}), card["config"]
        changed = [k for k in new if old.get(k) != as_plain(new[k])] or ["the simulator's parameters"]
        raise DatasetError(
            f"{out}: found a dataset made with other settings ({', '.join(changed[:4])}); expected the same ones to "
            "finish it; repeat the first command, or give another folder."
        )


def _run(jobs: list[TakeJob], out: Path, workers: int, progress: bool, total: int) -> None:
    workers = min(workers, len(jobs))
    with tqdm(total=total, initial=total - len(jobs), desc="takes", unit="take", disable=not progress) as bar:
        if workers <= 1:
            for job in jobs:
                make_take(job, out)
                bar.update()
            return
        context = multiprocessing.get_context("spawn")
        quiet = (signal.SIGINT, signal.SIG_IGN)  # on Ctrl-C this process stops the others, in order
        with ProcessPoolExecutor(workers, context, signal.signal, quiet) as pool:
            futures = [pool.submit(make_take, job, out) for job in jobs]
            try:
                for future in as_completed(futures):
                    future.result()
                    bar.update()
            except BrokenProcessPool:
                raise DatasetError(
                    f"{out}: a worker process ended early; expected enough memory, and in a script the call under "
                    "`if __name__ == '__main__':`; run again (finished takes are kept), with workers=1 if it repeats."
                ) from None
            except BaseException:
                pool.shutdown(wait=False, cancel_futures=True)
                raise


@functools.lru_cache(maxsize=2)
def _room(seed: int, room_id: str) -> tuple[Room, FloorPaths]:
    room = generate_room(seed, room_id)
    return room, FloorPaths(room.free, room.free_origin_xy_m, room.free_pitch_m)


def make_take(job: TakeJob, out: Path) -> None:
    """Make one take (or scan) of a dataset; nothing of it is visible before it is whole.

    Raises:
        DatasetError: the folder can't be written.
    """
    part, final = out / "takes" / f".part_{job.name}", out / "takes" / job.name
    try:
        for stale in (part, final):
            shutil.rmtree(stale, ignore_errors=True)
        (part / "trajectory").mkdir(parents=True)
        capture = out / "captures" / f"{job.name}_capture"
        capture.mkdir(exist_ok=True)
        facts = (_make_scan if job.split == "scan" else _make_recording)(job, part, capture)
        writing.write_json(part / _SIDECAR, {"job": as_plain(job), **facts})
        os.replace(part, final)
    except OSError as error:
        raise DatasetError(
            f"{final}: can't be written ({error.strerror}); expected space and write permission; free some space and "
            "run again, finished takes are kept."
        ) from None


def _make_scan(job: TakeJob, folder: Path, capture: Path) -> dict:
    room, paths = _room(job.room_seed, job.room_id)
    graph_uid = _uid("graph", job.room_id)
    writing.write_cloud(folder / "trajectory" / "semidense_points.csv.gz", scan_room(room, job.seed), graph_uid)
    motion = scan_motion(room, paths, job.seed)
    t = np.arange(int(motion.duration_s * TRAJECTORY_HZ) + 1) / TRAJECTORY_HZ
    writing.write_trajectory(folder / "trajectory" / "closed_loop_trajectory.csv", t, motion.sample(t), graph_uid)
    start, end = _write_timesync(capture, 0.0, 0.0, 1.0, motion.duration_s)
    return {"task": "scan", "duration_s": motion.duration_s, "start_row": start, "end_row": end}


def _make_recording(job: TakeJob, folder: Path, capture: Path) -> dict:
    room, paths = _room(job.room_seed, job.room_id)
    person = draw_person(job.person_seed)
    take = simulate_take(room, person, job.minutes, job.seed, name=job.name, device_seed=job.device_seed, paths=paths)
    writing.write_imu(folder / "imu-left.parquet", take.recording.imu, ARIA_LEFT)
    t = np.arange(int(take.motion.duration_s * TRAJECTORY_HZ) + 1) / TRAJECTORY_HZ
    trajectory = folder / "trajectory" / "closed_loop_trajectory.csv"
    writing.write_trajectory(trajectory, take.device_time(t), take.motion.sample(t), _uid("graph", job.room_id))
    device = take.device
    start, end = _write_timesync(capture, device.clock_offset_s, take.lead_s, device.clock_rate, take.duration_s)
    if job.frame_px:
        when = take.lead_s + 0.5 + np.arange(int(take.duration_s))
        truth = take.motion.sample(when)
        hands, held = frame_hints(take.plan, room, person, when, truth.position_m)
        images = render_frames(
            room, truth.position_m, truth.quat_world_head_xyzw, size=job.frame_px, hands_world_m=hands, held_rgb=held
        )
        (folder / "frame_aligned_videos").mkdir()
        writing.write_video(folder / "frame_aligned_videos" / f"{writing.EGO_CAMERA}.mp4", images)
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


def _write_timesync(capture: Path, offset_s: float, lead_s: float, rate: float, duration_s: float) -> tuple[int, int]:
    """Rows from shortly after the first IMU sample to the take's end; returns the take's first and last row."""
    start = int(lead_s * writing.TIMESYNC_HZ)
    end = start + int(duration_s * writing.TIMESYNC_HZ)
    plan_s = lead_s + (np.arange(end + 1) - start) / writing.TIMESYNC_HZ
    writing.write_timesync(capture / "timesync.csv", np.round((offset_s + rate * plan_s) * 1e9).astype(np.int64))
    return start, end


def _uid(kind: str, name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"synthkitchen/{SYNTHKITCHEN_VERSION}/{kind}/{name}"))


def _write_indexes(out: Path, jobs: list[TakeJob]) -> None:
    takes, captures, people = [], [], {}
    words: dict[str, dict] = {"train": {}, "val": {}}
    steps: dict[str, dict] = {"train": {}, "val": {}}
    for job in jobs:
        facts = json.loads((out / "takes" / job.name / _SIDECAR).read_text())
        uid, capture_uid, capture = _uid("take", job.name), _uid("capture", job.name), f"{job.name}_capture"
        camera = {"cam_id": "aria01", "is_ego": True, "device_type": "aria"}
        takes.append({
            "root_dir": f"takes/{job.name}", "take_name": job.name, "take_uid": uid, "capture_uid": capture_uid,
            "participant_uid": job.participant, "university_name": "synthkitchen", "task_name": facts["task"],
            "parent_task_name": "scan" if job.split == "scan" else "Cooking", "duration_sec": facts["duration_s"],
            "physical_setting_uid": job.room_id, "timesync_start_idx": facts["start_row"],
            "timesync_end_idx": facts["end_row"], "capture": {"capture_name": capture, "cameras": [camera]},
            "frame_aligned_videos": _videos(job),
        })  # fmt: skip
        captures.append({"capture_uid": capture_uid, "capture_name": capture, "physical_setting_uid": job.room_id})
        if job.split == "scan":
            continue
        people[job.participant] = {"participant_uid": job.participant, **facts["person"]}
        part = "train" if job.split in _TRAIN_SPLITS else "val"
        said = [
            {"text": text, "timestamp": t, "subject": "C", "ego_visible": True, "unsure": False}
            for t, text in facts["descriptions"]
        ]
        words[part][uid] = [{"annotator_id": "synthkitchen", "rejected": False, "descriptions": said}]
        segments = [{"start_time": a, "end_time": b, "step_name": name} for a, b, name in facts["keysteps"]]
        steps[part][uid] = {"take_uid": uid, "take_name": job.name, "segments": segments}
    for part in ("train", "val"):
        writing.write_json(out / "annotations" / f"atomic_descriptions_{part}.json", {"annotations": words[part]})
        writing.write_json(out / "annotations" / f"keystep_{part}.json", {"annotations": steps[part]})
    rooms = list(dict.fromkeys(job.room_id for job in jobs))
    writing.write_json(out / "physical_setting.json", [{"physical_setting_uid": r, "name": r} for r in rooms])
    writing.write_json(out / "participants.json", [people[name] for name in sorted(people)])
    writing.write_json(out / "captures.json", captures)
    writing.write_json(out / "splits.json", {job.name: job.split for job in jobs})
    writing.write_json(out / "takes.json", takes)


def _videos(job: TakeJob) -> dict:
    if not job.frame_px:
        return {}
    path = f"frame_aligned_videos/{writing.EGO_CAMERA}.mp4"
    return {"aria01": {"rgb": {"cam_id": "aria01", "stream_id": "214-1", "relative_path": path}}}


def check_dataset(out: Path, jobs: list[TakeJob]) -> None:
    """Look whether every file of every take is there and not empty.

    Raises:
        DatasetError: with the first file that isn't.
    """
    for job in jobs:
        folder = out / "takes" / job.name
        needed = [folder / "trajectory" / "closed_loop_trajectory.csv"]
        needed += [folder / ("trajectory/semidense_points.csv.gz" if job.split == "scan" else "imu-left.parquet")]
        needed += [folder / "frame_aligned_videos" / f"{writing.EGO_CAMERA}.mp4"] if job.frame_px else []
        needed += [out / "captures" / f"{job.name}_capture" / "timesync.csv"]
        for path in needed:
            if not path.is_file() or path.stat().st_size == 0:
                found = "an empty file" if path.is_file() else "nothing"
                raise DatasetError(
                    f"{path}: found {found}; expected a part of the finished take; "
                    f"delete {folder} and run the same command again."
                )
