"""Pretraining of the tiny vision-language towers that ship."""
