"""Which method a path belongs to: a trie over the segments of every live binding.

A table is immutable. When the registry's set of contracts changes, a new one is built and swapped in.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final
from urllib.parse import unquote

from google.protobuf.message import Message
from switchyard.options.v1 import policy_pb2

from gateway.contracts import Binding, Contract, ContractError, Method, refusing
from gateway.transcode import Codecs, Transcoder

# Bindings outside answer with the bare message: other front ends call them already.
BASE_PATH: Final = "/api/v1"
# Contracts whose routes are kept compiled: more than a registry of ours holds.
CONTRACTS_MAX: Final = 256
# No path of ours has more than ten; it bounds the search.
SEGMENTS_MAX: Final = 32

_ONE, _REST = "*", "**"
_VARIABLE = re.compile(r"\{([A-Za-z_][\w.]*)(?:=([^{}]*))?\}")
_VERB = re.compile(r":([A-Za-z_]\w*)$")
_RESERVED = re.compile(r"%(?:2[fF])")


@dataclass(frozen=True, slots=True)
class Variable:
    """A path parameter: the request's field and the segments it takes. `end` is None for `**`."""

    path: str
    start: int
    end: int | None


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """One binding of one method. `action` is the path after a colon, as in `/v1/pets/{id}:feed`."""

    contract: Contract = field(repr=False)
    method: Method = field(repr=False)
    binding: Binding = field(repr=False)
    variables: tuple[Variable, ...] = field(repr=False)
    segments: tuple[str, ...] = field(repr=False)
    action: str
    transcoder: Transcoder = field(repr=False)

    @property
    def service(self) -> str:
        """The name under which the registry knows the service."""
        return self.contract.service

    @property
    def path(self) -> str:
        """The gRPC path of the method."""
        return self.method.path

    @property
    def verb(self) -> str:
        """The HTTP method."""
        return self.binding.verb

    @property
    def template(self) -> str:
        """The HTTP path as the contract writes it."""
        return self.binding.template

    @property
    def body(self) -> str:
        """The body selector: empty, `*` or a field of the request."""
        return self.binding.body

    @property
    def policy(self) -> policy_pb2.MethodPolicy:
        """The method's policy."""
        return self.method.policy

    @property
    def request(self) -> type[Message]:
        """The request's class, of the contract's own pool."""
        return self.method.request

    @property
    def response(self) -> type[Message]:
        """The response's class, of the contract's own pool."""
        return self.method.response

    @property
    def is_alias(self) -> bool:
        """Whether the binding lies outside `/api/v1` and answers with the bare message."""
        return self.transcoder.is_alias

    @property
    def is_raw(self) -> bool:
        """Whether the method is given requests as they came."""
        return self.method.is_raw

    @property
    def client_streaming(self) -> bool:
        """Whether the method reads a stream."""
        return self.method.client_streaming

    @property
    def server_streaming(self) -> bool:
        """Whether the method answers with a stream."""
        return self.method.server_streaming


@dataclass(frozen=True, slots=True)
class Matched:
    """A route and its path parameters, percent-decoded, by field path."""

    route: Route
    params: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class MethodNotAllowed:
    """The path exists for these methods only."""

    allowed: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Clash:
    """A binding that was left out because an earlier one has the same verb and shape."""

    refused: Route
    kept: Route

    def __str__(self) -> str:
        return (
            f"{self.refused.service} {self.refused.method.path}: {self.refused.verb} {self.refused.template} "
            f"is taken by {self.kept.service} {self.kept.method.path}"
        )


class _Node:
    """One segment. `routes` are those that end here, by verb."""

    __slots__ = ("literals", "one", "rest", "routes")

    def __init__(self) -> None:
        self.literals: dict[str, _Node] = {}
        self.one: _Node | None = None
        self.rest: _Node | None = None
        self.routes: dict[str, Route] = {}

    def child(self, segment: str) -> "_Node":
        """The node below for one segment of a template, made if need be."""
        if segment == _ONE:
            self.one = self.one or _Node()
            return self.one
        if segment == _REST:
            self.rest = self.rest or _Node()
            return self.rest
        return self.literals.setdefault(segment, _Node())


class RouteTable:
    """The routes of all live contracts."""

    def __init__(
        self,
        routes: tuple[Route, ...],
        clashes: tuple[Clash, ...],
        refused: Mapping[str, str],
        roots: dict[str, _Node],
    ) -> None:
        self.routes = routes
        self.clashes = clashes
        self.refused = refused
        self._roots = roots

    @classmethod
    def of(cls, contracts: Iterable[Contract]) -> "RouteTable":
        """Build the table.

        Of two bindings with one verb and shape the first stays; `clashes` reports the other. A contract that cannot
        be served is left out as a whole; `refused` says why, by service.
        """
        roots: dict[str, _Node] = {"": _Node()}
        kept: list[Route] = []
        clashes: list[Clash] = []
        refused: dict[str, str] = {}
        for contract in contracts:
            try:
                found = routes_of(contract)
            except ContractError as error:
                refused[contract.service] = str(error)
                continue
            for route in found:
                node = roots.setdefault(route.action, _Node())
                for segment in route.segments:
                    node = node.child(segment)
                owner = node.routes.setdefault(route.verb, route)
                if owner is route:
                    kept.append(route)
                else:
                    clashes.append(Clash(route, owner))
        return cls(tuple(kept), tuple(clashes), refused, roots)

    def match(self, verb: str, path: str) -> Matched | MethodNotAllowed | None:
        """Find the route of a path as it was sent, percent-encoded and without its query.

        Literals go before parameters, and the most literal path that exists decides, whatever its methods.
        HEAD is answered by the route of GET.
        """
        raw = path.split("/")[1:]
        if len(raw) > SEGMENTS_MAX or not path.startswith("/"):
            return None
        encoded = "%" in path
        try:
            segments = [unquote(each, errors="strict") for each in raw] if encoded else raw
        except UnicodeDecodeError:
            return None
        action, node = "", None
        head, colon, tail = segments[-1].rpartition(":")
        if colon and tail in self._roots:
            action, node = tail, _find(self._roots[tail], [*segments[:-1], head], 0)
        if node is None:
            action, node = "", _find(self._roots[""], segments, 0)
        if node is None:
            return None
        route = node.routes.get("GET" if verb == "HEAD" else verb)
        if route is None:
            return MethodNotAllowed(_allowed(node.routes))
        if action:
            segments, raw = [*segments[:-1], head], [*raw[:-1], raw[-1][: -len(action) - 1]]
        return Matched(route, _params(route, segments, raw))


@lru_cache(maxsize=CONTRACTS_MAX)
def routes_of(contract: Contract) -> tuple[Route, ...]:
    """The routes of one contract, compiled once. Raises `ContractError` for what cannot be served."""
    with refusing(contract.service):
        codecs = Codecs(contract)
        return tuple(_route(method, binding, codecs) for method in contract.methods for binding in method.bindings)


def _route(method: Method, binding: Binding, codecs: Codecs) -> Route:
    segments, variables, action = parse(binding.template)
    transcoder = Transcoder(
        method,
        binding,
        codecs,
        # To a raw method the path is a path, whatever stands in it.
        params=() if method.is_raw else tuple(each.path for each in variables),
        is_alias=not binding.template.startswith(f"{BASE_PATH}/"),
        canonical=_canonical(method),
    )
    return Route(method.contract, method, binding, variables, segments, action, transcoder)


def parse(template: str) -> tuple[tuple[str, ...], tuple[Variable, ...], str]:
    """Split a path template of `google.api.http` into segments, variables and the action after a colon."""
    variables: list[Variable] = []
    segments: list[str] = []
    verb = _VERB.search(template)
    action = verb.group(1) if verb else ""
    rest = template[: -len(action) - 1] if action else template
    if not rest.startswith("/"):
        raise ContractError(f"{template}: a path starts with a slash")
    position = 1
    while position <= len(rest):
        found = _VARIABLE.match(rest, position)
        if found:
            inner = (found.group(2) or _ONE).split("/")
            end = None if inner[-1] == _REST else len(segments) + len(inner)
            variables.append(Variable(found.group(1), len(segments), end))
            segments += inner
            position = found.end()
        else:
            end_at = rest.find("/", position)
            end_at = len(rest) if end_at < 0 else end_at
            segments.append(rest[position:end_at])
            position = end_at
        if position < len(rest) and rest[position] != "/":
            raise ContractError(f"{template}: a variable takes whole segments")
        position += 1
    _check(template, segments, variables)
    return tuple(segments), tuple(variables), action


def _check(template: str, segments: list[str], variables: list[Variable]) -> None:
    if _REST in segments[:-1]:
        raise ContractError(f"{template}: only the last segment can be **")
    if any(("{" in each or "}" in each or "*" in each) and each not in {_ONE, _REST} for each in segments):
        raise ContractError(f"{template}: not a path template")
    if len({each.path for each in variables}) != len(variables):
        raise ContractError(f"{template}: a variable stands twice")


def _canonical(method: Method) -> str | None:
    for binding in method.bindings:
        if binding.template.startswith(f"{BASE_PATH}/"):
            return binding.template
    return None


def _find(node: _Node, segments: list[str], at: int) -> _Node | None:
    if at == len(segments):
        return node if node.routes else None
    segment = segments[at]
    child = node.literals.get(segment)
    if child is not None:
        found = _find(child, segments, at + 1)
        if found is not None:
            return found
    if node.one is not None and segment:
        found = _find(node.one, segments, at + 1)
        if found is not None:
            return found
    return node.rest


def _params(route: Route, segments: list[str], raw: list[str]) -> dict[str, str]:
    params: dict[str, str] = {}
    for variable in route.variables:
        if variable.end == variable.start + 1:
            params[variable.path] = segments[variable.start]
        else:
            # In a parameter of many segments an encoded slash is not a separator: it stays encoded.
            taken = raw[variable.start : variable.end]
            params[variable.path] = "/".join(
                "%2F".join(unquote(part, errors="strict") for part in _RESERVED.split(each)) for each in taken
            )
    return params


def _allowed(routes: Mapping[str, Route]) -> tuple[str, ...]:
    return tuple(sorted({*routes, *(("HEAD",) if "GET" in routes else ())}))
