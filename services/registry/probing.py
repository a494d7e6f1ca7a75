"""The health probe: whether anybody listens at an address, and what it says by gRPC's health protocol."""

import asyncio
import enum
from typing import Any, Final

import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from chassis import errors

# The answer of one that sends no heartbeats is waited for no longer, for the sake of those who call it; one that sends
# them may take its time.
TIMEOUT_S: Final = 0.5
PATIENT_TIMEOUT_S: Final = 2.0


# A connection that is refused costs nothing, a question to one that listens some milliseconds of CPU.
CONNECTING_MAX: Final = 256
ASKING_MAX: Final = 32


class Answer(enum.Enum):
    """What came of a probe."""

    SERVING = enum.auto()
    NOT_SERVING = enum.auto()
    # The host says that nobody listens.
    REFUSED = enum.auto()
    SILENT = enum.auto()


class Prober:
    """Probes instances, not too many at once: who waits for 256 silent ones does not keep who finds out a dead one."""

    def __init__(self) -> None:
        self._connecting = asyncio.Semaphore(CONNECTING_MAX)
        self._asking = asyncio.Semaphore(ASKING_MAX)

    async def probe(self, address: str, timeout_s: float) -> Answer:
        """Ask the process at `host:port` whether it serves. One that does not know the question lives, and serves."""
        host, _, port = address.rpartition(":")
        try:
            async with self._connecting, asyncio.timeout(timeout_s):
                # gRPC tells in words alone why it cannot connect; the system says it exactly.
                _reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
                writer.close()
        except ConnectionRefusedError:
            return Answer.REFUSED
        except (OSError, ValueError):
            return Answer.SILENT
        async with self._asking:
            return await _ask(address, timeout_s)


async def _ask(address: str, timeout_s: float) -> Answer:
    options = (("grpc.use_local_subchannel_pool", 1), ("grpc.enable_http_proxy", 0))
    async with grpc.aio.insecure_channel(address, options=options) as channel:
        try:
            health: Any = health_pb2_grpc.HealthStub(channel)
            said = await health.Check(health_pb2.HealthCheckRequest(), timeout=timeout_s)
        except grpc.aio.AioRpcError as failure:
            silent = isinstance(errors.from_rpc_error(failure), errors.Unavailable | errors.DeadlineExceeded)
            return Answer.SILENT if silent else Answer.SERVING
    return Answer.SERVING if said.status == health_pb2.HealthCheckResponse.SERVING else Answer.NOT_SERVING
