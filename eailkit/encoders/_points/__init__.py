"""PointNet++ on a CPU: how neighbours are found, and the numbers of its levels sooner (private to the encoders)."""
