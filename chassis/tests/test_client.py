"""Calls between services: where they go, and what becomes of those that do not arrive."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
import pytest_asyncio
from switchyard.registry.v1 import registry_pb2

from chassis import call, errors
from chassis.peers import EJECT_AFTER, Peer, Pool
from chassis.rpc import client
from chassis.testing import Credentials, Running, Tenant


class Directory:
    """Knows the instances that a test gives it."""

    def __init__(self, *addresses: str) -> None:
        self.peers = [
            Peer(
                registry_pb2.Instance(address=address, weight=100, state=registry_pb2.INSTANCE_STATE_PASSING),
                client.to_instance,
            )
            for address in addresses
        ]

    def pool(self, _service: str) -> Pool:
        return Pool(self.peers)

    async def changed(self) -> None:
        await asyncio.Event().wait()

    async def close(self) -> None:
        for peer in self.peers:
            await peer.close()


def _stub(notes: SimpleNamespace, directory: Directory) -> Any:
    return notes.grpc.NotesServiceStub(client.Channel("notes", directory, Credentials("orders").issue, deadline_s=10))


@pytest_asyncio.fixture(loop_scope="session")
async def running(serve_notes: Any) -> Running:
    served: Running = await serve_notes()
    return served


class TestChoice:
    async def test_an_instance_that_is_dead_costs_no_call(
        self, running: Running, notes: SimpleNamespace, tenant: Tenant
    ) -> None:
        directory = Directory(running.service.address, "127.0.0.1:1")
        stub = _stub(notes, directory)

        with call.answering(call.Call(tenant.service("orders"), "orders.Test")):
            answers = [await stub.GetCaller(notes.pb.ListNotesRequest()) for _ in range(8 * EJECT_AFTER)]

        assert {answer.text for answer in answers} == {"service:orders"}
        # And soon it is not even asked.
        assert [bool(peer.ejections) for peer in directory.peers] == [False, True]
        assert [peer.under_way for peer in directory.peers] == [0, 0]
        await directory.close()


class TestGivenUp:
    async def test_a_stream_of_an_instance_that_is_gone_ends_with_an_error(
        self, running: Running, notes: SimpleNamespace, tenant: Tenant
    ) -> None:
        directory = Directory(running.service.address)
        with call.answering(call.Call(tenant.service("orders"), "orders.Test")):
            stream = _stub(notes, directory).WatchNotes(notes.pb.ListNotesRequest())
            assert (await anext(stream)).text == "watching"

            await directory.close()

            # Not with a cancellation, which would be taken for the reader's own.
            with pytest.raises(errors.Unavailable):
                await anext(stream)

    async def test_a_stream_that_its_reader_ends_is_cancelled(
        self, running: Running, notes: SimpleNamespace, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        directory, calls, real = Directory(running.service.address), [], Peer.stream

        def noting(peer: Peer, *how: Any) -> Any:
            def invoke(*asked: Any, **told: Any) -> Any:
                calls.append(real(peer, *how)(*asked, **told))
                return calls[-1]

            return invoke

        monkeypatch.setattr(Peer, "stream", noting)
        with call.answering(call.Call(tenant.service("orders"), "orders.Test")):
            stream = _stub(notes, directory).WatchNotes(notes.pb.ListNotesRequest())
            await anext(stream)

            await stream.aclose()

        assert [each.cancelled() for each in calls] == [True]
        await directory.close()
