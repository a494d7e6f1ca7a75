"""The health probe, against real sockets."""

import asyncio
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from services.registry.probing import Answer, Prober
from services.registry.tests.conftest import Listen

PATIENT_S = 20


async def _listening(servicer: Any) -> tuple[grpc.aio.Server, str]:
    server = grpc.aio.server()
    if servicer is not None:
        health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"


class TestProbe:
    async def test_who_serves(self, listen: Listen) -> None:
        assert await Prober().probe(await listen(), PATIENT_S) is Answer.SERVING

    async def test_who_says_that_it_does_not(self) -> None:
        servicer = health.aio.HealthServicer()
        await servicer.set("", health_pb2.HealthCheckResponse.NOT_SERVING)
        server, address = await _listening(servicer)

        assert await Prober().probe(address, PATIENT_S) is Answer.NOT_SERVING
        await server.stop(None)

    async def test_who_does_not_know_the_question_lives(self) -> None:
        server, address = await _listening(None)

        assert await Prober().probe(address, PATIENT_S) is Answer.SERVING
        await server.stop(None)

    async def test_where_nobody_listens(self) -> None:
        server, address = await _listening(None)
        await server.stop(None)

        assert await Prober().probe(address, PATIENT_S) is Answer.REFUSED

    async def test_who_takes_the_connection_and_says_nothing(self) -> None:
        held = []
        server = await asyncio.start_server(lambda *connection: held.append(connection), "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]

        assert await Prober().probe(f"127.0.0.1:{port}", 0.05) is Answer.SILENT
        for _reader, writer in held:
            writer.close()
        server.close()

    @pytest.mark.parametrize("address", ["nowhere", "127.0.0.1:many", ""])
    async def test_what_is_no_address_is_silent(self, address: str) -> None:
        assert await Prober().probe(address, PATIENT_S) is Answer.SILENT
