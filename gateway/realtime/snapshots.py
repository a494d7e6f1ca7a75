"""The present state of channels, from the methods whose contracts say that they answer with it.

A method with `snapshot_of: "orders:queue:{site_id}"` in its policy is called, with the client's own pass, for whoever
joins such a channel: its request's fields are what stands in the name.
"""

from collections.abc import Coroutine
from functools import partial
from typing import Any, NamedTuple
from urllib.parse import urlencode

import grpc.aio

from gateway.backends import Backends, Unreachable, problem
from gateway.errors import Problem
from gateway.headers import Head
from gateway.operation import Operation
from gateway.passes import Pass
from gateway.routes import Route, RouteTable


class _Source(NamedTuple):
    """A method, and the parts of a channel's name: field names in braces."""

    operation: Operation
    parts: tuple[str, ...]
    in_path: frozenset[str]

    def fields(self, parts: list[str]) -> dict[str, str] | None:
        """What a name says about the request's fields; None when it is of another kind."""
        if len(parts) != len(self.parts):
            return None
        found = {}
        for expected, part in zip(self.parts, parts, strict=True):
            if expected.startswith("{"):
                found[expected[1:-1]] = part
            elif expected != part:
                return None
        return found


class Snapshots:
    """Reads the state of channels."""

    def __init__(self, backends: Backends, *, deadline_s: float) -> None:
        self._backends = backends
        self._deadline_s = deadline_s
        self._sources: tuple[_Source, ...] = ()

    def use(self, table: RouteTable, *, foreign: frozenset[str]) -> None:
        """Read by these routes from now on."""
        routes = [route for route in table.routes if route.policy.snapshot_of and not route.is_alias]
        self._sources = tuple(_source(route, is_foreign=route.service in foreign) for route in routes)

    def of(self, name: str, shown: Pass, head: Head) -> "partial[Coroutine[Any, Any, bytes]] | None":
        """What reads the state of a channel as JSON, or raises `Problem`; None where no contract tells one."""
        parts = name.split(":")
        for source in self._sources:
            fields = source.fields(parts)
            if fields is not None:
                return partial(self._read, source, fields, shown, head)
        return None

    async def _read(self, source: _Source, fields: dict[str, str], shown: Pass, head: Head) -> bytes:
        operation = source.operation
        params = {name: value for name, value in fields.items() if name in source.in_path}
        query = urlencode({name: value for name, value in fields.items() if name not in source.in_path})
        asked = operation.transcoder.decode(params, query, b"").message
        told = head.circumstances(shown.told, conditions=False)
        if operation.foreign is not None:
            operation.foreign.check(shown.principal, asked)
        try:
            reply = await self._backends.call(
                operation.service,
                operation.path,
                asked.SerializeToString(),
                told,
                idempotent=True,
                deadline_s=self._deadline_s,
            )
        except Unreachable:
            raise Problem("UNAVAILABLE") from None
        except grpc.aio.AioRpcError as failure:
            raise problem(failure) from None
        denied = frozenset(each for each in operation.read_permissions if not shown.principal.may(each))
        return operation.transcoder.payload(operation.parse(reply.body), denied=denied)


def _source(route: Route, *, is_foreign: bool) -> _Source:
    in_path = frozenset(variable.path for variable in route.variables)
    return _Source(Operation(route, is_foreign=is_foreign), tuple(route.policy.snapshot_of.split(":")), in_path)
