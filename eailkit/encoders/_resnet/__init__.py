"""The IMU ResNet's convolutions and norms on a CPU (private to `eailkit.encoders.imu`)."""
