"""A course that is stopped, starved, locked out or put to sleep: one sentence, and nothing finished is lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
from test_course import write_notebook

from eailkit.course.guard import alone_in, stop_requests
from eailkit.course.run import run_course
from eailkit.errors import OutputError

posix = pytest.mark.skipif(os.name == "nt", reason="sends POSIX signals")
# names that the course's table knows: these three need nothing of each other
FREE = ("00_start_here", "01_preprocessing", "01b_inside_synthkitchen")


def course(notebooks: Path, out: Path, *more: str, ignore: tuple[int, ...] = ()) -> subprocess.Popen:
    """`eailkit course` as a process; signals work in it whatever this process ignores, but for those in `ignore`."""

    def prepare() -> None:
        for name in ("SIGINT", "SIGTERM", "SIGHUP"):
            number = getattr(signal, name)
            signal.signal(number, signal.SIG_IGN if number in ignore else signal.SIG_DFL)

    command = [sys.executable, "-m", "eailkit.cli", "course", "--notebooks", str(notebooks), "--out", str(out), *more]
    options = {"preexec_fn": prepare} if os.name != "nt" else {}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)


def until(happens: Callable[[], bool], within_s: float = 90) -> None:
    """Wait for something; fails where it doesn't happen."""
    deadline = time.monotonic() + within_s
    while not happens():
        assert time.monotonic() < deadline, "it didn't happen in time"
        time.sleep(0.05)


def states(out: Path) -> list[str]:
    """State of each notebook in a run's record."""
    record = json.loads((out / "course.json").read_text(encoding="utf-8"))
    return [notebook["state"] for notebook in record["notebooks"]]


def ended(processes: list[psutil.Process]) -> bool:
    """Whether none of some processes runs any more."""
    return not any(p.is_running() and p.status() != psutil.STATUS_ZOMBIE for p in processes)


def sleeper(path: Path, mark: Path, seconds: float = 120) -> Path:
    """A notebook that says by a file that it has begun, and takes its time."""
    return write_notebook(path, f"open({str(mark)!r}, 'w').close()", f"import time\ntime.sleep({seconds})")


@posix
@pytest.mark.parametrize("name", ["SIGINT", "SIGHUP"])
def test_ctrl_c_leaves_a_report_of_what_ran_and_no_kernel(tmp_path, name):
    write_notebook(tmp_path / "00_quick.ipynb", "print('done')")
    sleeper(tmp_path / "01_slow.ipynb", tmp_path / "started")
    write_notebook(tmp_path / "02_never.ipynb", "print('never')")
    process = course(tmp_path, tmp_path / "run")
    until((tmp_path / "started").exists)
    kernels = psutil.Process(process.pid).children(recursive=True)
    process.send_signal(getattr(signal, name))
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130 and "interrupted; what had run is in" in stderr and "Traceback" not in stderr
    assert states(tmp_path / "run") == ["ok", "interrupted", "waiting"]
    assert "interrupted" in (tmp_path / "run" / "index.html").read_text(encoding="utf-8")
    assert "hasn't run" in (tmp_path / "run" / "02_never.html").read_text(encoding="utf-8")
    assert kernels and ended(kernels)


@posix
def test_sigterm_ends_every_kernel_and_the_next_run_goes_on(tmp_path):
    child = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])"
    for name in FREE[:2]:
        mark = f"open({str(tmp_path / f'started {name}')!r}, 'w').close()"
        write_notebook(tmp_path / f"{name}.ipynb", child, mark, "import time\ntime.sleep(120)")
    write_notebook(tmp_path / f"{FREE[2]}.ipynb", "print('waits for a place')")
    process = course(tmp_path, tmp_path / "run", "--jobs", "2")
    until(lambda: all((tmp_path / f"started {name}").exists() for name in FREE[:2]))
    kernels = psutil.Process(process.pid).children(recursive=True)
    assert len(kernels) >= 4, "two kernels, each with a process of its own"
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 130 and ended(kernels)
    assert states(tmp_path / "run") == ["interrupted", "interrupted", "waiting"]
    for name in FREE[:2]:
        write_notebook(tmp_path / f"{name}.ipynb", "print('quick now')")
    assert run_course(tmp_path, tmp_path / "run", jobs=2, say=lambda text: None).ok


@posix
def test_what_the_parent_ignores_stays_ignored(tmp_path):
    sleeper(tmp_path / "00_slow.ipynb", tmp_path / "started", 3)
    process = course(tmp_path, tmp_path / "run", ignore=(signal.SIGHUP, signal.SIGINT))  # nohup eailkit course &
    until((tmp_path / "started").exists)
    process.send_signal(signal.SIGHUP)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=60) == 0 and states(tmp_path / "run") == ["ok"]


@posix
def test_a_second_signal_doesnt_wait():
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), stop_requests() as asked:
            os.kill(os.getpid(), signal.SIGINT)
            until(asked.is_set, 5)
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, before)


@posix
def test_a_closed_laptop_goes_on_where_it_was(tmp_path):
    lines = "import time\nfor k in range(40):\n    print(k, flush=True)\n    time.sleep(0.1)"
    write_notebook(
        tmp_path / "00_slow.ipynb", f"open({str(tmp_path / 'started')!r}, 'w').close()", lines, "print('end')"
    )
    process = course(tmp_path, tmp_path / "run")
    until(lambda: bool(psutil.Process(process.pid).children()))
    for _ in range(2):  # while the kernel starts, and longer than nbclient waits for outputs (4 s) after a cell's reply
        process.send_signal(signal.SIGSTOP)
        time.sleep(6)
        process.send_signal(signal.SIGCONT)
        until((tmp_path / "started").exists)
    assert process.wait(timeout=60) == 0 and states(tmp_path / "run") == ["ok"]
    page = (tmp_path / "run" / "00_slow.html").read_text(encoding="utf-8")
    assert "\n".join(map(str, range(40))) in page and "end" in page, "outputs of the time asleep are there"


def test_a_second_course_in_the_folder_is_refused_and_a_killed_one_leaves_no_lock(tmp_path):
    child = "import subprocess, sys\nsubprocess.Popen([sys.executable, '-c', 'import time; time.sleep(300)'])"
    mark = f"open({str(tmp_path / 'started')!r}, 'w').close()\nimport time\ntime.sleep(120)"
    write_notebook(tmp_path / "00_slow.ipynb", child, mark)
    first = course(tmp_path, tmp_path / "run")
    until((tmp_path / "started").exists)
    kernels = psutil.Process(first.pid).children(recursive=True)
    second = course(tmp_path, tmp_path / "run")
    _, stderr = second.communicate(timeout=60)
    assert second.returncode == 2 and stderr.startswith("eailkit: ") and "another course at work" in stderr
    assert len(stderr.strip().splitlines()) == 1
    first.kill()
    first.wait(timeout=60)  # its pipes stay open in what its kernel had started
    write_notebook(tmp_path / "00_slow.ipynb", "print('quick now')")
    assert len(kernels) >= 2 and run_course(tmp_path, tmp_path / "run", say=lambda text: None).ok
    assert ended(kernels), "neither the kernel of the killed course nor what it had started is left"


def test_the_lock_is_held_by_an_open_file_alone(tmp_path):
    with alone_in(tmp_path), pytest.raises(OutputError, match="another course at work"), alone_in(tmp_path):
        pass
    with alone_in(tmp_path):
        pass


@contextmanager
def mounted(folder: Path, *how: str) -> Iterator[Path]:
    """A folder that is a mount of its own; skips where nothing can be mounted."""
    folder.mkdir(exist_ok=True)
    done = subprocess.run(["mount", *how, str(folder)], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="mounts as Linux does")


@linux
def test_a_full_disk_is_one_sentence_and_what_had_run_stays(tmp_path):
    write_notebook(tmp_path / "00_fits.ipynb", "print('fits')")
    fill = (
        "from pathlib import Path\nwith open(Path(run_dir) / 'big', 'wb') as file:\n    file.write(bytes(40_000_000))"
    )
    write_notebook(tmp_path / "01_fills.ipynb", fill)
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "size=16m", "tmpfs") as disk:
        process = course(tmp_path, disk / "run")
        stdout, stderr = process.communicate(timeout=120)
        assert process.returncode in (1, 2) and "Traceback" not in stderr and "No space left" in stdout + stderr
        assert len(stderr.strip().splitlines()) <= 1
        assert states(disk / "run")[0] == "ok" and "fits" in (disk / "run" / "00_fits.html").read_text(encoding="utf-8")
        (disk / "run" / "artifacts" / "big").unlink()
        write_notebook(tmp_path / "01_fills.ipynb", "print('less')")
        assert run_course(tmp_path, disk / "run", say=lambda text: None).ok, "with space again it goes on"


def test_a_kernel_that_is_interrupted_at_its_end_says_nothing(tmp_path):
    # Jupyter interrupts each kernel before it ends it, and papermill's last question may be answered and not yet done
    slow_end = """import time
kernel = get_ipython().kernel
answer = kernel.shell_handlers['kernel_info_request']
async def answer_and_linger(*message):
    await answer(*message)
    time.sleep(2)
kernel.shell_handlers['kernel_info_request'] = answer_and_linger"""
    write_notebook(tmp_path / "00_slow_end.ipynb", slow_end)
    stdout, stderr = course(tmp_path, tmp_path / "run").communicate(timeout=120)
    assert "1 notebooks, 0 failed" in stdout and stderr == ""


@posix
def test_a_report_that_cant_be_written_is_one_sentence(tmp_path):
    import resource

    write_notebook(tmp_path / "00_fits.ipynb", "print('fits')")
    command = [
        sys.executable,
        "-m",
        "eailkit.cli",
        "course",
        "--notebooks",
        str(tmp_path),
        "--out",
        str(tmp_path / "run"),
    ]
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, 1_000_000))  # noqa: E731
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, preexec_fn=limit)
    lines = done.stderr.strip().splitlines()
    assert done.returncode == 2 and len(lines) == 1, done.stderr
    assert lines[0].startswith("eailkit: ") and "can't be written" in lines[0]


@linux
def test_a_read_only_folder_is_one_sentence(tmp_path):
    write_notebook(tmp_path / "00_fits.ipynb", "print('fits')")
    with mounted(tmp_path / "disk", "-t", "tmpfs", "-o", "ro", "tmpfs") as disk:
        process = course(tmp_path, disk / "run")
        _, stderr = process.communicate(timeout=60)
        assert process.returncode == 2 and len(stderr.strip().splitlines()) == 1, stderr
        assert str(disk / "run") in stderr and "Read-only file system" in stderr
        with pytest.raises(OutputError, match="can't be written"):
            run_course(tmp_path, disk, say=lambda text: None)


def test_a_file_in_the_folders_place_is_one_sentence(tmp_path):
    write_notebook(tmp_path / "00_fits.ipynb", "print('fits')")
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(OutputError, match="can't be made"):
        run_course(tmp_path, tmp_path / "taken" / "run")
    with pytest.raises(OutputError, match="found the input"):
        run_course(tmp_path, tmp_path / "x" / "..")  # beside the notebooks themselves
    assert (tmp_path / "taken").read_text() == "mine" and not (tmp_path / "executed").exists()
