"""Every row of EAIL's tables, and of ours beside them: what it is, which paper's row it stands beside, how it is read.

A row is a method, trained, under a protocol or two. "inferred" is told nothing of the true path or orientation;
"published" is told the heading of the first second, as RoNIN's public loader tells it, and says "uses ground truth".
Velocity methods are told the first position too, in the paper and here, and so have no inferred row.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, replace
from enum import StrEnum

from eailkit.errors import ConfigError
from eailkit.experiments.rows.variants import FULL, Variant

INFERRED, PUBLISHED = "inferred", "published"
PLACES, ACTIONS = ("SR@0.2m", "SR@0.4m", "SR@0.6m", "RS"), ("top1", "top5")


class Kind(StrEnum):
    """What a row's method is made of."""

    EAIL = "EAIL"  # a variant of the two stages, each second alone
    TRACKER = "tracker"  # the whole EAIL and the filter over place and heading, both ways through the recording
    LIVE = "live"  # the same, from the past and one second more
    VELOCITY = "velocity net"  # steps summed from the true start
    MAP_FREE = "map-free"  # places from the IMU and no map
    ACTION = "action net"  # actions from the IMU alone


@dataclass(frozen=True)
class Row:
    """One row.

    Attributes:
        table: "table1" to "table5", or "states" (sixteen states of Table 3's four switches).
        name: in the table.
        kind: what its method is made of.
        variant: of an EAIL row; net: of a baseline, its name.
        paper: what the paper's table calls it; "" where the paper has no such row.
        protocols: those it is read under.
        metrics: that the row is about.
    """

    table: str
    name: str
    kind: Kind
    variant: Variant = FULL
    net: str = ""
    paper: str = ""
    protocols: tuple[str, ...] = (INFERRED, PUBLISHED)
    metrics: tuple[str, ...] = PLACES + ACTIONS

    @property
    def id(self) -> str:
        """What `--row` takes: "table3/without-spatial"."""
        plain = self.name.replace("w/o", "without").replace(" + ", " with ")
        return f"{self.table}/{re.sub(r'[^a-z0-9.]+', '-', plain.lower()).strip('-')}"

    def under(self, protocol: str) -> str:
        """The protocol that the row has where one is asked for: its own where it lacks that."""
        return protocol if protocol in self.protocols else self.protocols[0]


def _eail(table: str, name: str, paper: str = "", metrics: tuple[str, ...] = PLACES + ACTIONS, **changes) -> Row:
    return Row(table, name, Kind.EAIL, Variant(**changes), paper=paper, metrics=metrics)


def _velocity(name: str, paper: str = "") -> Row:
    return Row("table1", name, Kind.VELOCITY, net=name, paper=paper, protocols=(PUBLISHED,), metrics=PLACES[:3])


def _action(name: str) -> Row:
    return Row("table2", name, Kind.ACTION, net=name, paper=name, protocols=(INFERRED,), metrics=ACTIONS)


TABLE1 = (
    _velocity("MnasNet", "MnasNet"),
    _velocity("EfficientNet", "EfficientNet"),
    _velocity("IMUNet", "IMUNet"),
    _velocity("RoNIN (ResNet-50)", "RoNIN"),
    _velocity("RoNIN (ResNet-18)"),
    _velocity("ours, facing frame"),
    Row("table1", "NILoc+", Kind.MAP_FREE, net="NILoc+", paper="NILoc+", metrics=PLACES),
    _eail("table1", "EAIL", "EAIL"),
    Row("table1", "EAIL + tracker", Kind.TRACKER),
    Row("table1", "EAIL + tracker, live", Kind.LIVE, protocols=(INFERRED,)),
)
TABLE2 = (
    _action("DeepConvLSTM"),
    _action("EVI-MAE"),
    _action("IMU2CLIP"),
    _eail("table2", "EAIL", "EAIL", ACTIONS),
)
TABLE3 = (
    _eail("table3", "w/o vision-language", "w/o vision-language", towers=None),
    _eail("table3", "w/o captions", captions=False),  # section 5.4's claim, in no table; early: its stage 1 takes long
    _eail("table3", "w/o action loss", "w/o action loss", PLACES, action_loss=False),
    _eail("table3", "w/o spatial", "w/o spatial", spatial=False),
    _eail("table3", "w/o temporal", "w/o temporal", temporal=False),
    _eail("table3", "full", "full"),
)
TABLE4 = (
    _eail("table4", "w/o point cloud", "w/o point cloud", ACTIONS, use_points=False),
    _eail("table4", "w/o location attention", "w/o location attention", ACTIONS, location_attention=False),
    _eail("table4", "with both", "with both", ACTIONS),
)
TABLE5 = (
    _eail("table5", "CLIP", "CLIP", towers="clip"),
    _eail("table5", "third model", "InternVL", towers="third"),
    _eail("table5", "SLIP (default)", "SLIP (default)"),
    _eail("table5", "5 s", "5 s", sequence_s=5),
    _eail("table5", "20 s", "20 s", sequence_s=20),
    _eail("table5", "10 s (default)", "10 s (default)"),
    _eail("table5", "w/o IMU residual", "w/o IMU residual", imu_residual=False),
    _eail("table5", "w/o point-cloud residual", "w/o point-cloud residual", points_residual=False),
    _eail("table5", "stage-1 retrieval only", "stage-1 retrieval only", PLACES, second_stage=False),
    _eail("table5", "full two stages", "full two stages"),
)


def _state(vision_language: bool, action_loss: bool, spatial: bool, temporal: bool) -> Row:
    """One of Table 3's sixteen states, named by what is on."""
    on = {"vision-language": vision_language, "action loss": action_loss, "spatial": spatial, "temporal": temporal}
    name = " + ".join(k for k, v in on.items() if v) or "none of the four"
    variant = Variant("slip" if vision_language else None, action_loss=action_loss, spatial=spatial, temporal=temporal)
    return Row("states", name, Kind.EAIL, variant, metrics=PLACES + (ACTIONS if action_loss else ()))


STATES = tuple(_state(*on) for on in itertools.product((True, False), repeat=4))
TABLES: dict[str, tuple[Row, ...]] = {
    "table1": TABLE1, "table2": TABLE2, "table3": TABLE3, "table4": TABLE4, "table5": TABLE5, "states": STATES,
}  # fmt: skip
ABOUT = {
    "table1": "localization: velocity nets, NILoc+, EAIL, the tracker",
    "table2": "actions: DeepConvLSTM, EVI-MAE, IMU2CLIP, EAIL",
    "table3": "EAIL without vision and language, action loss, spatial or temporal module",
    "table4": "the action head without the point cloud or the location attention",
    "table5": "towers, sequence lengths, residuals, stage 1 alone",
    "states": "the sixteen states of Table 3's four switches",
}


def rows_of(tables: tuple[str, ...], wanted: tuple[str, ...] = ()) -> list[Row]:
    """The rows of some tables, or those of them that are asked for by name or id.

    Args:
        tables: keys of `TABLES`.
        wanted: `Row.id`, or a name that one of the tables has; case doesn't matter.

    Raises:
        ConfigError: no such row in these tables; the message lists them.
    """
    every = [row for table in tables for row in TABLES[table]]
    if not wanted:
        return every
    found = []
    for asked in wanted:
        hits = [r for r in every if asked.lower() in (r.id, r.id.partition("/")[2], r.name.lower())]
        if not hits:
            raise ConfigError(
                f"row: found '{asked}'; expected one of {', '.join(r.id for r in every)}; choose one of these."
            )
        found += [r for r in hits if r not in found]
    return found


def full_of(row: Row) -> Row:
    """The row of the same table that a variant is compared with: the whole EAIL."""
    return next(r for r in TABLES[row.table] if r.kind == Kind.EAIL and r.variant == replace(FULL))
