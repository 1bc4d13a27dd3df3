"""The card of a shipped pair of towers, written from its record by `eailkit.experiments.towers.pretrain`."""

from __future__ import annotations

from eailkit.vision_language.tiny import KINDS

_CARD = """\
# Tiny vision-language towers: {kind}

A vision transformer ({px} px, patch {patch}, {layers} layers, {width} wide) and a text transformer of CLIP's
architecture (`{name}`, {dim} dimensions), trained with {objective} objective. In {paper} they take the place of
{stands_for}: it can't be shipped, and with real weights at hand one argument swaps it in.

- Made by `{command}`, commit {commit}, seed {seed}: {steps} steps, {minutes} minutes on {device}.
- Trained on {frames} frames of {rooms} SynthKitchen kitchens that belong to no split{and_people},
  {pairs} of them with one of {captions} captions. {choosing} chose the weights of step {chosen},
  and {reporting} gave the first table; no split of a dataset chose anything.
- Half precision. Of CLIP's 49,408 token rows only the {tokens} that occur are stored; any other token gets the mean of
  the words that do: it says "some word".
- They know rendered {places} and simulated narrations and nothing else: no photographs, no real speech.
{note}- Licence: CC BY 4.0.

Retrieval in galleries of {gallery} pairs with different captions, percent (the same action in other words counts as
wrong):

| | held-out rooms | training rooms | chance |
|---|---|---|---|
{scores}

Of the caption ranked first among all captions, how often the verb is the right one: {verb} % in held-out rooms, where
always saying the commonest verb would score {commonest} %.
"""

_NOTE = """\
- Words and pictures of the scenarios that PRIMUS's pretraining holds out are among them, as CLIP knows such words:
  these towers are separate from the IMU encoder. No IMU was used, and no person or take is in another dataset.
"""

_SCENARIOS = """
The same retrieval within the scenarios of {people} people and within kitchens, none of which they were trained on:

| | scenarios | kitchens |
|---|---|---|
{recall}

Of {frames} frames of these people's takes, {top} % are nearest to a sentence of their own scenario among {names}
(chance {chance} %):

| scenario | percent |
|---|---|
{each}

Cosines between the sentences that are told of the scenarios:

| | cosine |
|---|---|
{cosines}
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
    """The card, Markdown, of a record that `pretrain.pretrain` returns."""
    run, data, vision = record["pretraining"], record["data"], record["model"]["vision_cfg"]
    gallery = run["gallery"]
    scores = record[f"retrieval in galleries of {gallery}, percent"]
    kind = KINDS[record["kind"]]
    choosing = run["held_out_rooms"] // 2
    reporting = run["held_out_rooms"] - choosing
    people = record.get("scenarios", {}).get("made", {}).get("held_out_people", 0)
    training = record.get("scenarios", {}).get("made", {}).get("participants", 0) - people
    text = _CARD.format(
        kind=record["kind"], px=vision["image_size"], patch=vision["patch_size"], layers=vision["layers"],
        width=vision["width"], name=kind.architecture, dim=record["model"]["embed_dim"],
        objective="SLIP's" if kind.objective.ssl_scale else "CLIP's", stands_for=kind.stands_for,
        command=record["command"] or "eailkit.experiments.towers.pretrain.pretrain", commit=record["commit"],
        seed=run["train"]["seed"], steps=run["train"]["steps"], minutes=record["minutes"], device=record["device"],
        frames=data["train frames"], rooms=run["rooms"] - run["held_out_rooms"],
        pairs=data["train frames with caption"], captions=data["different captions"],
        choosing=f"{choosing} more such kitchens" + (f" and {people // 2} more people" if people else ""),
        reporting=f"{reporting} others" + (f" and {people - people // 2} others" if people else ""),
        and_people=f" and of {training} people at everyday scenarios" if people else "",
        places="kitchens and simple scenes" if people else "kitchens", note=_NOTE if people else "",
        chosen=record["chosen step"], tokens=data["tokens learned"], paper=kind.paper,
        gallery=gallery,
        scores="\n".join(
            f"| {name} | {value} | {scores['training rooms'][name]} | "
            f"{round(100 * int(name.rpartition('@')[2]) / gallery, 1):g} |"
            for name, value in scores["held-out rooms"].items()
            if "@" in name
        ),
        verb=scores["held-out rooms"]["same verb"], commonest=scores["held-out rooms"]["commonest verb"],
    )  # fmt: skip
    return text + _scenarios(record.get("scenarios", {})) + _val(record["val"])


def _scenarios(record: dict) -> str:
    if not record:
        return ""
    shot, sentences, made = record["zero-shot"], record["sentences"], record["made"]
    return _SCENARIOS.format(
        names=len(shot["by scenario"]), top=shot["top-1"], chance=shot["chance"], frames=shot["frames"],
        people=made["held_out_people"] - made["held_out_people"] // 2,
        each="\n".join(f"| {name} | {value} |" for name, value in shot["by scenario"].items()),
        recall="\n".join(
            f"| {name} | {record['retrieval']['scenarios'][name]} | {value} |"
            for name, value in record["retrieval"]["kitchens"].items()
            if "@" in name
        ),
        cosines="\n".join(f"| {name} | {value} |" for name, value in sentences.items()),
    )  # fmt: skip


def _val(val: dict) -> str:
    if not val:
        return ""
    rows = [
        f"| {row} | " + " | ".join(str(s[part][name]) for s in val.values()) + " |"
        for row, (part, name) in _ROWS.items()
    ]
    return _VAL.format(splits=" | ".join(val), rule="|".join(["---"] * len(val)), rows="\n".join(rows))
