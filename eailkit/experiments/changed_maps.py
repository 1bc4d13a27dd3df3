"""What a map is worth when the kitchen has changed since it was scanned: every method on older maps.

A share of each room's things stood elsewhere when the scan was made, or wasn't there (`older_room`); recordings,
trained parts and the tracker's calibration stay as they are. All is measured on both test splits, on the same seconds
(`changed_rooms`), and each method is paired with itself on the map as it is. A scan that is made again of the
unchanged room tells how much of a loss is any other scan's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from eailkit.baselines import niloc, priors
from eailkit.eail.changed_reading import changed_reading
from eailkit.eail.evaluation import Table, score_take, verdict
from eailkit.eail.prepared import Prepared
from eailkit.eail.sequences import Prediction
from eailkit.experiments.changed_rooms import (
    KIND,
    SPLITS,
    Changed,
    changed_features,
    changed_prepared,
    check_rebuilt,
    scan_older,
)  # fmt: skip
from eailkit.experiments.eail_run import FULL, Run
from eailkit.experiments.methods import PUBLISHED, TRACKED, Methods
from eailkit.files import write_json
from eailkit.metrics import METRICS, Interval
from eailkit.profiles import get_profile
from eailkit.provenance import identity, weights_tag
from eailkit.results.ledger import RESULTS_DIR, LedgerRow, append_rows, device_name, git_commit, read
from eailkit.results.names import row_id

SHARES = (0.1, 0.2, 0.3, 0.4, 0.5)
FREE, HABIT, ALONE, RECKONED = "free space", "training occupancy", "IMU alone", "dead reckoning"
UNTRAINED = (FREE, HABIT)
OURS = (FULL, TRACKED, PUBLISHED)
READ = (FULL, TRACKED, PUBLISHED, FREE, HABIT)  # lines that look at the map
INTERVAL = "interval, 95 %, over rooms, people and seeds"
FROM_UNCHANGED = "against the map as it is, points"
BESIDE = "against others on the same map, points"
SUCCESS = "SR@0.4m"


@dataclass(frozen=True)
class Condition:
    """A map that methods are given: how much of the room has changed since, and which walk the scan was."""

    share: float = 0.0
    walk: int = 0

    @property
    def name(self) -> str:
        """What tables call it."""
        if self == UNCHANGED:
            return "as it is"
        return f"{100 * self.share:.0f} % changed" + (", scanned again" if self.walk else "")


UNCHANGED, AGAIN = Condition(), Condition(walk=1)


class Parts:
    """What one seed trained, and its lines on any map.

    Attributes:
        minutes: of the trainings, by their names.
    """

    def __init__(self, run: Run):
        self.run = run
        self.stage1, _ = run.train_stage1()
        self.stage2, _ = run.train_stage2(self.stage1)
        self.methods = run.methods(self.stage1, self.stage2)
        self.alone, run.histories["imu_alone"] = niloc.train_imu_alone(
            run.prepared, self.methods.features, run.profile, run.weights_dir, progress=run.progress
        )
        self.minutes = {name: history.minutes for name, history in run.histories.items()}

    def scores(self, condition: Condition, prepared: Prepared) -> tuple[pd.DataFrame, float]:
        """Every line on every test take, made once, and the minutes that it took.

        Args:
            prepared: the dataset on the condition's maps.
        """
        code = ("eailkit.experiments.methods", "eailkit.eail.evaluation", "eailkit.baselines.priors",
                "eailkit.baselines.niloc", "eailkit.baselines.ronin", Parts, occupancy)  # fmt: skip
        weights = {name: weights_tag(getattr(self, name)) for name in ("stage1", "stage2", "alone")}
        made = identity(
            "scores on changed maps", code=code, data=prepared.identity, velocity=weights_tag(self.methods.velocity),
            tracker=self.methods.tracker_config, sequence_s=self.run.profile.sequence_s,
            stride_s=self.run.profile.eval_stride_s, **weights,
        )  # fmt: skip
        path = self.run.dir / f"changed-maps-{self.run.profile.name}" / f"scores.{made.key}.json"
        if not path.is_file():
            began = time.monotonic()
            rows = self._scored(prepared)
            minutes = (time.monotonic() - began) / 60
            write_json(path, {"made": made.record, "condition": condition.name, "minutes": minutes, "rows": rows})
        found = json.loads(path.read_text(encoding="utf-8"))
        return pd.DataFrame(found["rows"]), found["minutes"]

    def _scored(self, prepared: Prepared) -> list[dict]:
        features = self.methods.features
        if isinstance(prepared, Changed):
            features = changed_features(self.stage1, features, prepared, self.run.dir / "features-changed-maps")
        rows = []
        for split in SPLITS:
            for take in prepared.by_split(split):
                about = {"split": split, "take": take.name, "room": take.room, "participant": take.participant}
                for method, predict in self.lines(prepared, features).items():
                    rows.append({"method": method} | about | score_take(prepared, take, predict(take)))
        return rows

    def lines(self, prepared: Prepared, features) -> dict[str, Callable[[object], Prediction]]:
        """The methods by name; the tracker as it was calibrated on validation takes and unchanged maps."""
        mine, run = self.methods, self.run
        if isinstance(prepared, Changed):  # anew for every take, so that no more than its own maps are held
            mine = Methods(
                prepared, features, run.profile, self.stage1, self.stage2, mine.velocity, mine.tracker_config
            )
        return {
            FULL: mine.alone,
            TRACKED: mine.tracked,
            PUBLISHED: lambda t: mine.alone(t, protocol="published"),
            FREE: lambda t: priors.free_space(prepared, t),
            HABIT: lambda t: occupancy(run.prepared, prepared, t),
            ALONE: lambda t: niloc.predict_imu_alone(self.alone, features, t),
            RECKONED: mine.dead_reckoned,
        }  # fmt: skip


def occupancy(trained: Prepared, given: Prepared, take) -> Prediction:
    """Training occupancy on a given map: of a room that was trained in, its training positions on that map's cells.

    In any other room it is what training took from its own maps, as they were: cells of the square, whatever it holds.
    """
    seen = any(t.room == take.room for t in trained.by_split("train"))
    return priors.occupancy(given if seen else trained, take)


def record_changed_maps(
    out: str | Path,
    profile: str,
    seeds: Sequence[int] = (),
    *,
    results_dir: str | Path = RESULTS_DIR,
    command: str = "eailkit reproduce changed-maps",
    shares: Sequence[float] = SHARES,
    draw: int = 0,
) -> Path:
    """Score every seed's methods on maps of each share, and write table `changed_maps_<profile>`.

    Args:
        out: folder of EAIL's run; what it trained is found again there, what it lacks is trained.
        seeds: the profile's where none is given.
        shares: of each room's things, 0 to 1.
        draw: seed of which things have changed and how, the same for all trainings.

    Returns:
        the table's path.
    """
    seeds = tuple(seeds) or get_profile(profile).seeds
    conditions = (UNCHANGED, AGAIN, *(Condition(float(share)) for share in sorted(shares)))
    maps, scores, minutes = {}, [], 0.0
    for number, seed in enumerate(seeds):
        run = Run(out, profile, seed=seed)
        maps = maps or older_maps(run, conditions, draw)
        run.prepared = maps[UNCHANGED]
        parts = Parts(run)
        minutes += sum(parts.minutes.values())
        for condition in conditions:
            found, spent = parts.scores(condition, maps[condition])
            found = found if number == 0 else found[~found.method.isin(UNTRAINED)]  # which have no seed
            scores.append(found.assign(seed=seed, method=[at(m, condition) for m in found.method]))
            minutes += spent
            print(f"seed {seed}, {condition.name}: scored in {spent:.1f} minutes", flush=True)
    common = {
        "command": command, "commit": git_commit(), "data_hash": run.prepared.data_hash, "seeds": seeds,
        "minutes": round(minutes, 2), "device": device_name(),
    }  # fmt: skip
    table = Table(run.prepared, SPLITS, pd.concat(scores, ignore_index=True))
    rows = changed_rows(table, maps, common)
    path = append_rows(f"changed_maps_{profile}", rows, results_dir=results_dir)
    print(recorded_reading(profile, results_dir=results_dir))
    return path


def older_maps(run: Run, conditions: Sequence[Condition], draw: int = 0) -> dict[Condition, Prepared]:
    """The run's dataset under each condition; the rooms are proven to be those of the recordings.

    Raises:
        DatasetError: a room's scan isn't what its seed gives.
    """
    own, root, out = run.prepared, run.dataset(), run.dir / f"changed-maps-{run.profile.name}"
    check_rebuilt(own, root, sorted({t.room for s in SPLITS for t in own.by_split(s)}))
    asked = {c: {"share": c.share, "seed": draw, "kind": KIND, "walk": c.walk} for c in conditions if c != UNCHANGED}
    scan_older(own, root, asked.values(), out, workers=2, progress=run.progress)
    return {c: changed_prepared(own, root, **asked[c], out_dir=out) if c in asked else own for c in conditions}


def at(method: str, condition: Condition) -> str:
    """What the table calls a method on a condition's maps."""
    return row_id(method, condition.name)


def changed_rows(table: Table, maps: Mapping[Condition, Prepared], common: dict) -> list[LedgerRow]:
    """A row a split, method and condition: means, intervals, and paired differences from the map as it is."""
    rows, methods = [], list(dict.fromkeys(m.rsplit(" | ", 1)[0] for m in table.scores.method))
    for split in table.splits:
        for condition, prepared in maps.items():
            ground = _ground(maps[UNCHANGED], prepared, split)
            for method in methods:
                name = at(method, condition)
                found = {m: v for m in METRICS if (v := table.interval(name, split, m)) is not None}
                if not found:
                    continue
                config = {"share": condition.share, "walk": condition.walk, "spread": "half of the interval's width",
                          INTERVAL: {m: _numbers(v) for m, v in found.items()}, **ground}  # fmt: skip
                if condition != UNCHANGED:
                    gains = {m: table.difference(name, at(method, UNCHANGED), split, m) for m in found}
                    config[FROM_UNCHANGED] = {m: _numbers(v) | {"verdict": verdict(v)} for m, v in gains.items()}
                if method in OURS:
                    beside = {o: table.difference(name, at(o, condition), split, SUCCESS) for o in (*UNTRAINED, ALONE)}
                    config[BESIDE] = {o: _numbers(v) | {"verdict": verdict(v)} for o, v in beside.items()}
                rows.append(LedgerRow(
                    id=row_id(split, name), config=config,
                    question=f"How well does '{method}' do on {split} with maps {condition.name}?",
                    mean={m: round(v.mean, 2) for m, v in found.items()},
                    spread={m: round((v.high - v.low) / 2, 2) for m, v in found.items()}, **common,
                ))  # fmt: skip
    return rows


def _ground(own: Prepared, prepared: Prepared, split: str) -> dict:
    """What a condition's maps are like: things changed, squares, and seconds that these can't hold."""
    takes, off, empty = prepared.by_split(split), [], []
    for take in takes:
        room, known = prepared.rooms[take.room], np.asarray(take.cell) >= 0
        at_truth = room.grid.label(np.asarray(take.position, float)[known])
        off.append(float(np.mean(at_truth < 0)))
        empty.append(float(np.mean(np.asarray(room.empty)[np.asarray(take.cell, int)[known]])))
    found = {
        "takes": len(takes), "rooms": len({t.room for t in takes}),
        "side_m, mean over takes": round(float(np.mean([prepared.rooms[t.room].grid.side_m for t in takes])), 3),
        "side_m of the map as it is": round(float(np.mean([own.rooms[t.room].grid.side_m for t in takes])), 3),
        "seconds off the square, scored as they are, %": round(100 * float(np.mean(off)), 2),
        "seconds on a cell without points, scored as they are, %": round(100 * float(np.mean(empty)), 2),
    }  # fmt: skip
    if isinstance(prepared, Changed):
        changes = {room: prepared.changes[room] for room in sorted({t.room for t in takes})}
        count = lambda what: round(float(np.mean([sum(c["what"] == what for c in v) for v in changes.values()])), 2)  # noqa: E731
        found |= {"things a room": round(float(np.mean([prepared.things[r] for r in changes])), 2)}
        found |= {"moved a room": count("moved"), "absent a room": count("absent")}
    return found


def _numbers(v: Interval) -> dict[str, float]:
    return {"mean": round(v.mean, 3), "low": round(v.low, 3), "high": round(v.high, 3)}


def _interval(found: Mapping[str, float]) -> Interval:
    return Interval(*(found[k] for k in ("mean", "low", "high")))


def recorded_changes(
    profile: str = "quick", *, metric: str = SUCCESS, results_dir: str | Path = RESULTS_DIR
) -> pd.DataFrame:
    """A recorded table for `plots.changes_figure`: columns split, method, share, mean, low, high, and walk."""
    rows = []
    for row in read(f"changed_maps_{profile}", results_dir=results_dir):
        split, method, _ = row["id"].split(" | ")
        if metric in row["mean"]:
            about = {"split": split, "method": method, "share": row["config"]["share"], "walk": row["config"]["walk"]}
            rows.append(about | row["config"][INTERVAL][metric])
    return pd.DataFrame(rows, columns=["split", "method", "share", "walk", "mean", "low", "high"])


def recorded_reading(profile: str = "quick", *, results_dir: str | Path = RESULTS_DIR) -> str:
    """What a recorded table says in words (`eail.changed_reading`), "" where there is none."""
    success, losses, margins, again = {}, {}, {}, {}
    into = lambda where, split, method: where.setdefault(split, {}).setdefault(method, {})  # noqa: E731
    rows = read(f"changed_maps_{profile}", results_dir=results_dir)
    worst = max((row["config"]["share"] for row in rows), default=0.0)
    for row in rows:
        (split, method, _), config = row["id"].split(" | "), row["config"]
        if method not in READ:
            continue
        loss = config.get(FROM_UNCHANGED, {}).get(SUCCESS)
        if config["walk"]:
            again.setdefault(split, {})[method] = _interval(loss)
            continue
        into(success, split, method)[config["share"]] = _interval(config[INTERVAL][SUCCESS])
        if loss:
            into(losses, split, method)[config["share"]] = _interval(loss)
        if config["share"] == worst:
            into(margins, split, method).update({o: _interval(v) for o, v in config.get(BESIDE, {}).items()})
    return changed_reading(success, losses, margins, again)
