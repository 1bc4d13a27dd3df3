"""Which rooms, people and takes a dataset has, and which split each take belongs to.

Everything is derived from the seed and the counts alone, so that workers, order and interruptions don't
matter. Unseen rooms are visited only by people who appear in no training take.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from eailkit.errors import ConfigError

SPLITS = ("train", "val-seen", "val-unseen", "test-seen", "test-unseen", "pretrain", "scan")
_DEVICES = 8  # pairs of glasses that the takes of a dataset share


@dataclass(frozen=True)
class DatasetConfig:
    """How many takes go where.

    Attributes:
        val_unseen_rooms, test_unseen_rooms: rooms of which no take is trained on; about a tenth and a
            quarter of the rooms where None.
        train_takes_per_room, test_seen_takes_per_room: takes of each seen room.
        val_seen_rooms: seen rooms with one val-seen take each; half of them where None.
        unseen_takes_per_room: takes of each unseen room.
        long_takes: takes of each test split that last at least `long_minutes` (for drift over time).
        minutes_spread: 0 draws lengths from 0.75 to 1.25 of the mean; above, standard deviation of the
            logarithm of a log-normal that is cut (not clamped) at `shortest_minutes` and `longest_minutes`
            and has the mean asked for. Ego-Exo4D's cooking takes last 2 to 40 minutes.
        frame_splits: splits whose takes get an egocentric video; frame_px: its height and width.
        pretrain: all rooms and people come from a range of seeds that no other dataset uses, every take
            is of the split "pretrain", with frames.
        scans: False leaves the rooms' clouds out, for data of which only frames and narrations are read.
    """

    val_unseen_rooms: int | None = None
    test_unseen_rooms: int | None = None
    train_takes_per_room: int = 4
    test_seen_takes_per_room: int = 1
    val_seen_rooms: int | None = None
    unseen_takes_per_room: int = 2
    long_takes: int = 2
    long_minutes: float = 10.0
    minutes_spread: float = 0.0
    shortest_minutes: float = 2.0
    longest_minutes: float = 40.0
    frame_splits: tuple[str, ...] = ("train",)
    frame_px: int = 64
    pretrain: bool = False
    scans: bool = True

    def __post_init__(self) -> None:
        unknown = [s for s in self.frame_splits if s not in SPLITS]
        if unknown:
            raise ConfigError(f"frame_splits: found '{unknown[0]}'; expected some of {', '.join(SPLITS)}; correct it.")
        for name in ("train_takes_per_room", "test_seen_takes_per_room", "unseen_takes_per_room", "long_takes"):
            if getattr(self, name) < 0:
                raise ConfigError(f"{name}: found {getattr(self, name)}; expected 0 or more; give a count.")
        if not 0.0 <= self.minutes_spread <= 2.0:
            raise ConfigError(
                f"minutes_spread: found {self.minutes_spread:g}; expected 0 to 2; give for example 0.6, or 0 for takes "
                "of about one length."
            )
        if not 0.1 <= self.shortest_minutes < self.longest_minutes <= 240:
            raise ConfigError(
                f"shortest_minutes, longest_minutes: found {self.shortest_minutes:g} and {self.longest_minutes:g}; "
                "expected 0.1 <= shortest < longest <= 240; change the two."
            )
        if not 16 <= self.frame_px <= 1024 or self.frame_px % 2:
            raise ConfigError(
                f"frame_px: found {self.frame_px}; expected an even number, 16 to 1024; give for example 64."
            )


@dataclass(frozen=True)
class TakeJob:
    """One take to make; enough for a worker to make it alone."""

    name: str
    split: str
    room_id: str
    room_seed: int
    participant: str
    person_seed: int
    minutes: float
    seed: int
    device_seed: int
    frame_px: int  # 0 for no video


def dataset_jobs(rooms: int, participants: int, minutes: float, seed: int, config: DatasetConfig) -> list[TakeJob]:
    """Every take of a dataset, scans included, by room.

    Raises:
        ConfigError: a count is impossible, or there are too few rooms or people for the unseen splits asked for.
    """
    _check_counts(rooms, participants, minutes, seed)
    val, test = _unseen_rooms(rooms, participants, config)
    seen = rooms - val - test
    people = _people(participants, config.unseen_takes_per_room * val, config.unseen_takes_per_room * test)
    median = median_minutes(minutes, config) if config.minutes_spread else 0.0
    val_seen = (seen + 1) // 2 if config.val_seen_rooms is None else min(config.val_seen_rooms, seen)
    jobs: list[TakeJob] = []
    turn = dict.fromkeys(people, 0)
    long_left = {"test-seen": config.long_takes, "test-unseen": config.long_takes}
    for i in range(rooms):
        if config.pretrain:
            splits = ["pretrain"] * config.train_takes_per_room
        elif i < seen:
            splits = ["train"] * config.train_takes_per_room + ["val-seen"] * (i < val_seen)
            splits += ["test-seen"] * config.test_seen_takes_per_room
        else:
            splits = ["val-unseen" if i < seen + val else "test-unseen"] * config.unseen_takes_per_room
        room_id = f"sk{seed}_{'pretrain' if config.pretrain else 'kitchen'}_{i:03d}"
        room_seed = _seed(seed, 1, i, config.pretrain)
        if config.scans:
            jobs.append(_scan_job(room_id, room_seed))
        for k, split in enumerate(splits):
            group = split if split in people else "seen"
            person = people[group][turn[group] % len(people[group])]
            turn[group] += 1
            length = _length(minutes, median, config, np.random.default_rng([seed, 3, i, k]))
            if long_left.get(split, 0) > 0:
                long_left[split] -= 1
                length = max(length, config.long_minutes)
            filmed = config.pretrain or split in config.frame_splits
            jobs.append(
                TakeJob(
                    name=f"{room_id}_p{person:03d}_{k + 1}",
                    split=split,
                    room_id=room_id,
                    room_seed=room_seed,
                    participant=f"sk{seed}_{'pretrain_' if config.pretrain else ''}p{person:03d}",
                    person_seed=_seed(seed, 2, person, config.pretrain),
                    minutes=round(length, 3),
                    seed=_seed(seed, 4, i, config.pretrain, k),
                    device_seed=_seed(seed, 5, (i + 3 * k) % _DEVICES, config.pretrain),
                    frame_px=config.frame_px if filmed else 0,
                )
            )
    return jobs


def _length(minutes: float, median: float, config: DatasetConfig, rng: np.random.Generator) -> float:
    if not config.minutes_spread:
        return minutes * float(rng.uniform(0.75, 1.25))
    low, high = _cut(median, config)
    z = special.ndtri(rng.uniform(special.ndtr(low), special.ndtr(high)))
    return float(median * math.exp(config.minutes_spread * z))


def _cut(median: float, config: DatasetConfig) -> tuple[float, float]:
    """Shortest and longest take in standard deviations from the median, on the logarithm's scale."""
    return tuple(
        math.log(m / median) / config.minutes_spread for m in (config.shortest_minutes, config.longest_minutes)
    )


def median_minutes(minutes: float, config: DatasetConfig) -> float:
    """Median of the uncut log-normal whose mean between the two cuts is `minutes`.

    With a and b the cuts in standard deviations s, E = m exp(s^2 / 2) (F(b - s) - F(a - s)) / (F(b) - F(a)).

    Raises:
        ConfigError: no such median, because the mean lies outside the cuts or at one of them.
    """
    s = config.minutes_spread

    def excess(log_median: float) -> float:
        a, b = _cut(math.exp(log_median), config)
        share = (special.ndtr(b - s) - special.ndtr(a - s)) / (special.ndtr(b) - special.ndtr(a))
        return math.exp(log_median + s * s / 2) * share - minutes

    ends = [math.log(m) + side * 3.0 * s for m, side in ((config.shortest_minutes, -1), (config.longest_minutes, 1))]
    if excess(ends[0]) >= 0 or excess(ends[1]) <= 0:
        raise ConfigError(
            f"minutes: found a mean of {minutes:g} for takes of {config.shortest_minutes:g} to "
            f"{config.longest_minutes:g} min; expected a mean well between them; change the mean, or the two in the "
            "config."
        )
    return math.exp(optimize.brentq(excess, *ends))


def _scan_job(room_id: str, room_seed: int) -> TakeJob:
    return TakeJob(f"{room_id}_scan", "scan", room_id, room_seed, "", 0, 0.0, room_seed, 0, 0)


def _seed(seed: int, what: int, index: int, pretrain: bool, part: int = 0) -> int:
    # The upper half of 32 bits belongs to pretraining: no kitchen or person of a split is ever seen there.
    value = int(np.random.SeedSequence([seed, what, index, part]).generate_state(1, np.uint32)[0]) & 0x7FFFFFFF
    return value | 0x80000000 if pretrain else value


def _check_counts(rooms: int, participants: int, minutes: float, seed: int) -> None:
    for name, value, most in (("rooms", rooms, 10_000), ("participants", participants, 10_000)):
        if int(value) != value or not 1 <= value <= most:
            raise ConfigError(f"{name}: found {value}; expected a whole number from 1 to {most}; give for example 12.")
    if not 0.1 <= minutes <= 240:
        raise ConfigError(f"minutes: found {minutes:g}; expected a mean length from 0.1 to 240; give for example 5.")
    if int(seed) != seed or not 0 <= seed < 2**63:
        raise ConfigError(f"seed: found {seed}; expected a whole number, 0 or more; give for example 0.")


def _unseen_rooms(rooms: int, participants: int, config: DatasetConfig) -> tuple[int, int]:
    if config.pretrain:
        return 0, 0
    test = min(max(1, round(0.25 * rooms)) if rooms >= 2 else 0, 0 if participants < 2 else rooms)
    val = min(max(1, round(0.09 * rooms)) if rooms >= 4 else 0, 0 if participants < 3 else rooms)
    test = test if config.test_unseen_rooms is None else config.test_unseen_rooms
    val = val if config.val_unseen_rooms is None else config.val_unseen_rooms
    if min(test, val) < 0 or test + val >= rooms:
        raise ConfigError(
            f"rooms: found {rooms} with {val} for val-unseen and {test} for test-unseen; expected at least one more "
            "to train in; ask for more rooms or fewer unseen ones."
        )
    needed = 1 + (test > 0) + (val > 0)
    if participants < needed:
        raise ConfigError(
            f"participants: found {participants}; expected at least {needed}, because unseen rooms need people who are "
            "never trained on; ask for more."
        )
    return val, test


def _people(participants: int, val_takes: int, test_takes: int) -> dict[str, list[int]]:
    """A fifth of the people for test-unseen, a tenth for val-unseen, but never more than have a take there."""
    n_test = min(max(1, round(0.2 * participants)), test_takes)
    n_val = min(max(1, round(0.1 * participants)), val_takes)
    n_seen = participants - n_test - n_val
    everyone = list(range(participants))
    groups = {
        "seen": everyone[:n_seen],
        "val-unseen": everyone[n_seen : n_seen + n_val],
        "test-unseen": everyone[n_seen + n_val :],
    }
    return {name: people for name, people in groups.items() if people}
