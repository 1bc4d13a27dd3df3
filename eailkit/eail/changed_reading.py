"""What an older map costs a method, in words: computed from paired differences, never typed."""

from __future__ import annotations

from collections.abc import Mapping

from eailkit.eail.evaluation import verdict
from eailkit.eail.readings import listed
from eailkit.metrics import Interval


def changed_reading(
    success: Mapping[str, Mapping[str, Mapping[float, Interval]]],
    losses: Mapping[str, Mapping[str, Mapping[float, Interval]]],
    margins: Mapping[str, Mapping[str, Mapping[str, Interval]]],
    again: Mapping[str, Mapping[str, Interval]] | None = None,
) -> str:
    """How much each method loses where the room has changed since its scan, and what it still beats there.

    A loss is told where the paired interval lies below zero; "as good" where all of it is within two points.

    Args:
        success: split -> method -> share of things changed, 0 among them -> percent.
        losses: the same without 0: paired differences from the map as it is, points, below zero where worse.
        margins: split -> method -> other line -> paired difference on the map of the largest share, points.
        again: split -> method -> paired difference of the unchanged room's map from another scan, points.

    Returns:
        a line a split and method.

    Example:
        >>> i = Interval
        >>> print(changed_reading(
        ...     {"seen": {"ours": {0.0: i(30.0, 25.0, 35.0), 0.5: i(20.0, 15.0, 25.0)}}},
        ...     {"seen": {"ours": {0.5: i(-10.0, -12.0, -8.0)}}}, {"seen": {"ours": {"free space": i(8.0, 5.0, 11.0)}}},
        ... ))
        seen: at 50 % changed ours loses 10.0 points [8.0, 12.0], from 30.0 to 20.0 %; still better than free space.
    """
    lines = []
    for split, methods in losses.items():
        for method, by_share in methods.items():
            worst = max(by_share)
            loss, before, now = by_share[worst], *(success[split][method][s].mean for s in (0.0, worst))
            text = f"{split}: at {_percent(worst)} changed {method} {_change(loss)}, from {before:.1f} to {now:.1f} %"
            shown = sorted(s for s, found in by_share.items() if s < worst and verdict(found) == "worse")
            if verdict(loss) == "worse" and shown:
                text += f"; a loss is told at {listed([_percent(s) for s in shown])} already"
            if other := (again or {}).get(split, {}).get(method):
                text += f"; another scan of the unchanged room: {other} points"
            lines.append(text + _beside(margins.get(split, {}).get(method, {})) + ".")
    return "\n".join(lines)


def _change(found: Interval) -> str:
    said = verdict(found)
    if said == "worse":
        return f"loses {-found.mean:.1f} points [{-found.high:.1f}, {-found.low:.1f}]"
    if said == "better":
        return f"gains {found} points"
    return f"is as good ({found} points)" if said == "on par" else f"moves by {found} points, which tells nothing"


def _beside(margins: Mapping[str, Interval]) -> str:
    said = {name: verdict(found) for name, found in margins.items()}
    above = [name for name, word in said.items() if word == "better"]
    level = [name for name, word in said.items() if word in ("on par", "can't tell")]
    below = [name for name, word in said.items() if word == "worse"]
    told = [
        f"still better than {listed(above)}" if above else "",
        f"not shown to be better than {listed(level)}" if level else "",
        f"worse than {listed(below)}" if below else "",
    ]
    return "".join(f"; {text}" for text in told if text)


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %"
