"""One PRIMUS experiment: data, every pretrained method, the three test sets of Table I, and the scores of Figs. 4 to 6.

`PrimusRun` is what the notebooks, `eailkit reproduce` and the benchmarks share. Everything is made once under one
folder and found again by its identity; a killed run goes on where it was.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from eailkit import vision_language
from eailkit.baselines.handcrafted import handcrafted_features
from eailkit.baselines.supervised import train_classifier
from eailkit.datasets import ClassyGlass, EgoExo4D
from eailkit.errors import ConfigError
from eailkit.experiments.primus_sets import ACTIVITY_PROMPTS, TestSet
from eailkit.fewshot.probe import fit_probe
from eailkit.fewshot.protocol import Scores, evaluate, run
from eailkit.fewshot.windows import ActivityWindows, classyglass, from_egoexo4d, load_windows, save_windows
from eailkit.primus.config import METHODS, PrimusConfig
from eailkit.primus.model import Primus, pretrain, pretraining_identity
from eailkit.primus.triplets import Triplets, build, clean, concatenate, unlabelled
from eailkit.profiles import PRIMUS_SIZES, PrimusSize
from eailkit.provenance import Identity, fingerprint, identity, weights_tag
from eailkit.results.names import HANDCRAFTED, TEST_SETS, Budget, Head
from eailkit.scenarios import HELD_OUT, PRETRAINING, synthesize_scenarios
from eailkit.scenarios.dataset import SCENARIOS_VERSION, code_hash
from eailkit.synthkitchen.version import parameter_hash
from eailkit.training import History, TrainConfig, trained_identity
from eailkit.vision_language import VisionLanguage

# Chosen on ClassyGlass 1A alone: results/primus_tuning.json (`eailkit reproduce primus-tuning`). The search
# was begun because the choice before it ("worn", learned filters) fell below random weights on 1B, and went on to the
# encoder itself (offset, correlations, bands) because the next one gained nothing over them there.
OUR_ENCODER = {"encoder": "motion_gru", "recipe": "mounted", "neighbour_s": 10.0}
ALIGNED = (1.0, 0.5, 0.25, 0.1)  # Fig. 6
MOST_WINDOWS = 1500  # of cooking, which would otherwise outnumber everything


@dataclass
class PrimusRun:
    """Artifacts of one size under one folder.

    Args:
        run_dir: where everything lies.
        profile: of `profiles.PRIMUS_SIZES`.
        kitchens: a SynthKitchen or Ego-Exo4D root (`eail_run.Run.dataset()` makes one).
        real: ClassyGlass's folder, or None; without it the third test set is left out, and said so.
        workers: processes that simulate; one a core where None.

    Raises:
        ConfigError, DatasetError: no such profile; `kitchens` or `real` is no such folder.
    """

    run_dir: Path | str
    profile: str = "quick"
    kitchens: Path | str | None = None
    real: Path | str | None = None
    seed: int = 0
    towers_name: str = "tiny-scenes"
    progress: bool = True
    workers: int | None = None
    histories: dict[str, History] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.profile not in PRIMUS_SIZES:
            raise ConfigError(f"profile: found '{self.profile}'; expected one of {', '.join(PRIMUS_SIZES)}.")
        for folder, reader in ((self.kitchens, EgoExo4D), (self.real, ClassyGlass)):
            if folder is not None:
                reader(Path(folder))  # before anything is made
        self.dir = Path(self.run_dir)
        self.dir.mkdir(parents=True, exist_ok=True)
        self.size = PRIMUS_SIZES[self.profile]

    def folder(self, kind: str) -> Path:
        """Where files of a kind lie: by profile, seed and kitchens. Their own names say what else made them."""
        kitchens = "alone" if self.kitchens is None else fingerprint(Path(self.kitchens))[:8]
        return self.dir / f"{kind}-{self.profile}-{self.seed}-{kitchens}"

    @cached_property
    def towers(self) -> VisionLanguage:
        """Frozen features of frames and narrations."""
        return vision_language.load(self.towers_name)

    @cached_property
    def scenarios(self) -> Path:
        """The scenarios that are pretrained on, made on the first call."""
        return self._synthesize("scenarios")

    @cached_property
    def held_out(self) -> Path:
        """Scenarios that no pretraining sees, of other people; without frames, which nobody needs."""
        return self._synthesize("held_out")

    def _synthesize(self, kind: str) -> Path:
        options = {"progress": self.progress, "workers": self.workers}
        return synthesize_scenarios(self.scenarios_folder(kind), **self._scenarios(kind), **options)

    def _scenarios(self, kind: str) -> dict:
        s = self.size
        if kind == "held_out":
            people = {"scenarios": HELD_OUT, "participants": s.held_participants, "minutes": s.held_minutes}
            return people | {"seed": 1, "frames": False}
        return {"scenarios": PRETRAINING, "participants": s.participants, "minutes": s.minutes, "seed": 0}

    def scenarios_folder(self, kind: str) -> Path:
        """Where scenarios ("scenarios" or "held_out") lie, made or not: named by all that they are made of."""
        made = identity(kind, simulator=parameter_hash(SCENARIOS_VERSION, code_hash()), **self._scenarios(kind))
        return self.dir / f"{kind}-{self.profile}.{made.key}"

    @cached_property
    def triplets(self) -> Triplets:
        """What is pretrained on: training takes of the scenarios and of the kitchens, where there are some."""
        cache = self.dir / "triplets"
        parts = [build(self.scenarios, self.towers, cache / f"scenarios-{self.profile}", progress=self.progress)]
        if self.kitchens is not None:
            takes = self._kitchen_takes()
            options = {"takes": takes, "task": "cooking", "progress": self.progress}
            parts.append(build(self.kitchens, self.towers, self.folder("triplets"), **options))
        return concatenate(parts)

    def _kitchen_takes(self, split: str = "train") -> tuple[str, ...]:
        takes = sorted(t.name for t in EgoExo4D(Path(self.kitchens)).takes if t.split == split)
        step = max(1, len(takes) // self.size.kitchen_takes) if self.size.kitchen_takes else 1
        return tuple(takes[::step])

    def config(self, method: str, encoder: str = "paper") -> PrimusConfig:
        """A method's configuration at this size.

        Args:
            method: of `METHODS`.
            encoder: "paper" (the Stacked RNN, the method's own recipe) or "ours" (MotionGRU, our recipe).

        Raises:
            ConfigError: no such method or encoder.
        """
        if method not in METHODS or encoder not in ("paper", "ours"):
            raise ConfigError(
                f"PRIMUS: found method '{method}' and encoder '{encoder}'; expected a method of "
                f"{', '.join(METHODS)} and encoder 'paper' or 'ours'; choose among these."
            )
        found = METHODS[method]
        if encoder == "ours":
            return replace(
                found,
                **OUR_ENCODER | ({} if found.recipe == "paper" else {"recipe": found.recipe, "neighbour_s": 0.0}),
            )
        return replace(found, encoder_options={"embed_dim": self.size.embed_dim})

    def pretrained(
        self, method: str, encoder: str = "paper", *, aligned: float = 1.0, extra: str = "", **changes
    ) -> Primus:
        """Pretrain (or find) a method.

        Args:
            aligned: share of windows that keep frame and narration (Fig. 6).
            extra: "1A" mixes ClassyGlass 1A's windows, unlabelled, into what the self-supervised term sees.
            changes: of the configuration.
        """
        config = replace(self.config(method, encoder), **changes)
        data, made = (
            self._pretraining_data(aligned, extra),
            self.made(method, encoder, aligned=aligned, extra=extra, **changes),
        )
        told = "".join(f"-{k}_{v}" for k, v in sorted(changes.items()))
        name = f"{method}-{encoder}-{aligned:g}{extra}{told}".replace(" ", "_").replace(",", "").replace("+", "and")
        model, self.histories[name] = pretrain(
            data, config, self._train(), batch=self.size.batch, out_dir=self.folder("primus"), name=name,
            progress=self.progress,
        )  # fmt: skip
        model.made = made
        return model

    def made(
        self, method: str, encoder: str = "paper", *, aligned: float = 1.0, extra: str = "", **changes
    ) -> Identity:
        """What names the encoder that `pretrained` gives, trained or not."""
        config = replace(self.config(method, encoder), **changes)
        data = self._pretraining_data(aligned, extra)
        return trained_identity(self._train(), pretraining_identity(data, config, self.size.batch))

    def _train(self) -> TrainConfig:
        return replace(self.size.train, seed=self.size.train.seed + self.seed)

    def _pretraining_data(self, aligned: float, extra: str) -> Triplets:
        if extra not in ("", "1A"):
            raise ConfigError(
                f"PRIMUS: found extra windows of '{extra}'; expected '1A' or nothing; choose one of these."
            )
        data = self.triplets.aligned(aligned, self.seed)
        if extra == "1A":
            windows, width = self._extra, data.video.shape[1]
            data = concatenate([data, unlabelled(windows.imu, windows.recording, windows.start_s, width)])
        return data

    @cached_property
    def _extra(self) -> ActivityWindows:
        return classyglass(self._need_real(), "1A", stride_s=2.5)

    def untrained(self, encoder: str = "paper", *, alone: bool = False) -> Primus:
        """Random weights; normalisation has seen the training windows once, as any use of it must.

        Args:
            alone: as an encoder whose multimodal head means nothing.
        """
        triplets = self.triplets  # before the seed: making them draws random numbers, too
        torch.manual_seed(self.size.train.seed + self.seed)
        model = Primus(self.config("PRIMUS", encoder), feature_dim=triplets.video.shape[1]).train()
        rows = np.random.default_rng(self.seed).permutation(len(triplets))[:2048]
        for part in filter(lambda m: isinstance(m, torch.nn.BatchNorm1d), model.modules()):
            part.momentum = None  # the mean over all batches: of a few, the usual running mean stays near its start
        with torch.no_grad():
            for part in np.array_split(rows, max(1, len(rows) // 256)):
                model.encoder(torch.from_numpy(triplets.imu[part]))
        if alone:
            model.config = replace(model.config, terms=("ss",))
        model.made = self.made_untrained(encoder, alone=alone)
        return model.eval()

    def made_untrained(self, encoder: str = "paper", *, alone: bool = False) -> Identity:
        """What names the encoder that `untrained` gives."""
        of = pretraining_identity(self.triplets, self.config("PRIMUS", encoder), self.size.batch)
        own = {"seed": self.size.train.seed + self.seed, "windows_of": self.seed, "alone": alone}
        return identity("random weights", code=(PrimusRun.untrained,), of=of, **own)

    def _need_real(self) -> Path:
        if self.real is None:
            raise ConfigError("PRIMUS: found no folder of real recordings; expected ClassyGlass's; give --real FOLDER.")
        return Path(self.real)

    @cached_property
    def test_sets(self) -> dict[str, TestSet]:
        """The three of Table I: same domain and labels; other labels; real people, another device, other labels."""
        tasks = {n: ACTIVITY_PROMPTS[n] for n in HELD_OUT}
        of = {"data": fingerprint(self.held_out), "tasks": tasks}
        held = self._kept("held_out", lambda: from_egoexo4d(self.held_out, tasks=tasks), **of)
        parts = []
        for split in ("train", "test"):
            of = {
                "data": fingerprint(self.scenarios),
                "prompts": ACTIVITY_PROMPTS,
                "split": split,
                "most": MOST_WINDOWS,
            }
            if self.kitchens is not None:
                of |= {"kitchens": fingerprint(self.kitchens), "takes": self._kitchen_takes(_kitchen_split(split))}
            parts.append(self._kept(f"activities-{split}", lambda s=split: self._activities(s), **of))
        sets = [TestSet(TEST_SETS[0], *parts), TestSet(TEST_SETS[1], held)]
        if self.real is not None:
            sets.append(TestSet(TEST_SETS[2], classyglass(self.real, "1B")))
        return {s.name: s for s in sets}

    def _kept(self, name: str, make: Callable[[], ActivityWindows], **of) -> ActivityWindows:
        made = identity("windows", code=("eailkit.fewshot.windows", PrimusRun._activities), of=name, **of)
        path = self.folder("windows") / f"{name}.{made.key}.npz"
        if not path.is_file():
            save_windows(make(), path)
        return load_windows(path)

    def _activities(self, split: str) -> ActivityWindows:
        """Windows labelled by what the whole take is about; people of the two splits differ."""
        names = ("cooking", *PRETRAINING) if self.kitchens is not None else PRETRAINING
        prompts = {n: ACTIVITY_PROMPTS[n] for n in names}
        scenes = from_egoexo4d(self.scenarios, split=split, tasks=prompts)
        if self.kitchens is None:
            return scenes
        of = _kitchen_split(split)
        kitchens = from_egoexo4d(self.kitchens, split=of, tasks=prompts, takes=self._kitchen_takes(of))
        keep = np.sort(np.random.default_rng(0).permutation(len(kitchens))[:MOST_WINDOWS])
        cooking = replace(kitchens.subset(keep), label=np.zeros(len(keep), np.int64))  # takes.json says "omelette"
        arrays = {
            f: np.concatenate([getattr(cooking, f), getattr(scenes, f)])
            for f in ("imu", "label", "recording", "start_s")
        }
        participant = np.concatenate(
            [np.char.add(k, w.participant.astype(str)) for k, w in (("k", cooking), ("s", scenes))]
        )
        return replace(scenes, **arrays, participant=participant, name=f"activities ({split})")

    def text(self, test: TestSet) -> np.ndarray:
        """Embeddings of a test set's prompts, (classes, d)."""
        return np.asarray(self.towers.encode_texts([clean(p) for p in test.windows.prompts]))

    def scored(self, encoder: Identity) -> Identity:
        """What names a method's points in the scores of a test: its encoder, and the towers that read the prompts."""
        return identity("scores", code=(PrimusRun.score_encoder,), encoder=encoder, towers=self.towers.identity)

    def score_encoder(
        self, name: str, model: Primus, test: TestSet, scores: Scores, *, shots: tuple[int, ...] | None = None
    ) -> None:
        """The curves of one pretrained encoder, by head.

        "random" and "text" read f_m, as PRIMUS does, where f_m was trained; "encoder" reads what comes before the
        heads. An encoder without f_m (SimCLR, SS, MultitaskSSL) has the last alone, also under "random".
        """
        task, size = test.task, self.size
        size = size if shots is None else replace(size, shots=shots)
        scores.begin(name, self.scored(model.made or identity("encoder", weights=weights_tag(model), of=model.config)))
        hidden = model.embed(task.imu, at="encoder")
        aligned = bool({"mm", "nn"} & set(model.config.terms)) and model.config.key != "imu"
        if aligned:
            features = model.embed(task.imu)
            text = self.text(test)
            split = _two(test, features)
            evaluate(
                test.windows, split[0], name, scores, heads=(Head.RANDOM, Head.TEXT), text=text, shots=size.shots,
                seeds=size.seeds, test=test.test, test_features=split[1],
            )  # fmt: skip
        score_features(name, hidden, test, scores, size)
        if not aligned:
            scores.share(name, Head.ENCODER, Head.RANDOM)

    def score_handcrafted(self, test: TestSet, scores: Scores, *, boosting: bool = True) -> None:
        """What a user would pick instead: handcrafted features with logistic regression, and with boosted trees.

        Args:
            boosting: False leaves the trees out, which take five times as long.
        """
        scores.begin(HANDCRAFTED, self.made_handcrafted())
        features = handcrafted_features(test.task.imu)
        one, two = _two(test, features)
        options = {"shots": self.size.shots, "seeds": self.size.seeds, "test": test.test, "test_features": two}
        evaluate(test.windows, one, HANDCRAFTED, scores, **options)
        if boosting:
            evaluate(test.windows, one, HANDCRAFTED, scores, classifier="boosting", **options)

    def made_handcrafted(self) -> Identity:
        """What names the points of handcrafted features."""
        return identity("scores", code=("eailkit.baselines.handcrafted",))

    def made_scratch(self, encoder: str = "paper") -> Identity:
        """What names the points of standard training."""
        config, steps = self.config("PRIMUS", encoder), self.size.scratch_steps
        return identity("scores", code=("eailkit.baselines.supervised",), config=config, steps=steps)

    def score_scratch(self, test: TestSet, scores: Scores, encoder: str = "paper", *, name: str = "") -> None:
        """Standard training: all weights from random ones, with the paper's few steps, and properly."""
        task, size = test.task, self.size
        config, name = self.config("PRIMUS", encoder), name or f"standard training, {encoder}"
        scores.begin(name, self.made_scratch(encoder))
        for budget, steps in ((Budget.FEW_STEPS, None), (Budget.PROPER, size.scratch_steps)):

            def fit(rows: np.ndarray, tested: np.ndarray, seed: int, steps: int | None = steps) -> np.ndarray:
                net = train_classifier(
                    config, task.imu[rows], task.label[rows], len(task.classes), steps=steps, seed=seed
                )
                return net.predict(task.imu[tested])

            shots, seeds = size.scratch_shots, size.scratch_seeds
            run(task, fit, name, scores, variant=budget, shots=shots, seeds=seeds)


def _kitchen_split(split: str) -> str:
    return "train" if split == "train" else "test-unseen"


def score_features(name: str, features: np.ndarray, test: TestSet, scores: Scores, size: PrimusSize) -> None:
    """Logistic regression on any features of `test.task.imu`, as `Head.ENCODER`."""
    task = test.task

    def fit(rows: np.ndarray, tested: np.ndarray, seed: int) -> np.ndarray:
        return fit_probe(features[rows], task.label[rows], len(task.classes), seed=seed).predict(features[tested])

    run(task, fit, name, scores, variant=Head.ENCODER, shots=size.shots, seeds=size.seeds)


def _two(test: TestSet, features: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    n = len(test.windows.label)
    return features[:n], features[n:] if test.test is not None else None
