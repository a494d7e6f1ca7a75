"""Real servers are started, killed and started again here; a start costs half a second."""

import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import asyncpg
import nats
import pytest
import redis.asyncio

from chassis import embedded, embedded_programs, processes
from chassis.embedded import EmbeddedServers, EmbeddedServersError
from chassis.processes import RunAs

REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 20.0
NOBODY_UID = 65534

# A supervisor to be killed: starts everything, prints the pids, waits for ever.
SUPERVISOR = """
import asyncio, json, sys
from pathlib import Path
from chassis.embedded import EmbeddedServers

async def main():
    servers = await EmbeddedServers.start(Path(sys.argv[1]), fsync=False)
    print(json.dumps({"pids": dict(servers.pids), "url": servers.postgres_url}), flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def until(condition: Callable[[], bool]) -> None:
    """Wait for something that nothing notifies of, up to a deadline."""
    async with asyncio.timeout(DEADLINE_S):
        while not condition():
            await asyncio.sleep(0.01)


def start_supervisor(
    data_dir: Path, python: Sequence[str] = (sys.executable,)
) -> tuple["subprocess.Popen[str]", dict[str, int], str]:
    """Start a supervisor in a process of its own; `python` is the command that runs the interpreter."""
    supervisor = subprocess.Popen(
        [*python, "-c", SUPERVISOR, str(data_dir)],
        cwd=REPOSITORY,
        # An interpreter other than this environment's finds the packages by the path.
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(REPOSITORY), sysconfig.get_path("purelib")])},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert supervisor.stdout is not None
    try:
        told = json.loads(supervisor.stdout.readline())
    except ValueError:
        end_supervisor(supervisor)
        raise
    return supervisor, told["pids"], told["url"]


def end_supervisor(supervisor: "subprocess.Popen[str]") -> None:
    """Kill a supervisor as hard as it goes."""
    supervisor.kill()
    supervisor.wait()
    assert supervisor.stdout is not None
    supervisor.stdout.close()


class TestStart:
    async def test_all_three_serve(self, tmp_path: Path) -> None:
        servers = await EmbeddedServers.start(tmp_path, fsync=False)
        try:
            connection = await asyncpg.connect(servers.postgres_url)
            version = await connection.fetchval("SHOW server_version_num")
            await connection.close()
            client = await nats.connect(servers.nats_url)
            account = await client.jetstream().account_info()
            await client.close()
            async with redis.asyncio.from_url(servers.valkey_url) as valkey:
                pong = await valkey.ping()
        finally:
            await servers.stop()

        assert int(version) // 10000 == 18
        assert account.streams == 0
        assert pong

    async def test_data_and_ports_last(self, tmp_path: Path) -> None:
        servers = await EmbeddedServers.start(tmp_path, fsync=True)
        first_ports = dict(servers.ports)
        connection = await asyncpg.connect(servers.postgres_url)
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        await connection.close()
        client = await nats.connect(servers.nats_url)
        await client.jetstream().add_stream(name="KEPT", subjects=["kept"])
        await client.jetstream().publish("kept", b"42")
        await client.close()
        await servers.stop()

        servers = await EmbeddedServers.start(tmp_path, fsync=True)
        try:
            connection = await asyncpg.connect(servers.postgres_url)
            answer = await connection.fetchval("SELECT answer FROM kept")
            await connection.close()
            client = await nats.connect(servers.nats_url)
            message = await client.jetstream().get_last_msg("KEPT", "kept")
            await client.close()
        finally:
            await servers.stop()

        assert answer == 42
        assert message.data == b"42"
        assert dict(servers.ports) == first_ports

    async def test_durable_run_is_durable(self, tmp_path: Path) -> None:
        servers = await EmbeddedServers.start(tmp_path, fsync=True, servers=frozenset({"postgres", "nats"}))
        try:
            connection = await asyncpg.connect(servers.postgres_url)
            settings = [await connection.fetchval(f"SHOW {name}") for name in ("fsync", "synchronous_commit")]
            await connection.close()
        finally:
            await servers.stop()

        assert settings == ["on", "on"]
        assert "sync_interval: always" in (tmp_path / "nats" / "nats.conf").read_text()

    async def test_a_password_is_asked_for(self, tmp_path: Path) -> None:
        servers = await EmbeddedServers.start(tmp_path, fsync=False, servers=frozenset({"postgres"}))
        try:
            with pytest.raises(asyncpg.InvalidPasswordError):
                await asyncpg.connect(f"postgresql://postgres:guess@127.0.0.1:{servers.ports['postgres']}/postgres")
        finally:
            await servers.stop()

        assert (tmp_path / "postgres.password").stat().st_mode & 0o777 == 0o600

    async def test_stop_leaves_nothing(self, tmp_path: Path) -> None:
        servers = await EmbeddedServers.start(tmp_path, fsync=False)
        pids = dict(servers.pids)

        await servers.stop()

        assert set(pids) == {"postgres", "nats", "valkey"}
        assert [name for name, pid in pids.items() if processes.started_at(pid)] == []
        assert list(tmp_path.glob("*.pid")) == []

    async def test_two_at_once_in_one_directory_is_refused(self, tmp_path: Path) -> None:
        servers = await EmbeddedServers.start(tmp_path, fsync=False, servers=frozenset({"valkey"}))
        try:
            with pytest.raises(EmbeddedServersError, match="already run by another process"):
                await EmbeddedServers.start(tmp_path, fsync=False, servers=frozenset({"valkey"}))
        finally:
            await servers.stop()

    async def test_a_taken_port_is_named(self, tmp_path: Path) -> None:
        taking = await asyncio.start_server(lambda _reader, _writer: None, "127.0.0.1", 0)
        port = taking.sockets[0].getsockname()[1]

        with pytest.raises(EmbeddedServersError, match=rf"valkey: port {port} .* is taken"):
            await EmbeddedServers.start(tmp_path, fsync=False, servers=frozenset({"valkey"}), ports={"valkey": port})
        taking.close()
        await taking.wait_closed()

    async def test_a_failing_server_is_quoted(self, tmp_path: Path) -> None:
        (tmp_path / "postgres").mkdir(mode=0o700)
        (tmp_path / "postgres" / "PG_VERSION").write_text("9\n")

        with pytest.raises(EmbeddedServersError, match=r"(?s)postgres ended with exit code 2.*postgresql\.conf"):
            await EmbeddedServers.start(tmp_path, fsync=False, servers=frozenset({"postgres"}))


class TestRecovery:
    async def test_killed_supervisor_leaves_no_orphan_and_no_loss(self, tmp_path: Path) -> None:
        supervisor, pids, url = start_supervisor(tmp_path)
        connection = await asyncpg.connect(url)
        await connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")

        end_supervisor(supervisor)
        if sys.platform == "linux":
            await until(lambda: not any(processes.started_at(pid) for pid in pids.values()))
        connection.terminate()
        servers = await EmbeddedServers.start(tmp_path, fsync=False)
        try:
            connection = await asyncpg.connect(servers.postgres_url)
            answer = await connection.fetchval("SELECT answer FROM kept")
            await connection.close()
        finally:
            await servers.stop()

        assert answer == 42

    async def test_stale_pid_file_of_another_program_heals(self, tmp_path: Path) -> None:
        servers = await EmbeddedServers.start(tmp_path, fsync=False, servers=frozenset({"postgres"}))
        postmaster_pid = (tmp_path / "postgres" / "postmaster.pid").read_text()
        await servers.stop()
        bystander = await asyncio.create_subprocess_exec("sleep", "600")
        stale = postmaster_pid.replace(postmaster_pid.split("\n")[0], str(bystander.pid), 1)
        (tmp_path / "postgres" / "postmaster.pid").write_text(stale)
        (tmp_path / "postgres.pid").write_text(f"{bystander.pid}\nanother start time\n")

        servers = await EmbeddedServers.start(tmp_path, fsync=False, servers=frozenset({"postgres"}))
        await servers.stop()

        assert bystander.returncode is None
        bystander.kill()
        await bystander.wait()

    async def test_leftover_server_is_ended(self, tmp_path: Path) -> None:
        leftover = await asyncio.create_subprocess_exec("sleep", "600")
        processes.write_pid_file(tmp_path / "valkey.pid", leftover.pid)

        servers = await EmbeddedServers.start(tmp_path, fsync=False, servers=frozenset({"valkey"}))
        await servers.stop()

        assert await leftover.wait() == -signal.SIGTERM

    async def test_half_made_cluster_is_made_again(self, tmp_path: Path) -> None:
        (tmp_path / "postgres.draft").mkdir()
        (tmp_path / "postgres.draft" / "PG_VERSION").write_text("18\n")

        servers = await EmbeddedServers.start(tmp_path, fsync=False, servers=frozenset({"postgres"}))
        await servers.stop()

        assert not (tmp_path / "postgres.draft").exists()

    async def test_killed_servers_come_back_on_their_ports(self, tmp_path: Path) -> None:
        returned = asyncio.Semaphore(0)
        servers = await EmbeddedServers.start(tmp_path, fsync=False, keep_alive=returned.release)
        try:
            before = dict(servers.pids)
            for pid in before.values():
                os.kill(pid, signal.SIGKILL)
            async with asyncio.timeout(DEADLINE_S):
                for _ in before:
                    await returned.acquire()
            connection = await asyncpg.connect(servers.postgres_url)
            one = await connection.fetchval("SELECT 1")
            await connection.close()
        finally:
            await servers.stop()

        assert one == 1
        assert set(servers.ports) == set(before)


@pytest.mark.skipif(os.geteuid() != 0, reason="becoming another user takes root")
class TestUsers:
    async def test_root_without_namespaces_becomes_nobody(self, tmp_path: Path) -> None:
        # Below a directory of the tests' user alone, so the cluster must go elsewhere.
        tmp_path.chmod(0o700)
        program = embedded_programs.Postgres(tmp_path, embedded.free_ports(1)[0], RunAs.NOBODY, fsync=False)
        lines: list[str] = []
        await program.prepare(lines.append)
        server = await processes.spawn(
            program.argv, on_line=lines.append, death_signal=signal.SIGQUIT, run_as=RunAs.NOBODY, cwd=program.cwd
        )
        deadline = time.monotonic() + DEADLINE_S
        while not await program.serves(server.pid):
            assert time.monotonic() < deadline, lines
            assert server.returncode is None, lines
            await asyncio.sleep(0.01)

        owner = Path(f"/proc/{server.pid}").stat().st_uid
        code = await server.stop(signal.SIGINT)
        remove_tree(program.cwd.parent)

        assert owner == NOBODY_UID
        assert code == 0

    async def test_ordinary_user_needs_no_help(self, tmp_path_factory: pytest.TempPathFactory) -> None:
        # This environment's interpreter may lie in a home that nobody else can enter.
        python = shutil.which(f"python{sys.version_info[0]}.{sys.version_info[1]}", path="/usr/bin:/usr/local/bin")
        if python is None:
            pytest.skip("no interpreter of this version that all users may run")
        home = tmp_path_factory.mktemp("ordinary")
        for folder in (home, *home.parents):
            if folder.owner() != "root" or folder.stat().st_mode & 0o001:
                continue
            folder.chmod(folder.stat().st_mode | 0o011)
        os.chown(home, NOBODY_UID, NOBODY_UID)

        supervisor, pids, _url = start_supervisor(
            home, ["setpriv", f"--reuid={NOBODY_UID}", f"--regid={NOBODY_UID}", "--clear-groups", python]
        )
        owners = {Path(f"/proc/{pid}").stat().st_uid for pid in pids.values()}
        end_supervisor(supervisor)

        assert owners == {NOBODY_UID}
        await until(lambda: not any(processes.started_at(pid) for pid in pids.values()))


def remove_tree(folder: Path) -> None:
    """Remove a cluster's folder, deepest entries first."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    folder.rmdir()
