"""Serves the live page over the shipped take with networks of random weights: what test_live_page.py starts.

`python tests/live_page.py --speed 10 --seconds 20 --out track.csv` prints the address; Ctrl-C ends it.
"""

from __future__ import annotations

import argparse
import signal
from dataclasses import replace

import numpy as np
import torch

from eailkit.datasets import open_recording
from eailkit.eail.stage1 import Stage1, Stage1Config
from eailkit.eail.stage2 import SpatioTemporalReasoner, Stage2Config
from eailkit.eail.velocity import VelocityNet
from eailkit.files import DATA_SAMPLES
from eailkit.live import Localizer, Room
from eailkit.live.serve import serve
from eailkit.recording import ImuStream


def example(seconds: float) -> tuple[Localizer, ImuStream]:
    """A fresh localizer, and a stretch of the shipped take with a few NaN, so that the page has something to note."""
    torch.manual_seed(0)
    stage1 = Stage1(Stage1Config(imu_width=8, points_variant="quick", embed_dim=16))
    stage2 = SpatioTemporalReasoner(Stage2Config(embed_dim=16, channels=8, actions=3, blocks="light"))
    torch.nn.init.normal_(stage2.location[-1].weight, std=2.0)
    takes = sorted((DATA_SAMPLES / "kitchens" / "takes").iterdir())
    recording = open_recording(next(path for path in takes if not path.name.endswith("_scan")))
    imu = recording.imu.crop(recording.imu.t_s[0] + 20.0, recording.imu.t_s[0] + 20.0 + seconds)
    acc = imu.acc_mps2.copy()
    acc[5000:5005] = np.nan
    room = Room.encode(recording.map, stage1.eval(), points_per_cell=64)
    names = ("stir", "wash", "walk")
    live = Localizer(stage1, stage2, VelocityNet(8), room, None, names, R_head_sensor=imu.R_head_sensor)
    return live, replace(imu, acc_mps2=acc)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background jobs begin with it ignored
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--speed", type=float, default=1.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--out")
    asked = parser.parse_args()
    torch.set_num_threads(1)
    serve(
        *example(asked.seconds), name="take", speed=asked.speed, out=asked.out,
        say=lambda line: print(line, flush=True),
    )  # fmt: skip
