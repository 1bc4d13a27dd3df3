"""What a number of the course allows to say: sentences that notebooks print under a result, so that none outlives it.

Plain functions of numbers and verdicts; the rules behind the verdicts are `eailkit.eail.evaluation`'s.
"""

from __future__ import annotations

from collections.abc import Mapping

from eailkit.metrics import Interval

CLEARLY = 1.5  # times another line's success: what the table's criterion asks against another take's IMU
CONSTANT_PLACE = "EAIL, constant place per take"
RULE = (
    "chance",
    "free space",
    "training occupancy",
    "EAIL, another take's IMU",
    CONSTANT_PLACE,
)  # what works beats these
RULE_SEEDS = 3  # trainings that the intervals of the rule are drawn over


def walk_reading(success: Mapping[str, float], method: str = "localized") -> str:
    """What one walk's success at 0.4 m says of a method beside lines that know less.

    A single walk has no interval, so that only a clear difference counts: `CLEARLY` times the other line.

    Args:
        success: line -> percent, `method` among them.

    Example:
        >>> walk_reading({"localized": 40.0, "any free cell": 10.0})
        'On this walk the motion tells something of the place: 40.0 %, clearly more than any free cell (10.0 %).'
    """
    own = success[method]
    others = {name: value for name, value in success.items() if name != method}
    told = lambda names: _listed([f"{name} ({others[name]:.1f} %)" for name in names])  # noqa: E731
    beaten = [name for name, value in others.items() if own > CLEARLY * value]
    level = [name for name in others if name not in beaten]
    if not level:
        return f"On this walk the motion tells something of the place: {own:.1f} %, clearly more than {told(beaten)}."
    text = f"On this walk these weights are no clear help: {own:.1f} %, against {told(level)}"
    text += f", though clearly more than {told(beaten)}" if beaten else ""
    return f"{text}. What they are worth over many walks, the tables of notebook 04 say."


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
        but = f"better than {_listed(beaten)}" if beaten else "better than none of the rule's lines"
        lines.append(f"{split}: {but}" + (f"; not shown to be better than {_listed(failed)}." if failed else "."))
        wanting += [split] if failed else []
    if wanting:
        return "\n".join([*lines, f"By the rule it can't be said to work, for want of {_listed(wanting)}."])
    if seeds < RULE_SEEDS:
        trained = "one training" if seeds == 1 else f"{seeds} trainings"
        return "\n".join([*lines, f"It clears the rule's lines with {trained}; the rule asks for {RULE_SEEDS} seeds."])
    return "\n".join([*lines, f"It works by the rule, on {_listed(list(verdicts))} over {seeds} seeds."])


def protocol_reading(
    success: Mapping[str, Mapping[str, Mapping[str, Interval]]],
    gains: Mapping[str, Mapping[str, Mapping[str, Interval]]],
    paper: Mapping[str, Mapping[str, float]],
    chance: Mapping[str, Mapping[str, Mapping[str, float]]],
    *,
    base: str,
) -> str:
    """Which of the paper's numbers each setting of the protocol explains here, and which none does.

    A setting explains a number where its interval reaches the paper's, the base's doesn't, and its paired gain over
    the base excludes zero. Less than that is said as the share of the missing points that it brings, and how many of
    them chance alone gains on its square.

    Args:
        success: split -> setting -> metric -> percent, `base` among the settings.
        gains: the same without the base: paired differences from it, points.
        paper: split -> metric -> percent.
        chance: as `success`: what guessing a cell earns on the setting's square, percent.
        base: the setting that is told nothing.

    Returns:
        a line a number of the paper, then one a setting, then one of the numbers that none explains.
    """
    lines, explained, unexplained = [], {name: [] for split in gains.values() for name in split}, []
    for split, numbers in paper.items():
        for metric, theirs in numbers.items():
            own, what = success[split][base][metric], f"{metric} {split}"
            if own.high >= theirs:
                lines.append(f"{what}: the paper's {theirs:.1f} needs no switch, {base} reaches it ({own}).")
                continue
            missing, reached = theirs - own.mean, []
            for name, each in gains[split].items():
                if success[split][name][metric].high >= theirs and each[metric].low > 0:
                    reached.append(name)
                    explained[name].append(what)
            told = [
                _brought(name, each[metric], missing, chance[split][name][metric] - chance[split][base][metric])
                for name, each in gains[split].items()
                if each[metric].excludes_zero
            ]
            best = max(gains[split], key=lambda name: success[split][name][metric].mean)
            short = theirs - success[split][best][metric].mean
            end = f"explained by {_listed(reached)}" if reached else f"explained by none: {best} is {short:.1f} short"
            brought = "; ".join(told) or "no switch makes a difference that can be told"
            gap = f"{missing:.1f} points miss from {base} ({own}) to the paper's {theirs:.1f}"
            lines.append(f"{what}: {gap}. {brought}. It is {end}.")
            unexplained += [] if reached else [what]
    lines += [
        f"{name} explains {_listed(found)}." if found else f"{name} explains none of the paper's numbers."
        for name, found in explained.items()
    ]
    count = sum(map(len, paper.values()))
    if unexplained:
        return "\n".join([*lines, f"No setting explains {len(unexplained)} of {count}: {_listed(unexplained)}."])
    return "\n".join([*lines, f"Each of the paper's {count} numbers is reached by some setting, or needs none."])


def _brought(name: str, gain: Interval, missing: float, by_luck: float) -> str:
    if gain.mean < 0:
        return f"{name} loses {-gain.mean:.1f}"
    luck = f", chance alone {by_luck:.1f}" if abs(by_luck) >= 0.05 else ""
    return f"{name} brings {gain} ({100 * gain.mean / missing:.0f} %{luck})"


def _listed(words: list[str]) -> str:
    return words[0] if len(words) == 1 else ", ".join(words[:-1]) + " and " + words[-1]
