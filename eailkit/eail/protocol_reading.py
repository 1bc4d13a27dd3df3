"""Which of the paper's numbers a switch of its presumed protocol explains: computed from the recorded table."""

from __future__ import annotations

from collections.abc import Mapping

from eailkit.eail.readings import listed
from eailkit.metrics import Interval


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
        a line a number of the paper, one a setting that explains any, one of those that don't, one of what none does.
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
            end = f"explained by {listed(reached)}" if reached else f"explained by none: {best} is {short:.1f} short"
            brought = "; ".join(told) or "no switch makes a difference that can be told"
            gap = f"{missing:.1f} points miss from {base} ({own}) to the paper's {theirs:.1f}"
            lines.append(f"{what}: {gap}. {brought}. It is {end}.")
            unexplained += [] if reached else [what]
    lines += [f"{name} explains {listed(found)}." for name, found in explained.items() if found]
    if silent := [name for name, found in explained.items() if not found]:
        lines.append(f"{listed(silent)} explain{'s' * (len(silent) == 1)} none of the paper's numbers.")
    count = sum(map(len, paper.values()))
    if unexplained:
        return "\n".join([*lines, f"No setting explains {len(unexplained)} of {count}: {listed(unexplained)}."])
    return "\n".join([*lines, f"Each of the paper's {count} numbers is reached by some setting, or needs none."])


def _brought(name: str, gain: Interval, missing: float, by_luck: float) -> str:
    if gain.mean < 0:
        return f"{name} loses {-gain.mean:.1f}"
    luck = f", chance alone {by_luck:.1f}" if abs(by_luck) >= 0.05 else ""
    return f"{name} brings {gain} ({100 * gain.mean / missing:.0f} %{luck})"
