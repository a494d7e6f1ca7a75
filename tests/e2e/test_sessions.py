"""A session that is revoked stops everywhere within one second."""

import asyncio

import httpx
from websockets.exceptions import ConnectionClosed

from tests.e2e.conftest import Socket, System

ME = "/api/v1/auth/me"


async def _end_of(socket: Socket) -> int | None:
    """The code with which a websocket is closed."""
    try:
        while True:
            await socket.connection.recv()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


class TestTwoGateways:
    async def test_a_session_ends_on_both_within_a_second(self, system: System) -> None:
        async with httpx.AsyncClient(base_url=system.url, timeout=30) as client:
            token = (await system.sign_in(client, "manager"))["access_token"]
        async with (
            system.second_gateway() as other,
            system.client(token, system.tenant()) as here,
            other.client(token, system.tenant()) as there,
        ):
            users = (here, there)
            assert [(await user.get(ME)).status_code for user in users] == [200, 200]
            sockets = [await Socket.open(each, token, system.tenant()) for each in (system, other)]
            for socket in sockets:
                await socket.subscribe("tenant")

            assert (await here.post("/api/v1/auth/logout")).status_code == 204
            async with asyncio.timeout(1):
                await asyncio.gather(*(_refused(user) for user in users))
                codes = await asyncio.gather(*(_end_of(socket) for socket in sockets))

        assert codes == [4401, 4401]


async def _refused(user: httpx.AsyncClient) -> None:
    while (await user.get(ME)).status_code != 401:
        await asyncio.sleep(0.01)


class TestLogout:
    async def test_calls_and_sockets_end_within_a_second(self, system: System) -> None:
        async with httpx.AsyncClient(base_url=system.url, timeout=30) as client:
            session = await system.sign_in(client, "manager")
        token = session["access_token"]
        async with system.client(token, system.tenant()) as user:
            assert (await user.get("/api/v1/auth/me")).status_code == 200
            socket = await Socket.open(system, token, system.tenant())
            assert (await socket.subscribe("tenant"))["type"] == "subscribed"

            assert (await user.post("/api/v1/auth/logout")).status_code == 204
            async with asyncio.timeout(1):
                while (await user.get("/api/v1/auth/me")).status_code != 401:
                    await asyncio.sleep(0.01)
                code = await _end_of(socket)

        assert code == 4401

    async def test_another_session_of_the_user_goes_on(self, system: System) -> None:
        async with httpx.AsyncClient(base_url=system.url, timeout=30) as client:
            first = await system.sign_in(client, "manager")
            second = await system.sign_in(client, "manager")
        async with system.client(first["access_token"], system.tenant()) as user:
            await user.post("/api/v1/auth/logout")

        async with system.client(second["access_token"], system.tenant()) as user:
            assert (await user.get("/api/v1/auth/me")).status_code == 200
