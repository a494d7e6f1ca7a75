"""Many watchers in one process: `python -m bench.fleet.followers COUNT ADDRESS...`.

Writes a line when all have their snapshot, and from then on one for each instance of which all were told that it is
drained: its id, and the moments of the monotonic clock when the first and the last of them were. Ends with its input.
"""

import asyncio
import json
import os
import sys

import uvloop
from switchyard.registry.v1 import registry_pb2 as pb

from bench.fleet.watcher import Watcher


class Follower(Watcher):
    """One of many: it remembers nothing and says what it is told."""

    def __init__(self, address: str, followers: "Followers") -> None:
        super().__init__(address)
        self._followers = followers

    def _take(self, reply: pb.WatchResponse) -> None:
        super()._take(reply)
        # The instances themselves, a hundred times over, are no use here.
        self.instances = {}
        for moment, instance_id, state in self.told:
            if reply.snapshot or state == pb.INSTANCE_STATE_DRAINING:
                self._followers.take("" if reply.snapshot else instance_id, self, moment)
        self.told.clear()


class Followers:
    """All watchers of the process."""

    def __init__(self) -> None:
        self._told: dict[str, dict[Follower, float]] = {}

    async def run(self, count: int, addresses: list[str]) -> None:
        self._all = [Follower(addresses[number % len(addresses)], self) for number in range(count)]
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
        tasks = [asyncio.create_task(each.run()) for each in self._all]
        await reader.read()
        for task in tasks:
            task.cancel()
        os._exit(0)

    def take(self, instance_id: str, follower: Follower, moment: float) -> None:
        moments = self._told.setdefault(instance_id, {})
        if follower not in moments:
            moments[follower] = moment
            if len(moments) == len(self._all):
                line = {"id": instance_id, "first": min(moments.values()), "last": max(moments.values())}
                print(json.dumps(line), flush=True)


if __name__ == "__main__":
    uvloop.run(Followers().run(int(sys.argv[1]), sys.argv[2:]))
