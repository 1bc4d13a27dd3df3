"""Properties that every SynthKitchen room and take must have, looked for over a thousand seeds.

Each check measures from outside: rays against the mesh, boxes of the fixtures, samples of the head. None
reads the layout's own rules. `python -m benchmarks.properties` records how many seeds break any.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable

import numpy as np
from scipy import ndimage

from eailkit.results.ledger import LedgerRow, append_rows, device_name, git_commit
from eailkit.synthkitchen.motion import head_motion
from eailkit.synthkitchen.paths import FloorPaths
from eailkit.synthkitchen.person import Person, draw_person
from eailkit.synthkitchen.plan import TakePlan, plan_take
from eailkit.synthkitchen.raycast import first_hit
from eailkit.synthkitchen.room import FIXTURE_KINDS, Room, generate_room
from eailkit.synthkitchen.spline import KNOT_HZ, HeadMotion
from eailkit.synthkitchen.version import SYNTHKITCHEN_VERSION

COMMAND = "python -m benchmarks.properties"
REACH_M = (0.2, 1.15)  # from a body to what its hands do: not inside it, and an arm with a bent trunk away
BODY_M = 0.18  # half the depth of a trunk: nothing solid comes nearer to the body's middle
WALK_MPS = 1.8  # the fastest that somebody walks in a kitchen
HEAD_LOW_M, HEAD_HIGH = 0.45, 1.06  # squatting at a low drawer; on toes, as a share of standing height
OMEGA_RADPS, ACC_MPS2, ALPHA_RADPS2 = 15.0, 25.0, 250.0  # quick looks and thumps, far below a blow (100 g)


def room_faults(room: Room) -> list[str]:
    """What is wrong with a room: floor in pieces, fixtures missing or out of reach, furniture on it, a blocked door."""
    faults = []
    if ndimage.label(room.free)[1] != 1:
        faults.append("the free floor is in pieces")
    if not 2.0 <= room.area_side_m <= 6.15:
        faults.append(f"an area of {room.area_side_m:.2f} m a side")
    missing = set(FIXTURE_KINDS) - {"table", "chair", "island"} - {f.kind for f in room.fixtures}
    faults += [f"no {kind}" for kind in sorted(missing)]
    for f in room.fixtures:
        iy, ix = room.free_index(f.stand_xy_m[None])[0]
        cell = room.free_origin_xy_m + room.free_pitch_m * np.array([ix, iy])
        if not room.free[iy, ix] or np.abs(cell - f.stand_xy_m).max() > room.free_pitch_m:
            faults.append(f"nobody can stand at {f.name}")
        if not REACH_M[0] < np.hypot(*(f.work_point_m[:2] - f.stand_xy_m)) < REACH_M[1]:
            faults.append(f"{f.name} is out of reach")
    below = _materials_below(room, room.free_centres()[::2], 1.25)
    faults += [f"{name} on the free floor" for name in sorted(below - {"floor", "rug", "chair"})]
    return faults + _door_faults(room)


def _materials_below(room: Room, xy_m: np.ndarray, from_m: float) -> set[str]:
    start = np.column_stack([xy_m, np.full(len(xy_m), from_m)])
    _, face = first_hit(room, start, np.tile([0.0, 0.0, -1.0], (len(xy_m), 1)))
    return {room.materials.names[i] for i in np.unique(room.face_material[face])}


def _door_faults(room: Room) -> list[str]:
    """The leaf must swing a quarter turn about one of its sides over bare floor, and one must stand behind it."""
    vertices = np.asarray(room.mesh.vertices)[np.asarray(room.mesh.faces)]
    leaf = vertices[room.face_material == room.materials.index("door")].reshape(-1, 3)[:, :2]
    c, s = np.cos(room.yaw_rad), np.sin(room.yaw_rad)
    turn = np.array([[c, -s], [s, c]])
    local = (leaf - room.origin_xy_m) @ turn
    low, high = local.min(axis=0), local.max(axis=0)
    across = int(np.argmin(high - low))
    middle, width = (low + high) / 2, (high - low)[1 - across]
    along, inward = np.eye(2)[1 - across], np.eye(2)[across]
    inward = inward if middle[across] < room.size_m[across] / 2 else -inward
    angle, radius = np.meshgrid(np.linspace(0.08, np.pi / 2, 12), np.linspace(0.1, 1.0, 12) * (width - 0.01))
    forward, sideways = (radius * np.sin(angle)).reshape(-1, 1) + 0.03, (radius * np.cos(angle)).reshape(-1, 1)
    bare = {"floor", "rug", "skirting", "chrome"}  # the door's own frame and handle
    clear = []
    for side in (-1.0, 1.0):
        swept = middle + side * (width / 2 - sideways) * along + forward * inward
        clear.append(_materials_below(room, swept @ turn.T + room.origin_xy_m, 1.95) <= bare)
    step_in = (middle + 0.5 * inward) @ turn.T + room.origin_xy_m
    reached = np.hypot(*(room.free_centres() - step_in).T).min() < 0.1
    return ["the door can't open"] * (not any(clear)) + ["no way in from the door"] * (not reached)


def plan_faults(room: Room, plan: TakePlan) -> list[str]:
    """What is wrong with a body's path: through furniture, off the free floor, too fast, places never reached."""
    faults = []
    t = np.arange(0.0, plan.duration_s, 0.02)
    xy = np.stack([np.interp(t, plan.path_t_s, plan.path_xy_m[:, k]) for k in range(2)], axis=1)
    wide = np.pad(room.free, 10)
    off_m = ndimage.distance_transform_edt(~wide) * room.free_pitch_m
    cell = np.rint((xy - room.free_origin_xy_m) / room.free_pitch_m).astype(int)[:, ::-1] + 10
    if off_m[cell[:, 0], cell[:, 1]].max() > 1.5 * room.free_pitch_m:
        faults.append("the path leaves the free floor")
    for f in room.fixtures:
        low, high = f.box_centre_m[2] + np.array([-0.5, 0.5]) * f.box_size_m[2]
        if f.kind != "chair" and low < 1.3 and high > 0.15 and _clearance(f, xy) < BODY_M:
            faults.append(f"the path goes through {f.name}")
    speed = np.hypot(*np.diff(plan.path_xy_m, axis=0).T) / np.diff(plan.path_t_s)
    if speed.max() > WALK_MPS:
        faults.append(f"a walk of {speed.max():.1f} m/s")
    return faults


def _clearance(fixture, xy_m: np.ndarray) -> float:
    """Distance from the nearest of some points to a fixture's box, seen from above; negative inside."""
    c, s = np.cos(fixture.box_yaw_rad), np.sin(fixture.box_yaw_rad)
    beyond = np.abs((xy_m - fixture.box_centre_m[:2]) @ np.array([[c, -s], [s, c]])) - fixture.box_size_m[:2] / 2
    outside = np.hypot(*np.maximum(beyond, 0.0).T)
    return float(np.where(outside > 0, outside, beyond.max(axis=1)).min())


def motion_faults(motion: HeadMotion, person: Person) -> list[str]:
    """What is wrong with a head: too low or high, turned or pushed too hard, or a jump in an acceleration."""
    faults = []
    sample = motion.sample(np.arange(0.0, motion.duration_s, 1.0 / KNOT_HZ))
    low, high = sample.position_m[:, 2].min(), sample.position_m[:, 2].max()
    if low < HEAD_LOW_M or high > HEAD_HIGH * person.height_m:
        faults.append(f"a head between {low:.2f} and {high:.2f} m, of somebody {person.height_m:.2f} m tall")
    for name, values, most in (
        ("rad/s", sample.omega_radps, OMEGA_RADPS),
        ("m/s2", sample.acceleration_mps2, ACC_MPS2),
        ("rad/s2", sample.alpha_radps2, ALPHA_RADPS2),
    ):
        norm = np.linalg.norm(values, axis=1)
        if not norm.max() <= most:  # NaN is a fault too
            faults.append(f"{norm.max():.1f} {name} where at most {most:g} is human")
    knots = np.arange(1, int(motion.duration_s * KNOT_HZ) - 1) / KNOT_HZ
    before, after = motion.sample(knots - 1e-9), motion.sample(knots + 1e-9)
    jump = max(
        np.abs(after.acceleration_mps2 - before.acceleration_mps2).max(),
        0.1 * np.abs(after.alpha_radps2 - before.alpha_radps2).max(),
    )
    if not jump < 1e-3:
        faults.append(f"an acceleration that jumps by {jump:.2g}")
    return faults


def seed_faults(seed: int, minutes: float) -> list[str]:
    """Everything that is wrong with the room, the plan and the motion of one seed."""
    room, person = generate_room(seed), draw_person(seed)
    paths = FloorPaths(room.free, room.free_origin_xy_m, room.free_pitch_m)
    plan = plan_take(room, person, minutes, seed, paths=paths)
    motion = head_motion(plan.motion_plan(), person, seed)
    return room_faults(room) + plan_faults(room, plan) + motion_faults(motion, person)


def check_seeds(seeds: Iterable[int], minutes: float = 1.0) -> dict[int, list[str]]:
    """Seeds with something wrong, and what."""
    found = ((seed, seed_faults(seed, minutes)) for seed in seeds)
    return {seed: faults for seed, faults in found if faults}


def record(results: str, seeds: int, minutes: float) -> dict[int, list[str]]:
    """Check that many seeds, write the row of table `properties`, and return what was wrong."""
    began = time.perf_counter()
    wrong = check_seeds(range(seeds), minutes)
    mean = {"seeds": float(seeds), "seeds with a fault": float(len(wrong))}
    row = LedgerRow(
        id=f"SynthKitchen {SYNTHKITCHEN_VERSION}, {seeds} seeds",
        question="Does any room or take break a rule of kitchens, bodies or smooth motion?",
        command=f"{COMMAND} --seeds {seeds} --minutes {minutes:g}",
        config={
            "minutes a take": minutes,
            "rules": "fixtures reached, door opens, no furniture on free floor or path, head height, |omega|, |a|, "
            "|alpha|, accelerations continuous",
            "limits": {"omega rad/s": OMEGA_RADPS, "acc m/s2": ACC_MPS2, "alpha rad/s2": ALPHA_RADPS2},
        },
        commit=git_commit(),
        data_hash=f"simulator version {SYNTHKITCHEN_VERSION}",
        seeds=(0, seeds - 1),
        mean=mean,
        spread=dict.fromkeys(mean, 0.0),
        minutes=round((time.perf_counter() - began) / 60, 3),
        device=device_name(),
    )
    append_rows("properties", [row], results_dir=results)
    return wrong


def main() -> None:
    """Check a thousand seeds, say which break a rule, and record how many."""
    parser = argparse.ArgumentParser(prog=COMMAND, description=__doc__)
    parser.add_argument("--seeds", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=1.0, help="length of each seed's take")
    parser.add_argument("--results", default="results", help="folder of the ledger")
    args = parser.parse_args()
    wrong = record(args.results, args.seeds, args.minutes)
    for seed, faults in wrong.items():
        print(f"seed {seed}: {'; '.join(faults)}")
    print(f"{len(wrong)} of {args.seeds} seeds with a fault")


if __name__ == "__main__":
    main()
