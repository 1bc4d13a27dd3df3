"""How our GRU encoders run fast on CPUs: compiled loops, their training step, and inference. Private to `encoders`."""
