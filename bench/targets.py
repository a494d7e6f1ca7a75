"""What is asked of each target, and what has to come back.

Every target is asked once, by an ordinary HTTP client, and its answers are compared with what the world holds, field by
field; what it then answers under load has to be those same bytes.
"""

import http.client
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from bench import cpu
from bench.load import FRESH, Exchange, WrongAnswer
from bench.world import PRICE, World

PAGE = 25
# Different items asked for in turn.
GETS = 100
_UUID_LENGTH = 36

Headers = dict[str, str]


@dataclass(frozen=True)
class Target:
    """Something that answers. `workloads` are the names of what it can be asked."""

    name: str
    port: int
    watch: Callable[[], cpu.Watch]
    headers: Callable[[], Awaitable[Headers]]
    workloads: tuple[str, ...] = ("get", "page", "order")
    # Switchyard and the monolith put the answer in an envelope; Envoy does not, and has its own names for units.
    enveloped: bool = True

    def exchanges(self, workload: str, headers: Headers, world: World) -> list[Exchange]:
        """What is asked in this workload. Raises `WrongAnswer` when the target's first answers are wrong."""
        makers = {"get": self._gets, "page": self._pages, "order": self._orders}
        return makers[workload](headers, world)

    def reserved(self, headers: Headers, world: World) -> int:
        """What orders hold of all that is sold."""
        found = (self._ask(f"/api/v1/inventory/items/{item_id}", headers) for item_id in world.sold)
        return sum(int(json.loads(body)["data"]["reserved"]) for body in found)

    def _gets(self, headers: Headers, world: World) -> list[Exchange]:
        exchanges = []
        for item_id in list(world.items)[:GETS]:
            path = f"/api/v1/inventory/items/{item_id}"
            body = self._ask(path, headers)
            answer = json.loads(body)
            self._compare(answer["data"] if self.enveloped else answer, item_id, world)
            exchanges.append(Exchange(self._request("GET", path, headers), begins=_before(body, '"meta"')))
        return exchanges

    def _pages(self, headers: Headers, world: World) -> list[Exchange]:
        path = f"/api/v1/inventory/items?page_size={PAGE}"
        body = self._ask(path, headers)
        answer = json.loads(body)
        found = answer["data"] if self.enveloped else answer["items"]
        cursor = answer["meta"]["next_cursor"] if self.enveloped else answer["next_cursor"]
        if len(found) != PAGE or not cursor:
            raise WrongAnswer(f"{self.name}: a page of {len(found)} items")
        for item in found:
            self._compare(item, item["id"], world)
        end = '"meta"' if self.enveloped else '"next_cursor"'
        return [Exchange(self._request("GET", path, headers), begins=_before(body, end))]

    def _orders(self, headers: Headers, world: World) -> list[Exchange]:
        exchanges = []
        for menu_id, item_id in world.menu.items():
            for site_id in world.site_ids:
                lines = [{"menu_item_id": menu_id, "quantity": 1}]
                body = json.dumps({"id": FRESH, "site_id": site_id, "lines": lines, "customer_name": "Ada"})
                holds = [
                    f'"id":"{FRESH}"',
                    '"status":"queued"',
                    f'"site_id":"{site_id}"',
                    f'"name":"Cup of {world.sold[item_id]["sku"]}"',
                    f'"total":{{"amount":{PRICE["amount"]},"currency":"{PRICE["currency"]}"}}',
                ]
                request = self._request("POST", "/api/v1/orders", headers, body)
                exchanges.append(Exchange(request, status=201, holds=holds))
        return exchanges

    def _compare(self, found: dict[str, Any], item_id: str, world: World) -> None:
        known = world.items.get(item_id)
        if known is None:
            raise WrongAnswer(f"{self.name} answers with an item that is not ours: {found}")
        wanted = {**known, "id": item_id, "reserved": 0, "available": known["on_hand"], "version": 1}
        for name, value in wanted.items():
            # The canonical JSON of protobuf, which Envoy speaks, writes 64-bit integers as strings.
            same = found.get(name) == value or (not self.enveloped and str(found.get(name)) in _envoys(value))
            if not same:
                raise WrongAnswer(f"{self.name}: {name} of {item_id} is {found.get(name)!r}, not {value!r}")

    def _ask(self, path: str, headers: Headers) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            connection.request("GET", path, headers=headers)
            response = connection.getresponse()
            body = response.read().decode()
        finally:
            connection.close()
        if response.status != http.client.OK:
            raise WrongAnswer(f"{self.name}: GET {path}: {response.status} {body}")
        return body

    def _request(self, method: str, path: str, headers: Headers, body: str = "") -> str:
        lines = [f"{method} {path} HTTP/1.1", f"host: 127.0.0.1:{self.port}", "accept: application/json"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        if body:
            length = len(body) + body.count(FRESH) * (_UUID_LENGTH - len(FRESH))
            lines += ["content-type: application/json", f"content-length: {length}"]
        return "\r\n".join([*lines, "", body])


def _envoys(value: object) -> tuple[str, ...]:
    return str(value), f"UNIT_{str(value).upper()}"


def _before(body: str, mark: str) -> str:
    """The part of a body that is the same each time: what follows names the request or signs a cursor."""
    position = body.rfind(mark)
    if 0 <= position < len(body) // 2:
        raise WrongAnswer(f"{mark} comes too early to compare what is before it: {body}")
    return body if position < 0 else body[:position]
