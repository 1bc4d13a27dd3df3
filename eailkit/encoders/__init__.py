"""The four encoders of EAIL: motion, local point clouds, images and captions (EAIL section 4.1).

`ImuResNet18` and `PointNet2` are trained by us; the vision-language towers come from open_clip and stay frozen.
Nothing here knows losses, data or training.
"""

from eailkit.encoders.imu import IMU_PAPER, IMU_QUICK, ImuConfig, ImuResNet18
from eailkit.encoders.neighbours import Neighbours
from eailkit.encoders.points import POINTS_PAPER, POINTS_QUICK, PointNet2, PointsConfig

__all__ = [
    "IMU_PAPER",
    "IMU_QUICK",
    "POINTS_PAPER",
    "POINTS_QUICK",
    "ImuConfig",
    "ImuResNet18",
    "Neighbours",
    "PointNet2",
    "PointsConfig",
]
