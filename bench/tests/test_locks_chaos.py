"""The parts of the chaos suite that do something to a run do what they say."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from bench.locks_chaos import faults
from bench.locks_chaos.proxy import Link
from bench.locks_chaos.recorder import Recorder
from chassis import embedded


class TestSchedule:
    def test_a_seed_gives_the_same_faults_again(self) -> None:
        assert faults.schedule(7, 3) == faults.schedule(7, 3)
        assert faults.schedule(7, 3) != faults.schedule(8, 3)

    def test_every_run_has_the_faults_that_matter(self) -> None:
        for seed in range(1, 21):
            assert {each.kind for each in faults.schedule(seed, 3)} >= set(faults.ALWAYS)

    def test_pauses_are_longer_than_leases(self) -> None:
        pauses = [each for seed in range(1, 21) for each in faults.schedule(seed, 3) if each.kind.startswith("pause")]

        assert min(each.lasts_s for each in pauses) > faults.TTL_S


@pytest_asyncio.fixture(loop_scope="session")
async def link() -> AsyncIterator[Link]:
    """A link to a server that sends back what it gets."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(100):
            writer.write(data)
        writer.close()

    server = await asyncio.start_server(echo, "127.0.0.1", 0)
    made = Link(embedded.free_ports(1)[0], server.sockets[0].getsockname()[1])
    await made.start()
    yield made
    await made.stop()
    server.close()


class TestLink:
    async def test_what_was_stalled_arrives_when_it_is_mended(self, link: Link) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(b"before")
        assert await reader.read(100) == b"before"
        link.stall()
        writer.write(b"late")
        arriving = asyncio.create_task(reader.read(100))
        # A round trip of another connection: what is not stalled would have come by now.
        _, other = await asyncio.open_connection("127.0.0.1", link.port)
        assert not arriving.done()
        link.mend()

        assert await arriving == b"late"
        for each in (writer, other):
            each.close()
            await each.wait_closed()

    async def test_a_reset_breaks_what_is_there_and_what_comes(self, link: Link) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", link.port)
        writer.write(b"before")
        await reader.read(100)
        link.reset()

        with pytest.raises(ConnectionError):
            await reader.readexactly(1)
        writer.close()


class TestRecorder:
    def test_what_nobody_answered_is_unknown(self) -> None:
        recorder = Recorder()
        recorder.take(b'{"at":1.0,"client":"c1.0","call":1,"kind":"acquire","lock":"a","ttl_s":3}')
        recorder.take(b'{"at":2.0,"client":"c1.1","call":1,"kind":"acquire","lock":"a","ttl_s":3}')
        recorder.take(b'{"at":3.0,"client":"c1.1","call":1,"outcome":"ok","token":9}')

        assert [(each.outcome, each.returned, each.token) for each in recorder.calls()] == [
            ("unknown", None, 0),
            ("ok", 3.0, 9),
        ]

    def test_acquired_again_after_it_was_over_it_is_a_wish_like_any_other(self) -> None:
        recorder = Recorder()
        for call, token in ((1, 9), (2, 11)):
            recorder.take(b'{"at":1.0,"client":"c1.0","call":%d,"kind":"again","lock":"a","token":9}' % call)
            recorder.take(b'{"at":2.0,"client":"c1.0","call":%d,"outcome":"ok","token":%d}' % (call, token))

        assert [(each.kind, each.token) for each in recorder.calls()] == [("again", 9), ("acquire", 11)]

    def test_who_was_killed_has_given_up_by_then(self) -> None:
        recorder = Recorder()
        recorder.take(b'{"at":1.0,"client":"c1.0","call":1,"kind":"acquire","lock":"a"}')
        recorder.take(b'{"at":2.0,"client":"c2.0","works":"a"}')
        recorder.take(b'{"at":3.0,"client":"c1.1","works":"a"}')

        [call] = recorder.calls()

        assert call.gave_up == 3.0

    def test_an_answer_that_no_fault_excuses_is_wrong(self) -> None:
        recorder = Recorder()
        recorder.take(b'{"at":1.0,"client":"c1.0","wrong":"Renew was answered with Internal()"}')

        assert recorder.wrong() == ["c1.0: Renew was answered with Internal()"]
