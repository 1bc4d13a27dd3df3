"""What every test shares: one thread, real recordings where they are, a course run of the fixture notebooks.

Tensor functions run with jaxtyping's checks switched on.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from jaxtyping import install_import_hook

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")  # no test asks the network

# Modules of tensor functions: each call in a test is held to the shapes in the function's signature.
# Modules with numba functions are left out, as numba can't compile the checks.
CHECKED = ["losses", "metrics", "encoders.imu", "encoders.points", "eail.stage1", "eail.stage2"]
CHECKED += [f"baselines.{name}" for name in ("action_training", "deepconvlstm", "evi_mae", "imu2clip")]
install_import_hook([f"eailkit.{module}" for module in CHECKED], "beartype.beartype")

REPOSITORY = Path(__file__).resolve().parent.parent

# Files whose tests take longest begin first, so that no worker is left with one of them when the others have ended.
LONGEST = (
    "test_vision_language", "test_bad_luck", "test_synth_scale", "test_kills", "test_cli", "test_synth_properties",
    "test_synth_rooms", "test_widgets_simulator", "test_primus_run", "test_pipeline", "test_protocol", "test_tables",
    "test_course", "test_changed_maps",
    "test_activity_windows", "test_primus_training", "test_realism", "test_synth_dataset", "test_parallel",
    "test_report_browser", "test_states",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the files; within a file the tests stay as they stand."""
    rank = {name: k for k, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.stem, len(LONGEST)))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder of the checkout."""
    return REPOSITORY


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder of real recordings that EAILKIT_REAL_DATA names; tests that need it skip where it isn't."""
    named = os.environ.get("EAILKIT_REAL_DATA")
    if not named or not Path(named).is_dir():
        pytest.skip("EAILKIT_REAL_DATA names no folder of real recordings")
    return Path(named)


@pytest.fixture
def set_threads():
    """A function that gives torch so many threads for the rest of the test."""
    import torch

    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def smoke_run(tmp_path_factory: pytest.TempPathFactory):
    """The smallest PRIMUS experiment, without kitchens and real recordings; what a test makes of it the next finds."""
    from eailkit.experiments.primus_run import PrimusRun

    return PrimusRun(tmp_path_factory.mktemp("primus") / "run", "smoke", progress=False, workers=1)


@pytest.fixture(scope="session")
def smoke_kitchens(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Path], Path]:
    """Lay the prepared smoke kitchens, which one worker makes for all, into a folder that a run then works in."""
    from eailkit.experiments.eail_run import Run
    from eailkit.parallel import held

    base = tmp_path_factory.getbasetemp()
    shared = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "smoke-kitchens"
    with held(shared.with_suffix(".lock"), say=lambda text: None):
        Run(shared, "smoke", progress=False).prepared  # noqa: B018 (made on first use)

    def lay(folder: Path) -> Path:
        shutil.copytree(shared, folder, copy_function=os.link, dirs_exist_ok=True)
        return folder

    return lay


@pytest.fixture(scope="session")
def fixture_notebooks() -> Path:
    """Notebooks made to go right and wrong in known ways."""
    return REPOSITORY / "tests" / "notebooks_fixtures"


@pytest.fixture(scope="session")
def fixture_course(fixture_notebooks: Path, tmp_path_factory: pytest.TempPathFactory):
    """One course run over the fixture notebooks, with what it printed: (CourseRun, text)."""
    from eailkit.course.run import run_course

    said: list[str] = []
    run = run_course(fixture_notebooks, tmp_path_factory.mktemp("course"), say=said.append)
    return run, "".join(said)


QUIET = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync",
)  # fmt: skip


@pytest.fixture(scope="module")
def browser():
    """A Chromium that is on this machine; none is downloaded."""
    from eailkit.course.doctor import find_browser

    playwright = pytest.importorskip("playwright.sync_api", reason="playwright isn't installed: pip install -e .[dev]")
    path = find_browser()
    if path is None:
        pytest.skip("no Chromium on this machine: install one or set CHROMIUM to its path")
    with playwright.sync_playwright() as driver:
        chromium = driver.chromium.launch(executable_path=path, args=list(QUIET))
        yield chromium
        chromium.close()
