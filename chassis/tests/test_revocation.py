"""What is revoked ends in every service: calls, and streams that are under way."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import orjson
import pytest
from nats.aio.client import Client as Nats
from uuid_utils.compat import uuid7

from chassis import clock, errors, identity, revocation
from chassis.identity import Principal
from chassis.rpc import held
from chassis.testing import Tenant, signing_key

TENANT = UUID("0198aaaa-0000-7000-8000-000000000001")
USER = Principal("user", "u", TENANT, "s", ("manager", "shift-lead"), actor="user:b")


def _event(**data: str) -> bytes:
    return orjson.dumps({"time": datetime.now(UTC).isoformat(timespec="milliseconds"), "data": data})


async def _publish(nats: Nats, tenant: Any, event: str, **data: str) -> None:
    await nats.jetstream().publish(f"evt.{tenant}.auth.{event}", _event(**data), headers={"Nats-Msg-Id": str(uuid7())})


async def _within_a_second(true: Any) -> None:
    async with asyncio.timeout(1):
        while not await true():
            await asyncio.sleep(0.01)


class TestRead:
    @pytest.mark.parametrize(
        ("event", "data", "final"),
        [
            ("SessionRevoked", {"session_id": "s"}, True),
            ("TokenRevoked", {"token_id": "u"}, True),
            ("TokenRevoked", {"token_id": "s"}, True),
            ("ClientRevoked", {"client_id": "u"}, True),
            ("RoleChanged", {"user_id": "u"}, False),
            ("RoleChanged", {"user_id": "b"}, False),
            ("RoleDefinitionChanged", {"role": "shift-lead"}, False),
            ("TenantStatusChanged", {"tenant_id": str(TENANT)}, False),
        ],
    )
    def test_it_means_the_pass(self, event: str, data: dict[str, str], final: bool) -> None:  # noqa: FBT001 - a table
        read = revocation.read(str(TENANT), f"auth.{event}", _event(**data))

        assert read is not None
        assert (read.final, bool(read.marks & revocation.marks(USER))) == (final, True)

    @pytest.mark.parametrize(
        ("event", "data"),
        [
            ("SessionRevoked", {"session_id": "t"}),
            ("ClientRevoked", {"client_id": "v"}),
            ("RoleChanged", {"user_id": "v"}),
            ("RoleDefinitionChanged", {"role": "staff"}),
            ("TenantStatusChanged", {"tenant_id": "another"}),
        ],
    )
    def test_it_means_another_pass(self, event: str, data: dict[str, str]) -> None:
        read = revocation.read(str(TENANT), f"auth.{event}", _event(**data))

        assert read is not None
        assert read.marks.isdisjoint(revocation.marks(USER))

    @pytest.mark.parametrize("event", ["RoleChanged", "RoleDefinitionChanged"])
    def test_anothers_role_is_not_ones_own(self, event: str) -> None:
        read = revocation.read("another", f"auth.{event}", _event(user_id="u", role="manager"))

        assert read is not None
        assert read.marks.isdisjoint(revocation.marks(USER))

    def test_other_events_revoke_nothing(self) -> None:
        assert revocation.read(str(TENANT), "auth.UserCreated", _event()) is None
        assert revocation.read(str(TENANT), "orders.RoleChanged", _event(user_id="u")) is None

    def test_a_process_of_the_suite_is_not_revoked(self) -> None:
        assert revocation.marks(identity.service_principal("orders", TENANT)) == frozenset()


class TestRemembered:
    def _taken(self, at: float) -> revocation.Revocations:
        revocations = revocation.Revocations()
        revocations.take(revocation.Revocation(frozenset({"session s"}), final=True, at=at))
        return revocations

    def test_what_was_issued_before_is_void_and_what_comes_after_is_not(self) -> None:
        now = time.time()
        revocations = self._taken(now)

        assert revocations.is_void(replace(USER, issued_at=now - 0.001))
        assert not revocations.is_void(replace(USER, issued_at=now + 0.001))
        assert not revocations.is_void(replace(USER, session_id="t", issued_at=now - 1))

    def test_it_is_forgotten_once_no_such_pass_is_good(self) -> None:
        revocations = self._taken(time.time())

        with clock.shifted(timedelta(seconds=revocation.REMEMBERED_S + 1)):
            revocations.take(revocation.Revocation(frozenset({"session t"}), final=True, at=clock.now().timestamp()))

        assert list(revocations._at) == ["session t"]


class TestCall:
    async def test_a_revoked_pass_is_refused_and_a_new_one_is_taken(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant, nats_client: Nats
    ) -> None:
        running, user = await serve_notes(), tenant.user(permissions={"notes.read"})
        stub = notes.grpc.NotesServiceStub(running.channel(user))
        await stub.ListNotes(notes.pb.ListNotesRequest())

        await _publish(nats_client, tenant.id, "RoleChanged", user_id=user.id)

        async def refused() -> bool:
            try:
                await stub.ListNotes(notes.pb.ListNotesRequest())
            except errors.Unauthenticated as failure:
                return failure.code == identity.REVOKED and "ListNotes" in failure.metadata[errors.REFUSED_BY]
            return False

        await _within_a_second(refused)
        renewed = notes.grpc.NotesServiceStub(running.channel(user))
        await renewed.ListNotes(notes.pb.ListNotesRequest())

    async def test_one_that_was_never_seen_is_refused_too(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant, nats_client: Nats
    ) -> None:
        running, user = await serve_notes(), tenant.user(permissions={"notes.read"})
        held_back = running.channel(user)
        heard = asyncio.Event()
        running.service.revocations.on_revocation(lambda _: heard.set())

        await _publish(nats_client, tenant.id, "SessionRevoked", session_id=user.session_id)

        await asyncio.wait_for(heard.wait(), 1)
        with pytest.raises(errors.Unauthenticated):
            await notes.grpc.NotesServiceStub(held_back).ListNotes(notes.pb.ListNotesRequest())


class TestStream:
    async def _begun(self, running: Any, notes: SimpleNamespace, **how: Any) -> "asyncio.Task[errors.Error | None]":
        """A stream under way; the task's result is what ends it."""
        stub = notes.grpc.NotesServiceStub(running.channel(**how))
        stream = stub.WatchNotes(notes.pb.ListNotesRequest())
        await anext(aiter(stream))
        return asyncio.create_task(_end_of(stream))

    @pytest.mark.parametrize(
        ("event", "ends_with"),
        [
            ("SessionRevoked", errors.Unauthenticated),
            ("RoleChanged", errors.Unavailable),
            ("TenantStatusChanged", errors.Unavailable),
        ],
    )
    async def test_it_ends_within_a_second(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant, nats_client: Nats, event: str, ends_with: Any
    ) -> None:
        running, user = await serve_notes(), tenant.user(permissions={"notes.read"})
        ended = await self._begun(running, notes, principal=user)
        others = await self._begun(running, notes, principal=Tenant().user(permissions={"notes.read"}))
        services = await self._begun(running, notes, principal=tenant.service("orders"))

        told = {"session_id": user.session_id, "user_id": user.id, "tenant_id": str(tenant.id)}
        await _publish(nats_client, tenant.id, event, **told)

        assert type(await asyncio.wait_for(ended, 1)) is ends_with
        assert [others.done(), services.done()] == [False, False]
        await _cancelled(others, services)

    async def test_it_ends_with_its_pass_whatever_was_heard(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant
    ) -> None:
        running = await serve_notes()
        almost = time.time() - identity.PASS_LIFETIME_S + 2
        tokens = [
            identity.sign_pass(each, signing_key(), now=almost)
            for each in (tenant.user(permissions={"notes.read"}), tenant.service("orders"))
        ]
        ended, services = [await self._begun(running, notes, switchyard_pass=token) for token in tokens]

        assert isinstance(await asyncio.wait_for(ended, 4), errors.Unavailable)
        assert not services.done()
        await _cancelled(services)

    async def test_it_ends_when_the_process_drains(
        self, serve_notes: Any, notes: SimpleNamespace, tenant: Tenant
    ) -> None:
        running = await serve_notes()
        ended = await self._begun(running, notes, principal=tenant.service("orders"))

        running.service.server.drain()

        assert isinstance(await asyncio.wait_for(ended, 1), errors.Unavailable)

    async def test_one_that_begins_while_the_process_drains_ends_at_once(self) -> None:
        async def silence() -> AsyncIterator[Any]:
            await asyncio.Event().wait()
            yield

        streams = held.Streams()
        streams.drain()

        with pytest.raises(errors.Unavailable):
            await asyncio.wait_for(anext(streams.until_ended(USER, silence())), 1)


async def _end_of(stream: Any) -> errors.Error | None:
    try:
        async for _ in stream:
            pass
    except Exception as failure:  # noqa: BLE001 - whatever it is, is what the test asks for
        return errors.from_rpc_error(failure) if not isinstance(failure, errors.Error) else failure  # type: ignore[arg-type]
    return None


async def _cancelled(*tasks: "asyncio.Task[Any]") -> None:
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
