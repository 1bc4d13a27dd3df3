"""From raw recordings and maps to what networks read: alignment, resampling, windows, labels, local clouds."""
