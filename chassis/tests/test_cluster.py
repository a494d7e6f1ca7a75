"""Three real NATS servers as one cluster: what is acknowledged stays, whichever of them is killed."""

import asyncio
import gc
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import nats.errors
import pytest
import pytest_asyncio
from nats.aio.client import Client as Nats

from chassis import errors, streams
from chassis.buckets import Bucket
from chassis.embedded import EmbeddedServers, EmbeddedServersError

NODES = ("nats-1", "nats-2", "nats-3")
DEADLINE_S = 30.0


class Cluster:
    """Three servers that are kept running, and a client of all of them."""

    def __init__(self, servers: EmbeddedServers, client: Nats, returned: asyncio.Event) -> None:
        self.servers = servers
        self.client = client
        self.returned = returned
        self.bucket = Bucket(client, "kept", replicas=3)

    async def leader(self) -> str:
        """The server that decides on the bucket's writes."""
        info = await self.client.jetstream().stream_info("KV_kept")
        assert info.cluster is not None
        assert info.cluster.leader is not None
        return info.cluster.leader

    async def ensure(self) -> None:
        """Make the bucket, as soon as there is a leader."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    return await self.bucket.ensure()
                except nats.errors.Error:
                    continue

    async def put(self, key: str, value: bytes, last: int) -> int:
        """Write, as soon as there is a leader."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    return await self.bucket.put(key, value, last=last)
                except errors.Unavailable:
                    found = await self.find(key)
                    if found == value:
                        return await self.bucket.revision()

    async def find(self, key: str) -> bytes | None:
        """Read, as soon as there is a leader."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    found = await self.bucket.get(key)
                except errors.Unavailable:
                    continue
                return None if found is None else found.value


@asynccontextmanager
async def running(folder: Path) -> AsyncIterator[Cluster]:
    """A cluster with a bucket in it."""
    returned = asyncio.Event()
    servers = await EmbeddedServers.start(
        folder, fsync=True, servers=frozenset({"nats"}), nodes=3, keep_alive=returned.set
    )
    try:
        client = await streams.connect(servers.nats_url, "tests")
        cluster = Cluster(servers, client, returned)
        await cluster.ensure()
        yield cluster
        await client.close()
    finally:
        await servers.stop()


@pytest_asyncio.fixture(loop_scope="session")
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    """A new cluster."""
    async with running(tmp_path) as made:
        yield made


class TestCluster:
    async def test_it_goes_on_without_the_leader_which_comes_back(self, cluster: Cluster) -> None:
        revision = await cluster.put("a", b"before", 0)
        killed = cluster.servers.pids[await cluster.leader()]
        os.kill(killed, signal.SIGKILL)
        later = await cluster.put("a", b"after", revision)
        await asyncio.wait_for(cluster.returned.wait(), DEADLINE_S)

        assert later > revision
        assert await cluster.find("a") == b"after"
        assert set(cluster.servers.pids) == set(NODES)
        assert killed not in cluster.servers.pids.values()

    # What nats-py leaves to the collector when a server that it tries does not greet in time.
    @pytest.mark.filterwarnings("ignore:Exception ignored in. <function StreamWriter.__del__")
    async def test_a_silent_server_is_left(self, cluster: Cluster) -> None:
        connected = cluster.client.connected_url
        assert connected is not None
        silent = next(name for name, port in cluster.servers.ports.items() if port == connected.port)
        os.kill(cluster.servers.pids[silent], signal.SIGSTOP)
        try:
            revision = await cluster.put("a", b"1", 0)
        finally:
            os.kill(cluster.servers.pids[silent], signal.SIGCONT)
        gc.collect()

        assert revision > 0
        assert cluster.client.connected_url != connected


class TestDirectory:
    async def test_a_cluster_goes_on_with_its_data(self, tmp_path: Path) -> None:
        async with running(tmp_path) as cluster:
            first = await cluster.put("a", b"1", 0)
        async with running(tmp_path) as cluster:
            second = await cluster.put("a", b"2", first)

        assert second > first

    async def test_another_number_of_servers_is_refused(self, tmp_path: Path) -> None:
        servers = await EmbeddedServers.start(tmp_path, fsync=False, servers=frozenset({"nats"}))
        await servers.stop()

        with pytest.raises(EmbeddedServersError, match="holds the streams of nats: start these"):
            await EmbeddedServers.start(tmp_path, fsync=False, servers=frozenset({"nats"}), nodes=3)
