"""What `import eailkit` offers, and how little it loads before it is asked."""

from __future__ import annotations

import importlib
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

import eailkit
from eailkit import encoders

README = Path(__file__).resolve().parents[1] / "README.md"
FRESH = """
import json, sys, time
began = time.perf_counter()
import eailkit
seconds = time.perf_counter() - began
heavy = sorted({"torch", "numpy", "pandas", "plotly"} & set(sys.modules))
print(json.dumps({"seconds": seconds, "heavy": heavy, "dir": dir(eailkit)}))
"""


def fresh(code: str) -> str:
    """Output of a new interpreter that runs some code."""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_importing_the_package_takes_no_time_and_loads_nothing_heavy():
    found = [json.loads(fresh(FRESH)) for _ in range(3)]
    assert min(f["seconds"] for f in found) < 0.3 and found[0]["heavy"] == []
    assert set(eailkit.__all__) <= set(found[0]["dir"])


@pytest.mark.parametrize("name", eailkit.__all__)
def test_every_public_name_is_there_when_it_is_asked_for(name):
    held = getattr(eailkit, name)
    home = held.__name__ if name in eailkit._MODULES else f"{held.__module__}.{held.__qualname__}"
    assert home.startswith("eailkit.") and home.endswith(name) and held.__doc__


def test_names_are_the_same_objects_as_where_they_live():
    assert eailkit.open_recording is importlib.import_module("eailkit.datasets").open_recording
    assert eailkit.Localizer is importlib.import_module("eailkit.localize").Localizer
    with pytest.raises(AttributeError, match="it offers Localizer"):
        _ = eailkit.localizer


def test_readme_lists_what_the_package_offers():
    told = README.read_text(encoding="utf-8").partition("In Python: ")[2].partition("\n\n")[0]
    names = re.findall(r"`eailkit\.([\w.]+)", told)
    assert {name.partition(".")[0] for name in names} == set(eailkit.__all__)
    shown = {name.removeprefix("encoders.") for name in names if name.startswith("encoders.")}
    assert shown == {"ImuResNet18", "PointNet2", "StackedRNN", "MotionGRU"} and shown <= set(encoders.__all__)


def test_the_old_name_of_embed_still_works_and_says_so():
    sys.modules.pop("eailkit.primus_embed", None)
    with pytest.warns(DeprecationWarning, match=r"expected eailkit\.embed"):
        old = importlib.import_module("eailkit.primus_embed")
    new = importlib.import_module("eailkit.embed")
    assert old.embed_file is new.embed_file and old.fit_labels is eailkit.fit_labels
    assert eailkit.__version__ < "0.2", "the alias goes with 0.2"
