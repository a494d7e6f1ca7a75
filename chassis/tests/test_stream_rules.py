"""Badly configured servers and streams, real but for the old version: each is told by a line that says what to do."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nats.errors
import pytest
import pytest_asyncio
import structlog.testing
from nats.aio.client import Client as Nats
from nats.js.api import PersistMode, StorageType, StreamConfig

from chassis import service, stream_rules, streams
from chassis.buckets import Bucket
from chassis.embedded import EmbeddedServers
from chassis.testing import Databases, Serve

REPOSITORY = Path(__file__).parents[2]
DEADLINE_S = 30.0
LATE = (
    "acknowledges what is not yet on the disk (it syncs every 120 s): "
    "set `sync_interval: always` in its `jetstream` block and restart it"
)
UNTOLD = "production looks at its NATS servers: name the monitoring URL of each"


@dataclass
class Cluster:
    """Three servers and a connection to them."""

    servers: EmbeddedServers
    connection: Nats

    async def examine(self, *names: str, monitor_urls: str = "") -> stream_rules.Findings:
        """What is found, once there is nothing left that cannot be known yet."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                found = await stream_rules.examine(
                    self.connection, names, monitor_urls or self.servers.nats_monitor_urls
                )
                if not found.unknown:
                    return found

    async def make(self, **config: Any) -> list[str]:
        """The faults of a stream that is made so."""
        made = StreamConfig(subjects=[config["name"]], **config)
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    await self.connection.jetstream().add_stream(made)
                    break
                except nats.errors.Error:
                    continue
        return [str(fault) for fault in (await self.examine(config["name"])).faults]


@asynccontextmanager
async def running(folder: Path, *, fsync: bool) -> AsyncIterator[Cluster]:
    """A cluster of three."""
    servers = await EmbeddedServers.start(folder, fsync=fsync, servers=frozenset({"nats"}), nodes=3)
    try:
        connection = await streams.connect(servers.nats_url, "tests")
        yield Cluster(servers, connection)
        await connection.close()
    finally:
        await servers.stop()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def good(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Cluster]:
    """A cluster as production demands it."""
    async with running(tmp_path_factory.mktemp("good"), fsync=True) as cluster:
        yield cluster


class TestStreams:
    async def test_ours_are_well(self, good: Cluster) -> None:
        bucket = Bucket(good.connection, "well", replicas=3)
        async with asyncio.timeout(DEADLINE_S):
            while not await attempted(streams.ensure(good.connection, replicas=3), bucket.ensure()):
                pass

        found = await good.examine(*streams.NAMES, bucket.stream, "not_there")

        assert found == stream_rules.Findings()

    async def test_in_memory(self, good: Cluster) -> None:
        (fault,) = await good.make(name="FORGETFUL", num_replicas=3, storage=StorageType.MEMORY)

        assert "FORGETFUL is kept in memory" in fault
        assert "`storage: file`" in fault

    async def test_fewer_replicas(self, good: Cluster) -> None:
        (fault,) = await good.make(name="LONELY", num_replicas=1)

        assert fault == "LONELY has 1 of 3 replicas: set SWITCHYARD_STREAM_REPLICAS"

    async def test_written_later(self, good: Cluster) -> None:
        fault, _one_replica = await good.make(name="LATER", num_replicas=1, persist_mode=PersistMode.ASYNC)

        assert "LATER acknowledges before it writes, with `persist_mode: async`: " in fault

    async def test_a_bucket_that_any_copy_answers_for(self, good: Cluster) -> None:
        (fault,) = await good.make(name="KV_any", num_replicas=3, allow_direct=True)

        assert "KV_any may answer with an old value (allow_direct)" in fault
        assert "--no-allow-direct" in fault

    async def test_replicas_are_added_and_never_taken(self, good: Cluster) -> None:
        numbers = []
        for wanted in (1, 3, 1):
            bucket = Bucket(good.connection, "raised", replicas=wanted)
            async with asyncio.timeout(DEADLINE_S):
                while not await attempted(bucket.ensure()):
                    pass
            numbers.append((await good.connection.jetstream().stream_info(bucket.stream)).config.num_replicas)

        assert numbers == [1, 3, 3]


class TestServers:
    async def test_one_that_nobody_looks_at(self, good: Cluster) -> None:
        first, *_others = good.servers.nats_monitor_urls.split(",")
        leader = await leader_of(first)
        seen = good.servers.nats_monitor_urls.split(",")[int(leader.removeprefix("nats-")) - 1]

        found = await good.examine(monitor_urls=seen)

        assert len(found.faults) == 2
        assert {fault.remedy for fault in found.faults} == {"add its monitoring URL to SWITCHYARD_NATS_MONITOR_URLS"}

    async def test_the_leader_if_nobody_looks_at_it(self, good: Cluster) -> None:
        urls = good.servers.nats_monitor_urls.split(",")
        leader = await leader_of(urls[0])
        seen = [url for number, url in enumerate(urls, 1) if leader != f"nats-{number}"]

        found = await good.examine(monitor_urls=",".join(seen))

        assert found.faults[0].what == f"NATS server {leader} is not looked at"

    async def test_an_old_version(self, good: Cluster) -> None:
        told = varz(good.servers.nats_monitor_urls.split(",")[0])

        assert stream_rules.judge_server(told) == []
        for version in ("2.12.2", "2.9.25", "nightly"):
            (fault,) = stream_rules.judge_server({**told, "version": version})
            assert str(fault) == f"NATS server nats-1 is {version}: install 2.12.3 or newer"
        assert stream_rules.judge_server({**told, "version": "2.12.3-RC.1"}) == []

    async def test_a_cluster_that_syncs_later(self, tmp_path: Path) -> None:
        async with running(tmp_path, fsync=False) as cluster:
            found = await cluster.examine()

        assert [str(fault) for fault in found.faults] == [f"NATS server nats-{number} {LATE}" for number in (1, 2, 3)]

    async def test_one_that_is_away_is_no_reason_to_wait(self, tmp_path: Path) -> None:
        async with running(tmp_path, fsync=True) as cluster:
            os.kill(cluster.servers.pids["nats-2"], signal.SIGKILL)
            found = await cluster.examine()

        assert (found.faults, found.away) == ([], ["NATS server nats-2 is away"])

    async def test_none_that_answers(self, good: Cluster) -> None:
        found = await stream_rules.examine(good.connection, (), "http://127.0.0.1:1")

        assert found.faults == []
        assert "http://127.0.0.1:1: " in found.unknown[0]

    async def test_one_at_a_port_that_is_not_for_monitoring(self, good: Cluster) -> None:
        url = good.servers.nats_url.split(",")[0].replace("nats://", "http://")

        found = await stream_rules.examine(good.connection, (), url)

        assert found.faults == []
        assert found.unknown[0].startswith(f"{url}: BadStatusLine(")

    async def test_a_single_one(self, servers: EmbeddedServers, nats_client: Nats) -> None:
        found = await stream_rules.examine(nats_client, streams.NAMES, servers.nats_monitor_urls)

        assert [str(fault) for fault in found.faults] == [
            "EVENTS has 1 of 3 replicas: set SWITCHYARD_STREAM_REPLICAS",
            "AUDIT has 1 of 3 replicas: set SWITCHYARD_STREAM_REPLICAS",
            f"NATS server nats {LATE}",
            "NATS runs without a cluster: run 3 servers with a `cluster` block each",
        ]


class TestProcess:
    async def test_a_server_that_was_away_is_looked_at_when_it_is_back(
        self, serve: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(service, "EXAMINE_EVERY_S", 0.1)
        async with running(tmp_path, fsync=True) as cluster:
            async with asyncio.timeout(DEADLINE_S):
                while not await attempted(streams.ensure(cluster.connection, replicas=3)):
                    pass
            os.kill(cluster.servers.pids["nats-2"], signal.SIGKILL)
            served = await serve(
                "tests",
                lambda _: None,
                environment="production",
                nats_url=cluster.servers.nats_url,
                nats_monitor_urls=cluster.servers.nats_monitor_urls,
                stream_replicas=3,
            )
            config = tmp_path / "nats-2" / "nats.conf"
            config.write_text(config.read_text().replace("sync_interval: always", 'sync_interval: "2m"'))

            with structlog.testing.capture_logs() as logs:
                await cluster.servers._launch(cluster.servers._programs["nats-2"])
                async with asyncio.timeout(DEADLINE_S):
                    while not [each for each in logs if each["event"] == "nats_unsafe"]:
                        await asyncio.sleep(0.05)

            assert not served.service._stopping.is_set()

    async def test_production_refuses_weak_servers(self, servers: EmbeddedServers, databases: Databases) -> None:
        code, said = await run_tenants(
            SWITCHYARD_DATABASE_URL=await databases.url("tenants"),
            SWITCHYARD_NATS_URL=servers.nats_url,
            SWITCHYARD_NATS_MONITOR_URLS=servers.nats_monitor_urls,
            SWITCHYARD_STREAM_REPLICAS="3",
        )

        assert code == 2
        assert "\nNATS runs without a cluster: run 3 servers with a `cluster` block each\n" in said

    async def test_production_wants_to_be_told(self) -> None:
        code, said = await run_tenants(SWITCHYARD_DATABASE_URL="postgresql://nowhere")

        assert code == 2
        assert said.splitlines() == [
            "SWITCHYARD_STREAM_REPLICAS: Value error, production keeps each stream 3 times or more",
            f"SWITCHYARD_NATS_MONITOR_URLS: Value error, {UNTOLD}",
        ]


async def run_tenants(**environment: str) -> tuple[int, str]:
    """Run a service in production until it ends: its exit code, and what it said."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.tenants"),
        cwd=REPOSITORY,
        env={**os.environ, "SWITCHYARD_ENVIRONMENT": "production", **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            said, _nothing = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    return process.returncode or 0, said.decode()


async def attempted(*works: Any) -> bool:
    """Whether all went well; a cluster just begun may have no leader yet."""
    outcomes = await asyncio.gather(*works, return_exceptions=True)
    return not any(isinstance(each, nats.errors.Error) for each in outcomes)


async def leader_of(url: str) -> str:
    """The cluster's leader, by the word of one server."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            told = await asyncio.to_thread(varz, url)
            if leader := told["jetstream"]["meta"].get("leader"):
                return str(leader)


def varz(url: str) -> dict[str, Any]:
    """What a server tells of itself."""
    with urllib.request.urlopen(f"{url}/varz", timeout=5) as response:
        told: dict[str, Any] = json.load(response)
    return told
