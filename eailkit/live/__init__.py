"""Live use: a wearer found on a map while they move, and a page that shows it (`eailkit live`)."""

from eailkit.live.localizer import Localizer, Room, Second

__all__ = ["Localizer", "Room", "Second"]
