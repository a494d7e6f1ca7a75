"""What clients tell, as it comes; and as the calls that are judged."""

import asyncio
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from bench.locks_chaos.judge import LOSSES, LOST, OK, UNKNOWN, Call
from services.locks.hosts import DEAD_AFTER_S

# So long somebody is waited for who holds a lock, and has begun a piece of work under it just now.
HOLDER_S = 4.0
JUST_NOW_S = 0.02
POLL_S = 0.005
# What is noted when nothing is done to the servers any more.
CALM = "all is well"


class Recorder:
    """The history of a run."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        # By lock: who has worked under it last, and since when.
        self._working: dict[str, tuple[str, float]] = {}

    def take(self, line: bytes) -> None:
        event = orjson.loads(line)
        self.events.append(event)
        if "works" in event:
            self._working[event["works"]] = (event["client"], time.monotonic())

    def note(self, what: str, **more: Any) -> None:
        """Something that was done to the run."""
        self.events.append({"at": time.monotonic(), "fault": what, **more})

    async def holder(self, lock: str) -> str | None:
        """The process of the client who is next to work under the lock."""
        until = time.monotonic() + HOLDER_S
        while (now := time.monotonic()) < until:
            client, at = self._working.get(lock, ("", 0.0))
            if at > now - JUST_NOW_S:
                return client.partition(".")[0]
            await asyncio.sleep(POLL_S)
        return None

    def calls(self) -> list[Call]:
        """All that was asked, with its answer; what nobody answered is unknown."""
        answers = {(each["client"], each["call"]): each for each in self.events if "outcome" in each}
        # Who has not answered by the end of its process has given up by then.
        ends = {_process(each): each["at"] for each in self.events if "client" in each}
        return [
            self._call(each, answers.get((each["client"], each["call"]), {"at": ends[_process(each)]}))
            for each in self._all_asked()
        ]

    def _all_asked(self) -> Iterator[dict[str, Any]]:
        return (each for each in self.events if "kind" in each)

    @staticmethod
    def _call(asked: dict[str, Any], answer: dict[str, Any]) -> Call:
        outcome, kind = answer.get("outcome", UNKNOWN), asked["kind"]
        if kind == "again" and (outcome != OK or answer["token"] != asked["token"]):
            # The lease was over: a wish like any other.
            kind, asked = "acquire", {**asked, "token": 0}
        return Call(
            client=asked["client"],
            kind=kind,
            lock=asked["lock"],
            invoked=asked["at"],
            returned=None if outcome == UNKNOWN else answer["at"],
            outcome=outcome,
            token=answer.get("token", asked.get("token", 0)),
            ttl_s=asked.get("ttl_s", 0.0),
            shared=asked.get("shared", False),
            tries=answer.get("tries", 1),
            number=asked.get("number", 0),
            late=asked.get("late", False),
            said=answer.get("said", asked.get("said", "")),
            waiting=answer.get("waiting"),
            gave_up=answer["at"],
        )

    def calm_at(self) -> float | None:
        """Since when nothing is done to the servers, and nobody is missed any more."""
        calm = [each["at"] for each in self.events if each.get("fault") == CALM]
        return calm[0] + DEAD_AFTER_S if calm else None

    def wrong(self) -> list[str]:
        """Answers that no fault excuses."""
        return [f"{each['client']}: {each['wrong']}" for each in self.events if "wrong" in each]

    def figures(self) -> dict[str, int]:
        """How much there was to judge."""
        calls = self.calls()
        writes = [each for each in calls if each.kind == "write"]
        return {
            "calls": len(calls),
            "grants": sum(each.kind == "acquire" and each.outcome == OK for each in calls),
            "unknown": sum(each.outcome == UNKNOWN for each in calls),
            "lost": sum(each.kind in {"renew", "release"} and each.outcome == LOST for each in calls),
            "writes": sum(each.outcome == OK for each in writes),
            "fenced_off": sum(each.outcome == LOST for each in writes),
            "late": sum(each.late for each in writes),
            "late_fenced_off": sum(each.late and each.outcome == LOST for each in writes),
            "again": sum(each.kind == "again" for each in calls),
            "breaks": sum(each.kind == "break" and each.outcome == OK for each in calls),
            "pushed": sum(each.kind == "told" and each.said in LOSSES for each in calls),
            "deadlocks": sum(each.said == "DEADLOCK" for each in calls),
        }

    def save(self, path: Path) -> None:
        """One event a line, in the order in which they came."""
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"\n".join(map(orjson.dumps, self.events)) + b"\n")


def _process(event: dict[str, Any]) -> str:
    client: str = event["client"]
    return client.partition(".")[0]
