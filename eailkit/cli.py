"""The `eailkit` command: doctor, course, synth, localize.

A thin door: each command turns its options into one call of the package, which is imported only then, so that
`eailkit --help` answers at once. Wrong input ends in one sentence and exit code 2, Ctrl-C in 130.
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Sequence

import click

from eailkit import __version__
from eailkit.errors import EailkitError


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="eailkit")
def commands() -> None:
    """A head-worn IMU finds its place in a 3D kitchen: EAIL and PRIMUS, as a package and a course."""


@commands.command()
def doctor() -> None:
    """Versions, device, threads, memory, disk; what is missing and what to do. Exit code 1 if anything is."""
    from eailkit.doctor import describe, examine

    checks = examine()
    click.echo(describe(checks))
    if any(check.level == "missing" for check in checks):
        sys.exit(1)


@commands.command()
@click.option("--profile", type=click.Choice(["quick", "bench", "paper"]), default="quick", help="Sizes and budget.")
@click.option("--only", multiple=True, metavar="NN", help="Only notebooks that begin with NN; may be repeated.")
@click.option("--out", type=click.Path(file_okay=False), help="Folder of the report.  [default: runs/<time>]")
@click.option("--notebooks", type=click.Path(file_okay=False), help="Folder of notebooks.  [default: the clone's]")
@click.option("-p", "parameter", multiple=True, nargs=2, metavar="NAME VALUE", help="A notebook parameter.")
def course(
    profile: str,
    only: Sequence[str],
    out: str | None,
    notebooks: str | None,
    parameter: Sequence[tuple[str, str]],
) -> None:
    """Execute the notebooks and leave a report that any browser opens. Exit code 1 if a notebook failed."""
    from eailkit.course import new_run_folder, parse_value, run_course

    folder = out or str(new_run_folder())
    parameters = {name: parse_value(value) for name, value in parameter}
    try:
        run = run_course(notebooks, folder, profile, only or None, parameters)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"what had run is in {os.path.join(folder, 'index.html')}") from None
    if not run.ok:
        sys.exit(1)


@commands.command()
@click.option("--out", required=True, type=click.Path(file_okay=False), help="Folder of the new dataset.")
@click.option("--rooms", default=12, type=click.IntRange(1), help="Kitchens.")
@click.option("--participants", default=8, type=click.IntRange(1), help="People.")
@click.option("--minutes", default=4.0, type=click.FloatRange(0.2), help="Mean length of a take.")
@click.option("--seed", default=0, type=click.IntRange(0), help="The same seed makes the same dataset.")
@click.option("--frames/--no-frames", default=True, help="Render the camera, one frame a second.")
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one a core]")
def synth(
    out: str, rooms: int, participants: int, minutes: float, seed: int, frames: bool, workers: int | None
) -> None:
    """Make a SynthKitchen dataset in Ego-Exo4D's layout; a second call finishes what a first one left."""
    from eailkit.synthkitchen import synthesize

    try:
        made = synthesize(
            out, rooms=rooms, participants=participants, minutes=minutes, seed=seed, frames=frames, workers=workers
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"finished takes stay in {out}; the same command goes on from them") from None
    click.echo(f"wrote {made}")


@commands.command()
@click.option("--imu", required=True, type=click.Path(), help="Parquet, CSV or npz with time, acc and gyro.")
@click.option("--map", "map_", required=True, type=click.Path(), help="semidense_points.csv.gz, .csv or .npz.")
@click.option("--out", required=True, type=click.Path(dir_okay=False), help="CSV: time, x, y, confidence, action.")
@click.option("--weights", type=click.Path(file_okay=False), help="Folder of weights.  [default: the shipped ones]")
@click.option("--plot", type=click.Path(dir_okay=False), help="HTML figure of path and heatmap on the map.")
@click.option("--area", metavar="X,Y,SIDE", help="Centre and side in metres of the square to search, in the map.")
@click.option("--causal", is_flag=True, help="Align gravity with past samples only, as a live system must.")
def localize(
    imu: str, map_: str, out: str, weights: str | None, plot: str | None, area: str | None, causal: bool
) -> None:
    """Where the wearer of an IMU was on a map, second by second, and what they did."""
    square = None if area is None else _area(area)  # before torch loads: a typo answers at once
    from eailkit.localize import localize_files

    options = {"causal": True} if causal else {}
    localize_files(imu, map_, out, weights=weights, plot=plot, area=square, **options)
    click.echo(f"wrote {out}" + (f" and {plot}" if plot else ""))


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit: 0 done, 1 a check or notebook failed, 2 wrong input, 130 interrupted."""
    debug = os.environ.get("EAILKIT_DEBUG", "") not in ("", "0")
    try:
        commands.main(args=arguments, prog_name="eailkit", standalone_mode=False)
    except click.exceptions.Abort as abort:
        _interrupted(abort.__cause__ or abort.__context__)
    except KeyboardInterrupt as interrupt:
        _interrupted(interrupt)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except EailkitError as error:
        if debug:
            raise
        click.echo(f"eailkit: {error}", err=True)
        sys.exit(2)


def _interrupted(interrupt: BaseException | None) -> None:
    click.echo(f"interrupted; {interrupt}" if interrupt and str(interrupt) else "interrupted", err=True)
    sys.exit(130)


def _area(text: str) -> tuple[float, float, float]:
    try:
        x, y, side = (float(part) for part in text.split(","))
        if not (math.isfinite(x + y + side) and side > 0):
            raise ValueError
    except ValueError:
        raise click.BadParameter(
            f"{text!r} isn't x,y,side in metres, such as 1.5,-0.2,4.", param_hint="--area"
        ) from None
    return x, y, side


if __name__ == "__main__":
    main()
