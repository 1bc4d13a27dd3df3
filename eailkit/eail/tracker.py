"""A Bayes filter over place and heading: the tracker that EAIL's limitations ask for (EAIL section 6).

A second of EAIL's map is vague and its seconds overlap; what makes a track of them is motion. The state is a place on
the map's square and the heading, the one angle that the IMU lacks. Three lines of algebra a second:

    predict    p(x', h') = sum_x,h N(x' | x + R(h) u, s^2) q(h' | h) p(x, h)      u, s from the velocity net
    weigh      p(x, h)  *= free(x) * EAIL_t(x, h)^a / habit(x, h)^b      habit the mean of EAIL_t over seconds
    normalise  p(x, h)  /= sum p

A body faces what it works at: that is in EAIL's map, whose motion features hold the facing under each heading.
Forward alone it is live; forward and backward it smooths a recording. It reads nothing of a true path.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from eailkit.eail.decision import mass_within, most_mass, radius_holding
from eailkit.preprocess.mapgrid import SIDE, MapGrid

FINE = 2  # places a cell and axis
FLOOR = 1e-4  # chance of a cell where nobody can stand: maps err
RIM = 0.01  # share of what would leave the square that stays


@dataclass(frozen=True)
class TrackerConfig:
    """How much the filter believes what.

    Attributes:
        headings: of the state, evenly around the circle.
        map_power: exponent of EAIL's map: its seconds overlap and err alike, so that each says less than it seems.
        habit_power: of the map's mean over the seconds so far (or of the recording), which every second repeats.
        drift_rad: standard deviation of the heading's change in a second; VQF drifts by degrees a minute.
        velocity_scale: times the velocity net's own standard deviation.
        sway_m: standard deviation of a second's move that no velocity net sees.
        region: share of the belief whose circle surely held the true place in 90 % of validation's seconds: a belief
            that errs in one piece (a heading taken the wrong way round) is surer than it should be.
    """

    headings: int = 36
    map_power: float = 0.1
    habit_power: float = 0.08
    drift_rad: float = 0.01
    velocity_scale: float = 1.0
    sway_m: float = 0.03
    region: float = 0.9


@dataclass(frozen=True)
class Observations:
    """What the filter reads of a recording, a row a second.

    Attributes:
        joint: EAIL's probability of each heading hypothesis and cell, (n, H, 400) (`inference.HeadingMaps.joint`).
        velocity_mps: mean ground velocity, gravity frame, (n, 2).
        velocity_std_mps: its standard deviation an axis, (n,).
    """

    joint: Float[np.ndarray, "n headings cells"]
    velocity_mps: Float[np.ndarray, "n 2"]
    velocity_std_mps: Float[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.joint)


@dataclass(frozen=True)
class Posterior:
    """Where the filter believes that the wearer was, a row a second.

    Attributes:
        place: probability of each place of the square, rows along y, (n, places).
        heading: probability of each heading, (n, headings).
        centres_m: of the places, map's frame, (places, 2).
        log_evidence: log of the normalisers of the forward pass, (n,), nats, each second's likelihood scaled to one.
        region: share of the belief that a 90 % region holds (`TrackerConfig.region`).
    """

    place: Float[np.ndarray, "n places"]
    heading: Float[np.ndarray, "n headings"]
    centres_m: Float[np.ndarray, "places 2"]
    log_evidence: Float[np.ndarray, " n"]
    region: float = 0.9

    def decision(self) -> Float[np.ndarray, "n 2"]:
        """The places with most mass within 0.4 m, m: what success at that radius asks for."""
        return most_mass(self.place, self.centres_m)

    def radius(self, position_m: Float[np.ndarray, "n 2"], mass: float | None = None) -> Float[np.ndarray, " n"]:
        """Radii of the circles around positions that hold a share of the mass, the 90 % region's by default, m."""
        return radius_holding(self.place, self.centres_m, position_m, self.region if mass is None else mass)

    def probability_within(self, position_m: Float[np.ndarray, "n 2"]) -> Float[np.ndarray, " n"]:
        """Probability that the wearer is within 0.4 m of positions."""
        return mass_within(self.place, self.centres_m, position_m)

    def cells(self) -> Float[np.ndarray, "n cells"]:
        """Probability of each of EAIL's cells, (n, 400)."""
        side = SIDE * FINE
        return self.place.reshape(-1, SIDE, FINE, side // FINE, FINE).sum((2, 4)).reshape(-1, SIDE * SIDE)

    def mean_heading(self) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Circular mean of the heading, rad, and how sure it is: the length of the mean vector, 0 to 1."""
        angle = np.arange(self.heading.shape[1]) * 2 * np.pi / self.heading.shape[1]
        mean = self.heading @ np.exp(1j * angle)
        return np.angle(mean), np.abs(mean)


class Tracker:
    """The filter on one map: `forward` live, `smooth` for recordings.

    Args:
        grid: the map's square.
        free: cells over which a head can be (`mapgrid.free_cells`).
        empty: cells without points, of which EAIL says nothing.
        config: how much it believes what.
    """

    def __init__(
        self, grid: MapGrid, free: Bool[np.ndarray, " cells"], empty: Bool[np.ndarray, " cells"],
        config: TrackerConfig | None = None,
    ):  # fmt: skip
        self.config = config or TrackerConfig()
        self.grid, self.side = replace(grid, n=SIDE * FINE), SIDE * FINE
        self.empty = np.asarray(empty, bool)
        self.angles = torch.arange(self.config.headings) * (2 * np.pi / self.config.headings)
        floor = torch.from_numpy(np.where(np.asarray(free, bool), 1.0, FLOOR).astype(np.float32)).view(SIDE, SIDE)
        self.floor = floor.repeat_interleave(FINE, 0).repeat_interleave(FINE, 1)
        axis = torch.arange(self.side)
        self.apart = axis[:, None] - axis[None] + self.side - 1  # after minus before, from 0 on

    def start(self, heading_rad: float | None = None) -> Float[Tensor, "headings rows columns"]:
        """Belief before the first second: any free place, any heading, or one that is known."""
        weight = torch.ones(self.config.headings)
        if heading_rad is not None:
            off = torch.remainder(self.angles - heading_rad + np.pi, 2 * np.pi) - np.pi
            weight = torch.exp(-0.5 * (off / (np.pi / self.config.headings)) ** 2)
        belief = weight[:, None, None] * self.floor
        return belief / belief.sum()

    def predict(
        self, belief: Float[Tensor, "headings rows columns"], move_m: Float[np.ndarray, " 2"], std_m: float, *,
        back: bool = False,
    ) -> Float[Tensor, "headings rows columns"]:  # fmt: skip
        """The belief a second later: each heading turns the move its own way, and drifts a little.

        Args:
            move_m: in the gravity frame.
            std_m: of the move, an axis.
            back: the transposed step, which the backward pass takes.
        """
        if back:
            belief = self._drift(belief)
        c, s = self.angles.cos(), self.angles.sin()
        across = self._step(c * move_m[0] - s * move_m[1], std_m)
        along = self._step(s * move_m[0] + c * move_m[1], std_m)
        if back:
            return along.transpose(1, 2) @ belief @ across
        return self._drift(along @ belief @ across.transpose(1, 2))

    def _step(self, by_m: Float[Tensor, " headings"], std_m: float) -> Float[Tensor, "headings after before"]:
        """Probability of each place on an axis after a move from each.

        The square is as tight as the floor: of what would leave it a hundredth stays at its rim and the rest is lost,
        so that a heading which walks a wearer through walls loses weight.
        """
        edges = (torch.arange(1 - self.side, self.side + 1) - 0.5) * self.grid.pitch_m
        below = torch.special.ndtr((edges - by_m[:, None]) / std_m)  # at both sides of each difference of two places
        step = below.diff(dim=1)[:, self.apart]
        before = torch.arange(self.side)
        step[:, 0] += RIM * below[:, self.side - 1 - before]
        step[:, -1] += RIM * (1 - below[:, 2 * self.side - 1 - before])
        return step

    def _drift(self, belief: Tensor) -> Tensor:
        step = 2 * np.pi / self.config.headings
        leave = min(0.5, (self.config.drift_rad / step) ** 2)
        return (1 - leave) * belief + leave / 2 * (belief.roll(1, 0) + belief.roll(-1, 0))

    def likelihood(
        self, joint: Float[np.ndarray, "headings cells"], habit: Float[np.ndarray, "headings cells"] | None = None
    ) -> Float[Tensor, "headings rows columns"]:
        """How well each state explains a second of EAIL's map, the largest being one."""
        fine = self.config.map_power * np.log(np.maximum(joint, 1e-9))
        if habit is not None and self.config.habit_power:
            fine = fine - self.config.habit_power * np.log(np.maximum(habit, 1e-9))
        fine = np.where(self.empty, np.median(fine[:, ~self.empty], axis=1, keepdims=True), fine)
        maps = torch.from_numpy(fine.astype(np.float32)).view(1, len(joint), SIDE, SIDE)
        maps = torch.nn.functional.interpolate(maps, scale_factor=FINE, mode="bilinear", align_corners=False)[0]
        at = torch.arange(self.config.headings) * (len(joint) / self.config.headings)
        low = at.floor().long()
        share = (at - low)[:, None, None]
        maps = (1 - share) * maps[low % len(joint)] + share * maps[(low + 1) % len(joint)]
        return torch.exp(maps - maps.max())

    def moves(self, seen: Observations) -> tuple[Float[np.ndarray, "n 2"], Float[np.ndarray, " n"]]:
        """Move from each second's middle to the next one's and its standard deviation, m; the first row is none."""
        v, s = np.asarray(seen.velocity_mps, float), np.asarray(seen.velocity_std_mps, float)
        move = np.concatenate([np.zeros((1, 2)), (v[1:] + v[:-1]) / 2])
        std = np.concatenate([s[:1], np.sqrt((s[1:] ** 2 + s[:-1] ** 2) / 2)]) * self.config.velocity_scale
        return move, np.sqrt(std**2 + self.config.sway_m**2)

    def forward(self, seen: Observations, *, heading_rad: float | None = None) -> Iterator[tuple[Tensor, float]]:
        """The belief after each second, from that second and those before it, and the log of its normaliser."""
        move, std = self.moves(seen)
        belief, total = self.start(heading_rad), np.zeros(seen.joint.shape[1:])
        for t in range(len(seen)):
            total += seen.joint[t]
            if t:
                belief = self.predict(belief, move[t], float(std[t])) * self.floor
            belief = belief * self.likelihood(seen.joint[t], total / (t + 1))
            norm = belief.sum()
            belief = belief / norm
            yield belief, float(norm.log())

    def filter(self, seen: Observations, *, heading_rad: float | None = None) -> Posterior:
        """What is known at each second, live."""
        return self._posterior(self.forward(seen, heading_rad=heading_rad))

    def smooth(self, seen: Observations, *, heading_rad: float | None = None) -> Posterior:
        """What is known of each second once the recording has ended: forward and backward."""
        move, std = self.moves(seen)
        habit = seen.joint.mean(0)
        like = [self.likelihood(joint, habit) for joint in seen.joint]
        belief, kept, norms = self.start(heading_rad), [], []
        for t in range(len(seen)):
            if t:
                belief = self.predict(belief, move[t], float(std[t])) * self.floor
            belief = belief * like[t]
            norms.append(float(belief.sum().log()))
            belief = belief / belief.sum()
            kept.append(belief)
        later = torch.ones_like(belief)
        for t in reversed(range(len(seen))):
            kept[t] = kept[t] * later
            kept[t] = kept[t] / kept[t].sum()
            if t:
                later = self.predict(later * like[t] * self.floor, move[t], float(std[t]), back=True)
                later = later / later.max()
        return self._posterior(zip(kept, norms, strict=True))

    def _posterior(self, beliefs) -> Posterior:
        place, heading, norms = [], [], []
        for belief, norm in beliefs:
            place.append(belief.sum(0).flatten().numpy())
            heading.append(belief.sum((1, 2)).numpy())
            norms.append(norm)
        return Posterior(
            np.stack(place), np.stack(heading), self.grid.cell_centres, np.array(norms), self.config.region
        )
