"""The command ``sisock grafana``."""

from __future__ import annotations

import click

from sisock.settings import Settings


@click.command()
def grafana() -> None:
    """Run the Grafana adapter, which draws the data nodes' fields in Grafana's panels."""
    # Twisted and Flask are loaded only for those who run it, so that other commands stay quick.
    from grafana_json.http.server import run_adapter

    run_adapter(Settings.from_environment())
