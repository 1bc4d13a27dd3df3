"""What every result stands beside: references, and the methods that EAIL's tables compare."""
