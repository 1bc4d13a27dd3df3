"""EAIL's rivals for notebook 06: what a row costs here, which are trained, found or recorded, and EAIL beside them.

A notebook has minutes, Tables 1 and 2 hold rows that take longer. So a few rows are trained, what an earlier
`eailkit reproduce` left in the run's folder is found, and of the rest the ledger says what was recorded.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path

import pandas as pd

from eailkit.baselines import action_nets, niloc_plus, velocity_nets
from eailkit.eail.evaluation import Table, verdict
from eailkit.eail.prepared import Prepared
from eailkit.eail.readings import listed
from eailkit.eail.stage1 import Stage1
from eailkit.eail.stage2 import SpatioTemporalReasoner
from eailkit.eail.velocity import VelocityNet
from eailkit.experiments.eail_run import Run
from eailkit.experiments.methods import Methods
from eailkit.experiments.rows.catalog import PUBLISHED, TABLE1, TABLE2, Kind, Row, rows_of
from eailkit.experiments.rows.costs import TEST, Rates, counts_of, seconds_of
from eailkit.experiments.rows.curves import TWO_MINUTES_S, leaves
from eailkit.experiments.rows.make import SPLITS, Made, Maker, method_of
from eailkit.experiments.rows.nets import NETS
from eailkit.experiments.rows.record import INTERVAL
from eailkit.experiments.rows.seconds import Seconds, errors_m, scores
from eailkit.experiments.rows.work import Unit
from eailkit.metrics import Interval, paired_interval
from eailkit.profiles import Profile
from eailkit.provenance import weights_tag
from eailkit.results.ledger import RESULTS_DIR, read
from eailkit.results.names import id_parts

RIVALS = tuple(r for r in (*TABLE1, *TABLE2) if r.kind in (Kind.VELOCITY, Kind.MAP_FREE, Kind.ACTION))
OURS = "ours, facing frame"


def parameters_of(net: str, profile: Profile, classes: int) -> int:
    """How many parameters a rival has at a profile.

    Args:
        net: one of `nets.NETS`.
        classes: of actions.
    """
    if net == OURS:
        model = VelocityNet(profile.imu_width)
    elif net in velocity_nets.NETS:
        model = velocity_nets.velocity_net(net, width=profile.baseline_width)
    elif net == "NILoc+":
        model = niloc_plus.NilocPlus(width=profile.baseline_width, time=profile.sequence_s)
    else:
        width = profile.embed_dim if net == "IMU2CLIP" else None
        model = action_nets.action_net(
            net, classes, action_nets.action_net_config(net, profile.action_size, embed_dim=width)
        )
    return sum(p.numel() for p in model.parameters())


def costs(profile: Profile, classes: int, rates: Rates | None = None) -> pd.DataFrame:
    """What each rival would take on one core of this machine, from a few timed training steps; validation not counted.

    Returns:
        A row a rival: table, parameters, and seconds of its training and of its answers on the test takes.
    """
    counts, rates, rows = counts_of(profile), rates or Rates(profile), {}
    for row in RIVALS:
        if row.net == OURS:
            seconds = seconds_of(Unit("velocity"), profile, counts, rates)
        else:
            seconds = NETS[row.net].seconds(profile, counts.of(TEST), 1, partial(rates.net, row.net))
        rows[row.name] = {"table": int(row.table.removeprefix("table")), "parameters": parameters_of(
            row.net, profile, classes), "seconds": round(seconds)}  # fmt: skip
    return pd.DataFrame(rows).T.astype(int)


def made_here(maker: Maker, here: Sequence[str], protocol: str = PUBLISHED) -> dict[str, Made]:
    """The rivals that a run has: those `here` trained where they aren't yet, others found or left out.

    Args:
        here: names or ids of rows of Tables 1 and 2.
        protocol: of the rows that have it; others have one of their own.

    Raises:
        ConfigError: no such row; the message lists them.
    """
    wanted = rows_of(("table1", "table2"), tuple(here)) if here else []
    found = {}
    for row in RIVALS:
        method, asked = method_of(row, maker.run.profile), protocol if protocol in row.protocols else row.protocols[0]
        made = maker.make(method, asked) if row in wanted else maker.found(method, asked)
        if made is not None:
            found[row.name] = made
    return found


def eail_alone(run: Run, stage1: Stage1, stage2: SpatioTemporalReasoner) -> Methods:
    """EAIL without velocity net or tracker, its maps found where the run has made them."""
    folder = run.maps_dir_of(weights_tag(stage1), weights_tag(stage2))
    return Methods(run.prepared, run.features(stage1), run.profile, stage1, stage2, None, maps_dir=folder)


def scored(prepared: Prepared, answers: Mapping[str, Seconds], seed: int = 0) -> Table:
    """A table of methods from what they said: method -> its seconds."""
    frames = [scores(prepared, seconds, name, seed) for name, seconds in answers.items()]
    return Table(prepared, SPLITS, pd.concat(frames, ignore_index=True))


def recorded_rows(table: str, profile: str, *, results_dir: str | Path = RESULTS_DIR) -> pd.DataFrame:
    """What the ledger holds of a table: at this profile, where that wasn't recorded at "bench", else nothing.

    Returns:
        Columns split, method, protocol, profile, parameters (of everything that was trained), and each metric as text
        with its interval; a row a (row, split, protocol). Empty where nothing was recorded.
    """
    for size in dict.fromkeys((profile, "bench")):
        if rows := read(f"{table}_{size}", results_dir=results_dir):
            return pd.DataFrame([_recorded(row, size) for row in rows])
    return pd.DataFrame(columns=["split", "method", "protocol", "profile", "parameters"])


def _recorded(row: dict, size: str) -> dict:
    config, (split, rest) = row["config"], id_parts(row["id"])
    protocol = config["protocol"]
    about = next(iter(config["trained"].values()))
    shown = {m: str(Interval(row["mean"][m], *config[INTERVAL][m])) for m in row["mean"]}
    return {
        "split": split, "method": rest.removesuffix(f" | {protocol}"), "protocol": protocol, "profile": size,
        "parameters": sum(about["parameters"].values()), **shown,
    }  # fmt: skip


def paper_names(rows: Sequence[Row] = (*TABLE1, *TABLE2)) -> dict[str, str]:
    """Our rows' names -> the paper's, where it has the row."""
    return {row.name: row.paper for row in rows if row.paper}


def bigger_reading(prepared: Prepared, answers: Mapping[str, Seconds], parameters: Mapping[str, int]) -> str:
    """Whether the bigger of some nets drifts less: paired mean errors of each take, m, with an interval.

    Args:
        answers: two methods or more -> what they say; the one with fewest and the one with most parameters are
            compared.
        parameters: method -> how many.
    """
    small, big = (pick(answers, key=lambda name: parameters[name]) for pick in (min, max))
    takes = {t.name: t for t in prepared.takes}
    mean = pd.DataFrame({
        name: {take: pd.Series(error).mean() for take, error in errors_m(prepared, answers[name]).items()}
        for name in (small, big)
    }).dropna()  # fmt: skip
    lines = [f"{big} has {parameters[big] / parameters[small]:.1f} times the parameters of {small}."]
    for split, rows in mean.groupby([takes[name].split for name in mean.index], sort=False):
        rooms, people = zip(*((takes[name].room, takes[name].participant) for name in rows.index), strict=True)
        found = paired_interval(rows[small].tolist(), rows[big].tolist(), rooms, people)
        told = {"better": "it drifts less", "worse": "it drifts more"}.get(verdict(found), "which tells nothing")
        low, high = (found.low, found.high) if found.mean >= 0 else (-found.high, -found.low)
        lines.append(
            f"{split}: mean error {rows[small].mean():.2f} m of the smaller, {rows[big].mean():.2f} m of the bigger, "
            f"which is {'nearer' if found.mean >= 0 else 'further off'} by {abs(found.mean):.2f} [{low:.2f}, "
            f"{high:.2f}] m: {told}."
        )
    return "\n".join(lines)


def left_reading(prepared: Prepared, seconds: Seconds, seed: int = 0) -> str:
    """Whether a path leaves the map within two minutes, as the paper says of Fig. 6 (`curves.leaves`)."""
    if max(seconds.lengths) < TWO_MINUTES_S:
        return f"No take lasts {TWO_MINUTES_S:.0f} s: nothing can be said of paths that leave the map."
    told = leaves(prepared, {seed: seconds})
    return f"{told.what}: {told.found}; {told.verdict} ({told.rule})."


def with_recorded(here: pd.DataFrame, recorded: pd.DataFrame, protocol: str = PUBLISHED) -> pd.DataFrame:
    """A table's frame, and under it the recorded rivals that it lacks, under the protocol or the one that they have.

    Args:
        here: columns split, method and metrics as text (`Table.frame`).
        recorded: `recorded_rows`.
    """
    asked = {row.name: protocol if protocol in row.protocols else row.protocols[0] for row in RIVALS}
    more = recorded[~recorded.method.isin(set(here.method)) & (recorded.method.map(asked) == recorded.protocol)]
    columns = [c for c in here.columns if c in more]
    return pd.concat([here, more[columns]], ignore_index=True).fillna("–") if len(more) else here


def sources_reading(table: str, made: Mapping[str, Made], recorded: pd.DataFrame) -> str:
    """Where the numbers of a table's rivals come from: this run, the ledger, or nowhere yet."""
    names = [row.name for row in RIVALS if row.table == table]
    here, ledger = [n for n in names if n in made], [n for n in names if n not in made and n in set(recorded.method)]
    neither = [n for n in names if n not in here + ledger]
    size = f"recorded at {recorded.profile.iloc[0]}" if len(recorded) else "recorded"
    parts = {"this run's": here, size: ledger, "not recorded yet": neither}
    return "; ".join(f"{what}: {listed(found)}" for what, found in parts.items() if found) + "."
