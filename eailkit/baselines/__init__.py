"""What every result stands beside: reference lines, and the methods that EAIL's tables compare."""
