"""Frozen image and text towers through open_clip: real ones by tag or file, tiny ones that ship.

`vision_language.load("tiny")` gives any of them.
"""

from eailkit.vision_language.towers import StoredFeatures, Towers, VisionLanguage, identity_of, load

__all__ = ["StoredFeatures", "Towers", "VisionLanguage", "identity_of", "load"]
