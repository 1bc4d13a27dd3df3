"""Frozen vision-language towers E_I and E_L that guide stage 1 (EAIL sections 4.1 and 5.1), through open_clip.

EAIL's default is SLIP-Base; Table 5 also compares CLIP-Large and InternVL. `load` takes the tiny towers that ship with
the course, any open_clip architecture with a weights file, SLIP's own checkpoint, or features computed elsewhere.
Nothing is downloaded here, and nothing is trained: `eailkit.experiments.towers.pretrain` made the tiny pairs. open_clip
takes two seconds to import, so functions import it where a tower is built: localizing needs none.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from eailkit.errors import CheckpointError
from eailkit.provenance import Identity, content_digest, identity, weights_tag

_BATCH = 128
_HOW = (
    "give MODEL:FILE (such as ViT-B-16:open_clip_model.safetensors), SLIP's .pt file, a features file (.npz or "
    ".safetensors), or 'tiny'; nothing is downloaded at run time."
)


class VisionLanguage:
    """Images and captions as unit vectors of one space.

    Attributes:
        name: what it is, safe in a file name.
        embed_dim: length d of a vector.
    """

    name: str
    embed_dim: int

    @property
    def identity(self) -> Identity:
        """What names the features: of a model without weights of its own, its name."""
        return identity("vision and language", name=self.name, embed_dim=self.embed_dim)

    def encode_images(
        self, images: UInt8[np.ndarray, "n height width 3"], ids: Sequence[str] | None = None
    ) -> Float[np.ndarray, "n d"]:
        """Unit features F^I, float32.

        Args:
            images: RGB, any size of at least one pixel; resized to the tower's and cropped at the centre.
            ids: names of the images; only a features file needs them, to look its rows up.
        """
        raise NotImplementedError

    def encode_texts(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """Unit features F^L, float32."""
        raise NotImplementedError


class Towers(VisionLanguage):
    """A pair of networks with encode_image and encode_text, frozen.

    Args:
        model: any open_clip model, or a module with the same two methods.
        tokenizer: captions to token ids (n, context).
        name: as in `VisionLanguage`.
        embed_dim: as in `VisionLanguage`.
        image_size: pixels on a side.
        mean, std: of the channels, for images in 0..1.
    """

    def __init__(
        self,
        model: nn.Module,
        tokenizer: Callable[[list[str]], Tensor],
        *,
        name: str,
        embed_dim: int,
        image_size: int,
        mean: Sequence[float],
        std: Sequence[float],
    ):
        self.model = model.eval().requires_grad_(False)
        self.tokenizer, self.name, self.embed_dim, self.image_size = tokenizer, name, embed_dim, image_size
        self.mean = torch.tensor(tuple(mean)).view(1, 3, 1, 1)
        self.std = torch.tensor(tuple(std)).view(1, 3, 1, 1)

    @cached_property
    def identity(self) -> Identity:
        """Name, weights and what is done to the pixels: two files of one name never mix in a cache."""
        return super().identity.also(
            weights=weights_tag(self.model), image_size=self.image_size, mean=self.mean.numpy(), std=self.std.numpy()
        )

    def preprocess(self, images: UInt8[np.ndarray, "n height width 3"]) -> Float[Tensor, "n 3 size size"]:
        """CLIP's preprocessing: shorter side to the tower's size (bicubic), centre crop, channel normalisation."""
        x = torch.tensor(images).permute(0, 3, 1, 2).float() / 255.0  # a copy: cached frames are read-only
        height, width, size = x.shape[2], x.shape[3], self.image_size
        if min(height, width) != size:
            scale = size / min(height, width)
            x = F.interpolate(
                x, (max(size, round(height * scale)), max(size, round(width * scale))), mode="bicubic", antialias=True
            ).clamp(0.0, 1.0)
        top, left = (x.shape[2] - size) // 2, (x.shape[3] - size) // 2
        return (x[:, :, top : top + size, left : left + size] - self.mean) / self.std

    @torch.no_grad()
    def encode_images(
        self, images: UInt8[np.ndarray, "n height width 3"], ids: Sequence[str] | None = None
    ) -> Float[np.ndarray, "n d"]:
        """Unit features F^I, float32; `ids` are not used."""
        images = np.asarray(images)
        if images.ndim != 4 or images.shape[-1] != 3 or images.dtype != np.uint8:
            raise ValueError(
                f"encode_images: found {images.dtype} {images.shape}; expected uint8 RGB images (n, height, width, 3)."
            )
        parts = [
            F.normalize(self.model.encode_image(self.preprocess(images[i : i + _BATCH])).float(), dim=-1)
            for i in range(0, len(images), _BATCH)
        ]
        return torch.cat(parts).numpy() if parts else np.zeros((0, self.embed_dim), np.float32)

    @torch.no_grad()
    def encode_texts(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """Unit features F^L, float32."""
        texts = list(texts)
        parts = [
            F.normalize(self.model.encode_text(self.tokenizer(texts[i : i + _BATCH])).float(), dim=-1)
            for i in range(0, len(texts), _BATCH)
        ]
        return torch.cat(parts).numpy() if parts else np.zeros((0, self.embed_dim), np.float32)


class StoredFeatures(VisionLanguage):
    """Features computed elsewhere, for models outside open_clip such as InternVL.

    The file holds "image" (n, d) and "text" (m, d) rows with their string ids: in .npz as arrays "image_ids" and
    "text_ids", in .safetensors as JSON lists of the same names in the file's metadata. A text's id is the caption
    itself; an image's is whatever name the caller gives it, "take/frame" in stage 1.
    """

    def __init__(self, image: Mapping[str, np.ndarray], text: Mapping[str, np.ndarray], *, name: str):
        if not image and not text:
            raise CheckpointError(f"{name}: found no rows; expected image or text features; write the file again.")
        self.name, self._rows = name, {"image": dict(image), "text": dict(text)}
        self.embed_dim = len(next(iter((image or text).values())))

    @cached_property
    def identity(self) -> Identity:
        """Name and every row."""
        rows = {k: content_digest(np.array(list(v)), np.stack(list(v.values()))) for k, v in self._rows.items() if v}
        return super().identity.also(**rows)

    def encode_images(
        self, images: UInt8[np.ndarray, "n height width 3"] | None = None, ids: Sequence[str] | None = None
    ) -> Float[np.ndarray, "n d"]:
        """Rows of the given image ids; the pixels are not looked at."""
        if ids is None:
            raise CheckpointError(
                f"{self.name}: found images without ids; expected the names under which the features file keeps them; "
                "pass encode_images(images, ids=[...])."
            )
        return self._look_up("image", ids)

    def encode_texts(self, texts: Sequence[str]) -> Float[np.ndarray, "n d"]:
        """Rows of the given captions."""
        return self._look_up("text", texts)

    def _look_up(self, kind: str, ids: Sequence[str]) -> np.ndarray:
        rows = self._rows[kind]
        missing = [i for i in ids if i not in rows]
        if missing:
            raise CheckpointError(
                f"{self.name}: found no {kind} features for {len(missing)} of {len(ids)} ids, first {missing[0]!r}; "
                "expected every one; compute the features of the whole dataset."
            )
        if not len(ids):
            return np.zeros((0, self.embed_dim), np.float32)
        found = np.stack([rows[i] for i in ids]).astype(np.float32)
        return found / np.maximum(np.linalg.norm(found, axis=1, keepdims=True), 1e-12)


def load(spec: str | Path) -> VisionLanguage:
    """The frozen towers that a name or a file describes.

    Args:
        spec: one of
            "tiny-slip", "tiny-clip", "tiny-wide": pairs that ship with the course (128 dimensions), after Table 5;
            "tiny-scenes": a smaller pair that knows everyday scenarios too, for PRIMUS (128 dimensions);
            "tiny": the same as "tiny-slip", since SLIP is EAIL's default;
            "MODEL:FILE": an open_clip architecture and its weights, such as "ViT-B-16:open_clip_model.safetensors";
            "MODEL:TAG": an open_clip tag whose weights already lie in the Hugging Face cache of this machine;
            a .pt file of SLIP (slip_base_100ep.pt), EAIL's default;
            a .npz or .safetensors file of features, see `StoredFeatures`.

    Raises:
        CheckpointError: weights are missing, unreadable, or belong to another model.
    """
    spec = str(spec)
    if spec == "tiny" or spec.startswith("tiny-"):
        return tiny_file(*_tiny_path(spec))
    import open_clip

    model_name, _, weights = spec.partition(":")
    if weights and model_name in open_clip.list_models():
        return _open_clip(model_name, weights)
    path = Path(spec)
    if path.is_file():
        if path.suffix in (".npz", ".safetensors"):
            return _features(path)
        return _slip(path)
    if model_name == "slip":
        raise CheckpointError(
            "vision-language 'slip': found no weights; expected the path of SLIP's checkpoint, such as "
            "slip_base_100ep.pt (the paper's towers can't be shipped); " + _HOW
        )
    if model_name in open_clip.list_models():
        raise CheckpointError(f"vision-language {spec!r}: found an architecture without weights; {_HOW}")
    raise CheckpointError(f"vision-language {spec!r}: found neither a file nor an open_clip architecture; {_HOW}")


def identity_of(spec: str | Path) -> Identity:
    """The identity of what `load(spec)` gives; towers that ship aren't built for it, and a file is read once.

    Raises:
        CheckpointError: as `load`.
    """
    spec = str(spec)
    if spec == "tiny" or spec.startswith("tiny-"):
        return _tiny_identity(*_tiny_path(spec))
    files = [path for path in (Path(spec), Path(spec.partition(":")[2])) if path.is_file()]
    if not files:
        return load(spec).identity
    return _file_identity(spec, str(files[0].resolve()), files[0].stat().st_size, files[0].stat().st_mtime_ns)


@lru_cache(maxsize=32)  # every row of a table asks, and a checkpoint may hold a gigabyte
def _file_identity(spec: str, path: str, size: int, changed_ns: int) -> Identity:
    return load(spec).identity


def _tiny_path(spec: str) -> tuple[Path, str]:
    """File and kind of towers that ship."""
    kind = spec.removeprefix("tiny").removeprefix("-") or "slip"
    from eailkit.vision_language import tiny

    if kind not in tiny.KINDS:
        raise CheckpointError(
            f"vision-language 'tiny-{kind}': found no shipped towers of that kind; expected one of "
            f"{', '.join(f'tiny-{k}' for k in tiny.KINDS)}, or 'tiny' for the first; choose one of these."
        )
    return tiny.weights_dir(kind) / "model.safetensors", kind


def _tiny_identity(path: Path, kind: str) -> Identity:
    try:
        weights = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise CheckpointError(
            f"{path}: can't be read ({error.strerror}); expected the weights of tiny-{kind}; copy them again."
        ) from error
    return identity("vision and language", name=f"tiny-{kind}", weights=weights)


def tiny_file(path: Path, kind: str) -> Towers:
    """Tiny towers from a file that `eailkit.experiments.towers.pretrain` wrote.

    Their name carries a hash of the weights: features of towers that were trained again don't mix with the old ones.

    Raises:
        CheckpointError: the file is missing, truncated, or of another architecture.
    """
    import open_clip

    from eailkit.vision_language import tiny

    model = tiny.load_model(path, kind=kind)
    cfg = open_clip.get_model_preprocess_cfg(model)
    made = _tiny_identity(path, kind)
    towers = Towers(
        model, tiny.tokenizer(), name=f"tiny-{kind}-{made.parts['weights'][:8]}",
        embed_dim=model.text_projection.shape[1], image_size=_side(cfg["size"]), mean=cfg["mean"], std=cfg["std"],
    )  # fmt: skip
    towers.identity = made
    return towers


def _open_clip(model_name: str, weights: str) -> Towers:
    import open_clip

    config = open_clip.get_model_config(model_name)
    if {"hf_tokenizer_name", "hf_model_name"} & set(config["text_cfg"]):
        raise CheckpointError(
            f"vision-language {model_name!r}: found an architecture whose tokenizer must be downloaded; expected one "
            "with CLIP's own tokenizer; compute its features elsewhere and give them as a features file."
        )
    path, changes = Path(weights), {}
    if not path.is_file():
        path, changes = _cached(model_name, weights)
    try:
        model = open_clip.create_model(model_name, pretrained=str(path), weights_only=True, **changes)
    except Exception as error:  # open_clip raises whatever its readers raise
        raise CheckpointError(
            f"{path}: found a file that doesn't load as {model_name} ({_first_line(error)}); expected that "
            "architecture's weights (.safetensors, or a state dict in .pt); check the model name and the download."
        ) from error
    cfg = open_clip.get_model_preprocess_cfg(model)
    return Towers(
        model, open_clip.get_tokenizer(model_name), name=f"{model_name}-{path.stem}", embed_dim=config["embed_dim"],
        image_size=_side(cfg["size"]), mean=cfg["mean"], std=cfg["std"],
    )  # fmt: skip


def _cached(model_name: str, tag: str) -> tuple[Path, dict]:
    import open_clip
    from huggingface_hub import try_to_load_from_cache

    known = open_clip.get_pretrained_cfg(model_name, tag)
    if not known:
        tags = ", ".join(open_clip.list_pretrained_tags_by_model(model_name)) or "none"
        raise CheckpointError(
            f"vision-language '{model_name}:{tag}': found neither a file nor a tag of that name (tags: {tags}); {_HOW}"
        )
    repo = (known.get("hf_hub") or "").rstrip("/")
    for name in ("open_clip_model.safetensors", "open_clip_pytorch_model.bin"):
        found = try_to_load_from_cache(repo, name) if repo else None
        if isinstance(found, str):
            changes = {"force_quick_gelu": bool(known.get("quick_gelu"))}
            changes["force_preprocess_cfg"] = {k: known[k] for k in ("mean", "std") if k in known}
            return Path(found), changes
    raise CheckpointError(
        f"vision-language '{model_name}:{tag}': found no weights on this machine; expected a file; fetch "
        f"{repo or known.get('url', 'them')} once and give '{model_name}:FILE'; nothing is downloaded at run time."
    )


def _slip(path: Path) -> Towers:
    import open_clip
    import timm

    from eailkit.vision_language.slip import slip_towers

    try:
        with torch.serialization.safe_globals([argparse.Namespace]):  # SLIP keeps its training arguments in the file
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises several kinds for truncated or foreign files
        raise CheckpointError(
            f"{path}: found a file that torch can't read as plain weights ({_first_line(error)}); expected SLIP's "
            "checkpoint; download it again."
        ) from error
    state = content.get("state_dict") if isinstance(content, dict) else None
    if not isinstance(state, dict):
        raise CheckpointError(f"{path}: found no 'state_dict'; expected SLIP's checkpoint; {_HOW}")
    state = {name.removeprefix("module."): value for name, value in state.items()}
    model, image_size, context = slip_towers(state, str(path))
    return Towers(
        model, open_clip.tokenizer.SimpleTokenizer(context_length=context), name=path.stem,
        embed_dim=state["text_projection"].shape[1], image_size=image_size,
        mean=timm.data.IMAGENET_DEFAULT_MEAN, std=timm.data.IMAGENET_DEFAULT_STD,
    )  # fmt: skip


def _features(path: Path) -> StoredFeatures:
    rows: dict[str, dict[str, np.ndarray]] = {"image": {}, "text": {}}
    try:
        if path.suffix == ".npz":
            with np.load(path, allow_pickle=False) as file:
                arrays = {k: file[k] for k in file.files}
            ids = {kind: [str(i) for i in arrays.get(f"{kind}_ids", [])] for kind in rows}
        else:
            with safe_open(path, framework="np") as file:
                arrays = {k: file.get_tensor(k) for k in file.keys()}  # noqa: SIM118
                ids = {kind: json.loads((file.metadata() or {}).get(f"{kind}_ids", "[]")) for kind in rows}
    except (OSError, ValueError, SafetensorError) as error:
        raise CheckpointError(f"{path}: found an unreadable file ({_first_line(error)}); write it again.") from error
    for kind in rows:
        values = arrays.get(kind, np.zeros((0, 1), np.float32))
        if len(values) != len(ids[kind]) or values.ndim != 2 or not np.isfinite(values).all():
            raise CheckpointError(
                f"{path}: found {kind} features {values.shape} with {len(ids[kind])} ids; expected finite rows (n, d) "
                f"and n ids in '{kind}_ids'; to load model weights give MODEL:FILE."
            )
        rows[kind] = dict(zip(ids[kind], values, strict=True))
    return StoredFeatures(rows["image"], rows["text"], name=path.stem)


def _side(size: int | Sequence[int]) -> int:
    return int(size) if isinstance(size, int) else int(size[0])


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:120]
