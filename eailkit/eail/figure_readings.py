"""What EAIL's Figures 4, 5 and 6 allow to say here: sentences that follow from their numbers, whichever way they fall.

As in `readings`, nothing is claimed that an interval, or a rule that stands beside the number, doesn't carry.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from eailkit.eail.readings import listed
from eailkit.metrics import Interval

LEVEL_M = 0.2  # the paper's finest threshold: nothing is made of less
OFF_SQUARE, NOT_FREE, FREE = "off the square", "not on free floor", "on free floor"


def curves_reading(direct: Mapping[str, pd.DataFrame], summed: Mapping[str, pd.DataFrame]) -> str:
    """How errors go over elapsed time (Fig. 4): a line a method, and since when summed velocities are worse.

    Args:
        direct: methods that give places, name -> columns minute, error_m, low and high.
        summed: velocity nets, the same.
    """
    lines = []
    for name, curve in direct.items():
        first, last = curve.iloc[0], curve.iloc[-1]
        word = "grows" if last.low > first.high else "falls" if last.high < first.low else "doesn't clearly change"
        lines.append(
            f"{name}: {first.error_m:.1f} m off at first, {last.error_m:.1f} m at minute {last.minute:.0f}: the error "
            f"{word}."
        )
    for name, curve in direct.items() if summed else ():
        since = {other: _behind_since(curve, net) for other, net in summed.items()}
        behind = {other: minute for other, minute in since.items() if minute is not None}
        level = [other for other in since if other not in behind]
        if behind:
            first, last = min(behind.values()), max(behind.values())
            when = f"minute {first:.1f}" if first == last else f"minutes {first:.1f} to {last:.1f}"
            which = "every velocity net" if len(behind) == len(summed) > 1 else listed(list(behind))
            lines.append(f"Further off than {name} from {when} on, to the end: {which}.")
        if level:
            lines.append(f"Not further off than {name} at the end: {listed(level)}.")
    return "\n".join(lines)


def _behind_since(direct: pd.DataFrame, summed: pd.DataFrame) -> float | None:
    """The minute from which on a curve stays above another; None where it isn't at the end."""
    both = direct.merge(summed, on="minute", suffixes=("", "_summed"))
    above = (both.error_m_summed > both.error_m).to_numpy()
    if not len(above) or not above[-1]:
        return None
    under = np.flatnonzero(~above)
    return float(both.minute.iloc[under[-1] + 1 if len(under) else 0])


def stages_reading(
    two: Interval, one: Interval | None, right: Interval | None, more: Interval | None, gain: Interval | None
) -> str:
    """What both stages' heatmaps say (Fig. 5), counted.

    Args:
        two: seconds whose stage 1 has two peaks, percent.
        one: of those, seconds whose stage 2 has one, percent.
        right: of those, success at 0.4 m, percent; more: it minus that of all other seconds, points.
        gain: success minus half of how often the truth lies at one of the two peaks, points: what stage 2 knows beyond
            a blind choice between them.
    """
    lines = [f"Stage 1's map has two peaks in {two} % of the seconds."]
    if one is None:
        return f"{lines[0]} So nothing can be said of stage 2 there."
    word = "as a rule" if one.low > 50 else "in the minority of them" if one.high < 50 else "in about half of them"
    lines.append(f"There stage 2's map has one peak {word} ({one} %).")
    if right is None:
        return " ".join(lines)
    lines.append(f"That peak is within 0.4 m of the truth in {right} % of these seconds,")
    lines.append(
        "more often than in the others:" if more is not None and more.low > 0
        else "less often than in the others:" if more is not None and more.high < 0
        else "which can't be told from the others:"
    )  # fmt: skip
    lines.append(f"{more} points." if more is not None else "there are none.")
    if gain is not None:
        lines.append(
            f"Stage 2 chooses better than blindly between the two ({gain} points)." if gain.low > 0
            else f"A blind choice between the two would be right more often ({gain} points)." if gain.high < 0
            else f"That it chooses better than blindly between the two can't be told ({gain} points)."
        )  # fmt: skip
    return " ".join(lines)


def take_reading(shown: Mapping[str, Sequence[tuple[str, float, str]]]) -> str:
    """What the pictures of one take show (Fig. 6): errors at its moments, and where answers can't be.

    Args:
        shown: method -> (moment, error in m or NaN, `OFF_SQUARE`, `NOT_FREE` or `FREE`) of each.
    """
    lines, ends = [], {}
    for name, moments in shown.items():
        told = [f"{error:.1f} m off at {when}" for when, error, _ in moments if np.isfinite(error)]
        if not told:
            continue
        text = f"{name}: {listed(told)}"
        away = {state: [when for when, _, found in moments if found == state] for state in (OFF_SQUARE, NOT_FREE)}
        wrong = [f"{state} at {listed(when)}" for state, when in away.items() if when]
        lines.append(f"{text}; {listed(wrong)}." if wrong else f"{text}; each time {FREE}.")
        if np.isfinite(moments[-1][1]):
            ends[name] = moments[-1][1]
    if len(ends) > 1:
        near, far = min(ends, key=ends.get), max(ends, key=ends.get)
        lines.append(
            f"At the end {near} is nearest ({ends[near]:.1f} m) and {far} furthest ({ends[far]:.1f} m)."
            if ends[far] - ends[near] > LEVEL_M
            else f"At the end all are equally far off, to {100 * LEVEL_M:.0f} cm."
        )
    return "\n".join([*lines, "One take tells nothing of others: what holds over all of them, the claims say."])
