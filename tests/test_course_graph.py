"""What may run beside what: the table against the notebooks, the rule on small cases, and the time left."""

from __future__ import annotations

import ast
import json
import time

import pytest
from test_bad_luck import FREE
from test_course import executed, write_notebook

from eailkit.course import expect
from eailkit.course.doctor import examine, repository_folder
from eailkit.course.expect import Speed, course_s, default_jobs, expected_s, measure, recorded, room_for, threads_each
from eailkit.course.graph import COURSE, Needs, Plan, _needs
from eailkit.course.progress import Progress
from eailkit.course.run import run_course
from eailkit.course.state import NotebookRun, about
from eailkit.errors import ConfigError
from eailkit.results.ledger import read

NOTEBOOKS = {path.stem: path for path in sorted(repository_folder("notebooks").glob("[0-9][0-9]*_*.ipynb"))}
# What a notebook does with the run folder by what it calls on, or with, a `Run` or `PrimusRun`: (reads, makes).
# None: nothing there that another notebook reads or makes.
PREPARES = ("kitchens", "kitchens")
USES = {
    "prepared": PREPARES,
    "dataset": PREPARES,
    "bounds": PREPARES,
    "example_take": PREPARES,
    "vision_language_targets": ("targets", "targets"),
    "train_velocity": ("velocity", "velocity"),
    "train_stage1": ("stage-1 targets", "stage-1 targets"),
    "stage1": ("stage-1", ""),
    "features": ("features", "features"),
    "stage2": ("stage-2", ""),
    "train_stage2": ("", "stage-2"),
    "train_stage2 short": None,  # what two notebooks share of these, `training.fit` trains once
    "reference_table": ("", "references velocity"),
    "methods": ("references velocity", "references velocity"),
    "localizer": ("", "localizer"),
    "course_run": ("kitchens primus", "primus"),
    "train_here": ("kitchens targets stage-1 features", "kitchens targets stage-1 features unguided"),
    **dict.fromkeys(["other_take", "towers", "profile", "dir", "seed", "shipped", "histories", "size"]),
    **dict.fromkeys(["triplets", "scenarios", "kitchens", "untrained", "pretrained", "test_sets"]),
    **dict.fromkeys(["score_encoder", "score_handcrafted"]),
    "Maker": ("kitchens velocity", "kitchens velocity"),
    "eail_alone": ("features references", "features references"),
}


def uses(path) -> Needs:
    """What a notebook reads and makes, by its code."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    tree = ast.parse("\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"))
    short = {
        id(call.func)
        for call in ast.walk(tree)
        if isinstance(call, ast.Call)
        for k in call.keywords
        if k.arg == "short"
    }
    every = {getattr(node, "id", getattr(node, "attr", "")) for node in ast.walk(tree)}
    found = every & {"Maker", "eail_alone"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "run":
            found.add(f"{node.attr} short" if id(node) in short else node.attr)
        if isinstance(node, ast.Name) and node.id == "course_run":
            found.add("course_run")
        if isinstance(node, ast.Attribute) and node.attr == "train_here":
            found.add("train_here")
    unknown = found - set(USES)
    assert not unknown, f"{path.stem} calls run.{unknown}: say in USES, and in graph.COURSE, what it reads and makes"
    pairs = [USES[name] for name in found if USES[name]]
    reads, makes = (set(" ".join(pair[k] for pair in pairs).split()) for k in (0, 1))
    return Needs(frozenset(reads), frozenset(makes))


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_the_table_says_what_a_notebook_reads_and_makes(name):
    called, said = uses(NOTEBOOKS[name]), COURSE[name]
    first = next((n for n in NOTEBOOKS if called.makes & uses(NOTEBOOKS[n]).makes), name)
    assert called.makes <= said.makes and called.reads - said.reads <= said.makes, f"{name}: {called}, table: {said}"
    assert said.reads <= called.reads, f"the table says that {name} reads {set(said.reads - called.reads)}"
    if first != name:  # what it could make but an earlier one makes for it, it must wait for
        before = set().union(*(COURSE[n].makes for n in NOTEBOOKS if n < name))
        assert called.reads & before <= said.reads


def test_the_table_is_the_courses():
    assert list(COURSE) == list(NOTEBOOKS)


TABLE = {
    "a": _needs(makes="data"), "b": _needs("data", makes="data net"), "c": _needs("net", makes="short"),
    "d": _needs("data", makes="short"), "e": _needs(),
}  # fmt: skip


def began(plan: Plan) -> list[str]:
    """Everything that begins now."""
    return list(iter(plan.begin, None))


def test_readers_wait_for_makers_and_makers_of_one_thing_for_each_other():
    plan = Plan("abcde", 9, table=TABLE)
    assert began(plan) == ["a", "e"], "b, c and d wait for data"
    plan.end("a")
    assert set(began(plan)) == {"b", "d"}
    plan.end("b")
    assert began(plan) == [], "c and d would both make short"
    plan.end("d")
    assert began(plan) == ["c"]


def test_what_is_there_holds_nobody_up_and_what_failed_does():
    plan = Plan("abd", 9, table=TABLE)
    assert began(plan) == ["a"]
    plan.end("a", well=False)
    assert began(plan) == ["b"], "b makes the data now, and d reads them"
    plan.end("b")
    assert began(plan) == ["d"]


def test_only_some_run_in_the_order_of_the_course():
    assert began(Plan("bd", 9, table=TABLE)) == ["b"], "d reads what b makes"
    late = Plan(["reader", "maker"], 9, table={"reader": _needs("net"), "maker": _needs(makes="net")})
    assert began(late) == ["reader"], "the later one would change what the earlier one finds"


def test_one_that_the_table_doesnt_know_runs_alone_and_in_its_place():
    plan = Plan(["a", "new", "e"], 9, table=TABLE)
    for name in ("a", "new", "e"):
        assert began(plan) == [name]
        plan.end(name)


def test_the_longest_chain_goes_first_and_jobs_are_kept():
    seconds = {"a": 10, "b": 100, "c": 100, "d": 30, "e": 50}
    plan = Plan("abcde", 1, seconds, TABLE)
    order = []
    while plan.waiting:
        assert len(name := began(plan)) == 1
        order += name
        plan.end(name[0])
    assert order == ["a", "b", "c", "e", "d"]
    assert plan.left_s() == 0
    assert Plan("abcde", 1, seconds, TABLE).left_s() == sum(seconds.values())
    assert Plan("abcde", 2, seconds, TABLE).left_s() == 210, "a, b and c: the others beside them"


def test_the_course_side_by_side_is_no_longer_than_its_longest_chain_allows():
    times = {name: once.seconds for name, once in recorded().items()}
    names = [name for name in NOTEBOOKS if name in times]  # a new one has no record yet
    one, two, many = (Plan(names, jobs, times).left_s() for jobs in (1, 2, 16))
    assert one == pytest.approx(sum(times[n] for n in names))
    longest = sum(times[n] for n in names if n[:2] in ("01", "02", "04", "05") and n[2] == "_")
    assert longest <= many <= two < 0.75 * one


@pytest.mark.parametrize("only", [None, ["03", "04"], ["03", "07"], ["05", "08"], ["08", "09"], ["00", "01b"]])
def test_no_reader_begins_before_its_maker_has_ended_in_any_choice(only):
    chosen = [n for n in NOTEBOOKS if not only or n.startswith(tuple(only))]
    plan, done = Plan(chosen, 16), []
    while plan.waiting or plan.running:
        began(plan)
        for name in plan.running:
            thing_and_maker = [(t, m) for m in chosen if m < name for t in COURSE[m].makes & COURSE[name].reads]
            for thing in {t for t, _ in thing_and_maker}:
                assert any(thing in COURSE[n].makes for n in done), f"{name} began before {thing} was made"
            others = [n for n in plan.running if n != name]
            assert not any((COURSE[n].makes & COURSE[name].makes) - plan.made for n in others)
        done.append(plan.running[0])
        plan.end(plan.running[0])
    assert sorted(done) == sorted(chosen)


def test_notebooks_run_side_by_side_with_a_share_of_the_cores(tmp_path):
    meet = (
        "import os, time\nfrom pathlib import Path\nhere = Path(run_dir)\n"
        "(here / f'{me} began').touch()\nend = time.monotonic() + 60\n"
        "while len(list(here.glob('* began'))) < 2 and time.monotonic() < end:\n    time.sleep(0.05)\n"
        "assert len(list(here.glob('* began'))) == 2, 'nobody came'\nprint('threads', os.environ['OMP_NUM_THREADS'])"
    )
    for name in FREE[:2]:
        write_notebook(tmp_path / f"{name}.ipynb", f"me = {name!r}", meet)
    said: list[str] = []
    run = run_course(tmp_path, tmp_path / "run", jobs=2, say=said.append)
    assert run.ok, [n.error for n in run.notebooks]
    assert run.seconds < sum(n.seconds for n in run.notebooks) and run.jobs == 2
    assert [n.name for n in run.notebooks] == list(FREE[:2]), "in the report they stand in order"
    assert "threads" in json.dumps(executed(run, FREE[0])) and len("".join(said).splitlines()) == 3


def test_a_failed_notebook_stops_none_that_can_do_without_it(tmp_path):
    write_notebook(tmp_path / "01_preprocessing.ipynb", "1 / 0")
    for name in ("01b_inside_synthkitchen", "02_contrastive_alignment"):
        write_notebook(tmp_path / f"{name}.ipynb", "print('done')")
    run = run_course(tmp_path, tmp_path / "run", jobs=3, say=lambda text: None)
    assert [n.state for n in run.notebooks] == ["failed", "ok", "ok"]
    with pytest.raises(ConfigError, match="jobs: found 0"):
        run_course(tmp_path, tmp_path / "run", jobs=0)


class Ticks:
    """A clock that goes on by given amounts, one a look."""

    def __init__(self, *steps: float):
        self.now, self.steps = 0.0, list(steps)

    def __call__(self) -> float:
        self.now += self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
        return self.now


def test_expected_times_follow_the_speeds_of_training_and_of_the_rest(tmp_path):
    there = {"products": 10.0, "plain": 10.0}
    row = {"id": "02_contrastive_alignment", "mean": {"seconds": 100.0}, "config": {"threads": 1, "speed": there}}
    plain = {"id": "01_preprocessing", "mean": {"seconds": 40.0}, "config": {"threads": 1, "speed": there}}
    path = tmp_path / "times.json"
    path.write_text(json.dumps([row, plain]))
    share = expect.TRAINING["02_contrastive_alignment"]
    there = Speed(**there)
    same = expected_s(["02_contrastive_alignment", "06_new"], there, 1, path=path)
    assert same == {"02_contrastive_alignment": pytest.approx(100)}
    slow = expected_s(["02_contrastive_alignment"], Speed(5, 10), 1, path=path)
    assert slow["02_contrastive_alignment"] == pytest.approx(100 * (2 * share + 1 - share))
    two = expected_s(["02_contrastive_alignment"], there, 2, path=path)
    assert two["02_contrastive_alignment"] == pytest.approx(100 * (share * 260 / 433 + 1 - share), rel=0.01)
    half = expected_s(["01_preprocessing"], Speed(10, 5), 1, path=path)
    assert half["01_preprocessing"] == pytest.approx(80)
    names = ["01_preprocessing", "02_contrastive_alignment"]
    assert course_s(names, there, 2, 1, path=path) == pytest.approx(140), "02 needs 01"
    assert course_s([*names, "06_new"], there, 2, 1, path=path) is None
    absent = tmp_path / "absent.json"
    assert recorded(absent) == {} and course_s(names, there, 2, 1, path=absent) is None


def test_the_measurement_takes_the_fastest_step_and_its_time():
    core, wall = Ticks(0, 0.3, 1, 0.1, 1, 0.2, 1, 0.05), Ticks(0, 1)  # the fourth step is outside the budget
    assert expect._fastest(lambda: None, 1.0, core, wall) == pytest.approx(0.1)
    began_s = time.perf_counter()
    speed = measure()
    assert time.perf_counter() - began_s < 4, "a measurement of two seconds"
    assert speed.products > 0 and speed.plain > 0
    (check,) = [c for c in examine(speed=speed, jobs=2) if c.name == "the course"]
    assert "about" in check.found and "2 notebooks side by side" in check.found
    for name in NOTEBOOKS:  # a new notebook has no record yet, and that is said
        assert (name in check.found) == (name not in recorded())
    for name, once in recorded().items():
        same = expected_s([name], once.there, once.threads)
        assert same[name] == pytest.approx(once.seconds), "on the machine of the record its own times"


def test_as_many_side_by_side_as_take_least_time(monkeypatch):
    monkeypatch.setattr(expect, "cores", lambda: 16)
    names = list(recorded())
    took = {jobs: course_s(names, expect.REFERENCE, jobs, 16 // jobs) for jobs in (1, 2, 3, 10)}
    chosen = default_jobs(names)
    assert course_s(names, expect.REFERENCE, chosen, 16 // chosen) <= min(took.values()) and took[10] > min(
        took.values()
    )
    assert default_jobs(["00_new", "01_new"]) == 2, "without a record one a core"
    monkeypatch.setattr(expect, "PEAK_GB", 1e9)
    assert room_for() == 1, "memory for one alone"
    assert default_jobs(names) == chosen, "memory that happens to be free changes no threads, and so no number"


def test_what_is_left_to_run_and_free_memory_change_no_threads(fixture_notebooks, tmp_path, monkeypatch):
    monkeypatch.setattr(expect, "cores", lambda: 2)
    threads = []
    for name, peak_gb in (("one", 0.1), ("two", 1e9)):
        monkeypatch.setattr(expect, "PEAK_GB", peak_gb)
        run = run_course(fixture_notebooks, tmp_path / name, only=["00"], say=lambda text: None)
        assert run.jobs == 1
        threads.append(run.threads)
    assert threads == [1, 1], "as in a run of all of them, two side by side"


def test_the_memory_that_is_planned_for_is_what_the_largest_notebook_took():
    peak = max(row["mean"]["peak (MB)"] for row in read("course_quick")) / 1000
    assert peak <= expect.PEAK_GB <= 1.2 * peak


def test_threads_depend_on_jobs_alone():
    assert threads_each(1) == expect.cores() and threads_each(10_000) == 1


def progress_of(seconds: dict[str, float], *, live: bool, now) -> tuple[Progress, list[str]]:
    said: list[str] = []
    plan = Plan(list(seconds), 1, seconds, {name: _needs() for name in seconds})
    return Progress(plan, said.append, live=live, now=now), said


def test_lines_that_stay_are_few_and_say_the_time_left():
    progress, said = progress_of({"00_a": 240.0, "01_b": 120.0}, live=False, now=Ticks(0, 30, 31, 10, 60))
    progress.plan.begin()
    progress.show({"00_a": 30.0})
    progress.show({"00_a": 61.0})
    progress.show({"00_a": 71.0})
    assert said == ["  about 5 min left, running 00_a (61 s)\n"], "a line a minute, and no carriage return"
    progress.plan.end("00_a")
    progress.ended(NotebookRun("00_a", "", "", "ok", seconds=540.0))  # expected 240: this machine is slower
    assert said[-1].startswith("00_a") and said[-1].endswith("0 MB\n")
    progress.plan.begin()
    assert progress.left_s({"01_b": 0.0}) == pytest.approx(120 * (540 + 60) / (240 + 60))


def test_one_line_is_written_over_on_a_terminal_and_the_unknown_isnt_guessed():
    progress, said = progress_of({"00_a": 0.0, "01_b": 240.0}, live=True, now=Ticks(0, 2))
    progress.plan.begin()
    progress.show({"00_a": 5.0})
    progress.say("done\n")
    assert said[0] == "\rrunning 00_a (5 s)" and said[1] == f"\r{' ' * 19}\rdone\n".replace(
        " " * 19, " " * (len(said[0]) - 1)
    )


@pytest.mark.parametrize(("seconds", "text"), [(20, "less than a minute"), (50, "about 1 min"), (1090, "about 18 min")])
def test_guessed_times_are_told_in_minutes(seconds, text):
    assert about(seconds) == text
