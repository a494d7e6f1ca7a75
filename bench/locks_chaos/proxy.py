"""A TCP link that can be cut: what stands between two processes of the run."""

import asyncio
import contextlib
import socket
import struct

CHUNK_BYTES = 1 << 16
# Close with a reset instead of an orderly end.
_LINGER = struct.pack("ii", 1, 0)


class Link:
    """Forwards connections from one port to another, until it is told otherwise.

    - `stall`: nothing goes through, in neither direction, and nobody is told; what was under way arrives when the link
      is mended, as after a cable was put back: late.
    - `reset`: connections are broken, new ones too.
    - `slow`: every piece of data is so much later.
    """

    def __init__(self, port: int, target: int) -> None:
        self.port = port
        self._target = target
        self._flows = asyncio.Event()
        self._resetting = False
        self._delay_s = 0.0
        self._pumps: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()

    async def start(self) -> None:
        self._flows.set()
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def stop(self) -> None:
        self._server.close()
        self._break()
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    def stall(self) -> None:
        self._flows.clear()

    def reset(self) -> None:
        self._resetting = True
        self._break()

    def slow(self, delay_s: float) -> None:
        self._delay_s = delay_s

    def mend(self) -> None:
        self._resetting, self._delay_s = False, 0.0
        self._flows.set()

    def _break(self) -> None:
        for writer in list(self._writers):
            with contextlib.suppress(OSError, AttributeError):
                writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER)
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pumps.add(task)
        self._writers.add(writer)
        try:
            await self._flows.wait()
            if not self._resetting:
                await self._join(reader, writer)
        except (OSError, asyncio.CancelledError):
            # Nobody listens there, or the run is over.
            pass
        finally:
            writer.transport.abort()
            self._writers.discard(writer)
            self._pumps.discard(task)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", self._target)
        self._writers.add(back)
        both = [asyncio.create_task(self._pump(reader, back)), asyncio.create_task(self._pump(there, writer))]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in both:
                each.cancel()
            await asyncio.gather(*both, return_exceptions=True)
            back.transport.abort()
            self._writers.discard(back)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while chunk := await reader.read(CHUNK_BYTES):
            if self._delay_s:
                await asyncio.sleep(self._delay_s)
            await self._flows.wait()
            writer.write(chunk)
            await writer.drain()
