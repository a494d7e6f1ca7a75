"""What a client meets at `/ws`."""

import asyncio
import contextlib
import socket as sockets
from typing import Any

import orjson
import pytest
from websockets.exceptions import ConnectionClosed, InvalidStatus

from chassis import errors
from chassis.identity import PLATFORM
from gateway import listener
from gateway.realtime import websocket

SITE = "0198c0de-0000-7000-8000-000000000001"


async def _hear(socket: Any) -> dict[str, Any]:
    heard: dict[str, Any] = orjson.loads(await asyncio.wait_for(socket.recv(), 5))
    return heard


async def _say(socket: Any, **members: Any) -> None:
    await socket.send(orjson.dumps(members).decode())


async def _joined(house: Any, channel: str = "tenant", principal: Any = None, **more: Any) -> Any:
    """A websocket that has joined a channel, and the answer to that."""
    socket = await house.socket(house.bearer(principal))
    await _say(socket, type="subscribe", channel=channel, **more)
    return socket, await _hear(socket)


async def _closed(socket: Any) -> int:
    """The code with which the server closes."""
    with contextlib.suppress(ConnectionClosed):
        async with asyncio.timeout(5):
            while True:
                await socket.recv()
    code: int = socket.close_code
    return code


class TestConnect:
    async def test_with_a_header(self, house: Any) -> None:
        _, answer = await _joined(house)

        assert answer["type"] == "subscribed"

    async def test_with_a_query(self, house: Any) -> None:
        token = house.auth.sign_in(house.tenant.user())
        socket = await house.socket(query=f"?token={token}&tenant_id={house.tenant.id}")

        await _say(socket, type="subscribe", channel="tenant")

        assert (await _hear(socket))["type"] == "subscribed"

    async def test_with_the_first_frame(self, house: Any) -> None:
        socket = await house.socket()

        await _say(socket, type="auth", token=house.auth.sign_in(house.tenant.user()))
        await _say(socket, type="subscribe", channel="tenant")

        assert (await _hear(socket))["type"] == "subscribed"

    async def test_a_bad_token_is_closed(self, house: Any) -> None:
        socket = await house.socket({"Authorization": "Bearer nonsense"})

        assert (await _hear(socket))["code"] == "UNAUTHENTICATED"
        assert await _closed(socket) == 4401

    async def test_a_first_frame_of_another_kind_is_closed(self, house: Any) -> None:
        socket = await house.socket()

        await _say(socket, type="subscribe", channel="tenant")

        assert await _closed(socket) == 4401

    async def test_silence_is_closed(self, house: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(websocket, "FIRST_FRAME_S", 0.1)

        assert await _closed(await house.socket()) == 4401

    async def test_another_path_is_refused(self, house: Any) -> None:
        with pytest.raises(InvalidStatus, match="404"):
            await house.socket(query="/nonsense")

    async def test_a_tenant_has_only_so_many(self, make_house: Any) -> None:
        house = await make_house(sockets_tenant_max=1)
        await _joined(house)

        second = await house.socket(house.bearer())

        assert await _closed(second) == 1013


class TestSubscribe:
    async def test_an_event_arrives_as_it_was_published(self, house: Any) -> None:
        socket, answer = await _joined(house, "site:s1")

        event = await house.publish("kettles.KettleBoiled", {"id": "k1"}, audience="site:s1,kiosk:s1")

        heard = await _hear(socket)
        assert heard == {
            "type": "event",
            "channel": "site:s1",
            "offset": answer["offset"] + 1,
            "epoch": answer["epoch"],
            "event": event,
        }

    async def test_another_tenants_event_does_not(self, house: Any) -> None:
        socket, _ = await _joined(house)

        await house.publish("kettles.KettleBoiled", {"n": 1}, audience="tenant", tenant="0" * 8)
        await house.publish("kettles.KettleBoiled", {"n": 2}, audience="tenant")

        assert (await _hear(socket))["event"]["data"] == {"n": 2}

    async def test_a_channel_that_is_not_ones_own_is_refused(self, house: Any) -> None:
        _, answer = await _joined(house, "role:owner")

        assert answer == {
            "type": "error",
            "channel": "role:owner",
            "code": "PERMISSION_DENIED",
            "message": "no such channel, or not yours",
        }

    async def test_after_a_reconnect_what_was_missed_is_sent(self, house: Any) -> None:
        first, answer = await _joined(house)
        await house.publish("kettles.KettleBoiled", {"n": 1}, audience="tenant")
        seen = await _hear(first)
        await first.close()
        await house.publish("kettles.KettleBoiled", {"n": 2}, audience="tenant")
        await house.publish("kettles.KettleBoiled", {"n": 3}, audience="tenant")

        since = {"offset": seen["offset"], "epoch": answer["epoch"]}
        again, answered = await _joined(house, since=since)

        assert answered["recovered"] is True
        assert [(await _hear(again))["event"]["data"]["n"] for _ in range(2)] == [2, 3]

    async def test_at_another_gateway_the_client_must_fetch(self, house: Any) -> None:
        _, answered = await _joined(house, since={"offset": 3, "epoch": "another"})

        assert answered["recovered"] is False

    async def test_who_has_left_hears_no_more(self, house: Any) -> None:
        socket, _ = await _joined(house)
        await _say(socket, type="subscribe", channel="site:s1")
        await _hear(socket)

        await _say(socket, type="unsubscribe", channel="tenant")
        left = await _hear(socket)
        await house.publish("kettles.KettleBoiled", {}, audience="tenant,site:s1")

        assert left == {"type": "unsubscribed", "channel": "tenant"}
        assert (await _hear(socket))["channel"] == "site:s1"

    @pytest.mark.parametrize(
        "text", ["nonsense", "[]", '{"type":"dance"}', '{"type":"subscribe"}', '{"type":"subscribe","channel":1}']
    )
    async def test_an_unknown_frame_is_an_error_and_no_end(self, house: Any, text: str) -> None:
        socket = await house.socket(house.bearer())

        await socket.send(text)
        error = await _hear(socket)
        await _say(socket, type="ping")

        assert error["code"] == "VALIDATION_FAILED"
        assert await _hear(socket) == {"type": "pong"}

    async def test_too_many_messages_are_the_end(self, house: Any) -> None:
        socket = await house.socket(house.bearer())

        for _ in range(200):
            await _say(socket, type="ping")

        assert await _closed(socket) == 1008


class TestOneChannel:
    async def test_the_data_comes_bare(self, house: Any) -> None:
        principal = house.tenant.user(permissions={"orders.read"})
        socket = await house.socket(house.bearer(principal), path="/ws/orders/queue", query="?site_id=s1")
        await _say(socket, type="ping")
        await _hear(socket)

        await house.publish("orders.OrderPlaced", {"id": "o1"}, audience="orders:queue:s1")

        assert await _hear(socket) == {"id": "o1"}

    async def test_what_concerns_the_platform_is_told_to_whom_a_tenant_lets(self, house: Any) -> None:
        principal = house.tenant.user(permissions={"registry.read"})
        socket = await house.socket(house.bearer(principal), path="/ws/service-health")
        await _say(socket, type="ping")
        await _hear(socket)
        told = {"service_name": "kettles", "status": "critical"}

        # A tenant's own event of that name is no platform's.
        await house.publish("kettles.Forged", {"status": "passing"}, audience="service-health")
        await house.publish("registry.Changed", told, audience="service-health", tenant=str(PLATFORM))

        assert await _hear(socket) == told

    async def test_it_needs_the_permission(self, house: Any) -> None:
        principal = house.tenant.user(permissions=set())

        socket = await house.socket(house.bearer(principal), path="/ws/service-health")

        assert await _closed(socket) == 4403


class TestSnapshot:
    async def test_the_state_comes_before_the_changes(self, house: Any) -> None:
        asked, told = asyncio.Event(), asyncio.Event()

        async def kitchen(request: Any) -> Any:
            asked.set()
            await told.wait()
            return house.kitchen(site_id=request.site_id, cooks=["Ada"])

        house.kettles.answers["GetKitchen"] = kitchen
        socket, _ = await _joined(house, f"presence:{SITE}")
        await asked.wait()
        other, _ = await _joined(house)
        for channel in (f"presence:{SITE}", "tenant"):
            await house.publish("kettles.CookCame", {"cook": "Bob"}, audience=channel)
        assert (await _hear(other))["event"]["data"] == {"cook": "Bob"}
        told.set()

        heard = [await _hear(socket), await _hear(socket)]

        assert [frame["type"] for frame in heard] == ["snapshot", "event"]
        assert heard[0]["data"] == {"site_id": SITE, "cooks": ["Ada"]}
        assert heard[1]["offset"] == heard[0]["offset"] + 1

    async def test_who_has_missed_nothing_is_not_sent_it(self, house: Any) -> None:
        socket, first = await _joined(house, f"presence:{SITE}")
        await _hear(socket)

        await _say(socket, type="subscribe", channel=f"presence:{SITE}", offset=first["offset"], epoch=first["epoch"])
        again = await _hear(socket)
        await _say(socket, type="ping")

        assert again["recovered"]
        assert (await _hear(socket))["type"] == "pong"

    async def test_a_refusal_is_told_and_the_channel_stays_joined(self, house: Any) -> None:
        def refuse(_: Any) -> Any:
            raise errors.NotFound

        house.kettles.answers["GetKitchen"] = refuse
        socket, _ = await _joined(house, f"presence:{SITE}")
        refused = await _hear(socket)

        await house.publish("kettles.CookCame", {"cook": "Bob"}, audience=f"presence:{SITE}")

        assert (refused["type"], refused["code"]) == ("error", "NOT_FOUND")
        assert (await _hear(socket))["type"] == "event"


class TestStates:
    async def test_of_many_the_first_and_the_last_are_sent(self, house: Any) -> None:
        socket, _ = await _joined(house)

        for litres in range(50):
            await house.publish("kettles.Filled", {"litres": litres}, audience="~tenant", subject="kettles/k1")
        heard: list[int] = []
        while not heard or heard[-1] != 49:
            heard.append((await _hear(socket))["event"]["data"]["litres"])

        assert heard[0] == 0
        assert heard == sorted(heard)
        assert len(heard) < 25

    async def test_of_different_things_all_are(self, house: Any) -> None:
        socket, _ = await _joined(house)

        for number in range(5):
            await house.publish("kettles.Filled", {"k": number}, audience="~tenant", subject=f"kettles/k{number}")

        assert [(await _hear(socket))["event"]["data"]["k"] for _ in range(5)] == [0, 1, 2, 3, 4]


class TestEnd:
    async def test_an_ended_session_is_closed_within_a_second(self, house: Any) -> None:
        principal = house.tenant.user()
        socket, _ = await _joined(house, principal=principal)

        await house.publish("auth.SessionRevoked", {"session_id": principal.session_id})

        async with asyncio.timeout(1):
            assert await _closed(socket) == 4401

    async def test_a_lost_permission_ends_the_subscription_only(self, house: Any) -> None:
        principal = house.tenant.user(permissions={"audit.anomalies"})
        headers = house.bearer(principal)
        socket = await house.socket(headers)
        for channel in ("audit:anomalies", "tenant"):
            await _say(socket, type="subscribe", channel=channel)
            await _hear(socket)
        lesser = type(principal)(**{**principal.__dict__, "permissions": frozenset()})
        house.auth.principals[headers["Authorization"].removeprefix("Bearer ")] = lesser

        await house.publish("auth.RoleChanged", {"user_id": principal.id, "role": "staff"})
        dropped = await _hear(socket)
        await house.publish("audit.AnomalyDetected", {}, audience="audit:anomalies")
        await house.publish("kettles.KettleBoiled", {}, audience="tenant")

        assert (dropped["type"], dropped["channel"]) == ("unsubscribed", "audit:anomalies")
        assert (await _hear(socket))["channel"] == "tenant"

    async def test_a_user_who_was_removed_is_closed(self, house: Any) -> None:
        principal = house.tenant.user()
        socket, _ = await _joined(house, principal=principal)
        house.auth.principals.clear()

        await house.publish("auth.RoleChanged", {"user_id": principal.id, "role": ""})

        assert await _closed(socket) == 4401

    async def test_without_nats_the_next_exchange_ends_it(self, house: Any) -> None:
        house.auth.lifetime_s = 16
        socket, _ = await _joined(house)

        house.auth.principals.clear()

        assert await _closed(socket) == 4401

    async def test_before_a_token_ends_the_client_is_told(self, house: Any) -> None:
        socket = await house.socket(house.bearer(ends_in_s=10))

        assert (await _hear(socket))["type"] == "reauth"

    async def test_a_new_token_keeps_the_connection(self, house: Any) -> None:
        principal = house.tenant.user()
        socket = await house.socket(house.bearer(principal, ends_in_s=2))
        await _hear(socket)

        await _say(socket, type="auth", token=house.auth.sign_in(principal))

        assert await _hear(socket) == {"type": "authenticated"}
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(socket.recv(), 2.5)

    async def test_another_principals_token_does_not(self, house: Any) -> None:
        socket = await house.socket(house.bearer())

        await _say(socket, type="auth", token=house.auth.sign_in(house.tenant.user()))

        assert (await _hear(socket))["code"] == "UNAUTHENTICATED"

    async def test_a_token_that_ends_is_the_end(self, house: Any) -> None:
        socket = await house.socket(house.bearer(ends_in_s=0.5))

        assert await _closed(socket) == 4401

    async def test_a_client_that_does_not_read_is_closed_and_slows_nobody(
        self, house: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(listener, "WAITING_LEN_MAX", 64 * 1024)
        closing: list[int] = []

        def finish(self: Any, code: int, reason: str) -> None:
            closing.append(code)
            self.transport.abort()

        monkeypatch.setattr(listener.FramesProtocol, "finish", finish)
        reading, _ = await _joined(house)
        slow, _ = await _joined(house)
        slow.transport.get_extra_info("socket").setsockopt(sockets.SOL_SOCKET, sockets.SO_RCVBUF, 4096)
        slow.transport.pause_reading()
        heard = 0

        while not closing:
            house.gateway.hub.publish(str(house.tenant.id), "tenant", b'{"filler":"' + b"x" * 60_000 + b'"}')
            await _hear(reading)
            heard += 1

        slow.transport.abort()
        assert closing[0] == 4008
        assert heard > 1

    async def test_a_gateway_that_stops_sends_its_clients_elsewhere(self, make_house: Any) -> None:
        house = await make_house()
        socket, _ = await _joined(house)

        house.gateway.stop()

        assert (await _hear(socket))["type"] == "reconnect"
        assert await _closed(socket) == 1012
