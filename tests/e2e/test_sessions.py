"""A session that is revoked stops everywhere within one second."""

import asyncio

import httpx
from websockets.exceptions import ConnectionClosed

from tests.e2e.conftest import Socket, System


async def _end_of(socket: Socket) -> int | None:
    """The code with which a websocket is closed."""
    try:
        while True:
            await socket.connection.recv()
    except ConnectionClosed as closed:
        return closed.rcvd.code if closed.rcvd else None


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
