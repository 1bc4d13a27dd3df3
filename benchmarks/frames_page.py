"""A page of egocentric frames with what was done and told, and how often the tellers speak.

`python -m benchmarks --only frames_page` writes `docs/frames.png` and the table `narrations`. Rooms, people and
moments are drawn from one seed and never picked by hand.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from eailkit.results.ledger import LedgerRow, append_rows, device_name, git_commit
from eailkit.synthkitchen.actions import ACTION_NAMES
from eailkit.synthkitchen.camera import CameraConfig, render_frames
from eailkit.synthkitchen.person import draw_person
from eailkit.synthkitchen.room import generate_room
from eailkit.synthkitchen.take import SimulatedTake, frame_hints, simulate_take
from eailkit.synthkitchen.version import parameter_hash

SEED, ROOMS, FRAMES_A_ROOM, MINUTES = 11, 8, 3, 5.0
PIXELS, TEXT_PX, PER_ROW = 192, 34, 6
COMMAND = "python -m benchmarks --only frames_page"


def record(results: str | Path = "results", picture: str | Path = "docs/frames.png") -> None:
    """Simulate a take in each room, draw the page and write table `narrations`."""
    began = time.perf_counter()
    rng = np.random.default_rng(SEED)
    images, lines, gaps, texts = [], [], [], []
    for k in range(ROOMS):
        room, person = generate_room(SEED * 100 + k), draw_person(SEED * 100 + k)
        take = simulate_take(room, person, MINUTES, SEED * 100 + k)
        when = np.sort(take.lead_s + 60.0 * MINUTES * (np.arange(FRAMES_A_ROOM) + rng.random(FRAMES_A_ROOM)) / 3.0)
        images.extend(frames_of(take, room, person, when))
        lines.extend(_lines(take, when))
        told = np.array([n.t_s for n in take.recording.narrations])
        gaps.append(np.diff(told))
        texts.extend(n.text for n in take.recording.narrations)
    page(np.stack(images), lines).quantize(256).save(picture, optimize=True)
    gap = np.concatenate(gaps)
    mean = {f"gap p{p} (s)": round(float(np.percentile(gap, p)), 3) for p in (10, 50, 90)}
    mean |= {"narrations per minute": round(len(texts) / (ROOMS * MINUTES), 2), "distinct texts": len(set(texts))}
    append_rows("narrations", [LedgerRow(
        id="SynthKitchen", question="How often do the tellers speak?", command=COMMAND,
        config={"takes": ROOMS, "minutes a take": MINUTES, "spread": "none, all takes together"},
        commit=git_commit(), data_hash=parameter_hash(), seeds=(SEED,), mean=mean, spread=dict.fromkeys(mean, 0.0),
        minutes=round((time.perf_counter() - began) / 60, 3), device=device_name(),
    )], results_dir=results)  # fmt: skip


def frames_of(
    take: SimulatedTake, room, person, when_s: Float[np.ndarray, " n"], size: int = PIXELS
) -> UInt8[np.ndarray, "n size size 3"]:
    """Frames of a take at moments of its plan (s), as a dataset holds them, but larger and smoothed."""
    head = take.motion.sample(when_s)
    hands, held = frame_hints(take.plan, room, person, when_s, head.position_m)
    return render_frames(
        room, head.position_m, head.quat_world_head_xyzw, size=size, hands_world_m=hands, held_rgb=held,
        config=CameraConfig(supersample=2),
    )  # fmt: skip


def _lines(take: SimulatedTake, when_s: Float[np.ndarray, " n"]) -> list[tuple[str, str]]:
    """The true action and the nearest narration (with its distance in time) of each moment."""
    starts = np.array([s.start_s for s in take.plan.segments])
    told = take.recording.narrations
    at = np.array([n.t_s for n in told])
    lines = []
    for t in when_s:
        action = ACTION_NAMES[take.plan.segments[max(0, np.searchsorted(starts, t, "right") - 1)].action]
        gap = at - float(take.device_time(t))
        k = int(np.abs(gap).argmin())
        lines.append((action, f"{gap[k]:+.1f} s: {told[k].text}"))
    return lines


def page(images: UInt8[np.ndarray, "n size size 3"], lines: list[tuple[str, str]]) -> Image.Image:
    """Frames in rows, each with its action and its narration below."""
    size, gap = images.shape[1], 6
    rows = -(-len(images) // PER_ROW)
    sheet = Image.new("RGB", (PER_ROW * (size + gap) + gap, rows * (size + TEXT_PX + gap) + gap), "white")
    draw, bold, plain = ImageDraw.Draw(sheet), ImageFont.load_default(13), ImageFont.load_default(10)
    for k, (image, (action, text)) in enumerate(zip(images, lines, strict=True)):
        x, y = gap + (k % PER_ROW) * (size + gap), gap + (k // PER_ROW) * (size + TEXT_PX + gap)
        sheet.paste(Image.fromarray(image), (x, y))
        draw.text((x + 2, y + size + 1), action, "black", bold)
        while draw.textlength(text, plain) > size - 4:
            text = text[:-2].rstrip(" …") + "…"
        draw.text((x + 2, y + size + 18), text, "#444444", plain)
    return sheet
