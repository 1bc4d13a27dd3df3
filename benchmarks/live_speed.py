"""What live use costs: milliseconds of one core a second of signal, in all and by part, and the memory it holds.

Weights are random, as the time doesn't hang on them; the recording is the shipped one (803 Hz), the room its own.
`python -m benchmarks.live_speed` prints medians over seconds of processor time on one thread; nothing is recorded.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import psutil
import torch

from eailkit.datasets import open_recording
from eailkit.eail.causal import second_map
from eailkit.eail.features import embed_imu
from eailkit.eail.inference import stage2_config
from eailkit.eail.sequences import HYPOTHESES
from eailkit.eail.stage1 import Stage1, Stage1Config
from eailkit.eail.stage2 import SpatioTemporalReasoner
from eailkit.eail.tracker import Tracker
from eailkit.eail.velocity import SIDE_S, VelocityNet
from eailkit.files import DATA_SAMPLES
from eailkit.live import Localizer, Room
from eailkit.live.belief import Belief
from eailkit.live.seconds import SecondStream
from eailkit.preprocess.imu import RATE_HZ
from eailkit.profiles import Profile, get_profile
from eailkit.recording import ImuStream

ACTIONS = 35
BLOCKS_S = (0.0, 0.05, 1.0)  # of signal a push; 0 is one sample
GOAL_MS = 20.0


def measure(profile: Profile, *, seconds: int = 60) -> dict[str, float]:
    """Milliseconds a second of signal, by what is measured; the parts leave out what glues them together."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    takes = sorted((DATA_SAMPLES / "kitchens" / "takes").iterdir())
    recording = open_recording(next(path for path in takes if not path.name.endswith("_scan")))
    imu = recording.imu.crop(recording.imu.t_s[0], recording.imu.t_s[0] + seconds + 0.2)
    stage1 = Stage1(Stage1Config.of(profile)).eval()
    stage2 = SpatioTemporalReasoner(stage2_config(profile, ACTIONS)).eval()
    velocity = VelocityNet(profile.imu_width).eval()
    room = Room.encode(recording.map, stage1, points_per_cell=64)
    found = {}
    for block_s in BLOCKS_S:
        live = Localizer(stage1, stage2, velocity, room, R_head_sensor=imu.R_head_sensor)
        size = max(1, round(block_s * imu.rate_hz))
        what = f"all, blocks of {block_s:g} s" if block_s else "all, sample by sample"
        found[what] = _a_second(lambda *block, live=live: live.push(*block), imu, size)
    stream = SecondStream(imu.R_head_sensor)
    found["gravity, 400 Hz, facing"] = _a_second(lambda *block: list(stream.push(*block)), imu, round(imu.rate_hz))
    return found | _parts(stage1, stage2, velocity, room, profile)


def _a_second(push: Callable, imu: ImuStream, size: int) -> float:
    """Mean over the recording but for its first ten seconds, in which windows are short and kernels are chosen."""
    began = after = 0.0
    for k in range(0, len(imu), size):
        if not began and imu.t_s[k] >= imu.t_s[0] + 10:
            began, after = time.process_time(), imu.t_s[k]
        push(imu.t_s[k : k + size], imu.acc_mps2[k : k + size], imu.gyro_radps[k : k + size])
    return 1000 * (time.process_time() - began) / (imu.t_s[-1] - after)


def _parts(
    stage1: Stage1, stage2: SpatioTemporalReasoner, velocity: VelocityNet, room: Room, profile: Profile
) -> dict[str, float]:
    rng = np.random.default_rng(0)
    window = rng.normal(0, 3, (1, 6, round(RATE_HZ))).astype(np.float32)
    motion = rng.normal(size=(profile.sequence_s, HYPOTHESES, profile.embed_dim)).astype(np.float32)
    motion /= np.linalg.norm(motion, axis=-1, keepdims=True)
    sides = torch.from_numpy(np.concatenate([window] * (2 * SIDE_S + 1), axis=2))
    points, empty = torch.from_numpy(room.features), torch.from_numpy(room.empty)
    belief = Belief(Tracker(room.grid, room.free, room.empty))
    joint, _ = second_map(stage2, motion, points, empty, profile.sequence_s - 2)
    with torch.inference_mode():
        return {
            "IMU encoder": _median(lambda: embed_imu(stage1, window, np.zeros(1))),
            "velocity net": _median(lambda: velocity(sides)),
            f"stage 2, {HYPOTHESES} headings": _median(
                lambda: second_map(stage2, motion, points, empty, profile.sequence_s - 2)
            ),
            "tracker": _median(lambda: belief.update(joint, np.array([0.3, 0.1]), 0.1)),
        }


def _median(work: Callable[[], object], times: int = 40) -> float:
    took = []
    for _ in range(times):
        began = time.process_time()
        work()
        took.append(1000 * (time.process_time() - began))
    return float(np.median(took[3:]))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--profile", default="quick")
    parser.add_argument("--seconds", type=int, default=60)
    asked = parser.parse_args()
    for name, milliseconds in measure(get_profile(asked.profile), seconds=asked.seconds).items():
        verdict = f" of {GOAL_MS:g} allowed" if name.startswith("all") else ""
        print(f"{name:28s} {milliseconds:6.2f} ms a second of signal{verdict}")
    print(f"{'memory':28s} {psutil.Process().memory_info().rss / 2**20:6.0f} MB of the process, torch included")
