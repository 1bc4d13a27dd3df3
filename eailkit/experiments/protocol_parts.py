"""The settings of the paper's presumed protocol, and what each of them needs trained (see `experiments.protocol`).

`LINES` are the settings of four switches: heading, training, square, cloud. `Maps` lays the dataset on other squares
and clouds, `Parts` trains what a seed needs, each thing once however many lines read it, and scores.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd

from eailkit.baselines import priors
from eailkit.eail.evaluation import Table
from eailkit.eail.features import Features, embed_dataset, motion_features
from eailkit.eail.inference import train_stage2
from eailkit.eail.motion_probe import heading_probe
from eailkit.eail.prepared import Prepared
from eailkit.eail.sequences import Prediction
from eailkit.eail.squares import Placed, features_on, on_clouds, on_squares
from eailkit.eail.stage1 import Stage1, Stage1Config, train_stage1
from eailkit.eail.stage2 import SpatioTemporalReasoner
from eailkit.experiments.eail_run import Run
from eailkit.experiments.methods import Methods
from eailkit.experiments.own_clouds import clouds_identity, own_clouds
from eailkit.files import write_json
from eailkit.provenance import identity, weights_tag

TRUTH = "uses ground truth"
SPLITS = ("test-seen", "test-unseen")


@dataclass(frozen=True)
class Line:
    """A setting of the four switches.

    Attributes:
        label: its name, without the warning that `name` adds.
        heading: "free" (stage 1 and 2 never know one), "inferred", "published" (known at the start), "heading
            throughout", or "chance" for no method at all.
        squares: a rule of `eail.squares`.
        clouds: "scan", or "own" for the take's own.
        note: what a reader must know of it.
    """

    label: str
    heading: str = "inferred"
    squares: str = "scan"
    clouds: str = "scan"
    note: str = ""

    @property
    def uses_truth(self) -> bool:
        """Whether a test take's answer hangs on true positions or orientations, its own or another take's."""
        return self.heading in ("published", "heading throughout") or self.squares != "scan" or self.clouds != "scan"

    @property
    def name(self) -> str:
        """What tables call it."""
        return f"{self.label} ({TRUTH})" if self.uses_truth else self.label

    @property
    def switches(self) -> dict[str, str]:
        """How each of the four stands, in words."""
        return {"a, heading": HEADINGS[self.heading], "b, training": TRAININGS[self.heading == "free"],
                "c, square": SQUARES[self.squares], "d, cloud": CLOUDS[self.clouds]}  # fmt: skip


HEADINGS = {
    "free": "none: features hold no heading",
    "inferred": "unknown: twelve hypotheses, weighed by the take",
    "published": "known at the start (true orientation), drifting with the filter afterwards",
    "heading throughout": "known at every second (true orientation)",
    "chance": "no method",
}
TRAININGS = {
    False: "map and heading turned together",
    True: "windows yawed and clouds turned at random, each alone, in stage 1",
}
SQUARES = {
    "scan": "from the map's floor alone",
    "training": "around the room's training trajectories; in a room without any, around its other takes' (true paths)",
    "own": "around the take's own true trajectory",
}
CLOUDS = {"scan": "a scan of the room", "own": "the take's own, simulated from its true path"}

BASE = "inferred"
LINES = (
    Line("heading-free", "free", note="(a) without (b) is this line too: nothing in its features holds a heading"),
    Line(BASE, note="(b) without (a) is this line: features hold a heading, and nobody says which it is"),
    Line("a: heading known at the start", "published"),
    Line("a: heading known throughout", "heading throughout"),
    Line("c: square of training trajectories", squares="training", note="stage 2 trained on these squares"),
    Line("c: square of the take's own trajectory", squares="own", note="stage 2 trained on these squares"),
    Line("d: the take's own cloud", clouds="own", note="stage 2 not retrained: it learned on scans"),
    Line("all four", "published", "training", "own", "stage 2 trained on the squares, but on scans"),
    Line("all four at their most", "heading throughout", "own", "own", "stage 2 trained on the squares, but on scans"),
    Line("chance", "chance"),
    Line("chance, square of training trajectories", "chance", "training"),
    Line("chance, square of the take's own trajectory", "chance", "own"),
)  # fmt: skip
CHANCE_ON = {line.squares: line.name for line in LINES if line.heading == "chance"}


class Maps:
    """The dataset of a run on other squares and clouds; one for all seeds, since none of it is trained."""

    def __init__(self, run: Run):
        self.run, self.prepared = run, run.prepared
        self._made: dict[tuple[str, str], Prepared] = {}

    def on(self, squares: str, clouds: str) -> Prepared:
        """The dataset under a rule of squares, with the room's scans or (test takes alone) the takes' own clouds."""
        if squares == clouds == "scan":
            return self.prepared
        key = (squares, clouds)
        if key not in self._made:
            self._made[key] = on_squares(self.prepared, squares) if clouds == "scan" else self._own(squares)
        return self._made[key]

    def _own(self, squares: str) -> Placed:
        names = [t.name for split in SPLITS for t in self.prepared.by_split(split)]
        data = self.prepared.identity
        points = own_clouds(self.run.dataset(), names, self.run.dir, data)
        return on_clouds(self.on(squares, "scan"), points, made=clouds_identity(data))

    def room_of(self, prepared: Prepared, key: str) -> str:
        """The room that a key of `prepared.rooms` stands for: intervals are drawn over rooms, not over squares."""
        return prepared.base_room[key] if isinstance(prepared, Placed) else key


class Parts:
    """What one seed trains, each thing once however many lines share it.

    Attributes:
        minutes: of each training, by its name.
    """

    def __init__(self, run: Run, maps: Maps):
        self.run, self.maps, self.minutes = run, maps, {}
        self._made: dict[tuple, object] = {}

    def stage1(self, free: bool) -> Stage1:
        """With a heading, which is the run's own, or without any."""
        return self._once(("stage 1", free), lambda: self._stage1(free))

    def _stage1(self, free: bool) -> Stage1:
        run = self.run
        if not free:
            model, history = run.train_stage1()
        else:
            config = Stage1Config.of(run.profile, use_vision_language=True, directed=False)
            model, history = train_stage1(
                run.prepared, run.profile, run.weights_dir, targets=run.vision_language_targets, config=config,
                name="stage1-heading_free", progress=run.progress,
            )  # fmt: skip
        self.minutes[f"stage 1{', heading-free' if free else ''}"] = history.minutes
        return model

    def features(self, free: bool, squares: str = "scan", clouds: str = "scan") -> Features:
        """Frozen features of a dataset of `Maps`."""
        return self._once(("features", free, squares, clouds), lambda: self._features(free, squares, clouds))

    def _features(self, free: bool, squares: str, clouds: str) -> Features:
        run, model = self.run, self.stage1(free)
        folder, views = run.dir / f"features-{run.profile.name}", run.profile.views
        if free:
            return without_heading(embed_dataset(model, run.prepared, folder, views=views, progress=run.progress))
        base = run.features(model)
        if squares == clouds == "scan":
            return base
        return features_on(model, base, self.maps.on(squares, clouds), folder, views=views)

    def stage2(self, free: bool, squares: str) -> SpatioTemporalReasoner:
        """Trained on a rule's squares, always on scans."""
        return self._once(("stage 2", free, squares), lambda: self._stage2(free, squares))

    def _stage2(self, free: bool, squares: str) -> SpatioTemporalReasoner:
        run = self.run
        if not free and squares == "scan":
            model, history = run.train_stage2(self.stage1(False))
        else:
            name = f"stage2-protocol-{'heading_free' if free else squares}"
            model, history = train_stage2(
                self.maps.on(squares, "scan"), self.features(free, squares), run.profile, run.weights_dir, name=name,
                progress=run.progress,
            )  # fmt: skip
        self.minutes[f"stage 2{', heading-free' if free else ''} on {squares} squares"] = history.minutes
        return model

    def predictor(self, line: Line) -> tuple[Callable[[object], Prediction], dict]:
        """A function from a take of the line's dataset to its prediction, and all that determines it."""
        prepared = self.maps.on(line.squares, line.clouds)
        if line.heading == "chance":
            return lambda take: priors.chance(prepared, take), {}
        free = line.heading == "free"
        stage2, features = self.stage2(free, line.squares), self.features(free, line.squares, line.clouds)
        protocol = "inferred" if free else line.heading
        profile = self.run.profile
        made = {"stage2": weights_tag(stage2), "features": features.identity, "protocol": protocol,
                "time": profile.sequence_s, "stride": profile.eval_stride_s}  # fmt: skip
        methods = Methods(prepared, features, profile, None, stage2, None)  # no tracker and nothing live here
        return lambda take: methods.alone(take, protocol=protocol), made

    def scores(self, line: Line) -> pd.DataFrame:
        """The line's scores, a row a test take, made once; `minutes` says how long that took."""
        prepared = self.maps.on(line.squares, line.clouds)
        predict, made = self.predictor(line)
        code = ("eailkit.experiments.methods", "eailkit.eail.evaluation", "eailkit.baselines.priors")
        wanted = identity("protocol scores", code=code, data=prepared.identity, splits=SPLITS, **made)
        path = self.run.dir / f"protocol-{self.run.profile.name}" / f"scores.{wanted.key}.json"
        if not path.is_file():
            began, table = time.monotonic(), Table(prepared, SPLITS)
            table.add(line.name, predict)
            minutes = (time.monotonic() - began) / 60
            write_json(path, {"made": wanted.record, "minutes": minutes, "rows": table.scores.to_dict("records")})
        found = json.loads(path.read_text(encoding="utf-8"))
        self.minutes[f"scores of {line.name}"] = found["minutes"]
        rooms = [self.maps.room_of(prepared, row["room"]) for row in found["rows"]]
        return pd.DataFrame(found["rows"]).assign(method=line.name, seed=self.run.seed, room=rooms)

    def minutes_of(self, line: Line) -> dict[str, float]:
        """What a line cost this seed: its trainings, which it may share with others, and its scoring."""
        names = [f"scores of {line.name}"]
        if line.heading != "chance":
            free = ", heading-free" if line.heading == "free" else ""
            names += [f"stage 1{free}", f"stage 2{free} on {line.squares} squares"]
        return {name: self.minutes[name] for name in names}

    def probes(self) -> dict[str, dict[str, float]]:
        """What a linear probe reads in F^M (`eail.motion_probe`), by name."""
        directed, free = self.features(False), self.features(True)
        return {
            f"F^M, heading known ({TRUTH})": heading_probe(self.run.prepared, directed),
            "F^M, heading withheld": heading_probe(self.run.prepared, directed, known=False),
            "F^M of the heading-free stage 1": heading_probe(self.run.prepared, free, known=False),
        }

    def _once(self, key: tuple, make: Callable[[], object]):
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]


def without_heading(features: Features) -> Features:
    """The same features with every heading withheld: what `Stage1.motion` gives of an unknown angle, once for all."""
    unknown = lambda x: np.full(len(x), np.nan, np.float32)  # noqa: E731
    takes = {name: motion_features(features.direction, np.array(x), unknown(x)) for name, x in features.takes.items()}
    return Features(takes, features.rooms, {}, features.views, None, features.identity.also(heading="withheld"))
