"""Vision-language towers: open_clip files, SLIP's checkpoint, features files, and the tiny pair."""

import argparse
import json

import numpy as np
import open_clip
import pytest
import timm
import torch
from PIL import Image
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors
from torch import nn

from eailkit.errors import CheckpointError
from eailkit.vision_language import load, tiny


def photos(n: int, height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, height, width, 3)).astype(np.uint8)


class ClipText(nn.Module):
    """CLIP's text transformer as its paper's code lays it out: (tokens, batch, width), QuickGELU, causal mask."""

    def __init__(self, width: int, heads: int, layers: int, context: int, vocabulary: int, embed_dim: int):
        super().__init__()
        self.token_embedding = nn.Embedding(vocabulary, width)
        self.positional_embedding = nn.Parameter(torch.randn(context, width) * 0.1)
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList()
        for _ in range(layers):
            block = nn.Module()
            block.attn = nn.MultiheadAttention(width, heads)
            block.ln_1, block.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
            block.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})
            self.transformer.resblocks.append(block)
        self.ln_final = nn.LayerNorm(width)
        self.text_projection = nn.Parameter(torch.randn(width, embed_dim) * 0.1)

    def forward(self, tokens):
        mask = torch.full((tokens.shape[1],) * 2, float("-inf")).triu(1)
        x = (self.token_embedding(tokens) + self.positional_embedding).transpose(0, 1)
        for block in self.transformer.resblocks:
            y = block.ln_1(x)
            x = x + block.attn(y, y, y, need_weights=False, attn_mask=mask)[0]
            y = block.mlp["c_fc"](block.ln_2(x))
            x = x + block.mlp["c_proj"](y * torch.sigmoid(1.702 * y))
        x = self.ln_final(x.transpose(0, 1))
        return x[torch.arange(len(x)), tokens.argmax(dim=1)] @ self.text_projection


def write_slip(path):
    """Write a small checkpoint in SLIP's format with random weights; the modules that it was made from."""
    torch.manual_seed(0)
    vision = timm.models.vision_transformer.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=128, depth=2, num_heads=2, num_classes=0
    ).eval()
    text = ClipText(width=128, heads=2, layers=2, context=20, vocabulary=49408, embed_dim=24).eval()
    projection = torch.randn(128, 24) * 0.1
    state = {f"visual.{k}": v for k, v in vision.state_dict().items()} | dict(text.state_dict())
    state |= {"image_projection": projection, "logit_scale": torch.tensor(2.6)}
    state["image_mlp.layer1.weight"] = torch.ones(2, 2)
    content = {
        "epoch": 25, "state_dict": {f"module.{k}": v for k, v in state.items()}, "optimizer": {"state": {}},
        "best_acc1": 1.0, "args": argparse.Namespace(model="SLIP_VITB16", lr=3e-3),
    }  # fmt: skip
    torch.save(content, path)
    return vision, text, projection


@pytest.fixture(scope="module")
def slip_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("slip") / "slip_small.pt"
    return path, *write_slip(path)


def test_slip_checkpoint_gives_the_outputs_of_its_modules(slip_file):
    path, vision, text, projection = slip_file
    model, images, captions = load(path), photos(3, 32, 32), ["C cuts an onion", "C washes a pan."]
    assert (model.embed_dim, model.name) == (24, "slip_small")
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = ((torch.from_numpy(images).float() / 255 - mean) / std).permute(0, 3, 1, 2)
    with torch.no_grad():
        image = nn.functional.normalize(vision.forward_features(x)[:, 0] @ projection, dim=-1)
        tokens = open_clip.tokenize(captions, context_length=20)
        words = nn.functional.normalize(text(tokens), dim=-1)
    np.testing.assert_allclose(model.encode_images(images), image, atol=1e-5)
    np.testing.assert_allclose(model.encode_texts(captions), words, atol=1e-5)


def test_slip_s_base_model_has_its_published_size():
    """Names and shapes of slip_base fit our towers: 149.6 M parameters with the temperature."""
    from eailkit.vision_language.slip import slip_towers

    with torch.device("meta"):
        vision = timm.create_model("vit_base_patch16_224", num_classes=0)
        text = ClipText(width=512, heads=8, layers=12, context=77, vocabulary=49408, embed_dim=512)
        state = {f"visual.{k}": v for k, v in vision.state_dict().items()} | dict(text.state_dict())
        state["image_projection"] = torch.empty(768, 512)
        model, image_size, context = slip_towers(state, "slip_base.pt")
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(149.6e6, rel=1e-3)
    assert (image_size, context) == (224, 77)


@pytest.mark.parametrize("damage", ["truncated", "missing", "foreign", "extra"])
def test_damaged_slip_checkpoints_are_refused_with_their_name(slip_file, tmp_path, damage):
    path = tmp_path / "damaged.pt"
    content = torch.load(slip_file[0], weights_only=False)  # our own file; it holds a Namespace, as SLIP's do
    if damage == "truncated":
        path.write_bytes(slip_file[0].read_bytes()[:1000])
    else:
        if damage == "missing":
            del content["state_dict"]["module.ln_final.weight"]
        elif damage == "extra":
            content["state_dict"]["module.visual.blocks.7.norm1.weight"] = torch.ones(128)
        else:
            content = {"weights": torch.ones(3)}
        torch.save(content, path)
    with pytest.raises(CheckpointError, match="damaged.pt: found"):
        load(path)


class Evil:
    def __reduce__(self):
        return (print, ("code ran",))


def test_pickled_code_never_runs(tmp_path, capsys):
    torch.save({"state_dict": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(CheckpointError, match="plain weights"):
        load(tmp_path / "evil.pt")
    assert "code ran" not in capsys.readouterr().out


@pytest.mark.parametrize("ending", [".safetensors", ".pt"])
def test_a_real_architecture_with_its_file(tmp_path, ending):
    """open_clip's smallest transformer pair, randomly initialised, saved and loaded by name and file."""
    torch.manual_seed(0)
    reference, _, preprocess = open_clip.create_model_and_transforms("ViT-S-32-alt")
    path = tmp_path / f"weights{ending}"
    if ending == ".pt":
        torch.save(reference.state_dict(), path)
    else:
        save_tensors({k: v.contiguous() for k, v in reference.state_dict().items()}, path)
    model = load(f"ViT-S-32-alt:{path}")
    assert (model.embed_dim, model.name) == (256, "ViT-S-32-alt-weights")
    images = photos(2, 224, 224)
    with torch.no_grad():
        x = torch.stack([preprocess(Image.fromarray(i)) for i in images])
        image = reference.eval().encode_image(x, normalize=True)
        text = reference.encode_text(open_clip.get_tokenizer("ViT-S-32-alt")(["C stirs"]), normalize=True)
    np.testing.assert_allclose(model.encode_images(images), image, atol=1e-4)
    np.testing.assert_allclose(model.encode_texts(["C stirs"]), text, atol=1e-5)


REAL = {  # tag whose Hugging Face repository names the cache folder; SLIP's public models are patch 16, L too
    "ViT-B-16": ("openai", "models--timm--vit_base_patch16_clip_224.openai"),
    "ViT-L-14": ("laion2b_s32b_b82k", "models--laion--CLIP-ViT-L-14-laion2B-s32B-b82K"),
}
SIZES = {"ViT-B-16": (16, 768, 12), "ViT-L-14": (14, 1024, 24)}  # patch, width, layers of the image tower
BOTH = ["ViT-B-16", pytest.param("ViT-L-14", marks=pytest.mark.whole)]


@pytest.mark.parametrize("name", BOTH)
def test_a_real_architecture_by_file_by_features_and_by_tag(name, tmp_path, monkeypatch):
    """ViT-B/16 and ViT-L/14 whole, randomly initialised: 0.6 and 1.7 GB, removed when the test ends."""
    tag, folder = REAL[name]
    known = open_clip.get_pretrained_cfg(name, tag)
    assert known["hf_hub"].rstrip("/").replace("/", "--") == folder.removeprefix("models--")
    torch.manual_seed(0)
    quick_gelu = bool(known.get("quick_gelu"))
    reference = open_clip.create_model(name, force_quick_gelu=quick_gelu).eval()
    snapshot = tmp_path / "hub" / folder / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (tmp_path / "hub" / folder / "refs").mkdir()
    (tmp_path / "hub" / folder / "refs" / "main").write_text("1")
    path = snapshot / "open_clip_model.safetensors"
    images, captions = photos(2, 224, 224), ["C stirs the soup", "C waits."]
    try:
        save_tensors({k: v.contiguous() for k, v in reference.state_dict().items()}, path)
        mean, std = open_clip.OPENAI_DATASET_MEAN, open_clip.OPENAI_DATASET_STD
        expected = {  # a file says nothing of its channels' statistics, a tag does
            "file": embeddings(reference, images, captions, mean, std),
            "tag": embeddings(reference, images, captions, known.get("mean") or mean, known.get("std") or std),
        }
        del reference  # two of ViT-L/14 are enough memory
        image, text = expected["file"]
        np.savez(tmp_path / "features.npz", image=image, text=text, image_ids=np.array(["a", "b"]), text_ids=captions)
        stored = load(tmp_path / "features.npz")
        np.testing.assert_allclose(stored.encode_images(images, ids=["b", "a"]), image[::-1], atol=1e-6)
        np.testing.assert_allclose(stored.encode_texts(captions), text, atol=1e-6)
        monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
        monkeypatch.setattr("socket.socket.connect", refuse)
        model_of = f"{name}-quickgelu" if quick_gelu else name
        for how, spec in (("file", f"{model_of}:{path}"), ("tag", f"{name}:{tag}")):
            model = load(spec)
            assert model.embed_dim == image.shape[1] and not any(p.requires_grad for p in model.model.parameters())
            np.testing.assert_allclose(model.encode_images(images), expected[how][0], atol=1e-5)
            np.testing.assert_allclose(model.encode_texts(captions), expected[how][1], atol=1e-5)
            del model
    finally:
        path.unlink()  # pytest would keep it for three runs


def refuse(*_):
    raise AssertionError("a connection was opened")


@torch.no_grad()
def embeddings(model, images, captions, mean, std) -> tuple[np.ndarray, np.ndarray]:
    """Unit embeddings straight from an open_clip model, for images of its size."""
    x = (torch.from_numpy(images).float() / 255 - torch.tensor(mean)) / torch.tensor(std)
    image = model.encode_image(x.permute(0, 3, 1, 2), normalize=True)
    return image.numpy(), model.encode_text(open_clip.tokenize(captions), normalize=True).numpy()


@pytest.mark.parametrize("name", BOTH)
def test_a_slip_checkpoint_of_full_size(name, tmp_path):
    """SLIP's names for ViT-B/16 (slip_base, EAIL's default) and for ViT-L/14, whole, with random weights."""
    patch, width, layers = SIZES[name]
    torch.manual_seed(0)
    vision = timm.models.vision_transformer.VisionTransformer(
        img_size=224, patch_size=patch, embed_dim=width, depth=layers, num_heads=width // 64, num_classes=0,
        weight_init="skip",
    ).eval()  # fmt: skip
    text = ClipText(width=512, heads=8, layers=12, context=77, vocabulary=49408, embed_dim=512).eval()
    projection = torch.randn(width, 512) * 0.1
    state = {f"module.visual.{k}": v for k, v in vision.state_dict().items()}
    state |= {f"module.{k}": v for k, v in text.state_dict().items()} | {"module.image_projection": projection}
    path, images, captions = tmp_path / "slip.pt", photos(2, 224, 224), ["C stirs the soup", "C waits."]
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = ((torch.from_numpy(images).float() / 255 - mean) / std).permute(0, 3, 1, 2)
    with torch.no_grad():
        image = nn.functional.normalize(vision.forward_features(x)[:, 0] @ projection, dim=-1)
        words = nn.functional.normalize(text(open_clip.tokenize(captions)), dim=-1)
    try:
        torch.save({"state_dict": state, "args": argparse.Namespace(model="SLIP")}, path)
        del state, vision, text
        model = load(path)
    finally:
        path.unlink()
    assert model.embed_dim == 512 and model.image_size == 224
    np.testing.assert_allclose(model.encode_images(images), image, atol=1e-5)
    np.testing.assert_allclose(model.encode_texts(captions), words, atol=1e-5)


def test_preprocessing_is_open_clip_s():
    """Resize and crop of a photo that isn't square, against open_clip's transform on PIL images."""
    smooth = np.asarray(Image.fromarray(photos(1, 9, 12)[0]).resize((120, 90), Image.Resampling.BICUBIC))
    model = shipped_or_random()
    transform = open_clip.image_transform(
        64, is_train=False, mean=open_clip.OPENAI_DATASET_MEAN, std=open_clip.OPENAI_DATASET_STD
    )
    ours, theirs = model.preprocess(smooth[None])[0], transform(Image.fromarray(smooth))
    assert ours.shape == theirs.shape and (ours - theirs).abs().max() < 0.05


def shipped_or_random():
    """Towers of the tiny architecture, whatever their weights."""
    from eailkit.vision_language.towers import Towers

    return Towers(
        tiny.new_model(), tiny.tokenizer(), name="random", embed_dim=128, image_size=64,
        mean=open_clip.OPENAI_DATASET_MEAN, std=open_clip.OPENAI_DATASET_STD,
    )  # fmt: skip


def test_features_are_unit_float32_and_do_not_depend_on_the_batch():
    model, images = shipped_or_random(), photos(130, 64, 64)
    features = model.encode_images(images)
    assert features.dtype == np.float32 and features.shape == (130, 128)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1.0, atol=1e-5)
    np.testing.assert_allclose(model.encode_images(images[128:]), features[128:], atol=1e-5)
    assert model.encode_texts([]).shape == (0, 128) and model.encode_images(images[:0]).shape == (0, 128)
    with pytest.raises(ValueError, match="expected uint8 RGB"):
        model.encode_images(images.astype(np.float32))


@pytest.mark.parametrize("ending", [".npz", ".safetensors"])
def test_features_file(tmp_path, ending):
    path = tmp_path / f"internvl{ending}"
    rows = {"image": np.array([[3.0, 4.0], [0.0, 2.0]], np.float32), "text": np.array([[1.0, 0.0]], np.float32)}
    ids = {"image_ids": ["take/0", "take/1"], "text_ids": ["C cuts"]}
    if ending == ".npz":
        np.savez(path, **rows, **{k: np.array(v) for k, v in ids.items()})
    else:
        save_file(rows, path, metadata={k: json.dumps(v) for k, v in ids.items()})
    model = load(path)
    assert (model.embed_dim, model.name) == (2, "internvl")
    np.testing.assert_allclose(model.encode_images(ids=["take/1", "take/0"]), [[0.0, 1.0], [0.6, 0.8]], atol=1e-6)
    np.testing.assert_allclose(model.encode_texts(["C cuts"]), [[1.0, 0.0]])
    with pytest.raises(CheckpointError, match="1 of 2 ids, first 'C stirs'"):
        model.encode_texts(["C cuts", "C stirs"])
    with pytest.raises(CheckpointError, match="without ids"):
        model.encode_images(photos(1, 8, 8))


def test_bad_features_files(tmp_path):
    np.savez(tmp_path / "short.npz", text=np.ones((2, 3)), text_ids=np.array(["a"]))
    with pytest.raises(CheckpointError, match=r"short.npz: found text features \(2, 3\) with 1 ids"):
        load(tmp_path / "short.npz")
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="unreadable"):
        load(tmp_path / "broken.safetensors")
    np.savez(tmp_path / "empty.npz")
    with pytest.raises(CheckpointError, match="found no rows"):
        load(tmp_path / "empty.npz")


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("slip", "slip_base_100ep.pt"),
        ("ViT-B-16", "architecture without weights"),
        ("ViT-B-16:laion2b_s34b_b88k", "give 'ViT-B-16:FILE'; nothing is downloaded"),
        ("ViT-B-16:no_such_tag", "tags: openai"),
        ("nowhere.pt", "neither a file nor an open_clip architecture"),
        ("ViT-B-16-SigLIP:webli", "features file"),
    ],
)
def test_without_weights_the_error_says_how_to_give_them(spec, message, monkeypatch, tmp_path):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(CheckpointError, match=message):
        load(spec)


def test_weights_of_another_architecture_are_refused(tmp_path):
    save_tensors({"a": torch.ones(1)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="other.safetensors: found a file that doesn't load as ViT-S-32-alt"):
        load(f"ViT-S-32-alt:{tmp_path / 'other.safetensors'}")


def test_tiny_towers_survive_their_file(tmp_path):
    """Half precision and a cut vocabulary change little, and an unseen word becomes the mean of the seen ones."""
    torch.manual_seed(0)
    tokens = tiny.tokenizer()(["C cuts an onion.", "C stirs the soup"])
    vocabulary = tiny.Vocabulary.of(tokens)
    model = tiny.new_model(vocabulary).eval()
    tiny.save_model(model, vocabulary, tmp_path / "model.safetensors")
    assert list(tmp_path.iterdir()) == [tmp_path / "model.safetensors"]
    loaded = tiny.load_model(tmp_path / "model.safetensors")
    with torch.no_grad():
        expected = model.encode_text(vocabulary.rows(tokens), normalize=True)
        torch.testing.assert_close(loaded.encode_text(tokens, normalize=True), expected, atol=5e-3, rtol=0)
        odd = loaded.encode_text(tiny.tokenizer()(["C zigzags an onion.", "C xylophones it."]), normalize=True)
    table = loaded.token_embedding.weight
    unseen = [t for t in tiny.tokenizer().encode("zigzags xylophones") if t not in vocabulary.token_ids]
    words = vocabulary.token_ids[1:-2]  # padding comes first, start and end of text last
    assert unseen and torch.isfinite(odd).all()
    torch.testing.assert_close(table[unseen[0]], table[words].mean(0), atol=1e-4, rtol=0)


def test_simclr_loss_equals_loop():
    torch.manual_seed(0)
    a, b = torch.randn(4, 3), torch.randn(4, 3)
    views = torch.nn.functional.normalize(torch.cat([a, b]), dim=1)
    total = 0.0
    for u in range(8):
        scores = {v: torch.exp(views[u] @ views[v] / 0.1).item() for v in range(8) if v != u}
        total -= np.log(scores[(u + 4) % 8] / sum(scores.values())) / 8
    assert tiny.simclr_loss(a, b, 0.1).item() == pytest.approx(total, rel=1e-4)


def test_the_objective_learns_pairs():
    """Six images and six captions, a dozen steps: the towers tell them apart and come back whole."""
    torch.manual_seed(0)
    tokens = tiny.tokenizer()([f"C takes {w}" for w in ("a cup", "salt", "oil", "a pan", "rice", "milk")])
    vocabulary = tiny.Vocabulary.of(tokens)
    training = tiny.SlipTraining(tiny.new_model(vocabulary)).train()
    image, text = torch.randn(6, 3, 64, 64), vocabulary.rows(tokens)
    optimiser = torch.optim.AdamW(training.parameters(), lr=1e-3)
    for _ in range(25):
        terms = training(image, text, image + 0.1 * torch.randn_like(image), image)
        optimiser.zero_grad()
        terms["total"].backward()
        optimiser.step()
    assert terms["clip"] < 0.2
    torch.testing.assert_close(terms["total"], terms["clip"] + terms["simclr"])
    towers = training.finish()
    with torch.no_grad():
        similarity = towers.encode_image(image, normalize=True) @ towers.encode_text(text, normalize=True).T
    assert similarity.argmax(dim=1).tolist() == list(range(6))


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_each_kind_survives_its_file_and_loads_by_name(kind, tmp_path, monkeypatch):
    """The file names its architecture; the name carries the weights, so that features of two trainings never mix."""
    monkeypatch.setattr(tiny.weights_dir, "__defaults__", (tmp_path,))
    architecture = tiny.KINDS[kind].architecture
    tokens = tiny.tokenizer()(["C cuts an onion.", "C stirs the soup"])
    vocabulary = tiny.Vocabulary.of(tokens)
    names = set()
    for seed in range(2):
        torch.manual_seed(seed)
        model = tiny.new_model(vocabulary, architecture=architecture).eval()
        path = tiny.weights_dir(kind) / "model.safetensors"
        tiny.save_model(model, vocabulary, path, architecture=architecture)
        towers = load(f"tiny-{kind}")
        assert towers.embed_dim == 128 and towers.name.startswith(f"tiny-{kind}-")
        names.add(towers.name)
    assert len(names) == 2
    with torch.no_grad():
        expected = model.encode_text(vocabulary.rows(tokens), normalize=True)
    np.testing.assert_allclose(towers.encode_texts(["C cuts an onion.", "C stirs the soup"]), expected, atol=5e-3)


def test_tiny_is_slip_and_other_names_say_what_there_is(tmp_path, monkeypatch):
    assert load("tiny").name == load("tiny-slip").name
    with pytest.raises(
        CheckpointError, match="tiny-blip': found no shipped towers of that kind; expected one of tiny-slip"
    ):
        load("tiny-blip")
    monkeypatch.setattr(tiny.weights_dir, "__defaults__", (tmp_path,))
    with pytest.raises(CheckpointError, match=r"clip/model.safetensors: found no file.*--kind clip`\.$"):
        load("tiny-clip")
    tiny.save_model(
        tiny.new_model(),
        tiny.Vocabulary(torch.arange(9)),
        tmp_path / "model.safetensors",
        architecture="another",
    )
    with pytest.raises(CheckpointError, match=r"isn't the tiny towers \('another'\)"):
        load("tiny")


def shipped_kinds() -> list[str]:
    """The kinds whose weights are in data_samples."""
    return [k for k in tiny.KINDS if (tiny.weights_dir(k) / "model.safetensors").is_file()]


@pytest.mark.parametrize("kind", shipped_kinds())
def test_shipped_towers_tell_kitchens_places_apart(kind):
    """The shipped weights load, stay small, and rank paraphrases of one action above another action."""
    folder = tiny.weights_dir(kind)
    assert (folder / "model.safetensors").stat().st_size <= 6 * 2**20
    record = json.loads((folder / "config.json").read_text())
    assert record["model"] == tiny.model_config(tiny.KINDS[kind].architecture)
    scores = record["retrieval in galleries of 100, percent"]["held-out rooms"]
    assert all(scores[f"{way} R@5"] > 10 for way in ("image to text", "text to image"))  # twice chance
    model = load(f"tiny-{kind}")
    assert model.embed_dim == 128
    a, b, c = model.encode_texts(["C closes the drawer.", "C closes the drawer again.", "C washes hands."])
    assert a @ b > a @ c + 0.1


def test_the_scenes_towers_know_words_beside_the_kitchens():
    """Small enough to ship beside the others; sentences of different everyday activities don't collapse."""
    folder = tiny.weights_dir("scenes")
    assert (folder / "model.safetensors").stat().st_size <= 1.1e6
    texts = load("tiny-scenes").encode_texts(
        ["C runs", "C types on the keyboard", "C reads a book", "C climbs the stairs", "C sweeps the floor"]
    )
    assert texts.shape == (5, 128)
    np.testing.assert_allclose(np.linalg.norm(texts, axis=1), 1.0, atol=1e-5)
    assert (texts @ texts.T)[~np.eye(5, dtype=bool)].max() < 0.8
    scores = json.loads((folder / "config.json").read_text())["scenarios"]
    assert scores["zero-shot"]["top-1"] > 3 * scores["zero-shot"]["chance"]
    assert "CLIP knows such words" in (folder / "card.md").read_text()
