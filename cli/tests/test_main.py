"""The commands, as a shell calls them."""

import os
import socket
import subprocess
import sys
from pathlib import Path

from chassis.embedded import EmbeddedServers

REPOSITORY = Path(__file__).parents[2]


def switchyard(
    run_dir: Path, *arguments: str, columns: int = 400, **environment: str
) -> "subprocess.CompletedProcess[str]":
    """Run a command to its end."""
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *arguments],
        cwd=REPOSITORY,
        env={**os.environ, "SWITCHYARD_RUN_DIR": str(run_dir), "COLUMNS": str(columns), **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


class TestDoctor:
    def test_this_machine_is_healthy(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        shown = switchyard(tmp_path, "doctor", SWITCHYARD_HTTP_PORT=str(port))

        assert shown.returncode == 0, shown.stdout
        assert "fail" not in shown.stdout

    def test_a_taken_port_is_told_with_its_remedy(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taking:
            shown = switchyard(tmp_path, "doctor", SWITCHYARD_HTTP_PORT=str(taking.getsockname()[1]))

        assert shown.returncode == 1
        assert "set SWITCHYARD_HTTP_PORT" in shown.stdout

    def test_an_unreachable_server_is_told(self, tmp_path: Path) -> None:
        shown = switchyard(tmp_path, "doctor", SWITCHYARD_NATS_URL="nats://127.0.0.1:1")

        assert shown.returncode == 1
        assert "unset SWITCHYARD_NATS_URL" in shown.stdout

    async def test_servers_that_may_lose_what_they_acknowledged_are_told(
        self, tmp_path: Path, servers: EmbeddedServers
    ) -> None:
        shown = switchyard(
            tmp_path,
            "doctor",
            SWITCHYARD_NATS_URL=servers.nats_url,
            SWITCHYARD_NATS_MONITOR_URLS=servers.nats_monitor_urls,
        )

        assert shown.returncode == 1
        assert "NATS server nats acknowledges what is not yet on the disk (it syncs every 120 s)" in shown.stdout
        assert "set `sync_interval: always` in its `jetstream` block and restart it" in shown.stdout


class TestServiceEnvironment:
    def test_says_when_nothing_runs(self, tmp_path: Path) -> None:
        shown = switchyard(tmp_path, "service-environment", "loyalty")

        assert (shown.returncode, shown.stdout) == (1, "")

    def test_a_bad_name_is_refused(self, tmp_path: Path) -> None:
        assert switchyard(tmp_path, "service-environment", "a.b").returncode == 2


class TestDemo:
    def test_says_when_nothing_runs(self, tmp_path: Path) -> None:
        shown = switchyard(tmp_path, "demo", "--json")

        assert shown.returncode == 1
        assert "switchyard up" in shown.stderr


class TestServe:
    def test_an_unknown_service_is_refused(self, tmp_path: Path) -> None:
        shown = switchyard(tmp_path, "serve", "nothing")

        assert shown.returncode == 2
        assert "there is no service nothing" in shown.stderr


class TestUp:
    def test_a_taken_port_is_told(self, tmp_path: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taking:
            shown = switchyard(tmp_path, "up", SWITCHYARD_HTTP_PORT=str(taking.getsockname()[1]))

        assert shown.returncode == 1
        assert "set SWITCHYARD_HTTP_PORT" in shown.stderr
        assert not (tmp_path / "state.json").exists()

    def test_two_servers_are_no_cluster(self, tmp_path: Path) -> None:
        shown = switchyard(tmp_path, "up", "--nats", "2")

        assert shown.returncode == 2
        assert "1 server, or 3 that are a cluster" in shown.stderr

    def test_servers_of_ones_own_are_not_made_a_cluster(self, tmp_path: Path) -> None:
        shown = switchyard(tmp_path, "up", "--nats", "3", SWITCHYARD_NATS_URL="nats://127.0.0.1:1")

        assert shown.returncode == 2
        assert "SWITCHYARD_NATS_URL names servers of your own" in shown.stderr


class TestKeys:
    def test_says_when_nothing_runs(self, tmp_path: Path) -> None:
        shown = switchyard(tmp_path, "keys", "list")

        assert (shown.returncode, shown.stdout) == (1, "")
        assert "switchyard up" in shown.stderr

    def test_a_suite_that_does_not_answer_is_told(self, tmp_path: Path) -> None:
        shown = switchyard(
            tmp_path,
            *("keys", "rotate", "--signing"),
            SWITCHYARD_URL="http://127.0.0.1:1",
            SWITCHYARD_OPERATOR_TOKEN="ey",
        )

        assert shown.returncode == 1
        assert "refused" in shown.stderr
