"""PointNet++'s levels in training on a CPU (private to `eailkit.encoders.points`)."""
