"""What a pretraining of PRIMUS or of a baseline that shares its encoder is made of (PRIMUS section 3, Fig. 5).

A `PrimusConfig` says which terms of Eq. 5 are used, on which views and with which queue; `METHODS` names the paper's,
the release's, every line of the ablation, and the baselines that share the encoder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field

from eailkit.encoders.motion_gru import MotionGRU, MotionGruConfig
from eailkit.encoders.stacked_rnn import StackedRNN, StackedRnnConfig
from eailkit.errors import ConfigError
from eailkit.preprocess.augment import TASKS
from eailkit.preprocess.windows import LENGTH_S
from eailkit.primus.losses import PrimusWeights

ENCODERS = {"stacked_rnn": (StackedRNN, StackedRnnConfig), "motion_gru": (MotionGRU, MotionGruConfig)}
TERMS = ("ss", "mm", "nn")


@dataclass(frozen=True)
class PrimusConfig:
    """What is trained, and how it differs from the paper.

    Attributes:
        encoder: "stacked_rnn" (the paper's) or "motion_gru" (ours).
        terms: of Eq. 5, or "simclr", or "multitask" (the baselines' objectives on the same encoder).
        modalities: that L_MM uses: "video", "text".
        recipe: of `augment.RECIPES`.
        weights: alpha, beta, gamma.
        queue: rows; the paper's 8192.
        key: by what neighbours are found: "video" (the paper), "text", or "imu" (shown to collapse).
        count_valid: False lets rows that nothing was written to be neighbours, as the release does.
        mask_equal: windows with the same samples are no negatives; the release has 21 % of duplicates and no mask.
        apart_s: a stored window that begins less than this after or before is no neighbour, since it holds the same
            samples. The paper doesn't say; its queue is a small part of its data, so that a window rarely meets itself,
            while 8192 rows are nearly all of ours. The release has 0.
        neighbour_s: the second view is of another window of the same take, at most this many seconds away; 0, as in the
            paper, of the same window. Windows that near are no negatives then.
        multitask: names of MultitaskSSL's tasks.
    """

    encoder: str = "stacked_rnn"
    encoder_options: Mapping = field(default_factory=dict)
    terms: tuple[str, ...] = TERMS
    modalities: tuple[str, ...] = ("video", "text")
    recipe: str = "paper"
    weights: PrimusWeights = field(default_factory=PrimusWeights)
    queue: int = 8192
    key: str = "video"
    count_valid: bool = True
    mask_equal: bool = True
    apart_s: float = LENGTH_S
    neighbour_s: float = 0.0
    multitask: tuple[str, ...] = tuple(TASKS)

    def __post_init__(self) -> None:
        known = (*TERMS, "simclr", "multitask")
        if self.encoder not in ENCODERS or not self.terms or set(self.terms) - set(known):
            raise ConfigError(
                f"PRIMUS: found encoder '{self.encoder}' and terms {self.terms}; expected one of "
                f"{', '.join(ENCODERS)} and terms of {', '.join(known)}; choose among these."
            )
        if self.key not in ("video", "text", "imu"):
            raise ConfigError(f"PRIMUS: found the key '{self.key}'; expected video, text or imu; choose one of these.")

    def to_dict(self) -> dict:
        """Plain values, for a card or a hash."""
        return json.loads(json.dumps(asdict(self) | {"encoder_options": dict(self.encoder_options)}))


def _method(*terms: str, **changes) -> PrimusConfig:
    return PrimusConfig(terms=terms, **changes)


METHODS: dict[str, PrimusConfig] = {
    "PRIMUS": PrimusConfig(),
    "PRIMUS, as released": PrimusConfig(
        recipe="as_released",
        weights=PrimusWeights(0.5, 0.5, 0.5),
        count_valid=False,
        mask_equal=False,
        apart_s=0.0,
    ),
    "SimCLR": _method("simclr"),
    "MultitaskSSL": _method("multitask"),
    "IMU2CLIP (video)": _method("mm", modalities=("video",)),
    "IMU2CLIP (text)": _method("mm", modalities=("text",)),
    "IMU2CLIP": _method("mm"),
    "SS": _method("ss"),
    "NN": _method("nn"),
    "NN, IMU alone": _method("nn", key="imu"),
    "SS + MM": _method("ss", "mm"),
    "SS + NN": _method("ss", "nn"),
    "MM + NN": _method("mm", "nn"),
}  # IMU2CLIP is the ablation's MM, PRIMUS its last line
