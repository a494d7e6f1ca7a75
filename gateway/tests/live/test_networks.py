"""Credentials that may be shown from some networks alone."""

import asyncio
import contextlib
from typing import Any

import orjson
import pytest
from websockets.exceptions import ConnectionClosed

from gateway.passes import Pass

KETTLES = "/api/v1/kettles"
OWN = ["198.51.100.0/24", "127.0.0.0/8"]
FOREIGN = ["203.0.113.0/24", "2001:db8::/32"]


class TestHttp:
    async def test_from_one_of_them_it_is_good(self, house: Any) -> None:
        answer = await house.http.get(KETTLES, headers=house.bearer(networks=OWN))

        assert answer.status_code == 200

    async def test_from_elsewhere_it_is_not(self, house: Any) -> None:
        headers = house.bearer(networks=FOREIGN)

        answers = [await house.http.get(KETTLES, headers=headers) for _ in range(2)]

        assert [(each.status_code, each.json()["code"]) for each in answers] == [(401, "UNAUTHENTICATED")] * 2
        assert house.kettles.calls == []

    async def test_it_stands_in_the_trail_once(self, house: Any) -> None:
        headers = house.bearer(networks=FOREIGN) | {"X-Request-ID": "theft-1"}
        trail = await house.nats.subscribe(f"aud.{house.tenant.id}.gateway")

        for _ in range(3):
            await house.http.get(KETTLES, headers=headers)

        told = orjson.loads((await trail.next_msg(5)).data)
        assert (told["action"], told["outcome"], told["error_code"]) == (
            "gateway.ShowCredential",
            "denied",
            "UNAUTHENTICATED",
        )
        assert (told["address"], told["request_id"]) == ("127.0.0.1", "theft-1")
        with pytest.raises(TimeoutError):
            await trail.next_msg(0.2)

    async def test_a_client_cannot_say_where_it_is(self, house: Any) -> None:
        headers = house.bearer(networks=FOREIGN) | {"X-Forwarded-For": "203.0.113.9", "Forwarded": "for=203.0.113.9"}

        assert (await house.http.get(KETTLES, headers=headers)).status_code == 401


class TestBehindAProxy:
    async def test_a_trusted_one_says_where_the_client_is(self, make_house: Any) -> None:
        house = await make_house(trusted_proxies="127.0.0.1, 10.0.0.0/8")
        near, far = house.bearer(networks=OWN), house.bearer(networks=FOREIGN)
        # What stands left of the last address that is no proxy of ours, the client may have written itself.
        told = {"X-Forwarded-For": "127.0.0.9, 203.0.113.9, 10.1.2.3"}

        answers = [await house.http.get(KETTLES, headers=each | told) for each in (near, far)]

        assert [each.status_code for each in answers] == [401, 200]


class TestSocket:
    async def test_from_one_of_them_it_is_let_in(self, house: Any) -> None:
        socket = await house.socket(house.bearer(networks=OWN))

        await socket.send('{"type":"ping"}')

        assert await socket.recv() == '{"type":"pong"}'

    async def test_from_elsewhere_it_is_closed(self, house: Any) -> None:
        socket = await house.socket(house.bearer(networks=FOREIGN))

        with contextlib.suppress(ConnectionClosed):
            async with asyncio.timeout(5):
                while True:
                    await socket.recv()

        assert socket.close_code == 4401

    async def test_a_token_of_elsewhere_is_no_next_one(self, house: Any) -> None:
        user = house.tenant.user()
        socket = await house.socket(house.bearer(user))

        await socket.send(f'{{"type":"auth","token":"{house.auth.sign_in(user, networks=FOREIGN)}"}}')

        assert '"code":"UNAUTHENTICATED"' in await socket.recv()


class TestCheckAddress:
    @pytest.mark.parametrize(
        ("address", "network"),
        [
            ("203.0.113.9", "203.0.113.0/24"),
            ("::ffff:203.0.113.9", "203.0.113.0/24"),
            ("2001:db8::1%eth0", "2001:db8::/32"),
            ("203.0.113.9", "203.0.113.9/24"),
        ],
    )
    def test_it_is_inside(self, house: Any, address: str, network: str) -> None:
        assert Pass("", house.tenant.user(), 0, 0, [network]).may_come_from(address)

    @pytest.mark.parametrize("address", ["203.0.114.9", "2001:db9::1", "", "unix", "::203.0.113.9"])
    def test_it_is_outside(self, house: Any, address: str) -> None:
        assert not Pass("", house.tenant.user(), 0, 0, FOREIGN).may_come_from(address)
