"""What annotators write about the scenarios: Ego-Exo4D's style, late, incomplete and never twice the same in a row."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from eailkit.recording import ActionSegment, Narration
from eailkit.scenarios.body import Segment

PHRASES: dict[str, tuple[str, ...]] = {
    "standing still": ("C stands", "C stands still", "C stands and waits", "C stands in place"),
    "looking around": ("C looks around", "C turns the head to look around", "C glances around the place"),
    "resting": ("C rests", "C takes a break", "C stands and breathes", "C waits and looks around"),
    "walking": ("C walks", "C walks forward", "C walks around", "C takes some steps", "C moves through the place"),
    "turning around": ("C turns around", "C turns to the other side", "C turns the body"),
    "climbing stairs": ("C climbs the stairs", "C walks up the stairs", "C goes up the steps", "C steps upstairs"),
    "descending stairs": ("C walks down the stairs", "C descends the staircase", "C goes down the steps"),
    "turning on the landing": ("C turns on the landing", "C walks around the landing", "C turns to the next stairs"),
    "running": ("C runs", "C runs on the path", "C runs along the park", "C runs fast", "C keeps running"),
    "jogging": ("C jogs", "C jogs slowly", "C jogs on the path", "C runs at an easy pace"),
    "catching breath": ("C catches the breath", "C stops to breathe", "C bends and breathes", "C stops running"),
    "typing": ("C types on the keyboard", "C presses the keys", "C types", "C types a text on the computer"),
    "browsing": ("C looks at the monitor", "C scrolls with the mouse", "C moves the mouse", "C looks at the screen"),
    "reading": ("C reads a book", "C turns a page", "C reads", "C holds a book and reads it"),
    "writing": ("C writes on paper", "C writes with a pen", "C writes in the notebook", "C takes notes"),
    "leaning back": ("C leans back on the chair", "C stretches on the chair", "C sits back"),
    "turning on the chair": ("C turns on the chair", "C swivels the chair", "C looks to the side"),
    "kneeling down": ("C kneels down", "C gets on the knees", "C lowers the body to the floor"),
    "scrubbing": ("C scrubs the floor", "C rubs the floor with a cloth", "C scrubs the floor with a brush"),
    "wiping the floor": ("C wipes the floor", "C wipes the floor with a cloth", "C cleans the floor"),
    "picking things up": ("C picks a box from the floor", "C bends and picks an item", "C picks a toy up"),
    "getting up": ("C gets up", "C stands up", "C rises from the floor"),
    "talking": ("C talks to a person", "C converses with man X", "C gestures while talking", "C speaks with woman Y"),
    "listening": ("C listens to a person", "C nods", "C looks at man X", "C looks at woman Y and listens"),
    "laughing": ("C laughs", "C laughs with a person", "C smiles and laughs"),
    "squats": ("C does a squat", "C squats", "C bends the knees and rises", "C lowers the hips"),
    "half squats": ("C does a half squat", "C squats halfway", "C bends the knees"),
    "hopping": ("C hops on the spot", "C hops", "C bounces on both feet"),
    "jumping jacks": ("C does jumping jacks", "C jumps with the arms and legs apart", "C does star jumps"),
    "high jumps": ("C jumps high", "C jumps up", "C jumps and lands on both feet"),
    "sweeping": ("C sweeps the floor", "C sweeps with a broom", "C moves the broom", "C sweeps the dirt"),
    "using a dustpan": ("C bends with the dustpan", "C sweeps the dirt into the dustpan", "C picks the dustpan"),
    "bouncing to the music": ("C dances", "C bounces to the music", "C moves to the beat"),
    "side steps": ("C dances with side steps", "C steps from side to side", "C dances"),
    "spinning": ("C spins around", "C turns while dancing", "C dances and spins"),
    "picking up a box": ("C picks up a box", "C lifts a box", "C bends and lifts the box"),
    "carrying a box": ("C carries a box", "C walks with the box", "C carries the box across the room"),
    "putting down a box": ("C puts down the box", "C places the box", "C drops the box"),
    "standing on one leg": ("C stands on one leg", "C balances on one leg", "C lifts a foot and balances"),
    "changing legs": ("C changes the leg", "C puts down the foot", "C lifts the other foot"),
    "sitting down on the floor": ("C sits down on the floor", "C lowers the body to the floor"),
    "sitting on the floor": ("C sits on the floor", "C sits on the carpet"),
    "lying down": ("C lies down", "C lies down on the floor", "C leans back to the floor"),
    "lying still": ("C lies on the floor", "C lies still", "C rests on the floor"),
    "rolling over": ("C rolls over", "C rolls to the side", "C turns over on the floor"),
    "sitting up": ("C sits up", "C raises the upper body", "C sits up from the floor"),
    "sit-ups": ("C does a sit-up", "C does sit-ups", "C raises the trunk from the floor"),
}  # fmt: skip
_MANNER = ("", "", "", "", "", "", " again", " slowly")


@dataclass(frozen=True)
class TellingConfig:
    """How tellers tell; times in seconds, the rest shares. As in the kitchens, but slower: our guess.

    The kitchens' tellers have the 1.1 s that we know as Ego-Exo4D's median; here less happens in a second.
    """

    gap_s: float = 1.7
    gap_log_sigma: float = 0.5
    missing: float = 0.1
    timing_std_s: float = 0.3
    mistimed: float = 0.05
    mistimed_s: float = 3.0
    wrong: float = 0.025
    unlabelled: float = 0.08  # segments without a keystep


def narrate(segments: tuple[Segment, ...], seed: int, config: TellingConfig | None = None) -> list[Narration]:
    """Narrations of a scenario, seconds of its motion, in order.

    About one every 1.7 s; a tenth missing, one in twenty off by up to 3 s, one in forty about another segment.
    """
    config = config or TellingConfig()
    rng = np.random.default_rng([seed, 0x7E17])
    told: list[Narration] = []
    end_s = segments[-1].end_s
    for segment in segments:
        last = ""
        t = segment.start_s + float(rng.uniform(0.1, 1.0))
        while t < segment.end_s:
            if rng.random() >= config.missing:
                label = segment.label
                if rng.random() < config.wrong:
                    label = segments[int(rng.integers(len(segments)))].label
                choices = [p for p in PHRASES[label] if p != last]
                last = choices[int(rng.integers(len(choices)))]
                off = rng.normal(0.0, config.timing_std_s)
                if rng.random() < config.mistimed:
                    off = rng.uniform(-config.mistimed_s, config.mistimed_s)
                manner = _MANNER[int(rng.integers(len(_MANNER)))]
                text = last + manner + ("." if rng.random() < 0.7 else "")
                told.append(Narration(float(np.clip(t + off, 0.0, end_s)), text))
            t += config.gap_s * float(np.exp(config.gap_log_sigma * rng.normal()))
    return sorted(told, key=lambda n: n.t_s)


def keysteps(segments: tuple[Segment, ...], seed: int, config: TellingConfig | None = None) -> list[ActionSegment]:
    """Labels of the segments as annotators set them: starts late by half a second or so, some missing."""
    config = config or TellingConfig()
    rng = np.random.default_rng([seed, 0x6E95])
    out: list[ActionSegment] = []
    for s in segments:
        start = s.start_s + float(np.clip(rng.normal(0.3, 0.3), -0.4, 1.2))
        end = s.end_s + float(np.clip(rng.normal(0.1, 0.3), -0.6, 0.8))
        start, end = max(start, out[-1].end_s if out else 0.0), min(end, segments[-1].end_s)
        if rng.random() < config.unlabelled or end - start < 0.7:
            continue
        if out and out[-1].label == s.label and start - out[-1].end_s < 1.5:
            out[-1] = ActionSegment(out[-1].start_s, end, s.label)
        else:
            out.append(ActionSegment(start, end, s.label))
    return out
