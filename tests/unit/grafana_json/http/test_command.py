from click.testing import CliRunner

from grafana_json.http import server
from grafana_json.http.command import grafana


def test_the_command_runs_the_adapter(monkeypatch):
    """'sisock grafana' runs the adapter with the settings of the environment."""
    started = []
    monkeypatch.setattr(server, "run_adapter", started.append)
    monkeypatch.setenv("PORT", "5123")
    assert CliRunner().invoke(grafana).exit_code == 0
    assert started[0].port == 5123
