"""EAIL (ICCV 2025): prepared data, the two stages, inference over recordings, evaluation."""
