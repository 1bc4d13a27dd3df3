"""The networks that read motion and points: EAIL's (section 4.1) and PRIMUS's (section 3.1).

`ImuResNet18` and `PointNet2` are EAIL's, `StackedRNN` PRIMUS's, `MotionGRU` ours on its terms; images and captions go
through the frozen towers of `vision_language`. Nothing here knows losses, data or training.
"""

from eailkit.encoders.imu import IMU_PAPER, IMU_QUICK, ImuConfig, ImuResNet18
from eailkit.encoders.motion_gru import MotionGRU
from eailkit.encoders.neighbours import Neighbours
from eailkit.encoders.points import POINTS_PAPER, POINTS_QUICK, PointNet2, PointsConfig
from eailkit.encoders.stacked_rnn import StackedRNN

__all__ = [
    "IMU_PAPER",
    "IMU_QUICK",
    "POINTS_PAPER",
    "POINTS_QUICK",
    "ImuConfig",
    "ImuResNet18",
    "MotionGRU",
    "Neighbours",
    "PointNet2",
    "PointsConfig",
    "StackedRNN",
]
