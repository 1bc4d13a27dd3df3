"""What a number of the course allows to say: sentences that notebooks print under a result, so that none outlives it.

Plain functions of numbers and verdicts; the rules behind the verdicts are `eailkit.eail.evaluation`'s.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from eailkit.eail.activity import ACTIVITIES, FOUND_DEG, REGION
from eailkit.metrics import Interval

CLEARLY = 1.5  # times another line's success: what the table's criterion asks against another take's IMU
MISSES = 5.0  # points between two rates that misses can tell apart
CONSTANT_PLACE = "EAIL, constant place per take"
RULE = (
    "chance",
    "free space",
    "training occupancy",
    "EAIL, another take's IMU",
    CONSTANT_PLACE,
)  # what works beats these
RULE_SEEDS = 3  # trainings that the intervals of the rule are drawn over
CALIBRATED = (85.0, 95.0)  # coverage of a 90 % region that counts as right, percent
FOUND_SHARE = 90.0  # percent of takes whose heading must be found before the headings are
FLAT_BITS = 1.0  # a map within this much of knowing nothing says little
SLOW = 0.7  # a velocity net that predicts less of the true speed falls short


def clearly_more(one: float, other: float) -> bool:
    """Whether one rate, percent, is clearly above another: `CLEARLY` times its successes, or as many fewer misses.

    Where both are high no ratio of successes can tell; the misses then must differ by 5 points at least.
    """
    fewer = 100 - other > CLEARLY * (100 - one) and one - other > MISSES
    return one > CLEARLY * other or fewer


def walk_reading(
    success: Mapping[str, float], method: str = "localized", told: Mapping[str, float] | None = None
) -> str:
    """What one walk's success at 0.4 m says of a method beside lines that know less.

    A single walk has no interval, so that only a clear difference counts: see `clearly_more`.

    Args:
        success: line -> percent, `method` among them.
        told: line that is told something of the truth -> percent, and so no opponent.

    Example:
        >>> walk_reading({"localized": 40.0, "any free cell": 10.0})
        'On this walk the motion tells something of the place: 40.0 %, clearly more than any free cell (10.0 %).'
    """
    own = success[method]
    others = {name: value for name, value in success.items() if name != method}
    named = lambda names, of: listed([f"{name} ({of[name]:.1f} %)" for name in names])  # noqa: E731
    bound = f" Beside it, told something of the truth: {named(told, told)}." if told else ""
    beaten = [name for name, value in others.items() if clearly_more(own, value)]
    level = [name for name in others if name not in beaten]
    if not level:
        but = named(beaten, others)
        return f"On this walk the motion tells something of the place: {own:.1f} %, clearly more than {but}.{bound}"
    text = f"On this walk these weights are no clear help: {own:.1f} %, against {named(level, others)}"
    text += f", though clearly more than {named(beaten, others)}" if beaten else ""
    return f"{text}.{bound} What they are worth over many walks, the tables of notebook 04 say."


def tracker_reading(tracked: float, alone: float) -> str:
    """What a tracker adds to one walk's success at 0.4 m, percent."""
    if clearly_more(tracked, alone):
        return f"The tracker helps here: {tracked:.1f} % with it, {alone:.1f} % by each second alone."
    if clearly_more(alone, tracked):
        return f"The tracker is lost here: {tracked:.1f} % with it, {alone:.1f} % by each second alone."
    return f"The tracker changes little here: {tracked:.1f} % with it, {alone:.1f} % by each second alone."


def alike_reading(alike: int, neighbours: int, cells: int) -> str:
    """What the cells that look like a given one, to the point encoder, say of a second's ambiguity.

    Args:
        alike: other cells above the threshold.
        neighbours: those of them that touch the cell.
        cells: that hold points, the given one left out.
    """
    if not alike:
        return (
            "No other cell looks like it, not even its neighbours, whose columns overlap by most of a metre: the "
            "encoder takes each cell for a place of its own. Look for the vagueness in the motion first."
        )
    elsewhere = alike - neighbours
    text = f"{neighbours} of its neighbours, whose columns overlap with its own, and {elsewhere} cells elsewhere"
    if not elsewhere:
        return f"{text} look like it: the place is one of a kind in this room, and the vagueness is the motion's."
    share = 100 * alike / cells
    return f"{text} look like it ({share:.0f} % of the room): no second of motion can tell these apart."


def rule_reading(verdicts: Mapping[str, Mapping[str, str]], seeds: int) -> str:
    """Whether a method works by the rule fixed beforehand: better than each line of `RULE`, on every split, over seeds.

    Args:
        verdicts: split -> line -> "better", "worse", "on par" or "can't tell" (`evaluation.verdict`), for a seen and
            an unseen split at least.
        seeds: trainings that the verdicts' intervals were drawn over.

    Returns:
        a line a split, and one that concludes.

    Raises:
        KeyError: a line of the rule has no verdict on a split.
        ValueError: there are fewer than two splits.
    """
    if len(verdicts) < 2:
        raise ValueError(f"rule_reading: found verdicts on {list(verdicts)}; expected a seen and an unseen split.")
    lines, wanting = [], []
    for split, found in verdicts.items():
        beaten = [name for name in RULE if found[name] == "better"]
        failed = [f"{name} ({found[name]})" for name in RULE if name not in beaten]
        but = f"better than {listed(beaten)}" if beaten else "better than none of the rule's lines"
        lines.append(f"{split}: {but}" + (f"; not shown to be better than {listed(failed)}." if failed else "."))
        wanting += [split] if failed else []
    if wanting:
        return "\n".join([*lines, f"By the rule it can't be said to work, for want of {listed(wanting)}."])
    if seeds < RULE_SEEDS:
        trained = "one training" if seeds == 1 else f"{seeds} trainings"
        return "\n".join([*lines, f"It clears the rule's lines with {trained}; the rule asks for {RULE_SEEDS} seeds."])
    return "\n".join([*lines, f"It works by the rule, on {listed(list(verdicts))} over {seeds} seeds."])


def flatter_reading(means: pd.DataFrame, method: str, constant: Sequence[str]) -> str:
    """Whether maps that never look at the motion come close to a method, in RS and in success at 0.4 m.

    Args:
        means: columns split, method, RS and SR@0.4m, percent (`evaluation.Table.means`).
        constant: names of constant maps.
    """
    lines = []
    for split, rows in means.groupby("split", sort=False):
        rows, said = rows.set_index("method"), []
        for metric, name in (("RS", "RS"), ("SR@0.4m", "success at 0.4 m")):
            above = [c for c in constant if rows[metric][c] >= rows[metric][method]]
            told = listed([f"{c} ({rows[metric][c]:.0f} %)" for c in above]) if above else "no constant map"
            verb = "reach" if len(above) > 1 else "reaches"
            said.append(f"in {name} {told} {verb} {method} ({rows[metric][method]:.0f} %)")
        lines.append(f"{split}: {'; '.join(said)}.")
    return "\n".join(lines)


def heading_reading(weights: Mapping[str, Sequence[float]], true_rad: float) -> str:
    """Whether the true heading is the likeliest of the hypotheses, after each of some moments.

    It is told where the likeliest is within 30 degrees of the truth and `CLEARLY` likelier than blind chance.

    Args:
        weights: moment ("one second", ...) -> probabilities of the angles 2 pi h / H.
        true_rad: the true heading.
    """
    lines, found = [], []
    for moment, weight in weights.items():
        weight = np.asarray(weight, float) / np.sum(weight)
        best, blind = int(weight.argmax()), 1 / len(weight)
        off = np.degrees(np.abs(np.angle(np.exp(1j * (2 * np.pi * best * blind - true_rad)))))
        sure = weight[best] > CLEARLY * blind
        found += [moment] if off < FOUND_DEG and sure else []
        how = "" if sure else ", by a hair"
        lines.append(
            f"After {moment} the likeliest heading{how} ({100 * weight[best]:.0f} %, blindly {100 * blind:.0f} %) is "
            f"{off:.0f} degrees from the truth."
        )
    if not found:
        lines.append("So these maps don't tell the heading of this take; motion over the floor, in a tracker, may.")
    elif len(found) < len(weights):
        missed = listed([m for m in weights if m not in found])
        lines.append(f"So the heading is told after {listed(found)}, and not after {missed}.")
    else:
        lines.append("So the heading is told at once, and stays.")
    return "\n".join(lines)


def found_reading(curve: pd.DataFrame) -> str:
    """What a curve of the heading's error over elapsed time says (`activity.heading_over_time`)."""
    last = curve.iloc[-1]
    text = (
        f"After {last.minute:.1f} minutes half of the {int(last.takes)} takes are within {last.median_deg:.0f} "
        f"degrees, and {last.within_30:.0f} % within {FOUND_DEG:.0f}"
    )
    good = curve[curve.within_30 >= FOUND_SHARE]
    if last.within_30 < FOUND_SHARE:
        return f"{text}: in the others every second is read under a wrong heading."
    return (
        f"{text}: the heading is found, from minute {good.minute.iloc[0]:.1f} on in {FOUND_SHARE:.0f} % of the takes."
    )


def coverage_reading(covered: Mapping[str, float], mass: float = REGION) -> str:
    """Whether regions that say `mass` hold as much: split -> percent of seconds that they do hold."""
    low, high = CALIBRATED
    word = lambda c: "too sure of itself" if c < low else "too modest" if c > high else "as sure as it may be"  # noqa: E731
    lines = [
        f"{split}: its {100 * mass:.0f} % region holds the truth in {c:.0f} % of the seconds: {word(c)}."
        for split, c in covered.items()
    ]
    return "\n".join(lines)


def activity_reading(scores: pd.DataFrame, method: str) -> str:
    """Which activity a method finds best and which worst, split by split (`activity.by_activity`)."""
    lines = []
    for split, rows in scores[scores.method == method].groupby("split", sort=False):
        rows = rows.set_index("activity").success
        told = listed([f"{a} {rows[a]:.0f} %" for a in ACTIVITIES if a in rows])
        best, worst = rows.idxmax(), rows.idxmin()
        so = f"{best} seconds are found best and {worst} ones worst" if clearly_more(rows[best], rows[worst]) else (
            "no activity stands out"
        )  # fmt: skip
        lines.append(f"{split}: {method}: {told}; {so}.")
    return "\n".join(lines)


def crossing_reading(curves: Mapping[str, pd.DataFrame], ours: str, other: str) -> str:
    """Which of two error curves lies lower at first, and from when on the other does.

    Args:
        curves: name -> columns minute and error_m.
    """
    both = curves[ours].merge(curves[other], on="minute", suffixes=("", "_of_other"))
    ahead = (both.error_m < both.error_m_of_other).to_numpy()
    first, last = both.iloc[0], both.iloc[-1]
    ends = f"{last.error_m:.1f} m against {last.error_m_of_other:.1f} m at the end"
    if ahead.all():
        return f"{ours} is nearer than {other} from the start on: {ends}."
    if not ahead[-1]:
        return f"{ours} isn't nearer than {other} at the end: {ends}."
    since = float(both.minute[np.flatnonzero(~ahead)[-1] + 1])
    begins = f"{first.error_m:.1f} m against {first.error_m_of_other:.1f} m at first"
    return f"{ours} stays nearer than {other} from minute {since:.1f} on: {begins}, {ends}."


def velocity_reading(errors: Mapping[str, Mapping[str, float]]) -> str:
    """What a velocity net's errors say of a track that sums them (`velocity.velocity_errors`)."""
    walking, standing = errors["walking"], errors["standing"]
    ratio, creep = walking["speed_ratio"], 60 * standing["rmse_mps"]
    if not np.isfinite(ratio):
        return "Nobody walks ten seconds in these takes: nothing can be said of the net's speed."
    fit = "falls short" if ratio < SLOW else "runs ahead" if ratio > 1 / SLOW else "fits"
    return (
        f"While the wearer walks, the net's speed {fit}: {100 * ratio:.0f} % of the true one, "
        f"{walking['rmse_mps']:.2f} m/s off. Standing, it errs by {standing['rmse_mps']:.2f} m/s: up to {creep:.0f} m "
        "a minute if it errs one way, far less if it errs both."
    )


def margin_reading(name: str, other: str, margins: Mapping[str, tuple[Interval, str]]) -> str:
    """Paired differences of two methods as sentences: split -> (interval, its verdict)."""
    words = {"better": "better", "worse": "worse", "on par": "on par (within 2 points)"}
    lines = [
        f"{split}: {name} against {other}: {margin} points, {words.get(verdict, 'which tells nothing')}."
        for split, (margin, verdict) in margins.items()
    ]
    return "\n".join(lines)


def bounds_reading(bounds: pd.DataFrame, means: pd.DataFrame, methods: Sequence[str], columns: Sequence[str]) -> str:
    """Where methods stand beside what is known beforehand, in success at 0.4 m, split by split.

    Args:
        bounds: a row a room, a column a reference, percent (`bounds.bounds`).
        means: columns split, method and SR@0.4m (`evaluation.Table.means`).
        columns: of `bounds` that a method is held against.
    """
    lines = []
    for split, rooms in bounds.groupby("split", sort=False):
        known = {name: float(rooms[name].mean()) for name in columns if rooms[name].notna().any()}
        for method in methods:
            own = float(means[(means.split == split) & (means.method == method)]["SR@0.4m"].iloc[0])
            above = [f"{name} ({value:.0f} %)" for name, value in known.items() if own > value]
            below = [f"{name} ({value:.0f} %)" for name, value in known.items() if own <= value]
            said = [f"{word} {listed(names)}" for word, names in (("above", above), ("not above", below)) if names]
            lines.append(f"{split}: {method} ({own:.0f} %) is {', '.join(said) or 'beside nothing that is known'}.")
    return "\n".join(lines)


def parts_reading(
    verdicts: Mapping[str, Mapping[str, str]],
    full: str = "full",
    paper: Mapping[str, Mapping[str, float]] | None = None,
) -> str:
    """What an ablation allows to say: row without a part -> what was measured -> verdict of the full row against it.

    Args:
        paper: in the same form, the paper's own differences (full minus row, points), shown where it has them.
    """
    lines = []
    for row, found in verdicts.items():
        told = [what for what, verdict in found.items() if verdict == "better"]
        hurts = [what for what, verdict in found.items() if verdict == "worse"]
        theirs = (paper or {}).get(row, {})
        if told:
            so = f"{row}: {full} is better in {listed(told)}, so the part does some of the work"
            lines.append(f"{so}{_theirs(theirs, told)}.")
        if hurts:
            so = f"{row}: {full} is worse in {listed(hurts)}: with this little training the part is in the way"
            lines.append(f"{so}{_theirs(theirs, hurts)}.")
        rest = [what for what in found if what not in (*told, *hurts)]
        if rest and (told or hurts):
            lines.append(f"{row}: in {listed(rest)} it can't be told from {full}{_theirs(theirs, rest)}.")
        if not told and not hurts:
            lines.append(f"{row}: can't be told from {full}, by {listed(list(found))}{_theirs(theirs, list(found))}.")
    return "\n".join(lines)


def _theirs(points: Mapping[str, float], measured: Sequence[str]) -> str:
    known = [f"{points[what]:+.1f}" for what in measured if what in points]
    return f"; the paper's differences there are {listed(known)} points" if known else ""


def agreement_reading(found: pd.DataFrame) -> str:
    """Whether differences point where the paper's do, and how many of them can be told at all.

    Args:
        found: a row a difference: mean and paper (points, NaN where the paper has none), verdict of the full row.
    """
    both = found[np.isfinite(found.paper.astype(float))]
    if not len(both):
        return "The paper has no difference to hold these against."
    same = np.sign(both["mean"].astype(float)) == np.sign(both.paper.astype(float))
    told = both.verdict.isin(("better", "worse"))
    begin = f"{int(same.sum())} of {len(both)} differences point where the paper's do"
    if not told.any():
        return f"{begin}, and none can be told from zero: these rows neither confirm the paper nor contradict it."
    agree, against = int((told & same).sum()), int((told & ~same).sum())
    return f"{begin}; {agree + against} can be told from zero: {agree} agree with the paper, {against} contradict it."


def collapse_reading(true: Sequence[int], called: Sequence[int], names: Sequence[str]) -> str:
    """Whether a classifier flees to one class: how often it calls its favourite, and how often that is right to."""
    true, called = np.asarray(true), np.asarray(called)
    counts = np.bincount(called, minlength=len(names))
    favourite = int(counts.argmax())
    share, own = 100 * counts[favourite] / len(called), 100 * float(np.mean(true == favourite))
    used = int((counts > 0).sum())
    if share > 50 and share > CLEARLY * own:
        return f"It flees: {share:.0f} % of the seconds are called “{names[favourite]}”, which {own:.0f} % are."
    return (
        f"It names {used} of {len(names)} classes, “{names[favourite]}” most often: {share:.0f} % of the seconds, "
        f"which {own:.0f} % are."
    )


def worst_take(success: Mapping[str, float]) -> str:
    """The take with the lowest success, by name where they tie."""
    return min(success, key=lambda name: (success[name], name))


def failure_reading(
    heading_deg: float, map_bits: float, free_bits: float, at_truth: float, blind: float, speed_ratio: float
) -> str:
    """A guess why a take fails, the likeliest cause first, from numbers that a user wouldn't have.

    Args:
        heading_deg: median error of the heading.
        map_bits, free_bits: mean entropy of EAIL's maps, and of the free floor, bits.
        at_truth, blind: probability that the maps, and free floor, give to 0.4 m around the truth, percent.
        speed_ratio: predicted over true speed in this take; NaN where nobody walks.
    """
    causes = []
    if heading_deg > FOUND_DEG:
        causes.append(f"the heading is wrong (median {heading_deg:.0f} degrees), and with it every step")
    if at_truth < blind:
        causes.append(f"EAIL's maps point elsewhere ({at_truth:.0f} % around the truth, free floor has {blind:.0f} %)")
    elif map_bits > free_bits - FLAT_BITS:
        causes.append(f"EAIL's maps are nearly flat ({map_bits:.1f} bits, free floor has {free_bits:.1f})")
    if np.isfinite(speed_ratio) and speed_ratio < SLOW:
        causes.append(f"the velocity net falls short ({100 * speed_ratio:.0f} % of the true speed)")
    if not causes:
        return "None of the usual causes: the heading is found, the maps know the place, and the speed fits."
    return "Likeliest cause: " + "; then ".join(causes) + "."


def listed(words: list[str]) -> str:
    """Words as a list in a sentence: "a, b and c"."""
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
