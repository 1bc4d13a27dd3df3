"""eailkit: a head-worn IMU finds its place in a 3D kitchen (EAIL, ICCV 2025; PRIMUS, ICASSP 2025).

Importing the package loads nothing else; each name is imported from the module where it lives,
such as `eailkit.datasets.open_recording` or `eailkit.encoders.ImuResNet18`.
"""

__version__ = "0.1.0"
