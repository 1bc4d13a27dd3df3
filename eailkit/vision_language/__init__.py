"""Frozen image and text towers through open_clip: real ones by tag or file, tiny ones that ship."""
