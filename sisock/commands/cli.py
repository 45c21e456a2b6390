"""The command ``sisock``."""

from __future__ import annotations

import os
import signal
import sys
import time
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click
import yaml

from sisock import __version__
from sisock.commands.supervisor import CONFIGURATION_EXIT
from sisock.core.errors import ConfigurationError, SisockError
from sisock.settings import Settings

if TYPE_CHECKING:
    from sisock.client import Consumer

# As shells count a program that SIGINT ended: 128 and the signal's number.
INTERRUPTED_EXIT = 130
# Whoever types a command will not wait long to hear that there is no router.
ROUTER_TIMEOUT_S = 4.0
DEMO = Path(__file__).parent.parent / "data" / "demo.yml"


class Commands(click.Group):
    """The commands below, and those that other packages add under the entry point ``sisock.commands``."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted({*super().list_commands(ctx), *(one.name for one in entry_points(group="sisock.commands"))})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return one command by its name."""
        command = super().get_command(ctx, cmd_name)
        for one in entry_points(group="sisock.commands", name=cmd_name):
            command = command or one.load()
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__)
def cli() -> None:
    """Serve scientific time series from where they are.

    Try 'sisock demo' first: it starts a router, a hub, two data nodes and the Grafana adapter on this machine.
    Settings come from the environment (CROSSBAR_HOST, PORT, LOGLEVEL, …).
    """


@cli.command()
def demo() -> None:
    """Start everything on this machine, with real data, and say where to look."""
    _run_site(DEMO)


@cli.command()
@click.argument("site", type=click.Path(path_type=Path))
def up(site: Path) -> None:
    """Start the programs that the YAML file SITE lists, and start again what dies."""
    _run_site(site)


@cli.command()
def router() -> None:
    """Run the WAMP router (Crossbar), with configuration, secrets and certificate made as needed."""
    # Each command imports what it needs: --help, and the others, do not wait for Twisted and Autobahn.
    import sisock.wamp.router

    sys.exit(sisock.wamp.router.run_router(Settings.from_environment()))


@cli.command()
def hub() -> None:
    """Run the hub, which knows which data nodes are online."""
    from sisock.commands.serve import run_hub

    run_hub(Settings.from_environment())


@cli.command()
@click.argument("what", metavar="NAME_OR_FILE.py[:Class]")
@click.option("--name", help="Name of the data node, in place of its own.")
@click.option("--option", "options", multiple=True, metavar="KEY=VALUE", help="Option of the node; repeat for more.")
@click.argument("arguments", metavar="[-- ARGUMENT...]", nargs=-1)
def node(what: str, name: str | None, options: tuple[str, ...], arguments: tuple[str, ...]) -> None:
    """Run a data node: one that comes with sisock ('host', 'weather', …), or the one in a Python file.

    A file that runs a server by itself is run as the program that it is, with our login; ARGUMENTs are its own.

    \b
    sisock node host
    sisock node weather --option folder=/data/weather --name roof
    sisock node my_node.py
    """  # noqa: D301 - \b is click's mark for lines to keep
    from sisock.commands.serve import run_node

    run_node(Settings.from_environment(), what, name, dict(map(_parse_option, options)), arguments)


@cli.command()
def nodes() -> None:
    """List the data nodes that are online."""
    with _consumer() as consumer:
        for entry in consumer.nodes():
            click.echo(f"{entry.name:<24} {entry.description or ''}".rstrip())


@cli.command()
@click.argument("node_name", metavar="NODE")
def fields(node_name: str) -> None:
    """List the fields of the data node NODE, with type, units and spacing."""
    with _consumer() as consumer:
        catalogue = consumer.fields(node_name)
    for entry in sorted(catalogue.fields.values(), key=lambda one: one.name):
        interval_s = catalogue.timelines[entry.timeline].interval_s
        spacing = f"every {interval_s:g} s" if interval_s else "aperiodic"
        click.echo(f"{entry.name:<40} {entry.type:<7} {entry.units or '-':<8} {spacing}")


@cli.command()
@click.argument("target", metavar="NODE::FIELD")
@click.option("--start", default="-1h", show_default=True, metavar="TIME", help="The first time that is wanted.")
@click.option("--end", default="now", show_default=True, metavar="TIME", help="The time before which it ends.")
@click.option("--min-stride", type=float, help="Seconds between samples that are fine enough.")
@click.option(
    "--reduce",
    "reducer",
    help="How to downsample to that: first, last, minmax, m4, mean, min, max, count, sum, stddev.",
)
def get(target: str, start: str, end: str, min_stride: float | None, reducer: str | None) -> None:
    """Print the samples of a field as CSV, as they come: time (ISO 8601, UTC, exact) and value.

    A TIME is a date with or without the time of day and a zone (2013-01-01, '2013-01-01 12:30', 2013-01-01T12:30Z;
    UTC without a zone), relative to now (-1h, now-30m, now), UNIX seconds, or, if negative, seconds before now. All
    else that is said, such as what span the field has when it has nothing in this one, goes to standard error.

    \b
    sisock get host::cpu.percent --start -60
    sisock get weather::jfk_temperature --start 2013-07-01 --end 2013-07-02 > july.csv
    """  # noqa: D301 - \b is click's mark for lines to keep
    from sisock.commands.printing import Progress, print_samples, read_span, say_empty

    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        # Half of the samples is no success.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    progress = Progress(sys.stderr, shown=sys.stderr.isatty() and not sys.stdout.isatty())

    def say(text: str) -> None:
        progress.clear()
        click.echo(f"sisock: {text}", err=True)

    try:
        span = read_span(start, end, say, time.time())
        with _consumer() as consumer:
            pages = consumer.pages(target, *span, min_stride=min_stride, reduce=reducer)
            if not print_samples(pages, target, sys.stdout, say, progress):
                say_empty(consumer, target, *span, say)
    except BrokenPipeError:
        _end_quietly()
    except KeyboardInterrupt:
        progress.clear()
        sys.exit(INTERRUPTED_EXIT)


@cli.command("scan-g3")
@click.argument("folder", required=False, type=click.Path(path_type=Path))
@click.option("--every", "every_s", type=click.FloatRange(min=0.1), help="Scan again after so many seconds.")
@click.option("--follow", is_flag=True, help="Go on, and index files as they appear and grow.")
@click.option("--index", help="Where the index is, in place of SISOCK_G3_INDEX: a file, or the URL of a database.")
@click.option("--archive", help="Name of the archive in the index, in place of the folder's path.")
def scan_g3(
    folder: Path | None, *, every_s: float | None, follow: bool, index: str | None, archive: str | None
) -> None:
    """Index the housekeeping files (.g3) in FOLDER and the folders in it, for the data node 'g3'.

    What the index knows already is not read again. It can be stopped at any time, and goes on from there.

    \b
    sisock scan-g3 /data/hk
    sisock scan-g3 /data/hk --follow --index mariadb://user:password@host/housekeeping
    """  # noqa: D301 - \b is click's mark for lines to keep
    from sisock.commands.scan import FOLLOW_S, Scan, run_scan

    settings = Settings.from_environment()
    settings = settings.replace(g3_index=index or settings.g3_index)
    scan = Scan.prepared(settings, folder, archive)
    run_scan(scan, FOLLOW_S if follow else every_s or settings.scan_interval_s or None)


@cli.command()
@click.argument("name", metavar="NAME")
@click.option("--consumer", is_flag=True, help="NAME is a consumer, which may read, and not a data node.")
def credential(name: str, *, consumer: bool) -> None:
    """Print the secret that the data node NAME logs in with, and make one if it has none.

    For a data node on another machine, which needs it as WAMP_SECRET; or for a program or a web page that reads, which
    needs it beside WAMP_USER. Run it on the router's machine, with the router's state directory; the secret counts at
    once.
    """
    from sisock.wamp.credentials import FILE_NAME, Credentials

    state = Settings.from_environment().state.resolve()
    if not state.is_dir():
        raise ConfigurationError(
            f"there is no state directory {state}: start the router first, or set SISOCK_STATE to the router's"
        )
    credentials = Credentials(state / FILE_NAME)
    click.echo(credentials.consumer_secret(name, create=True) if consumer else credentials.secret(name, create=True))


def _consumer() -> Consumer:
    from sisock.client import Consumer

    return Consumer(Settings.from_environment(), timeout_s=ROUTER_TIMEOUT_S)


def _parse_option(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise ConfigurationError(f"--option '{text}' must be KEY=VALUE")
    return key, yaml.safe_load(value)


def _run_site(path: Path) -> None:
    from sisock.commands.site import load_site
    from sisock.commands.startup import Startup, check_ports
    from sisock.commands.supervisor import Supervisor

    site = load_site(path, Settings.from_environment())
    # Otherwise half of a site comes up before the program that lacks its port ends.
    check_ports(site)
    startup = Startup(site, click.echo)
    sys.exit(Supervisor(site.programs, startup.tell).run(startup.tick))


def _end_quietly() -> NoReturn:
    """End where who reads, such as "head", has seen enough: Python would complain once more when it flushes."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.exit(0)


def main() -> None:
    """Run the command; an error that a user can mend is one line, never a traceback."""
    try:
        # Otherwise click ends the process itself, with a failure where a reader such as "head" has gone.
        cli(standalone_mode=False)
        # Not left to Python's own flush at its end, where a reader that has gone can no longer be handled.
        sys.stdout.flush()
    except BrokenPipeError:
        _end_quietly()
    except click.exceptions.Exit as end:
        sys.exit(end.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except SisockError as error:
        click.echo(f"sisock: {error}", err=True)
        sys.exit(CONFIGURATION_EXIT if isinstance(error, ConfigurationError) else 1)
    except (KeyboardInterrupt, click.Abort):
        # It came before a program had taken over the signals.
        sys.exit(0)


if __name__ == "__main__":
    main()
