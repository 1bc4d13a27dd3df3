"""The card of a shipped pair of towers, written from its record by `eailkit.pretrain_towers`."""

from __future__ import annotations

from eailkit.encoders.tiny_towers import KINDS

_CARD = """\
# Tiny vision-language towers: {kind}

A vision transformer ({px} px, patch {patch}, {layers} layers, {width} wide) and a text transformer of CLIP's
architecture (`{name}`, {dim} dimensions), trained with {objective} objective. In EAIL's Table 5 they take the place of
{stands_for}: it can't be shipped, and with real weights at hand one argument swaps it in.

- Made by `{command}`, commit {commit}, seed {seed}: {steps} steps, {minutes} minutes on {device}.
- Trained on {frames} frames of {rooms} SynthKitchen kitchens that belong to no split, {pairs} of them with one of
  {captions} captions. {choosing} more such kitchens chose the weights of step {chosen}, and {reporting} others gave the
  first table; no split of a dataset chose anything.
- Half precision. Of CLIP's 49,408 token rows only the {tokens} that occur are stored; any other token gets the mean of
  the words that do: it says "some word".
- They know rendered kitchens and simulated narrations and nothing else: no photographs, no real speech.
- Licence: CC BY 4.0.

Retrieval in galleries of {gallery} pairs with different captions, percent (the same action in other words counts as
wrong):

| | held-out rooms | training rooms | chance |
|---|---|---|---|
{scores}

Of the caption ranked first among all captions, how often the verb is the right one: {verb} % in held-out rooms, where
always saying the commonest verb would score {commonest} %.
"""

_VAL = """
On SynthKitchen's val splits, percent. An action counts as recognised where, of all action names in a few prompts, the
frame is nearest to the true one's; nothing was trained for it.

| | {splits} |
|---|{rule}|
{rows}
"""

_ROWS = {
    "zero-shot action, top-1": ("zero-shot", "top-1"),
    "its chance": ("zero-shot", "chance"),
    "always the commonest action": ("zero-shot", "commonest action"),
    "zero-shot action, mean over classes": ("zero-shot", "class mean"),
    "always one action, mean over classes": ("zero-shot", "class mean of one answer"),
    "frames": ("zero-shot", "frames"),
    "pairs in a gallery": ("retrieval", "gallery"),
    "image to text R@1": ("retrieval", "image to text R@1"),
    "image to text R@5": ("retrieval", "image to text R@5"),
    "text to image R@1": ("retrieval", "text to image R@1"),
    "text to image R@5": ("retrieval", "text to image R@5"),
}


def card(record: dict) -> str:
    """The card, Markdown, of a record that `pretrain_towers.pretrain` returns."""
    run, data, vision = record["pretraining"], record["data"], record["model"]["vision_cfg"]
    gallery = run["gallery"]
    scores = record[f"retrieval in galleries of {gallery}, percent"]
    kind = KINDS[record["kind"]]
    choosing = run["held_out_rooms"] // 2
    text = _CARD.format(
        kind=record["kind"], px=vision["image_size"], patch=vision["patch_size"], layers=vision["layers"],
        width=vision["width"], name=kind.architecture, dim=record["model"]["embed_dim"],
        objective="SLIP's" if kind.objective.ssl_scale else "CLIP's", stands_for=kind.stands_for,
        command=record["command"] or "eailkit.pretrain_towers.pretrain", commit=record["commit"],
        seed=run["train"]["seed"], steps=run["train"]["steps"], minutes=record["minutes"], device=record["device"],
        frames=data["train frames"], rooms=run["rooms"] - run["held_out_rooms"],
        pairs=data["train frames with caption"], captions=data["different captions"], choosing=choosing,
        chosen=record["chosen step"], reporting=run["held_out_rooms"] - choosing, tokens=data["tokens learned"],
        gallery=gallery,
        scores="\n".join(
            f"| {name} | {value} | {scores['training rooms'][name]} | "
            f"{round(100 * int(name.rpartition('@')[2]) / gallery, 1):g} |"
            for name, value in scores["held-out rooms"].items()
            if "@" in name
        ),
        verb=scores["held-out rooms"]["same verb"], commonest=scores["held-out rooms"]["commonest verb"],
    )  # fmt: skip
    return text + _val(record["val"])


def _val(val: dict) -> str:
    if not val:
        return ""
    rows = [
        f"| {row} | " + " | ".join(str(s[part][name]) for s in val.values()) + " |"
        for row, (part, name) in _ROWS.items()
    ]
    return _VAL.format(splits=" | ".join(val), rule="|".join(["---"] * len(val)), rows="\n".join(rows))
