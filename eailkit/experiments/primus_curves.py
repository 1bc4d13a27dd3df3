"""PRIMUS's Figures 4, 5 and 6 and its six claims: what is trained for each, scored, and written into the ledger.

A figure is a list of `Line`s: a method on an encoder. Scores of a test set are one file that every figure adds to, so
nothing is trained or scored twice and a killed run goes on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

from eailkit.errors import ConfigError
from eailkit.experiments.primus_run import ALIGNED, PrimusRun
from eailkit.experiments.primus_sets import TestSet
from eailkit.fewshot.protocol import Scores
from eailkit.provenance import Identity
from eailkit.results.ledger import RESULTS_DIR, LedgerRow, append_rows, device_name, git_commit
from eailkit.results.names import FIGURES, HANDCRAFTED, SCRATCH, UNTRAINED, Head, point_key, row_id

MAIN = ("PRIMUS", "PRIMUS, as released", "SimCLR", "IMU2CLIP", "MultitaskSSL")  # scored at every number of windows
FIG4 = (*MAIN, "IMU2CLIP (video)", "IMU2CLIP (text)")
FIG5 = ("SS", "IMU2CLIP", "NN", "NN, IMU alone", "SS + MM", "SS + NN", "MM + NN", "PRIMUS")
QUESTIONS = {
    "primus-fig4": "How many labels does each pretraining need on that test set (PRIMUS Fig. 4)?",
    "primus-fig5": "Which terms of Eq. 5 carry the result (PRIMUS Fig. 5)?",
    "primus-fig6": "How much aligned data does pretraining need (PRIMUS Fig. 6)?",
    "primus-lines": "What is had without pretraining: handcrafted features, random weights, standard training?",
}


@dataclass(frozen=True)
class Line:
    """One curve: a method, an encoder ("paper" or "ours"), the share of aligned data, and what is mixed in."""

    method: str
    encoder: str = "paper"
    aligned: float = 1.0
    extra: str = ""

    @property
    def name(self) -> str:
        """How scores and the ledger call it."""
        parts = [self.method]
        if self.aligned < 1.0:
            parts.append(f"{self.aligned:.0%} aligned".replace("%", " %"))
        if self.extra:
            parts.append(f"with unlabelled {self.extra}")
        return ", ".join([*parts, *(["our encoder"] if self.encoder == "ours" else [])])


def lines(figure: str, encoders: Sequence[str] = ("paper", "ours"), *, real: bool = True) -> list[Line]:
    """The pretrained curves of a figure.

    Raises:
        ConfigError: no such figure.
    """
    if figure not in FIGURES:
        raise ConfigError(f"reproduce: found '{figure}'; expected one of {', '.join(FIGURES)}; choose one of these.")
    if figure == "primus-fig4":
        found = [Line(m, e) for e in encoders for m in FIG4]
        return found + ([Line("PRIMUS", "ours", 1.0, "1A")] if real and "ours" in encoders else [])
    if figure == "primus-fig5":
        return [Line(m, e) for e in encoders for m in FIG5]
    if figure == "primus-fig6":
        return [Line(m, e, share) for e in encoders for m in ("PRIMUS", "IMU2CLIP") for share in ALIGNED]
    return []


class Figures:
    """Scores of every test set of a run.

    Args:
        run: data and encoders.
    """

    def __init__(self, run: PrimusRun):
        self.run = run
        self.dir = run.folder("scores")
        self.dir.mkdir(parents=True, exist_ok=True)
        self.scores = {name: self._open(test) for name, test in run.test_sets.items()}

    def _path(self, name: str) -> Path:
        key = self.run.test_sets[name].identity.key
        return self.dir / f"{name.replace(' ', '_').replace(',', '')}.{key}.npz"

    def _open(self, test: TestSet) -> Scores:
        """Scores so far, without those of encoders that are now made otherwise under the same name."""
        path = self._path(test.name)
        if not path.is_file():
            return Scores.of(test.windows, test.test)
        scores, made = Scores.load(path), self._made()
        for method in scores.made.keys() & made.keys():
            scores.begin(method, made[method]())
        return scores

    def _made(self) -> dict[str, Callable[[], Identity]]:
        """What names the points of every method of the figures, by its name."""
        run, real = self.run, self.run.real is not None
        known = {line.name: line for figure in FIGURES for line in lines(figure, real=real)}
        found: dict[str, Callable[[], Identity]] = {n: lambda x=x: self.made(x) for n, x in known.items()}
        for encoder in ("paper", "ours"):
            found[Line(UNTRAINED, encoder).name] = lambda e=encoder: run.scored(run.made_untrained(e, alone=True))
            found[Line(SCRATCH, encoder).name] = lambda e=encoder: run.made_scratch(e)
        return found | {HANDCRAFTED: run.made_handcrafted}

    def made(self, line: Line) -> Identity:
        """What names a line's points."""
        return self.run.scored(self.run.made(line.method, line.encoder, aligned=line.aligned, extra=line.extra))

    def _save(self, name: str) -> None:
        path = self._path(name)
        if path.is_file():  # another process may have scored the other encoder meanwhile
            self.scores[name].take(Scores.load(path))
        self.scores[name].save(path)

    def add(self, lines_: Iterable[Line]) -> None:
        """Train and score what isn't there yet; saved after every curve."""
        run = self.run
        for line in tqdm(list(lines_), desc="methods", disable=not run.progress):
            for scores in self.scores.values():
                scores.begin(line.name, self.made(line))
            if all(self._done(line.name, scores, self._shots(line)) for scores in self.scores.values()):
                continue
            model = run.pretrained(line.method, line.encoder, aligned=line.aligned, extra=line.extra)
            for name, test in run.test_sets.items():
                run.score_encoder(line.name, model, test, self.scores[name], shots=self._shots(line))
                self._save(name)

    def _shots(self, line: Line) -> tuple[int, ...]:
        main = line.method in (*MAIN, UNTRAINED) and line.aligned == 1.0
        return self.run.size.shots if main else self.run.size.ablation_shots

    def _done(self, name: str, scores: Scores, shots: tuple[int, ...] | None = None) -> bool:
        last = max(s for s in shots or self.run.size.shots if s <= self.possible(scores))
        return scores.has(name, Head.ENCODER, last, self.run.size.seeds - 1)

    def possible(self, scores: Scores) -> int:
        """Most shots per class that a test set allows."""
        test = next(t for n, t in self.run.test_sets.items() if self.scores[n] is scores)
        return max(test.task.possible(self.run.size.shots))

    def add_lines(self, encoders: Sequence[str] = ("paper", "ours"), *, scratch: bool = True) -> None:
        """The lines that need no pretraining."""
        run = self.run
        for name, test in run.test_sets.items():
            scores = self.scores[name]
            run.score_handcrafted(test, scores)
            self._save(name)
            for encoder in encoders:
                line = Line(UNTRAINED, encoder)
                if not self._done(line.name, scores):
                    run.score_encoder(line.name, run.untrained(encoder, alone=True), test, scores)
                if scratch:
                    run.score_scratch(test, scores, encoder, name=Line(SCRATCH, encoder).name)
                self._save(name)


def record_figure(
    figure: str,
    run: PrimusRun,
    *,
    encoders: Sequence[str] = ("paper", "ours"),
    results_dir: Path | str = RESULTS_DIR,
    command: str = "",
    commit: str = "",
) -> Path:
    """Train, score and record one figure; `results/<figure>_<profile>.json` gets a row a curve and test set.

    Returns:
        the table's path.

    Raises:
        ConfigError: no such figure.
    """
    wanted, began = lines(figure, encoders, real=run.real is not None), time.monotonic()
    figures = Figures(run)
    if wanted:
        figures.add(wanted)
        names = {line.name for line in wanted}
    else:
        figures.add_lines(encoders)
        names = {HANDCRAFTED, *(Line(m, e).name for m in (UNTRAINED, SCRATCH) for e in encoders)}
    minutes = (time.monotonic() - began) / 60
    about = {"command": command or f"eailkit reproduce {figure}", "commit": commit or git_commit(), "minutes": minutes}
    rows = [row for name in run.test_sets for row in _rows(figure, run, name, figures.scores[name], names, about)]
    table = f"{figure.replace('-', '_')}_{run.profile}"
    return append_rows(table, rows, results_dir=results_dir)


def _rows(figure: str, run: PrimusRun, test: str, scores: Scores, names: set[str], about: dict) -> list[LedgerRow]:
    frame, rows = scores.frame(), []
    for (method, variant), part in frame[frame.method.isin(names)].groupby(["method", "variant"], sort=False):
        mean, spread = {}, {}
        for point in part.to_dict("records"):
            for metric in ("macro_f1", "accuracy"):
                key = point_key(metric, point["shots"])
                mean[key] = round(point[metric], 3)
                spread[key] = round((point[f"{metric}_high"] - point[f"{metric}_low"]) / 2, 3)
        rows.append(
            LedgerRow(
                id=row_id(test, method, variant), question=QUESTIONS[figure], command=about["command"],
                config={
                    "test": test, "method": method, "head": variant, "profile": run.profile,
                    "classes": len(scores.classes), "participants": len(scores.participants),
                    "draws": int(part.seeds.max()), "steps": run.size.train.steps, "batch": run.size.batch,
                    "spread": "half of the 95 % interval over participants and draws",
                },
                commit=about["commit"], data_hash=run.triplets.data_hash, seeds=(run.seed,), mean=mean, spread=spread,
                minutes=round(about["minutes"], 2), device=device_name(),
            )
        )  # fmt: skip
    return rows
