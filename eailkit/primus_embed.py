"""The old name of `eailkit.embed`, kept until 0.2."""

import warnings

from eailkit import embed

warnings.warn(
    "eailkit.primus_embed: found the old name; expected eailkit.embed, which holds the same; import that, the old name "
    "goes with 0.2.",
    DeprecationWarning,
    stacklevel=2,
)


def __getattr__(name: str):
    """Whatever `eailkit.embed` has."""
    return getattr(embed, name)
