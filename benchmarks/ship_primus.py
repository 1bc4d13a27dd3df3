"""`python -m benchmarks.ship_primus --run DIR --kitchens ROOT`: the weights "primus-quick" from a finished bench run.

They are PRIMUS's full objective on our encoder, pretrained on simulated takes alone; no label and no real recording
had a part. Nothing is chosen by how well they do.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from eailkit.experiments.primus_run import PrimusRun
from eailkit.files import DATA_SAMPLES, write_text
from eailkit.primus.model import save
from eailkit.results.ledger import device_name, git_commit
from eailkit.scenarios import PRETRAINING


def main() -> None:
    """Find (or train) the method in the run and write weights and card."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ship_primus", description=__doc__)
    parser.add_argument("--run", required=True, help="folder of the run")
    parser.add_argument("--kitchens", required=True, help="SynthKitchen's root that it used")
    parser.add_argument("--out", default=str(DATA_SAMPLES / "primus_quick"))
    args = parser.parse_args()
    commit = git_commit()
    run = PrimusRun(args.run, "bench", kitchens=args.kitchens)
    model = run.pretrained("PRIMUS", "ours")
    train = run.size.train
    path = Path(args.out) / "model.safetensors"
    about = {
        "method": "PRIMUS (Eq. 5, all terms)", "encoder": "MotionGRU", "steps": train.steps, "batch": run.size.batch,
        "windows": len(run.triplets), "data_hash": run.triplets.data_hash, "towers": run.towers.name, "seed": run.seed,
        "commit": commit, "device": device_name(),
    }  # fmt: skip
    save(model, path, half=True, **about)
    parameters = sum(p.numel() for p in model.encoder.parameters())
    write_text(
        path.with_name("card.md"),
        "# primus-quick\n\nAn IMU encoder for head-worn motion: PRIMUS's whole objective on the encoder of our own "
        f"(`MotionGRU`, {parameters:,} parameters with both heads), for `eailkit embed`.\n\n"
        f"- pretrained on {len(run.triplets)} windows of 5 s at 50 Hz: SynthKitchen and {', '.join(PRETRAINING)}; all "
        "simulated, nobody's data\n"
        + "".join(f"- {name}: {value}\n" for name, value in about.items() if name not in ("method", "encoder"))
        + "- input: acc (m/s2, gravity included) and gyro (rad/s) in any sensor axes, 40 Hz or more; how the sensor "
        "sits on the head doesn't matter\n- output: features before the heads (`--at encoder`), after f_m (comparable "
        "with text of the towers above) or f_s\n- how well it does, beside handcrafted features and random weights: "
        "`results/primus_fig4_bench.json`, notebook 09\n- not for: decisions about people, health or safety; it never "
        "saw a real person\n- half precision; widened when read\n- command: `python -m benchmarks.ship_primus`\n"
        "- licence: Apache-2.0\n",
    )
    print(f"{path}: {path.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
