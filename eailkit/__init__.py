"""eailkit: a head-worn IMU finds its place in a 3D kitchen (EAIL, ICCV 2025; PRIMUS, ICASSP 2025).

Importing the package loads nothing else: each name of `__all__` is found where it lives when it is first asked for.
"""

import importlib

__version__ = "0.1.0"

_HOME = {  # name -> module that has it
    "Localizer": "eailkit.localize",
    "embed_file": "eailkit.embed",
    "fit_labels": "eailkit.embed",
    "open_recording": "eailkit.datasets",
}
_MODULES = ("datasets", "encoders", "losses", "metrics")
__all__ = ["Localizer", "datasets", "embed_file", "encoders", "fit_labels", "losses", "metrics", "open_recording"]


def __getattr__(name: str):
    """A public name on its first use (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f"eailkit.{name}")
    if name not in _HOME:
        raise AttributeError(f"module 'eailkit' has no attribute '{name}'; it offers {', '.join(__all__)}")
    globals()[name] = found = getattr(importlib.import_module(_HOME[name]), name)
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
