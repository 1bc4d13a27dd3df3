"""`python -m benchmarks.readme [--course DIR]`: README's and the cards' numbers from the ledger: nobody types them.

The parts between `<!-- name -->` and `<!-- /name -->` are replaced. With `--course`, the times of a finished course
run are recorded first.
"""

from __future__ import annotations

import argparse
import json
import re
from pathlib import Path

from benchmarks.card import card_parts, scenario_parts
from benchmarks.paper_part import paper_part
from eailkit.baselines import oracles
from eailkit.course.state import clock
from eailkit.eail.readings import CONSTANT_PLACE
from eailkit.experiments.methods import FULL, LIVE, OTHER_IMU, PUBLISHED, TRACKED
from eailkit.experiments.protocol import recorded_lines, recorded_reading
from eailkit.experiments.stability import CHANGES
from eailkit.results import paper
from eailkit.results.ledger import LedgerRow, append_rows, device_name, git_commit, read
from eailkit.results.names import TEST_SETS, id_parts, point_key, row_id
from eailkit.results.recorded import intervals_of

README = Path(__file__).resolve().parents[1] / "README.md"
CARD = README.parent / "docs" / "synthkitchen.md"
SCENARIOS_CARD = README.parent / "docs" / "scenarios.md"
RESULTS = README.parent / "results"
LINES = (
    TRACKED, LIVE, FULL, CONSTANT_PLACE, OTHER_IMU, PUBLISHED, "IMU alone", "stage 1 alone", "dead reckoning",
    "training occupancy", "free space", "chance", "majority action", oracles.FACING_PRIOR, oracles.TRUE_VELOCITIES,
    oracles.BEST_PLACE, oracles.TRUE_ACTION,
)  # fmt: skip
HEADLINES = (TRACKED, FULL)
COURSE = "the course"  # the row of all notebooks together
QUESTIONS = {
    "00_start_here": "What does it look like when it works?",
    "01_preprocessing": "What does a network get to see of an IMU and of a map?",
    "01b_inside_synthkitchen": "What are the course's data made of, and what can an IMU feel of a place?",
    "02_contrastive_alignment": "Can one second of head motion tell what is around you?",
    "02b_dead_reckoning": "What can motion alone say of a path, and for how long?",
    "03_heatmap_generation": "Where on this map could that second have been?",
    "04_spatiotemporal_reasoning": "How do ten seconds and the room's shape settle it?",
    "05_action_recognition": "Does knowing the place tell the action?",
    "05b_tracking": "What do motion and maps know together, second after second?",
    "06_baselines_and_drift": "What do EAIL's rivals know, and how much of a number is its definition?",
    "07_ablations": "Which parts carry the result?",
    "08_primus_pretraining": "What can an IMU encoder learn without labels?",
    "09_primus_few_shot": "How few labels are then enough?",
}


def record_course(folder: Path, results: Path = RESULTS) -> None:
    """Record seconds and peak memory of each notebook of a course run, and of a whole run together."""
    run = json.loads((folder / "course.json").read_text())
    if run.get("trains_in") and not device_name().endswith(run["trains_in"]):
        raise SystemExit(f"{folder} trained in {run['trains_in']}: record it with EAILKIT_PRECISION as it was then")
    measured = lambda seconds, ended_s, peak_mb: {  # noqa: E731
        "seconds": round(seconds, 1), "ended (s)": round(ended_s, 1), "peak (MB)": round(peak_mb),
    }  # fmt: skip
    notebooks = [n for n in run["notebooks"] if n["state"] == "ok"]
    found = {n["name"]: measured(n["seconds"], n["ended_s"], n["peak_memory_mb"]) for n in notebooks}
    if set(QUESTIONS) <= set(found):
        found[COURSE] = measured(run["seconds"], run["seconds"], max(n["peak_memory_mb"] for n in notebooks))
    data = read("localization_quick", results_dir=results)[0]["data_hash"]  # quick always makes the same data
    rows = [
        LedgerRow(
            id=name, question=f"How long does '{name}' take at quick, environment excluded?", command="make course",
            config={key: run[key] for key in ("profile", "jobs", "threads", "speed")}, commit=git_commit(),
            data_hash=data, seeds=(0,), mean=mean, spread=dict.fromkeys(mean, 0.0),
            minutes=round(mean["seconds"] / 60, 2), device=device_name(),
        )
        for name, mean in found.items()
    ]  # fmt: skip
    append_rows("course_quick", rows, results_dir=results)


def parts(results: Path = RESULTS) -> dict[str, str]:
    """Name of each generated part of README -> its text."""
    rows = read("course_quick", results_dir=results)
    times = {row["id"]: row["mean"] for row in rows}
    jobs = max((row["config"].get("jobs", 1) for row in rows), default=1)
    beside = f", {jobs} side by side" if jobs > 1 else ""
    notebooks = [f"| notebook | question | time (2 cores{beside}) |", "|---|---|---|"]
    for name, question in QUESTIONS.items():
        time = clock(times[name]["seconds"]) if name in times else "–"
        notebooks.append(f"| [{name}](notebooks/{name}.ipynb) | {question} | {time} |")
    printed = ["```"]
    for name in sorted((n for n in QUESTIONS if n in times), key=lambda n: times[n].get("ended (s)", 0.0)):
        seconds, peak = clock(times[name]["seconds"]), times[name]["peak (MB)"]
        printed.append(f"{name:34}{'ok':12}{seconds:>8}{peak:8.0f} MB")
    if set(QUESTIONS) <= set(times):
        together = (
            sum(times[name]["seconds"] for name in QUESTIONS) if COURSE not in times else times[COURSE]["seconds"]
        )
        printed.append(f"{len(QUESTIONS)} notebooks, 0 failed, {clock(together)}: runs/<time>/index.html")
    beside_paper = paper_part(results)
    return ({"paper": beside_paper} if beside_paper else {}) | {
        "notebooks": "\n".join(notebooks),
        "printed": "\n".join([*printed, "```"]),
        "results": _results(results),
        "criteria": _criteria(results),
        "over_time": _over_time(results),
        "stability": _stability(results),
        "protocol": _protocol(results),
        "bounds": card_parts(results)["bounds"],
        "primus": _primus(results),
        "joined": _joined(results),
    }


PRIMUS_LINES = (  # table, row of it, what README calls it
    ("primus_fig4_bench", "PRIMUS, our encoder | encoder", "**PRIMUS's objective, our encoder**"),
    (
        "primus_fig4_bench",
        "PRIMUS, with unlabelled 1A, our encoder | encoder",
        "the same, twelve other real people's unlabelled windows mixed in",
    ),
    ("primus_fig4_bench", "IMU2CLIP, our encoder | encoder", "IMU2CLIP's objective, our encoder"),
    ("primus_fig4_bench", "SimCLR, our encoder | encoder", "SimCLR's objective, our encoder"),
    ("primus_lines_bench", "random weights, our encoder | encoder", "random weights, our encoder"),
    ("primus_lines_bench", "handcrafted | random", "handcrafted features, logistic regression"),
    ("primus_lines_bench", "handcrafted | boosting", "handcrafted features, gradient boosting"),
    ("primus_fig4_bench", "PRIMUS | random", "PRIMUS, the paper's encoder"),
    ("primus_fig4_bench", "PRIMUS, as released | random", "PRIMUS as released"),
    ("primus_lines_bench", "standard training | proper", "the paper's encoder, trained anew on those windows alone"),
)
COLUMNS = "| seen: 0.4 m | seen: RS | seen: top-1 | unseen: 0.4 m | unseen: RS | unseen: top-1 |"


def _primus(results: Path) -> str:
    shots = (1, 5, 20, 50, 200)
    out = ["| macro-F1 (%) at shots per class | " + " | ".join(map(str, shots)) + " |", "|---|" + "---|" * len(shots)]
    for table, line, name in PRIMUS_LINES:
        rows = {row["id"]: row for row in read(table, results_dir=results)}
        if row_id(TEST_SETS[2], line) not in rows:
            continue
        mean, spread = (rows[row_id(TEST_SETS[2], line)][part] for part in ("mean", "spread"))
        keys = [point_key("macro_f1", n) for n in shots]
        cells = [f"{mean[k]:.1f} ± {spread[k]:.1f}" if k in mean else "–" for k in keys]
        out.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(out) if len(out) > 2 else "Not recorded yet."


def _joined(results: Path) -> str:
    out = [f"| SynthKitchen, quick {COLUMNS}", "|---|---|---|---|---|---|---|"]
    rows: dict[str, list[str]] = {}
    for row in read("joined_quick", results_dir=results):  # seen, then unseen, as recorded
        shown = intervals_of(row)
        rows.setdefault(id_parts(row["id"])[1], []).extend(shown[m] for m in ("SR@0.4m", "RS", "top1"))
    out += [f"| {line} | " + " | ".join(cells) + " |" for line, cells in rows.items()]
    return "\n".join(out) if rows else "Not recorded yet."


def _results(results: Path) -> str:
    rows = {row["id"]: row for row in read("localization_quick", results_dir=results)}
    out = [f"| SynthKitchen, quick {COLUMNS}", "|---|---|---|---|---|---|---|"]
    for line in LINES:
        cells = []
        for split in ("test-seen", "test-unseen"):
            shown = intervals_of(rows.get(row_id(split, line), {}))
            cells += [shown.get(metric, "–") for metric in ("SR@0.4m", "RS", "top1")]
        name = f"**{line}**" if line in HEADLINES else line
        out.append(f"| {name} | " + " | ".join(cells) + " |")
    values = []
    for split in ("test-seen", "test-unseen"):
        values += [f"{paper.value(1, 'EAIL', split, m):.1f}" for m in ("SR@0.4m", "RS")]
        values.append(f"{paper.value(2, 'EAIL', split, 'top1'):.1f}")
    out += [
        "",
        f"| Ego-Exo4D, the paper {COLUMNS}",
    ]
    out += ["|---|---|---|---|---|---|---|", "| EAIL | " + " | ".join(values) + " |"]
    return "\n".join(out)


def _criteria(results: Path) -> str:
    """Paired differences in success at 0.4 m of our lines from those that they have to beat, seen and unseen."""
    found: dict[str, dict[str, str]] = {}
    for row in read("criteria_quick", results_dir=results):
        split, what = id_parts(row["id"])
        found.setdefault(what, {})[split] = f"{row['config']['margin (points)']}: {row['config']['verdict']}"
    out = ["| success at 0.4 m, points | seen | unseen |", "|---|---|---|"]
    splits = ("test-seen", "test-unseen")
    out += [f"| {what} | " + " | ".join(each.get(s, "–") for s in splits) + " |" for what, each in found.items()]
    return "\n".join(out) if found else "Not recorded yet."


def _over_time(results: Path) -> str:
    """Errors over twenty minutes, headings, regions and what the wearer does, a small table each."""
    rows = {row["id"]: row["mean"] for row in read("over_time_quick", results_dir=results)}
    if not rows:
        return "Not recorded yet."
    methods = (FULL, LIVE, TRACKED, "dead reckoning")
    splits = ("test-seen", "test-unseen")
    number = lambda name, key, digits: f"{rows[name][key]:.{digits}f}" if key in rows.get(name, {}) else "–"  # noqa: E731
    out = [
        "| takes of twenty minutes | first minute (m) | last minute (m) | mean (m) | slope (m a minute) |",
        "|---" * 5 + "|",
    ]
    for method in methods:
        name = row_id("error over time", method)
        keys = ("error of minute 0-1 (m)", "error of minute 19-20 (m)", "mean error (m)", "slope (m/min)")
        out.append(f"| {method} | " + " | ".join(number(name, k, 3 if "slope" in k else 2) for k in keys) + " |")
    columns = " | ".join(
        f"{split[5:]}: {what}" for split in splits for what in ("median (deg)", "within 30 deg (% of takes)")
    )
    out += ["", f"| heading after four minutes | {columns} |", "|---" * 5 + "|"]
    for method in methods[:3]:
        cells = [
            number(row_id("heading", row_id(split, method)), f"{what} after 4 minutes {unit}", 1)
            for split in splits for what, unit in (("median error", "(deg)"), ("within 30 deg", "(% of takes)"))
        ]  # fmt: skip
        out.append(f"| {method} | " + " | ".join(cells) + " |")
    doing = [(split, what) for split in splits for what in ("walking", "acting", "idle")]
    out += ["", "| success at 0.4 m while | " + " | ".join(f"{s[5:]}: {w}" for s, w in doing) + " |", "|---" * 7 + "|"]
    for method in methods:
        cells = [number(row_id(split, f"{what} seconds, {method}"), "SR@0.4m", 1) for split, what in doing]
        out.append(f"| {method} | " + " | ".join(cells) + " |")
    held = [
        f"{number(row_id(split, 'coverage of the 90 % region'), 'seconds inside (%)', 0)} % ({split[5:]})"
        for split in splits
    ]  # fmt: skip
    return "\n".join(
        [*out, "", f"The tracker's 90 % region holds the true place in {' and '.join(held)} of the seconds."]
    )


def _stability(results: Path) -> str:
    """How far a map that is the same but for its points moves an answer."""
    rows = {row["id"]: row["mean"] for row in read("stability_quick", results_dir=results)}
    if not rows:
        return "Not recorded yet."
    keys = {
        "seconds that move over 0.2 m (%)": "seconds that move", "success moves, mean (points)": "mean",
        "success moves, largest (points)": "largest",
    }  # fmt: skip
    methods = (FULL, TRACKED)
    out = [
        "| unseen rooms, the map with | " + " | ".join(f"{m}: {k}" for m in methods for k in keys.values()) + " |",
        "|---" * 7 + "|",
    ]
    for change in CHANGES:
        found = [rows[row_id("test-unseen", f"{m}, {change}")] for m in methods]
        cells = [f"{mean[k]:+.1f}" if "mean" in k else f"{mean[k]:.1f}" for mean in found for k in keys]
        out.append(f"| {change} | " + " | ".join(cells) + " |")
    return "\n".join(out)


def _protocol(results: Path) -> str:
    """What the switches of the paper's presumed protocol are worth, and the sentence that none explains."""
    shown = recorded_lines(results_dir=results)
    if shown.empty:
        return "Not recorded yet."
    out = ["| line | " + " | ".join(shown.columns) + " |", "|---" * (1 + len(shown.columns)) + "|"]
    out += [f"| {name} | " + " | ".join(row) + " |" for name, row in zip(shown.index, shown.to_numpy(), strict=True)]
    said = recorded_reading(results_dir=results).splitlines()
    told = [x for x in said if " explains " in x or x.startswith(("No setting", "Each of", "Features"))]
    return "\n".join([*out, "", *told])


def filled(text: str, contents: dict[str, str]) -> str:
    """A text with every generated part put in."""
    for name, content in contents.items():
        pattern = re.compile(rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)", re.DOTALL)
        text = pattern.sub(lambda m, content=content: m.group(1) + content + "\n" + m.group(2), text)
    return text


def documents(results: Path = RESULTS) -> dict[Path, dict[str, str]]:
    """The texts that hold numbers, each with its generated parts."""
    return {README: parts(results), CARD: card_parts(results), SCENARIOS_CARD: scenario_parts(results)}


def main() -> None:
    """Record a course run if one is given, then write README and cards."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.readme", description=__doc__)
    parser.add_argument("--course", type=Path, help="folder of a finished course run")
    args = parser.parse_args()
    if args.course:
        record_course(args.course)
    for path, contents in documents().items():
        path.write_text(filled(path.read_text(encoding="utf-8"), contents), encoding="utf-8")


if __name__ == "__main__":
    main()
