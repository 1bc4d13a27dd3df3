"""The numbers of both simulators' cards, from the ledger; `python -m benchmarks.readme` writes them."""

from __future__ import annotations

import math
from pathlib import Path

from eailkit.results.ledger import read
from eailkit.results.names import id_parts, row_id

KINDS = {
    "real Aria walk": "real walk", "simulated": "simulated",
    "simulated, thinned to the real density": "simulated, at the real density",
}  # fmt: skip


def card_parts(results: Path) -> dict[str, str]:
    """Name of each generated part of the card -> its text."""
    rows = {name: {row["id"]: row for row in read(name, results_dir=results)} for name in
            ("realism", "map_realism", "narrations", "bounds_quick", "speed")}  # fmt: skip
    return {
        "heads": _heads(rows["realism"]),
        "classifier": _classifier(rows["realism"]),
        "maps": _maps(rows["map_realism"]),
        "words": _words(rows["narrations"]),
        "size": _size(rows["speed"]),
        "bounds": _bounds(rows["bounds_quick"]),
    }


def scenario_parts(results: Path) -> dict[str, str]:
    """Name of each generated part of the scenarios' card -> its text."""
    rows = read("scenarios", results_dir=results)
    out = ["| activity of 1A | sub-activities here | inside (%) | outside the range |", "|---|---|---|---|"]
    for row in rows:
        config = row["config"]
        here = ", ".join(config.get("sub-activities", ()))
        outside = ", ".join(f"{_plain(name)} (× {ratio:.2g})" for name, ratio in _beyond(config))
        name = row["id"].replace("_", " ")
        out.append(f"| {name} | {here} | {row['mean']['inside (%)']:.1f} | {outside} |")
    return {"beside": "\n".join(out)}


def _beyond(config: dict) -> list[tuple[str, float]]:
    """What is outside the real range and how often the range's nearer end goes into it, the farthest first."""
    found = []
    for name in config.get("outside", ()):
        values = config["statistics"][name]
        median = values["simulated_p50"]
        found.append((name, median / values["real_p90" if median > values["real_p90"] else "real_p10"]))
    return sorted(found, key=lambda f: -abs(math.log(f[1])))


def _heads(rows: dict[str, dict]) -> str:
    out = ["| activity | | inside (%) | outside the range |", "|---|---|---|---|"]
    for name, row in rows.items():
        if "inside (%)" not in row["mean"]:
            continue
        outside = ", ".join(_plain(s) for s in row["config"].get("outside", ()))
        kind = row["config"].get("kind", "together")
        out.append(f"| {name.replace('_', ' ')} | {kind} | {row['mean']['inside (%)']:.1f} | {outside} |")
    walk = rows["Aria walk, 16-128 Hz"]["mean"]
    noise = rows["noise floor at rest"]["mean"]
    ratios = ", ".join(f"{k.split(',')[0]} {v:.2f}" for k, v in walk.items())
    floor = f"acceleration {_first(noise, 'acc'):.2f}, rotation {_first(noise, 'gyro'):.2f}"
    out += ["", f"Simulated over real power beside the Aria walk (one wearer, 11 s): {ratios}.", ""]
    return "\n".join([*out, f"Noise at rest over the documented one: {floor}."])


def _first(values: dict[str, float], start: str) -> float:
    return next(v for k, v in values.items() if k.startswith(start))


def _plain(statistic: str) -> str:
    text = statistic.replace("bp_", "").replace("_norm:", " ").replace("_", " ")
    return text.replace("Hz", " Hz")


def _classifier(rows: dict[str, dict]) -> str:
    out = ["| windows | gradient boosting | logistic regression | what gives it away most |", "|---|---|---|---|"]
    for activity in ("standing", "walking"):
        row = rows[row_id("classifier", activity)]
        first = ", ".join(_plain(name) for name in list(row["config"]["gives_away"])[:3])
        auc = row["mean"]
        boosting, logistic = auc["AUC, gradient boosting"], auc["AUC, logistic regression"]
        out.append(f"| {activity} | {boosting:.2f} | {logistic:.2f} | {first} |")
    return "\n".join(out)


def _maps(rows: dict[str, dict]) -> str:
    measures = list(dict.fromkeys(id_parts(name)[0] for name in rows))
    out = ["| median (p10 to p90) | " + " | ".join(KINDS.values()) + " |", "|---" * (len(KINDS) + 1) + "|"]
    for measure in measures:
        cells = []
        for kind in KINDS:
            found = rows[row_id(measure, kind)]["mean"]
            around = f" ({found['p10']:.3g} to {found['p90']:.3g})" if found["p10"] != found["p90"] else ""
            cells.append(f"{found['p50']:.3g}{around}")
        out.append(f"| {measure} | " + " | ".join(cells) + " |")
    return "\n".join(out)


def _words(rows: dict[str, dict]) -> str:
    found = rows["SynthKitchen"]["mean"]
    return (
        f"{found['gap p50 (s)']:.2f} s ({found['gap p10 (s)']:.2f} to {found['gap p90 (s)']:.2f} s, p10 to p90), "
        f"{found['narrations per minute']:.0f} a minute, {found['distinct texts']:.0f} different sentences in a sample."
    )


def _bounds(rows: dict[str, dict]) -> str:
    out = ["| | " + " | ".join(rows) + " |", "|---" * (len(rows) + 1) + "|"]
    for name in next(iter(rows.values()))["mean"]:  # as recorded: names say how many takes were counted
        out.append(
            f"| {name.replace('|', chr(92) + '|')} | "
            + " | ".join(f"{r['mean'][name]:.2f}" for r in rows.values())
            + " |"
        )
    return "\n".join(out)


def _size(rows: dict[str, dict]) -> str:
    bare, filmed = (
        rows[f"SynthKitchen, IMU and map, {what}, one core"]["mean"] for what in ("no frames", "one frame a second")
    )
    scan = bare["MB per room's scan"]
    memory = rows["SynthKitchen, memory of one process, one frame a second"]["mean"]
    speed, slower = (values["times real time"] for values in (bare, filmed))
    return (
        f"An hour takes {bare['MB per hour']:.0f} MB on disk, {filmed['MB per hour']:.0f} MB with a frame a second, a "
        f"room's scan {scan:.1f} MB; the whole of it {bare['GB of the bench']:.1f} GB, or "
        f"{filmed['GB of the bench']:.1f} GB with every take filmed. One core makes {speed:.0f} times "
        f"real time, {slower:.0f} with frames, in {memory['peak MB of 12 takes']:.0f} MB of memory "
        f"for twelve takes and {memory['peak MB of 2 takes']:.0f} MB for two."
    )
