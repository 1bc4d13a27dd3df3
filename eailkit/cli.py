"""The `eailkit` command: doctor, course, synth, localize, live, embed, reproduce.

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
from eailkit.experiments import registry

_SCENARIOS_HELP = (
    "Everyday scenarios instead of kitchens: six to pretrain on, or eight that no pretraining sees (give these another "
    "seed, so that the people are others too)."
)
_IMU_HELP = "Parquet, CSV or npz with time, acc and gyro, a take, or another that can be read; may be repeated."
_AT_HELP = "Before the heads, or after the one that was trained against video and text, or against other views."
_WEIGHTS_HELP = "A shipped name, a file of `eailkit.primus.model.save`, or the public PRIMUS checkpoint (.pt, .ckpt)."
_JOBS_HELP = "Notebooks side by side.  [default: what takes least time here, as memory allows]"
_OUT_HELP = "Folder of data, weights and scores."
_TOWER_HELP = "Frozen vision-language model of a role: slip, clip or third = FILE or MODEL:FILE; may be repeated."


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.version_option(__version__, prog_name="eailkit")
def commands() -> None:
    """A head-worn IMU finds its place in a 3D kitchen: EAIL and PRIMUS, as a package and a course."""


@commands.command()
def doctor() -> None:
    """Versions, device, threads, memory, disk; how long the course takes here; what is missing and what to do.

    Exit code 1 if anything is missing.
    """
    from eailkit.course.doctor import describe, examine
    from eailkit.course.expect import measure

    try:
        speed = measure()
    except Exception:  # a torch that doesn't load is among the checks
        speed = None
    checks = examine(speed=speed)
    click.echo(describe(checks))
    if any(check.level == "missing" for check in checks):
        sys.exit(1)


@commands.command()
@click.option("--profile", type=click.Choice(["quick", "bench", "paper"]), default="quick", help="Sizes and budget.")
@click.option("--only", multiple=True, metavar="NN", help="Only notebooks that begin with NN; may be repeated.")
@click.option("--out", type=click.Path(file_okay=False), help="Folder of the report.  [default: runs/<time>]")
@click.option("--notebooks", type=click.Path(file_okay=False), help="Folder of notebooks.  [default: the clone's]")
@click.option("--jobs", type=click.IntRange(1), help=_JOBS_HELP)
@click.option("-p", "parameter", multiple=True, nargs=2, metavar="NAME VALUE", help="A notebook parameter.")
def course(
    profile: str,
    only: Sequence[str],
    out: str | None,
    notebooks: str | None,
    jobs: int | None,
    parameter: Sequence[tuple[str, str]],
) -> None:
    """Execute the notebooks and leave a report that any browser opens. Exit code 1 if a notebook failed.

    Notebooks that don't need each other run side by side; a line is printed as each ends.
    """
    from eailkit.course.run import new_run_folder, parse_value, run_course

    folder = out or str(new_run_folder())
    parameters = {name: parse_value(value) for name, value in parameter}
    try:
        run = run_course(notebooks, folder, profile, only or None, parameters, jobs=jobs)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"what had run is in {os.path.join(folder, 'index.html')}") from None
    if not run.ok:
        sys.exit(1)


@commands.command()
@click.option("--out", required=True, type=click.Path(file_okay=False), help="Folder of the new dataset.")
@click.option("--scenarios", type=click.Choice(["pretraining", "held-out"]), help=_SCENARIOS_HELP)
@click.option("--rooms", default=12, type=click.IntRange(1), help="Kitchens.")
@click.option("--participants", default=8, type=click.IntRange(1), help="People.")
@click.option("--minutes", default=4.0, type=click.FloatRange(0.2), help="Mean length of a take.")
@click.option("--seed", default=0, type=click.IntRange(0), help="The same seed makes the same dataset.")
@click.option("--frames/--no-frames", default=True, help="Render the camera, one frame a second.")
@click.option("--workers", type=click.IntRange(1), help="Processes.  [default: one a core]")
@click.pass_context
def synth(
    context: click.Context,
    out: str,
    scenarios: str | None,
    rooms: int,
    participants: int,
    minutes: float,
    seed: int,
    frames: bool,
    workers: int | None,
) -> None:
    """Make a SynthKitchen dataset in Ego-Exo4D's layout; a second call finishes what a first one left."""
    options = {"participants": participants, "minutes": minutes, "seed": seed, "frames": frames, "workers": workers}
    try:
        if scenarios is None:
            from eailkit.synthkitchen import synthesize

            made = synthesize(out, rooms=rooms, **options)
        else:
            if context.get_parameter_source("rooms") is click.core.ParameterSource.COMMANDLINE:
                raise click.UsageError("--rooms counts kitchens, and --scenarios has none; leave one of them out.")
            from eailkit.scenarios import HELD_OUT, PRETRAINING, synthesize_scenarios

            wanted = {"pretraining": PRETRAINING, "held-out": HELD_OUT}[scenarios]
            made = synthesize_scenarios(out, scenarios=wanted, **options)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"finished takes stay in {out}; the same command goes on from them") from None
    click.echo(f"wrote {made}")


@commands.command()
@click.option("--imu", required=True, type=click.Path(), help="Parquet, CSV or npz with time, acc and gyro.")
@click.option("--map", "map_", required=True, type=click.Path(), help="semidense_points.csv.gz, .csv or .npz.")
@click.option("--out", required=True, type=click.Path(dir_okay=False), help="CSV: time, place, region, facing, action.")
@click.option("--weights", type=click.Path(file_okay=False), help="Folder of weights.  [default: the shipped ones]")
@click.option("--plot", type=click.Path(dir_okay=False), help="HTML figure of path and heatmap on the map.")
@click.option("--area", metavar="X,Y,SIDE", help="Centre and side in metres of the square to search, in the map.")
@click.option("--causal", is_flag=True, help="From past samples only, as a live system must.")
@click.option("--tracker/--no-tracker", default=True, help="Filter over place and heading, or the paper's answer.")
def localize(
    imu: str, map_: str, out: str, weights: str | None, plot: str | None, area: str | None, causal: bool, tracker: bool
) -> None:
    """Where the wearer of an IMU was on a map, second by second, and what they did."""
    square = None if area is None else _area(area)  # before torch loads: a typo answers at once
    from eailkit.localize import localize_files

    found = localize_files(imu, map_, out, weights=weights, plot=plot, area=square, causal=causal, tracker=tracker)
    click.echo(found.heading_reading)
    click.echo(f"wrote {out}" + (f" and {plot}" if plot else ""))


@commands.command()
@click.option("--replay", required=True, type=click.Path(), help="What `localize` takes as --imu; played in real time.")
@click.option("--map", "map_", required=True, type=click.Path(), help="semidense_points.csv.gz, .csv or .npz.")
@click.option("--weights", type=click.Path(file_okay=False), help="Folder of weights.  [default: the shipped ones]")
@click.option("--port", default=0, type=click.IntRange(0, 65535), help="On localhost; 0 takes a free one.")
@click.option("--speed", default=1.0, type=click.FloatRange(0.1, 50), help="Times real time.")
@click.option("--out", type=click.Path(dir_okay=False), help="CSV: time, x, y, radius, probability, heading, action.")
def live(replay: str, map_: str, weights: str | None, port: int, speed: float, out: str | None) -> None:
    """Play a recording on a map in a page of its own, found second by second as it would be live; Ctrl-C ends it."""
    from eailkit.live.serve import serve_files

    serve_files(replay, map_, weights=weights, port=port, speed=speed, out=out, say=click.echo)


@commands.command()
@click.option("--imu", required=True, multiple=True, type=click.Path(), help=_IMU_HELP)
@click.option("--weights", default="primus-quick", help=_WEIGHTS_HELP)
@click.option("--stride", default=5.0, type=click.FloatRange(0.02), help="Seconds between the starts of two windows.")
@click.option("--at", default="encoder", type=click.Choice(["encoder", "multimodal", "ssl"]), help=_AT_HELP)
@click.option("--out", required=True, type=click.Path(dir_okay=False), help="Parquet: start_s, end_s, f000, ...")
def embed(imu: Sequence[str], weights: str, stride: float, at: str, out: str) -> None:
    """Features of every five seconds of a recording, by a pretrained IMU encoder."""
    import warnings

    from eailkit.embed import embed_files

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        frame = embed_files(imu, weights, stride_s=stride, at=at, out=out)
    for one in said:
        if issubclass(one.category, UserWarning):
            click.echo(f"eailkit: {one.message}", err=True)
    click.echo(f"wrote {out}: {len(frame)} windows")


@commands.command()
@click.argument("name", type=click.Choice(list(registry.EXPERIMENTS)))
@click.option("--profile", type=click.Choice(["quick", "bench", "paper"]), default="quick", help="Sizes and budget.")
@click.option("--row", "rows", multiple=True, help="Of a table, such as table3/without-spatial; may be repeated.")
@click.option("--seeds", "span", metavar="A:B", help="Seeds A to B - 1, such as 0:3.")
@click.option("--seed", multiple=True, type=int, help="Default: the profile's; may be repeated.")
@click.option("--jobs", default=0, type=click.IntRange(0), help="Processes of a table.  [default: one a core]")
@click.option("--data", type=click.Path(), help="Ego-Exo4D root; SynthKitchen at the profile's size where none.")
@click.option("--tower", "towers", multiple=True, metavar="ROLE=SPEC", help=_TOWER_HELP)
@click.option("--dry-run", is_flag=True, help="Say what would be made, what is there, minutes and gigabytes.")
@click.option("--out", type=click.Path(file_okay=False), help=f"{_OUT_HELP} Default: runs/bench, PRIMUS's runs/primus.")
@click.option("--kitchens", type=click.Path(), help="SynthKitchen or Ego-Exo4D root that PRIMUS pretrains on too.")
@click.option("--real", type=click.Path(), help="Folder of real recordings: ClassyGlass, or the walk of real-walk.")
@click.option("--encoder", multiple=True, type=click.Choice(["paper", "ours"]), help="Default: both; may be repeated.")
@click.option("--results", default="results", type=click.Path(file_okay=False), help="Folder of the ledger.")
def reproduce(
    name: str, rows: Sequence[str], span: str | None, seed: Sequence[int], towers: Sequence[str],
    encoder: Sequence[str], results: str, **options,
) -> None:  # fmt: skip
    """Train, score and record tables of EAIL or PRIMUS; a second call goes on from what is there.

    table1 to table5 and fig4 to fig6 are EAIL's, all every row of them, states the sixteen of Table 3's switches; a
    figure makes what it needs of Table 1 and leaves a page in --out. primus-fig4 to 6 are PRIMUS's figures;
    primus-lines is what needs no pretraining; primus-claims judges what the others scored; primus-placement moves the
    sensor to other places on the head; joined is EAIL with PRIMUS's encoder.
    """
    from eailkit.files import refuse_overwrite

    request = registry.Request(
        name, encoders=tuple(encoder), seeds=(*seed, *_seeds(span)), rows=tuple(rows),
        towers=tuple(map(_tower, towers)), results_dir=results, **options,
    )  # fmt: skip
    refuse_overwrite([request.folder], [request.kitchens, request.real, request.data])
    try:
        table = registry.reproduce(request)
    except KeyboardInterrupt:
        raise KeyboardInterrupt(
            f"what was trained and scored stays in {request.folder}; the same command goes on"
        ) from None
    if table is not None:
        click.echo(f"wrote {table}")


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


def _seeds(span: str | None) -> tuple[int, ...]:
    if span is None:
        return ()
    first, colon, last = span.partition(":")
    if not (colon and first.isdigit() and last.isdigit() and int(first) < int(last)):
        raise click.BadParameter(f"{span!r} isn't A:B with A < B, such as 0:3.", param_hint="--seeds")
    return tuple(range(int(first), int(last)))


def _tower(text: str) -> tuple[str, str]:
    role, _, spec = text.partition("=")
    if role not in ("slip", "clip", "third") or not spec:
        raise click.BadParameter(
            f"{text!r} isn't slip=, clip= or third= and a file or MODEL:FILE, such as slip=slip_base_100ep.pt.",
            param_hint="--tower",
        )
    return role, spec


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
