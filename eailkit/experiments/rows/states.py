"""Table 3's sixteen states: what is kept of each for a reader who didn't train them, and how it is read back.

A recording holds scores of every take under each seed, paired differences from the full state, and what seed 0 says of
one walk: the answered place of each second, and maps of some of them in few steps of grey. It is of one dataset, and a
run on another can't read it. Nothing here trains; `work` and `make` do.
"""

from __future__ import annotations

import json
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, UInt8

from eailkit.eail.evaluation import Table
from eailkit.eail.prepared import Prepared
from eailkit.errors import ConfigError, DatasetError
from eailkit.experiments.rows.catalog import INFERRED, PUBLISHED, STATES, TABLES
from eailkit.experiments.rows.claims import ACTION, PLACE
from eailkit.experiments.rows.make import SPLITS
from eailkit.experiments.rows.record import made_of, table_of
from eailkit.experiments.rows.variants import FULL
from eailkit.experiments.rows.work import Place, maker_of
from eailkit.files import DATA_SAMPLES, save_npz
from eailkit.metrics import METRICS, holm
from eailkit.preprocess.mapgrid import MapGrid

SHIPPED = DATA_SAMPLES / "states" / "quick.npz"
PROTOCOLS = (PUBLISHED, INFERRED)
FULL_STATE = next(row for row in STATES if row.variant == FULL)
CAPTIONS = next(row for row in TABLES["table3"] if row.name == "w/o captions")  # no state, but a claim about words
KEPT = (*STATES, CAPTIONS)
MOST_MAPS = 240  # of the walk, evenly: twenty minutes of every second would be fifteen megabytes
LEVELS = 16  # of a map's square root: 0.4 % of its highest value is the least that shows
_NONE, _PER_POINT = 65535, 100  # a score as a whole number of hundredths
OWN = "trained in this run"
DIFFERENCES = ("row", "protocol", "split", "metric", "mean", "low", "high", "p", "p_holm")


@dataclass(frozen=True)
class States:
    """What one source knows of some states.

    Attributes:
        source: in words: `OWN`, or "recorded (seeds 0, 1 and 2; commit 1a2b3c4)".
        scores: a row a (row, protocol, seed, take): row, protocol, seed, split, take, room, participant and
            `METRICS`, percent, NaN where the row isn't about it.
        differences: full state minus another: `DIFFERENCES`, in points; p_holm is adjusted for the states that are
            compared under one protocol, split and metric.
        walk: name of the take that places and maps are of.
        seconds: of the walk, those that maps are kept of.
        maps: (row, protocol) -> probabilities of each kept second.
        place_m: (row, protocol) -> answered place of every second, m.
        about: profile, data_hash, seeds, commit and grid of the walk's room.
    """

    source: str
    scores: pd.DataFrame
    differences: pd.DataFrame
    walk: str
    seconds: Int[np.ndarray, " kept"]
    maps: dict[tuple[str, str], Float[np.ndarray, "kept cells"]]
    place_m: dict[tuple[str, str], Float[np.ndarray, "n 2"]]
    about: dict = field(default_factory=dict)

    def has(self, row: str, protocol: str) -> bool:
        """Whether a row's scores under a protocol are known."""
        known = self.scores
        return len(known) > 0 and bool(((known.row == row) & (known.protocol == protocol)).any())

    def mean(self, row: str, protocol: str, split: str, metric: str) -> float:
        """Macro mean over takes and seeds, percent; NaN where the row isn't about the metric."""
        known = self.scores
        rows = known[(known.row == row) & (known.protocol == protocol) & (known.split == split)]
        return float(rows[metric].mean())

    def difference(self, row: str, protocol: str, split: str, metric: str) -> pd.Series | None:
        """The full state minus a row; None where they weren't compared."""
        d = self.differences
        if not len(d):
            return None
        hit = d[(d.row == row) & (d.protocol == protocol) & (d.split == split) & (d.metric == metric)]
        return hit.iloc[0] if len(hit) else None

    def table(self, prepared: Prepared, rows: Sequence[str], protocol: str) -> Table:
        """Some rows as an `evaluation.Table`, for means with intervals."""
        kept = self.scores[self.scores.row.isin(rows) & (self.scores.protocol == protocol)]
        return Table(prepared, SPLITS, kept.rename(columns={"row": "method"}).drop(columns="protocol"))


def states_of(
    place: Place, seeds: Sequence[int] = (0,), protocols: Sequence[str] = PROTOCOLS, *, source: str = OWN
) -> States:
    """What the made rows of a run say; a state counts where all its seeds are made."""
    maker = maker_of(place, seeds[0])
    prepared, walk = maker.run.prepared, maker.walk
    seconds = kept_seconds(len(walk))
    frames, differences, maps, places = [], [], {}, {}
    for protocol in protocols:
        made = {row.name: found for row in KEPT if len(found := made_of(place, row, seeds, protocol)) == len(seeds)}
        if not made:
            continue
        table = table_of(place, [row for row in KEPT if row.name in made], seeds, protocol)
        frames.append(table.scores.rename(columns={"method": "row"}).assign(protocol=protocol))
        differences += _differences(table, protocol)
        for name, found in made.items():
            first = found[seeds[0]]
            places[name, protocol] = first.seconds.of(walk.name)["place_m"].astype(np.float32)
            if first.walk is not None:
                maps[name, protocol] = first.walk[seconds].astype(np.float32)
    columns = ["row", "protocol", "seed", "split", "take", "room", "participant", *METRICS]
    scores = pd.concat(frames, ignore_index=True)[columns] if frames else pd.DataFrame(columns=columns)
    about = {
        "profile": place.profile, "data_hash": prepared.data_hash, "seeds": list(seeds),
        "grid": _grid(prepared.rooms[walk.room].grid),
    }  # fmt: skip
    return States(
        source, scores, pd.DataFrame(differences, columns=list(DIFFERENCES)), walk.name, seconds, maps, places, about
    )


def kept_seconds(n: int) -> Int[np.ndarray, " kept"]:
    """The seconds of a walk that maps are kept of: every k-th, k the least that leaves at most `MOST_MAPS`."""
    return np.arange(0, n, max(1, -(-n // MOST_MAPS)))


def _differences(table: Table, protocol: str) -> list[dict]:
    """The full state against each other row, p adjusted among the states; captions are a question of their own."""
    others = [m for m in table.scores.method.unique() if m != FULL_STATE.name]
    if len(others) == table.scores.method.nunique():
        return []
    found = []
    for split in table.splits:
        for metric in (PLACE, ACTION):
            for family in ([o for o in others if o != CAPTIONS.name], [o for o in others if o == CAPTIONS.name]):
                known = [o for o in family if table.interval(o, split, metric) is not None]
                each = [table.difference(FULL_STATE.name, o, split, metric) for o in known]
                for name, one, adjusted in zip(known, each, holm([e.p for e in each]), strict=True):
                    row = (name, protocol, split, metric, one.mean, one.low, one.high, one.p, adjusted)
                    found.append(dict(zip(DIFFERENCES, row, strict=True)))
    return found


def record_states(place: Place, seeds: Sequence[int], out: Path = SHIPPED, *, commit: str = "unknown") -> Path:
    """Write what a run's made states say into one file, for readers who didn't train them.

    Rows of Table 3 that are no state ("w/o captions") go along where they are made.

    Raises:
        ConfigError: a state isn't made under a seed or protocol; the message says how to make it.
    """
    for protocol in PROTOCOLS:
        lacks = [row.id for row in STATES if len(made_of(place, row, seeds, protocol)) < len(seeds)]
        if lacks:
            told = " ".join(f"--seed {s}" for s in seeds)
            raise ConfigError(
                f"states: found {len(STATES) - len(lacks)} of {len(STATES)} made under each seed ({protocol}; "
                f"{lacks[0]} isn't); expected all; run `eailkit reproduce states --profile {place.profile} {told}`."
            )
    return write_states(states_of(place, seeds), out, commit=commit)


def write_states(states: States, out: Path, *, commit: str = "unknown") -> Path:
    """Write states into one compressed file, atomically; `recorded_states` reads it."""
    about = states.about | {"commit": commit, "walk": states.walk}
    keys = [key for key in states.place_m if key in states.maps]
    grey, top = zip(*(greyed(states.maps[key]) for key in keys), strict=True)
    unique_m, at = np.unique(np.concatenate([states.place_m[key] for key in keys]), axis=0, return_inverse=True)
    index, values, takes = _dense(states.scores)
    about |= {"keys": keys, "index": index, "takes": takes}
    about |= {"differences": json.loads(states.differences.round(4).to_json(orient="values"))}
    return save_npz(out, {
        "about": np.array(json.dumps(about)),
        "maps": np.stack(grey), "top": np.stack(top).astype(np.float16), "seconds": states.seconds.astype(np.uint16),
        "places_m": unique_m.astype(np.float32), "place": at.reshape(len(keys), -1).astype(np.uint16),
        "scores": np.where(np.isnan(values), _NONE, np.round(_PER_POINT * values)).astype(np.uint16),
    }, compressed=True)  # fmt: skip


def _dense(scores: pd.DataFrame) -> tuple[dict[str, list], Float[np.ndarray, "n metrics"], dict[str, list]]:
    """Scores as one array over every row, protocol, seed and take, with what each of these is; rows that lack some go.

    Returns:
        name of an axis -> its values; the array, an axis after the other; column -> its value of each take.
    """
    each = scores.groupby("row").size()
    scores = scores[scores.row.isin(each[each == each.max()].index)]
    scores = scores.sort_values(["row", "protocol", "seed", "take"])
    index = {name: scores[name].drop_duplicates().tolist() for name in ("row", "protocol", "seed", "take")}
    takes = scores.drop_duplicates("take").set_index("take").loc[index["take"]]
    about = {name: takes[name].tolist() for name in ("split", "room", "participant")}
    return index, scores[list(METRICS)].to_numpy(float), about


def recorded_states(prepared: Prepared, path: Path = SHIPPED) -> States:
    """The recorded states, for a run on the data that they were recorded on.

    Raises:
        DatasetError: there is no such file, it can't be read, or it is of other data or another square.
    """
    if not path.is_file():
        raise DatasetError(
            f"{_short(path)}: found no recorded states; expected what `python -m benchmarks.ship_states` writes; train "
            "the states that you want to see with `eailkit reproduce states`."
        )
    try:
        states = _read(path)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, KeyError, ValueError) as error:
        raise DatasetError(
            f"{_short(path)}: found recorded states that can't be read ({error}); expected the file as it ships; "
            "restore it."
        ) from None
    found, room = states.about["data_hash"], next((t.room for t in prepared.takes if t.name == states.walk), None)
    if found != prepared.data_hash or room is None:
        raise DatasetError(
            f"{_short(path)}: found states recorded on other data ({found}, {states.about['profile']}); expected this "
            f"run's ({prepared.data_hash}); train the states that you want to see with `eailkit reproduce states`."
        )
    if states.about["grid"] != _grid(prepared.rooms[room].grid):
        raise DatasetError(
            f"{_short(path)}: found maps on another square of {room}; expected this run's; record the states anew with "
            "`python -m benchmarks.ship_states`."
        )
    return states


def _read(path: Path) -> States:
    with np.load(path, allow_pickle=False) as a:
        about, arrays = json.loads(str(a["about"])), {name: a[name] for name in a.files if name != "about"}
    keys = [tuple(key) for key in about.pop("keys")]
    maps = {key: ungreyed(g, t) for key, g, t in zip(keys, arrays["maps"], arrays["top"], strict=True)}
    places = {key: arrays["places_m"][row] for key, row in zip(keys, arrays["place"], strict=True)}
    values = arrays["scores"].reshape(-1, len(METRICS)).astype(float)
    values[values == _NONE] = np.nan
    index = pd.MultiIndex.from_product(list(about["index"].values()), names=list(about["index"]))
    scores = pd.DataFrame(values / _PER_POINT, columns=list(METRICS), index=index).reset_index()
    takes = pd.DataFrame(about.pop("takes"), index=about["index"]["take"])
    scores = scores.join(takes, on="take")
    differences = pd.DataFrame(about.pop("differences"), columns=list(DIFFERENCES))
    seeds = [str(s) for s in about["seeds"]]
    named = seeds[0] if len(seeds) == 1 else ", ".join(seeds[:-1]) + f" and {seeds[-1]}"
    source = f"recorded (seed{'s' if len(seeds) > 1 else ''} {named}; commit {about['commit'][:7]})"
    return States(source, scores, differences, about["walk"], arrays["seconds"].astype(int), maps, places, about)


def greyed(
    maps: Float[np.ndarray, "kept cells"], levels: int = LEVELS
) -> tuple[UInt8[np.ndarray, "kept cells"], Float[np.ndarray, " kept"]]:
    """Maps in a few steps of their square root, and the highest value of each: small once compressed."""
    maps = np.asarray(maps, np.float32)
    top = maps.max(axis=1)
    share = maps / np.maximum(top, 1e-12)[:, None]
    return np.round(np.sqrt(share) * (levels - 1)).astype(np.uint8), top


def ungreyed(
    grey: UInt8[np.ndarray, "kept cells"], top: Float[np.ndarray, " kept"], levels: int = LEVELS
) -> Float[np.ndarray, "kept cells"]:
    """What `greyed` kept of maps: each value within half a step of its square root."""
    return (np.square(grey.astype(np.float32) / (levels - 1)) * np.asarray(top, np.float32)[:, None]).astype(np.float32)


def _grid(grid: MapGrid) -> list[float]:
    return [round(float(v), 3) for v in (*grid.centre_xy_m, grid.side_m, grid.n)]


def _short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"
