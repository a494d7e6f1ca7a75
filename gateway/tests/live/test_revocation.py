"""How soon what was revoked ends: on every gateway, and with nobody to tell of it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from websockets.exceptions import ConnectionClosed

from chassis import clock, errors, identity

KETTLES = "/api/v1/kettles"
DESCALE = "/api/v1/kettles/k1/descale"
WITHIN_S = 1.0


class Wire:
    """The way to NATS, which can be cut."""

    def __init__(self, to: str) -> None:
        parts = urlsplit(to)
        self._to = (parts.hostname, parts.port)
        self._cut: list[Callable[[], None]] = []

    async def lay(self) -> str:
        self._server = await asyncio.start_server(self._carry, "127.0.0.1", 0)
        return f"nats://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def cut(self) -> None:
        self._server.close()
        for cut in self._cut:
            cut()
        await asyncio.sleep(0)

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(*self._to)
        for each in (writer, far_writer):
            self._cut.append(each.transport.abort)
        await asyncio.gather(_pour(reader, far_writer), _pour(far_reader, writer))


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
    writer.close()


@pytest.fixture
async def wire(servers: Any) -> AsyncIterator[Wire]:
    """A way to NATS for one gateway alone."""
    laid = Wire(servers.nats_url)
    yield laid
    await laid.cut()


async def _refused_after(client: httpx.AsyncClient, headers: dict[str, str], expected: int) -> float:
    """Seconds until calls are refused."""
    began = time.monotonic()
    async with asyncio.timeout(5):
        while (await client.get(KETTLES, headers=headers)).status_code != expected:
            await asyncio.sleep(0.005)
    return time.monotonic() - began


async def _closed(socket: Any) -> int:
    """The code with which the server closes."""
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(5):
            while True:
                await socket.recv()
    code: int = socket.close_code
    return code


def _revoke(house: Any, principal: Any) -> Any:
    house.auth.principals.clear()
    return house.publish("auth.SessionRevoked", {"session_id": principal.session_id, "user_id": principal.id})


class TestTwoGateways:
    async def test_both_stop_within_a_second(self, make_house: Any) -> None:
        first = await make_house()
        second = await first.second_gateway()
        user = first.tenant.user(permissions={"kettles.read"})
        headers = first.bearer(user)
        for house in (first, second):
            assert (await house.http.get(KETTLES, headers=headers)).status_code == 200
        sockets = [await house.socket(headers) for house in (first, second)]
        await asyncio.gather(*(_said(socket) for socket in sockets))

        began = time.monotonic()
        await _revoke(first, user)
        took = await asyncio.gather(*(_refused_after(house.http, headers, 401) for house in (first, second)))
        codes = await asyncio.gather(*(_closed(socket) for socket in sockets))

        assert max(took) < WITHIN_S
        assert time.monotonic() - began < WITHIN_S
        assert codes == [4401, 4401]


class TestWithoutNats:
    async def test_a_pass_ends_at_its_end(self, make_house: Any, wire: Wire) -> None:
        house = await make_house(nats_url=await wire.lay())
        user = house.tenant.user(permissions={"kettles.read"})
        headers = house.bearer(user)
        assert (await house.http.get(KETTLES, headers=headers)).status_code == 200

        await wire.cut()
        await _revoke(house, user)
        # Nobody has told the gateway.
        deaf = (await house.http.get(KETTLES, headers=headers)).status_code
        with clock.shifted(timedelta(seconds=identity.PASS_LIFETIME_S)):
            ended = (await house.http.get(KETTLES, headers=headers)).status_code

        assert (deaf, ended) == (200, 401)

    async def test_a_socket_ends_with_its_pass(self, make_house: Any, wire: Wire) -> None:
        house = await make_house(nats_url=await wire.lay())
        # Sockets ask for another pass a quarter of a pass's life before its end.
        house.auth.lifetime_s = 16.0
        user = house.tenant.user(permissions={"kettles.read"})
        socket = await house.socket(house.bearer(user))
        await _said(socket)

        await wire.cut()
        await _revoke(house, user)

        assert await _closed(socket) == 4401

    async def test_what_was_missed_is_made_up_for(self, make_house: Any, wire: Wire) -> None:
        """Calls go on while NATS is away."""
        house = await make_house(nats_url=await wire.lay())
        await wire.cut()

        answer = await house.http.get(KETTLES, headers=house.bearer())

        assert answer.status_code == 200


class TestRoles:
    async def test_a_role_that_means_something_else_is_asked_for_again(self, house: Any) -> None:
        before = house.tenant.user(permissions={"kettles.read"}, roles=("brewer",))
        headers = house.bearer(before)
        assert (await house.http.get(KETTLES, headers=headers)).status_code == 200
        for credential in house.auth.principals:
            house.auth.principals[credential] = house.tenant.user(permissions=set())

        await house.publish("auth.RoleDefinitionChanged", {"role": "brewer"})

        assert await _refused_after(house.http, headers, 403) < WITHIN_S

    async def test_a_client_that_is_gone_is_refused(self, house: Any) -> None:
        client = house.tenant.client(permissions={"kettles.read"})
        headers = house.bearer(client)
        assert (await house.http.get(KETTLES, headers=headers)).status_code == 200
        house.auth.principals.clear()

        await house.publish("auth.ClientRevoked", {"client_id": client.id})

        assert await _refused_after(house.http, headers, 401) < WITHIN_S


class TestSuspension:
    def _told(self, house: Any, status: str) -> Any:
        return house.publish("auth.TenantStatusChanged", {"tenant_id": str(house.tenant.id), "status": status})

    async def test_calls_and_sockets_end_within_a_second(self, house: Any) -> None:
        headers = house.bearer()
        socket = await house.socket(headers)
        await _said(socket)
        assert (await house.http.get(KETTLES, headers=headers)).status_code == 200

        house.auth.suspended.add(str(house.tenant.id))
        await self._told(house, "suspended")
        took = await _refused_after(house.http, headers, 403)

        assert took < WITHIN_S
        assert (await house.http.get(KETTLES, headers=headers)).json()["code"] == "TENANT_SUSPENDED"
        assert await asyncio.wait_for(_closed(socket), WITHIN_S) == 4403

    async def test_nobody_comes_in(self, house: Any) -> None:
        house.auth.suspended.add(str(house.tenant.id))

        refused = await house.http.get(KETTLES, headers=house.bearer())
        socket = await house.socket(house.bearer())

        assert (refused.status_code, refused.json()["title"]) == (403, "Tenant suspended")
        assert await _closed(socket) == 4403

    async def test_once_resumed_calls_are_answered_at_once(self, house: Any) -> None:
        headers = house.bearer()
        house.auth.suspended.add(str(house.tenant.id))
        assert (await house.http.get(KETTLES, headers=headers)).status_code == 403
        heard = asyncio.Event()
        house.gateway.passes.on_revocation(lambda _: heard.set())

        house.auth.suspended.clear()
        await self._told(house, "active")
        await asyncio.wait_for(heard.wait(), WITHIN_S)

        assert (await house.http.get(KETTLES, headers=headers)).status_code == 200

    async def test_other_tenants_go_on(self, house: Any) -> None:
        asked = house.bearer()
        await house.http.get(KETTLES, headers=asked)
        exchanges = len(house.auth.exchanges)
        heard = asyncio.Event()
        house.gateway.passes.on_revocation(lambda _: heard.set())

        await house.publish("auth.TenantStatusChanged", {"tenant_id": "another", "status": "suspended"})
        await asyncio.wait_for(heard.wait(), WITHIN_S)

        assert (await house.http.get(KETTLES, headers=asked)).status_code == 200
        assert len(house.auth.exchanges) == exchanges


class TestStepUp:
    async def test_it_is_asked_for_by_its_standard(self, house: Any) -> None:
        stale = house.bearer(_stale(house))

        answer = await house.http.post(DESCALE, headers=stale)

        assert (answer.status_code, answer.json()["code"]) == (401, "STEP_UP_REQUIRED")
        assert answer.headers["www-authenticate"] == 'Bearer error="insufficient_user_authentication", max_age=600'

    async def test_who_has_just_stepped_up_is_not_refused_for_an_old_pass(self, house: Any) -> None:
        headers = house.bearer(_stale(house))
        assert (await house.http.get(KETTLES, headers=headers)).status_code == 200
        for credential in house.auth.principals:
            house.auth.principals[credential] = house.tenant.user(permissions={"kettles.write"})

        answer = await house.http.post(DESCALE, headers=headers)

        assert answer.status_code == 200
        assert [name for name, *_ in house.kettles.calls] == ["ListKettles", "DescaleKettle"]

    async def test_a_service_that_refuses_the_pass_is_asked_once_more(self, house: Any) -> None:
        headers = house.bearer()

        def refuse(_: object) -> None:
            raise errors.Unauthenticated(
                code="STEP_UP_REQUIRED", metadata={errors.REFUSED_BY: "/acme.kettles.v1.KettlesService/CreateKettle"}
            )

        house.kettles.answers["CreateKettle"] = refuse
        answer = await house.http.post(KETTLES, json={"name": "Whistler"}, headers=headers)

        assert (answer.status_code, answer.json()["code"]) == (401, "STEP_UP_REQUIRED")
        assert (len(house.kettles.calls), len(house.auth.exchanges)) == (2, 2)

    async def test_what_another_service_has_refused_is_not_asked_again(self, house: Any) -> None:
        """Some of the call may have happened."""

        def refuse(_: object) -> None:
            raise errors.Unauthenticated(code="STEP_UP_REQUIRED", metadata={errors.REFUSED_BY: "/another.v1.S/Do"})

        house.kettles.answers["CreateKettle"] = refuse
        answer = await house.http.post(KETTLES, json={"name": "Whistler"}, headers=house.bearer())

        assert (answer.status_code, len(house.kettles.calls)) == (401, 1)

    async def test_a_service_that_hears_of_a_revocation_first_does_not_show(self, house: Any) -> None:
        refusals = [1]

        def refuse_once(_: object) -> Any:
            if refusals:
                refusals.pop()
                raise errors.Unauthenticated(
                    code=identity.REVOKED, metadata={errors.REFUSED_BY: "/acme.kettles.v1.KettlesService/GetKettle"}
                )
            return house.kettles.kettle(id="k1")

        house.kettles.answers["GetKettle"] = refuse_once

        assert (await house.http.get("/api/v1/kettles/k1", headers=house.bearer())).status_code == 200

    async def test_nobody_does_it_in_anothers_name(self, house: Any) -> None:
        acting = replace(house.tenant.user(permissions={"kettles.write"}), actor="user:b")

        answer = await house.http.post(DESCALE, headers=house.bearer(acting))

        assert (answer.status_code, answer.json()["code"]) == (403, "IMPERSONATION_FORBIDDEN")


def _stale(house: Any) -> Any:
    user = house.tenant.user(permissions={"kettles.read", "kettles.write"})
    return replace(user, authenticated_at=int(datetime.now(UTC).timestamp()) - 700)


async def _said(socket: Any) -> None:
    """The socket has been let in."""
    await socket.send('{"type":"ping"}')
    await socket.recv()
