"""Which cooking take trains and which tests, by a rule and a seed: no list of EAIL's splits is published.

The paper says: training, test-seen and test-unseen sets, the last "exclusively of environments and participants not
present in the training set" (section 5.1). It says neither how many takes each has nor what is kept for choosing
epochs and settings. Numbers here are ours, those of SynthKitchen's bench: of 60 kitchens 10 test and 6 choose.
"""

from __future__ import annotations

import hashlib
import math
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from eailkit.datasets.egoexo4d_release import CookingTake
from eailkit.errors import ConfigError, DatasetError

SPLITS = ("train", "val-seen", "val-unseen", "test-seen", "test-unseen")
_GROUPS = ("seen", "test-unseen", "val-unseen")  # of equal seconds a person belongs to the first


@dataclass(frozen=True)
class SplitConfig:
    """How a release is split.

    Attributes:
        test_unseen, val_unseen: shares of the kitchens of which no take is trained on.
        test_seen, val_seen: shares of the takes in the other kitchens that aren't trained on either.
        own_clouds: whether a take may be judged on the cloud of its own recording. The paper's clouds were "built
            before" (section 5.1); a cloud that the evaluated take made is dense where its wearer went, so that it
            tells of the answer. False leaves takes that are alone in their world frame to training; with True they
            can test too, and numbers on them are another protocol's.
        seed: of the draw.
    """

    test_unseen: float = 1 / 6
    val_unseen: float = 1 / 10
    test_seen: float = 1 / 6
    val_seen: float = 1 / 10
    own_clouds: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("test_unseen", "val_unseen", "test_seen", "val_seen"):
            if not 0.0 < getattr(self, name) < 0.5:
                raise ConfigError(f"{name}: found {getattr(self, name)}; expected a share above 0 and below 0.5.")


@dataclass(frozen=True)
class Splits:
    """What a draw says.

    Attributes:
        split: by take name, one of `SPLITS`.
        scans: take whose cloud is the map of a world frame, by frame.
        left_out: why each other take has no split, by name.
    """

    split: dict[str, str]
    scans: dict[str, str]
    left_out: dict[str, str]


def draw_splits(takes: Iterable[CookingTake], config: SplitConfig | None = None) -> Splits:
    """Split the takes of a release.

    1. Takes of one world frame share a map: the cloud of one of them, its scan. Frames without a cloud are left out.
    2. Kitchens are drawn whole for test-unseen and val-unseen, of those in which a take could be judged on a map that
       isn't its own.
    3. A person belongs to the part (seen, test-unseen, val-unseen) with most of their seconds; their takes elsewhere
       are left out, so that nobody tests unseen who trains.
    4. In an unseen kitchen all takes test but each frame's scan, for which one that rule 3 left out is taken first.
    5. In the other kitchens takes are drawn for test-seen and val-seen; each frame's scan trains, as does a take alone
       in its frame: a map may come from a take that is trained on, never from one that is judged.

    Draws are by a hash of seed and name, so that they are the same everywhere and one take more moves few others.

    Raises:
        DatasetError: no take has a map, or there is too little to fill every split.
    """
    config, takes = config or SplitConfig(), sorted(takes, key=lambda t: t.name)
    clouded = {t.frame for t in takes if t.cloud}
    left_out = {t.name: "no cloud in its world frame" for t in takes if t.frame not in clouded}
    takes = [t for t in takes if t.frame in clouded]
    if not takes:
        raise DatasetError(
            f"takes: found {len(left_out)} cooking takes without a map; expected semidense_points.csv.gz in the world "
            "frame of each (trajectory/ of the take); download the part take_point_cloud."
        )
    group = _kitchen_groups(takes, config)
    home = _homes(takes, group)
    allowed = [t for t in takes if home[t.participant] == group[t.kitchen]]
    names = {t.name for t in allowed}
    left_out |= {t.name: "its wearer belongs to another part" for t in takes if t.name not in names}
    scans = {frame: _scan(members, names, group) for frame, members in _by_frame(takes).items()}
    unseen = [t for t in allowed if group[t.kitchen] != "seen"]
    split = {t.name: group[t.kitchen] for t in unseen if config.own_clouds or scans[t.frame] != t.name}
    left_out |= {t.name: "its cloud is the map of others" for t in unseen if t.name not in split}
    split |= _seen_splits([t for t in allowed if group[t.kitchen] == "seen"], scans, config)
    if empty := [part for part in SPLITS if part not in split.values()]:
        raise DatasetError(
            f"takes: found {len(takes)} cooking takes in {len(group)} kitchens, too few for {' and '.join(empty)}; "
            "expected 4 kitchens or more with several takes a capture; download more takes."
        )
    return Splits(split, scans, left_out)


def _rank(config: SplitConfig, what: str, name: str) -> str:
    return hashlib.sha256(f"{config.seed}/{what}/{name}".encode()).hexdigest()


def _share(count: int, share: float, most: int) -> int:
    """A share of a count, rounded half up, at least one where `most` lets it."""
    return min(max(1, math.floor(share * count + 0.5)), max(most, 0))


def _by_frame(takes: Iterable[CookingTake]) -> dict[str, list[CookingTake]]:
    frames = defaultdict(list)
    for take in takes:
        frames[take.frame].append(take)
    return dict(frames)


def _kitchen_groups(takes: Sequence[CookingTake], config: SplitConfig) -> dict[str, str]:
    """The part of each kitchen: "seen", "val-unseen" or "test-unseen"."""
    judged = {t.kitchen for members in _by_frame(takes).values() if len(members) > 1 for t in members}
    kitchens = {t.kitchen for t in takes}
    drawn = sorted(kitchens if config.own_clouds else judged, key=lambda k: _rank(config, "kitchen", k))
    test = _share(len(kitchens), config.test_unseen, len(kitchens) - 2)
    val = _share(len(kitchens), config.val_unseen, len(kitchens) - 1 - test)
    group = dict.fromkeys(drawn[:test], "test-unseen") | dict.fromkeys(drawn[test : test + val], "val-unseen")
    return {kitchen: group.get(kitchen, "seen") for kitchen in sorted(kitchens)}


def _homes(takes: Sequence[CookingTake], group: dict[str, str]) -> dict[str, str]:
    """The part that each person belongs to."""
    seconds = defaultdict(lambda: dict.fromkeys(_GROUPS, 0.0))
    for take in takes:
        seconds[take.participant][group[take.kitchen]] += take.seconds
    return {person: max(_GROUPS, key=lambda g, own=own: own[g]) for person, own in seconds.items()}


def _scan(members: Sequence[CookingTake], allowed: set[str], group: dict[str, str]) -> str:
    """The take whose cloud is its frame's map: in a seen kitchen one that can train, elsewhere one that can't test."""
    seen = group[members[0].kitchen] == "seen"
    return min((t for t in members if t.cloud), key=lambda t: ((t.name in allowed) != seen, t.name)).name


def _seen_splits(takes: Sequence[CookingTake], scans: dict[str, str], config: SplitConfig) -> dict[str, str]:
    """The split of each take of the kitchens that are trained in: "train", "test-seen" or "val-seen"."""
    kept = set()  # to train: the scan, or where its wearer is another part's, the first, so that the room is trained in
    for frame, members in _by_frame(takes).items():
        names = [t.name for t in members]
        kept.add(scans[frame] if scans[frame] in names else names[0])
    if config.own_clouds:  # all but one take of each kitchen
        kept = set({t.kitchen: t.name for t in reversed(takes)}.values())
    drawn = sorted((t.name for t in takes if t.name not in kept), key=lambda name: _rank(config, "take", name))
    test = _share(len(takes), config.test_seen, len(drawn) - 1)
    val = _share(len(takes), config.val_seen, len(drawn) - test)
    return (
        {t.name: "train" for t in takes}
        | dict.fromkeys(drawn[:test], "test-seen")
        | dict.fromkeys(drawn[test : test + val], "val-seen")
    )
