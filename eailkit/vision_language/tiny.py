"""The tiny vision-language pairs that ship with the course: CLIP's architecture, small, in four kinds.

EAIL's default is SLIP-Base and its Table 5 compares CLIP and InternVL; PRIMUS takes CLIP; none of them can be shipped.
Their small counterparts are registered with open_clip as "eailkit-tiny", "eailkit-wide" and "eailkit-scenes". Here are
their configs, objective and weights files; `eailkit.experiments.towers.pretrain` trains them on kitchens of no split,
and the fourth on everyday scenarios too.
"""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from eailkit.errors import CheckpointError
from eailkit.files import DATA_SAMPLES, write_atomically

NAME = "eailkit-tiny"
ARCHITECTURES = (NAME, "eailkit-wide", "eailkit-scenes")
WEIGHTS_DIR = DATA_SAMPLES / "tiny_towers"
for _name in ARCHITECTURES:
    open_clip.add_model_config(Path(__file__).with_name(f"{_name}.json"))


@dataclass(frozen=True)
class SlipObjective:
    """SLIP's objective: CLIP's loss plus `ssl_scale` times SimCLR's on two augmented views.

    Attributes:
        ssl_scale: SLIP: 1. With 0 it is CLIP's objective.
        temperature: of SimCLR. SLIP: 0.1.
        mlp: widths of SimCLR's head. SLIP: (4096, 4096, 256). Tiny: (256, 256, 64).
    """

    ssl_scale: float = 1.0
    temperature: float = 0.1
    mlp: tuple[int, int, int] = (256, 256, 64)


@dataclass(frozen=True)
class TowerKind:
    """One of the shipped pairs.

    Attributes:
        architecture: open_clip's name of it.
        objective: what it is trained with.
        stands_for: the encoder of `paper` whose place it takes.
        paper: where that encoder stands.
        scenarios: whether it sees everyday scenarios beside kitchens.
    """

    architecture: str
    objective: SlipObjective
    stands_for: str
    paper: str = "EAIL's Table 5"
    scenarios: bool = False


KINDS = {
    "slip": TowerKind(NAME, SlipObjective(), "SLIP-Base, EAIL's default"),
    "clip": TowerKind(NAME, SlipObjective(ssl_scale=0.0), "CLIP"),
    "wide": TowerKind("eailkit-wide", SlipObjective(ssl_scale=0.0), "InternVL, the largest"),
    "scenes": TowerKind("eailkit-scenes", SlipObjective(ssl_scale=0.0), "CLIP", "PRIMUS", scenarios=True),
}


def weights_dir(kind: str, root: Path = WEIGHTS_DIR) -> Path:
    """Folder of a kind's files: `root` for slip, the default, and `root / kind` for the others."""
    return root if kind == "slip" else root / kind


def model_config(architecture: str = NAME) -> dict:
    """The architecture, as open_clip reads it."""
    return json.loads(Path(__file__).with_name(f"{architecture}.json").read_text(encoding="utf-8"))


def tokenizer() -> open_clip.tokenizer.SimpleTokenizer:
    """CLIP's tokenizer at the tiny context length; its vocabulary comes with open_clip."""
    return open_clip.tokenizer.SimpleTokenizer(context_length=model_config()["text_cfg"]["context_length"])


class SimclrHead(nn.Sequential):
    """The projection of SimCLR: linear, batch norm, ReLU, twice, then linear."""

    def __init__(self, in_channels: int, mlp: tuple[int, int, int]):
        first, second, out = mlp
        super().__init__(
            nn.Linear(in_channels, first), nn.BatchNorm1d(first), nn.ReLU(inplace=True),
            nn.Linear(first, second), nn.BatchNorm1d(second), nn.ReLU(inplace=True),
            nn.Linear(second, out),
        )  # fmt: skip


def simclr_loss(a: Float[Tensor, "n d"], b: Float[Tensor, "n d"], temperature: float = 0.1) -> Float[Tensor, ""]:
    """SimCLR's loss of two views of each image: each of the 2n views must find its other view (NT-Xent).

    L = mean_u[-log( exp(cos(z_u, z_u') / t) / sum_{v != u} exp(cos(z_u, z_v) / t) )],  u' the other view of u.
    """
    z = F.normalize(torch.cat([a, b]).float(), dim=-1)  # (2n, d)
    logits = z @ z.T / temperature
    logits.fill_diagonal_(float("-inf"))
    n = len(a)
    other = torch.arange(2 * n, device=z.device).roll(n)
    return F.cross_entropy(logits, other)


class SlipTraining(nn.Module):
    """Towers and SimCLR head under SLIP's objective: L = CLIP(image, text) + ssl_scale * SimCLR(view, other view).

    SimCLR's head sits on the pooled features before the projection to the joint space, so the projection is taken out
    of the image tower while it trains; `finish` gives a copy that has it. With ssl_scale 0 there is no head
    and there are no views.

    Args:
        towers: from `new_model`.
        objective: see `SlipObjective`.
    """

    def __init__(self, towers: open_clip.CLIP, objective: SlipObjective | None = None):
        super().__init__()
        self.towers, self.objective = towers, objective or SlipObjective()
        self.projection = nn.Parameter(towers.visual.proj.detach().clone())
        towers.visual.proj = None
        self.head = SimclrHead(self.projection.shape[0], self.objective.mlp) if self.objective.ssl_scale else None
        self.clip_loss = open_clip.ClipLoss()

    def finish(self) -> open_clip.CLIP:
        """The towers as trained so far, whole again: a copy in eval mode, so that training can go on."""
        towers = copy.deepcopy(self.towers)
        towers.visual.proj = nn.Parameter(self.projection.detach().clone())
        return towers.eval()

    def forward(
        self,
        image: Float[Tensor, "n 3 size size"],
        text: Int[Tensor, "n context"],
        view: Float[Tensor, "m 3 size size"] | None = None,
        other: Float[Tensor, "m 3 size size"] | None = None,
    ) -> dict[str, Tensor]:
        """The terms "clip" and "simclr" (where ssl_scale isn't 0), their sum "total", and the logit scale.

        Args:
            image, text: pairs; text in the training vocabulary's small ids.
            view, other: two augmented views of the same images, which need no captions; left out with ssl_scale 0.
        """
        scale = self.towers.logit_scale.exp().clamp(max=100.0)
        images = image if self.head is None else torch.cat([image, view, other])
        pooled = self.towers.visual(images)  # (n + 2m, width)
        image_features = F.normalize((pooled[: len(image)] @ self.projection).float(), dim=-1)
        text_features = self.towers.encode_text(text, normalize=True).float()
        clip = self.clip_loss(image_features, text_features, scale)
        if self.head is None:
            return {"total": clip, "clip": clip, "scale": scale}
        a, b = self.head(pooled[len(image) :]).chunk(2)
        simclr = simclr_loss(a, b, self.objective.temperature)
        return {"total": clip + self.objective.ssl_scale * simclr, "clip": clip, "simclr": simclr, "scale": scale}


class Vocabulary:
    """The tokens that occur in a corpus, as small consecutive ids.

    CLIP's vocabulary of 49,408 rows would be most of the weights file, and rows that never occur never learn. So
    training uses the rows that occur, in their old order: the end-of-text token stays the highest, which is how CLIP
    finds it. When the file is loaded, a token that never occurred gets the mean of the rows of words that did, that
    is, it says "some word".
    """

    def __init__(self, token_ids: Int[Tensor, " rows"]):
        self.token_ids = token_ids.long()
        self._row = torch.zeros(model_config()["text_cfg"]["vocab_size"], dtype=torch.long)
        self._row[self.token_ids] = torch.arange(len(token_ids))

    @classmethod
    def of(cls, tokens: Int[Tensor, "n context"]) -> Vocabulary:
        """The vocabulary of tokenized captions."""
        return cls(torch.unique(tokens))

    def __len__(self) -> int:
        return len(self.token_ids)

    def rows(self, tokens: Int[Tensor, "n context"]) -> Int[Tensor, "n context"]:
        """Small ids of tokens that all occur in the vocabulary."""
        return self._row[tokens]

    def full_table(self, embedding: Float[Tensor, "rows width"]) -> Float[Tensor, "vocabulary width"]:
        """The embedding of CLIP's whole vocabulary, from the rows that were learned."""
        special = {0, len(self._row) - 2, len(self._row) - 1}  # padding, start and end of text
        words = torch.tensor([int(t) not in special for t in self.token_ids])
        table = embedding[words].float().mean(dim=0).repeat(len(self._row), 1)
        table[self.token_ids] = embedding.float()
        return table


def new_model(
    vocabulary: Vocabulary | None = None, *, architecture: str = NAME, patch_dropout: float = 0.0
) -> open_clip.CLIP:
    """Randomly initialised tiny towers.

    Args:
        vocabulary: its small ids are the tokens, where given; else CLIP's own.
        architecture: one of `ARCHITECTURES`.
        patch_dropout: share of image patches left out in training.
    """
    config = model_config(architecture)
    config["vision_cfg"]["patch_dropout"] = patch_dropout
    if vocabulary is not None:
        config["text_cfg"]["vocab_size"] = len(vocabulary)
    model = open_clip.CLIP(config["embed_dim"], config["vision_cfg"], config["text_cfg"])
    size = config["vision_cfg"]["image_size"]
    open_clip.set_model_preprocess_cfg(model, {"size": size, "mean": open_clip.OPENAI_DATASET_MEAN,
                                               "std": open_clip.OPENAI_DATASET_STD})  # fmt: skip
    return model


def save_model(model: open_clip.CLIP, vocabulary: Vocabulary, path: Path, *, architecture: str = NAME) -> None:
    """Write the towers as half precision, with the learned token rows only; beside, then renamed."""
    tensors = {name: value.detach().half().contiguous() for name, value in model.state_dict().items()}
    tensors["token_ids"] = vocabulary.token_ids.int()
    write_atomically(path, lambda beside: save_file(tensors, beside, metadata={"model": architecture}))


def load_model(path: Path | None = None, *, kind: str = "slip") -> open_clip.CLIP:
    """Shipped towers in float32, for CLIP's own token ids.

    Args:
        path: a file that `save_model` wrote; the shipped one of the kind where None. It names its architecture.
        kind: one of `KINDS`.

    Raises:
        CheckpointError: the file is missing, truncated, or of another architecture.
    """
    path = path or weights_dir(kind) / "model.safetensors"
    remedy = (
        f"restore data_samples/ or make them again with `python -m eailkit.experiments.towers.pretrain --kind {kind}`."
    )
    if not path.is_file():
        raise CheckpointError(
            f"{path}: found no file; expected the tiny {kind} towers that ship with the repository; {remedy}"
        )
    try:
        with safe_open(str(path), framework="pt") as file:
            architecture = (file.metadata() or {})["model"]
        if architecture not in ARCHITECTURES:
            raise KeyError(architecture)
        tensors = load_file(path)
        vocabulary = Vocabulary(tensors.pop("token_ids"))
        tensors["token_embedding.weight"] = vocabulary.full_table(tensors["token_embedding.weight"])
        model = new_model(architecture=architecture)
        model.load_state_dict({name: value.float() for name, value in tensors.items()})
    except (SafetensorError, KeyError, IndexError, RuntimeError) as error:
        raise CheckpointError(
            f"{path}: found a file that isn't the tiny towers ({' '.join(str(error).split())[:120]}); expected "
            f"weights of {' or '.join(ARCHITECTURES)}; {remedy}"
        ) from error
    return model.eval()
