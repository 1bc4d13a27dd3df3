"""The tracker's forward pass, a second at a time: what `eail.tracker.Tracker.filter` does to a recording as a whole.

Beside it stands what a recording doesn't have: seconds that are missing, after which place and heading are less sure.
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float
from scipy import ndimage, sparse

from eailkit.eail.decision import RADIUS_M
from eailkit.eail.tracker import Observations, Posterior, Tracker

LOST_MPS = 0.5  # how fast the place of somebody unseen becomes unsure, standard deviation an axis
LOST_RADPS = 1.0  # and the heading: the head may turn while its turning isn't measured
SET_BACK_S = 2.0  # what a clock that was set back counts as: nobody knows how long it took


class Belief:
    """Probability of places and headings given the seconds so far; memory is constant.

    Args:
        tracker: of the room.
        heading_rad: of the gravity frame in the map's, where it is known; sought where None.
    """

    def __init__(self, tracker: Tracker, heading_rad: float | None = None) -> None:
        self.tracker = tracker
        self._belief = tracker.start(heading_rad)
        self._before: tuple[np.ndarray, float] | None = None  # velocity and its deviation, a second ago
        self._seen, self._seconds = 0.0, 0  # sum of EAIL's maps in this gravity frame
        centres = tracker.grid.cell_centres
        near = np.linalg.norm(centres[:, None] - centres[None], axis=2) < RADIUS_M
        self._near = sparse.csr_array(near.astype(np.float32))

    def lose(self, missing_s: float | None, unseen_s: float, *, reoriented: bool) -> None:
        """Seconds are missing before the next one: spread what is believed, over the floor and over headings.

        The place spreads by `LOST_MPS` for every second between the last second and the next one; the heading by
        `LOST_RADPS` for those in which the head wasn't measured, and wholly where the orientation filter began anew.

        Args:
            missing_s: length of the gap; None where the clock was set back.
            unseen_s: from the last second's middle to the next one's, on the clock.
            reoriented: the heading of the gravity frame is another one now.
        """
        unseen_s += SET_BACK_S if missing_s is None else 0.0
        headings = self.tracker.config.headings
        place = min(LOST_MPS * unseen_s / self.tracker.grid.pitch_m, self.tracker.side)
        turn = min(LOST_RADPS * (missing_s or 0.0) * headings / (2 * np.pi), headings)
        if reoriented:
            turn = headings  # as wide as the circle, which is uniform
            self._seen, self._seconds = 0.0, 0
        # reflected at the square's rim: whoever leaves it comes back, and no mass piles up there
        spread = ndimage.gaussian_filter(
            self._belief.numpy(), (turn, place, place), mode=("wrap", "reflect", "reflect")
        )
        belief = torch.from_numpy(spread) * self.tracker.floor
        self._belief, self._before = belief / belief.sum(), None

    def update(
        self, joint: Float[np.ndarray, "headings cells"], velocity_mps: Float[np.ndarray, " 2"], std_mps: float
    ) -> Posterior:
        """The next second: EAIL's map under every heading, and the velocity net's answer in the gravity frame.

        Returns:
            One row.
        """
        now = (np.asarray(velocity_mps, float), float(std_mps))
        if self._before is not None:
            two = Observations(np.stack([joint, joint]), *map(np.array, zip(self._before, now, strict=True)))
            move, std = self.tracker.moves(two)
            self._belief = self.tracker.predict(self._belief, move[1], float(std[1])) * self.tracker.floor
        self._before = now
        self._seen, self._seconds = self._seen + joint.astype(float), self._seconds + 1
        belief = self._belief * self.tracker.likelihood(joint, self._seen / self._seconds)
        norm = belief.sum()
        self._belief = belief / norm
        place = self._belief.sum(0).flatten().numpy()
        heading = self._belief.sum((1, 2)).numpy()
        norms, region = np.array([float(norm.log())]), self.tracker.config.region
        return Posterior(place[None], heading[None], self.tracker.grid.cell_centres, norms, region)

    def decision(self, posterior: Posterior) -> Float[np.ndarray, " 2"]:
        """`Posterior.decision` of one row, with the distances between places kept."""
        return posterior.centres_m[int((self._near @ posterior.place[0]).argmax())]
