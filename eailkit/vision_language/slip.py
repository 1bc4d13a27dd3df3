"""SLIP's checkpoint as a pair of towers: a timm vision transformer and CLIP's text transformer.

SLIP-Base is EAIL's default vision-language encoder (EAIL section 5.1, "an enhanced version of the CLIP model"). Its
file names parameters unlike open_clip; sizes are read off the weights, so that all of SLIP's models load. The
self-supervised head (image_mlp) only serves training and is dropped.
"""

from __future__ import annotations

import re
from functools import partial

import open_clip
from jaxtyping import Float, Int
from timm.models.vision_transformer import VisionTransformer
from torch import Tensor, nn

from eailkit.errors import CheckpointError

_NEEDED = ("image_projection", "text_projection", "positional_embedding", "token_embedding.weight")


class SlipTowers(nn.Module):
    """Image tower and text tower of SLIP; each ends in a matrix to the joint space.

    F^I = norm(ViT(image))_cls W_I,  F^L = norm(transformer(text))_eot W_L.
    """

    def __init__(self, visual: nn.Module, text: nn.Module, image_projection: Float[Tensor, "width d"]):
        super().__init__()
        self.visual, self.text = visual, text
        self.image_projection = nn.Parameter(image_projection.clone())

    def encode_image(self, image: Float[Tensor, "n 3 size size"]) -> Float[Tensor, "n d"]:
        """F^I, not normalised."""
        return self.visual(image) @ self.image_projection

    def encode_text(self, text: Int[Tensor, "n context"]) -> Float[Tensor, "n d"]:
        """F^L, not normalised."""
        return self.text(text)


def slip_towers(state: dict[str, Tensor], source: str) -> tuple[SlipTowers, int, int]:
    """Towers from a SLIP state dict without its "module." prefixes.

    Args:
        state: parameters by SLIP's names: visual.* (timm's), transformer.*, token_embedding.weight,
            positional_embedding, ln_final.*, image_projection, text_projection; image_mlp.* and logit_scale are
            dropped.
        source: file name, for messages.

    Returns:
        The towers, the image size in pixels and the context length in tokens.

    Raises:
        CheckpointError: parameters are missing, left over, or of other shapes.
    """
    missing = [k for k in _NEEDED if k not in state]
    if missing or "visual.patch_embed.proj.weight" not in state:
        raise CheckpointError(
            f"{source}: found no {', '.join(missing) or 'visual.patch_embed.proj.weight'}; expected SLIP's names "
            "(visual.*, transformer.*, image_projection, text_projection); give open_clip weights as MODEL:FILE."
        )
    patch = state["visual.patch_embed.proj.weight"].shape[-1]
    width, embed_dim = state["image_projection"].shape
    image_size = round((state["visual.pos_embed"].shape[1] - 1) ** 0.5) * patch
    visual = VisionTransformer(
        img_size=image_size, patch_size=patch, embed_dim=width, depth=_depth(state, r"visual\.blocks\.(\d+)\."),
        num_heads=12 if width == 384 else max(1, width // 64),  # SLIP's small model has 12 heads, as MoCo v3's
        num_classes=0, weight_init="skip",  # every parameter is loaded below; drawing 300 M numbers takes seconds
    )  # fmt: skip
    context, text_width = state["positional_embedding"].shape
    text = open_clip.transformer.TextTransformer(
        context_length=context, vocab_size=state["token_embedding.weight"].shape[0], width=text_width,
        heads=max(1, text_width // 64), layers=_depth(state, r"transformer\.resblocks\.(\d+)\."),
        output_dim=embed_dim, act_layer=open_clip.transformer.QuickGELU,
        norm_layer=partial(open_clip.transformer.LayerNorm, eps=1e-5),
    )  # fmt: skip
    model = SlipTowers(visual, text, state["image_projection"])
    wanted = {}
    for name, value in state.items():
        if name.startswith("visual.") or name == "image_projection":
            wanted[name] = value
        elif not name.startswith("image_mlp.") and name != "logit_scale":
            wanted[f"text.{name}"] = value
    try:
        model.load_state_dict(wanted)
    except RuntimeError as error:
        raise CheckpointError(
            f"{source}: found parameters that don't fit SLIP's towers ({' '.join(str(error).split())[:200]}); expected "
            "SLIP's checkpoint; download it again."
        ) from error
    return model, image_size, context


def _depth(state: dict[str, Tensor], pattern: str) -> int:
    found = [int(m.group(1)) for name in state if (m := re.match(pattern, name))]
    return 1 + max(found, default=-1)
