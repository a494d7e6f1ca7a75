"""The same HTTP through Envoy's grpc_json_transcoder and through ours: the same request arrives, the same JSON returns.

What differs on purpose carries a tag of `envoy_deviations.md`.
"""

import asyncio
import json
import random
import re
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import pytest
import pytest_asyncio
from google.api import annotations_pb2  # type: ignore[import-untyped] # ships no types
from google.protobuf import descriptor_pb2
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from gateway import wellknown
from gateway.errors import Problem
from gateway.fields import value_field
from gateway.routes import Matched, RouteTable

ENVOY = Path(sys.executable).parent / "envoy"
DEVIATIONS = (Path(__file__).parent / "envoy_deviations.md").read_text()
ID = "01980000-0000-7000-8000-000000000001"
TYPES = "type.googleapis.com/envoy.extensions"
# Nothing but tests uses these ports, and the kernel gives out none of them by itself.
PORTS = range(20_000, 32_000)


class EchoHandler(grpc.GenericRpcHandler):
    """Answers every method with `answer`, or with its own request, and remembers that request."""

    def __init__(self) -> None:
        self.seen: bytes | None = None
        self.answer: bytes | None = None

    def service(self, details: grpc.HandlerCallDetails) -> "grpc.RpcMethodHandler[bytes, bytes]":
        async def echo(request: bytes, _: object) -> bytes:
            self.seen = request
            return request if self.answer is None else self.answer

        return grpc.unary_unary_rpc_method_handler(echo)


@dataclass
class Envoy:
    client: httpx.AsyncClient
    echo: EchoHandler


@dataclass(frozen=True)
class Case:
    """`differs`: the tag of a deviation by which ours refuses what Envoy takes."""

    verb: str
    path: str
    body: object = None
    differs: str = ""
    answer: dict[str, Any] | None = field(default=None)

    def raw(self) -> bytes:
        if self.body is None:
            return b""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()

    def __str__(self) -> str:
        body = "" if self.body is None else f" {self.raw()[:60].decode('utf-8', 'replace')}"
        return f"{self.verb} {self.path[:60]}{body}"


def free_port() -> int:
    for port in random.sample(PORTS, 100):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) != 0:
                return port
    message = "no free port"
    raise RuntimeError(message)


def configuration(port: int, upstream: int, descriptor_set: Path) -> dict[str, Any]:
    transcoder = {
        "@type": f"{TYPES}.filters.http.grpc_json_transcoder.v3.GrpcJsonTranscoder",
        "proto_descriptor": str(descriptor_set),
        "services": ["acme.pets.v1.PetsService", "acme.pets.v1.EchoService"],
        "print_options": {"always_print_primitive_fields": True, "preserve_proto_field_names": True},
        "url_unescape_spec": "ALL_CHARACTERS",
        "request_validation_options": {"reject_unknown_method": True, "reject_unknown_query_parameters": True},
    }
    router = {"@type": f"{TYPES}.filters.http.router.v3.Router"}
    manager = {
        "@type": f"{TYPES}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "t",
        "route_config": {
            "virtual_hosts": [
                {"name": "t", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "echo"}}]}
            ]
        },
        "http_filters": [
            {"name": "transcoder", "typed_config": transcoder},
            {"name": "router", "typed_config": router},
        ],
    }
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    backend = {"socket_address": {"address": "127.0.0.1", "port_value": upstream}}
    http2 = {
        "@type": f"{TYPES}.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http2_protocol_options": {}},
    }
    cluster = {
        "name": "echo",
        "type": "STATIC",
        "typed_extension_protocol_options": {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2},
        "load_assignment": {
            "cluster_name": "echo",
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": backend}}]}],
        },
    }
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    return {
        "static_resources": {
            "listeners": [{"name": "t", "address": address, "filter_chains": [chain]}],
            "clusters": [cluster],
        }
    }


@pytest.fixture(scope="module")
def envoy_folder(tmp_path_factory: pytest.TempPathFactory, descriptor_set: bytes) -> Path:
    folder = tmp_path_factory.mktemp("envoy")
    file_set = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set)
    for method in (each for file in file_set.file for service in file.service for each in service.method):
        rule = method.options.Extensions[annotations_pb2.http]
        # Deviation `response-body`.
        rule.ClearField("response_body")
        bindings = rule.additional_bindings
        for binding in [each for each in bindings if each.get.endswith("/")]:
            # Deviation `slash`: Envoy refuses to start with such a template.
            bindings.remove(binding)
    (folder / "pets.binpb").write_bytes(file_set.SerializeToString())
    return folder


@pytest.fixture(scope="module")
def start_envoy(envoy_folder: Path) -> Iterator[Callable[[int, int], subprocess.Popen[bytes]]]:
    started: list[subprocess.Popen[bytes]] = []

    def start(port: int, upstream: int) -> subprocess.Popen[bytes]:
        config = envoy_folder / "envoy.json"
        config.write_text(json.dumps(configuration(port, upstream, envoy_folder / "pets.binpb")))
        command = [str(ENVOY), "--config-path", str(config), "--disable-hot-restart", "--concurrency", "1"]
        with (envoy_folder / "log").open("wb") as log:
            started.append(subprocess.Popen([*command, "--log-level", "error"], stdout=log, stderr=log))
        return started[-1]

    yield start
    for each in started:
        each.kill()
        each.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def envoy(envoy_folder: Path, start_envoy: Callable[[int, int], subprocess.Popen[bytes]]) -> AsyncIterator[Envoy]:
    echo = EchoHandler()
    server = grpc.aio.server(handlers=[echo])
    upstream, port = server.add_insecure_port("127.0.0.1:0"), free_port()
    await server.start()
    process = start_envoy(port, upstream)
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            await _answers(client, process, envoy_folder / "log")
            yield Envoy(client, echo)
    finally:
        await server.stop(None)


async def _answers(client: httpx.AsyncClient, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        assert process.poll() is None, log.read_text()
        try:
            response = await client.get("/echo")
        except httpx.TransportError:
            await asyncio.sleep(0.05)
            continue
        if response.status_code == 200:
            return
        await asyncio.sleep(0.05)
    raise AssertionError(log.read_text())


def normal(message: Descriptor, value: Any) -> Any:
    """Envoy's JSON with the listed deviations applied."""
    special = _normal_leaf(message.full_name, value)
    if special is not None:
        return special[0]
    found: dict[str, Any] = {}
    for name, each in value.items():
        known = message.fields_by_name[name]
        if known.is_repeated and isinstance(each, dict):
            of_value = value_field(known)
            found[name] = {key: _normal_value(of_value, inner) for key, inner in each.items()}
        elif known.is_repeated:
            found[name] = [_normal_value(known, inner) for inner in each]
        else:
            found[name] = _normal_value(known, each)
    return {name: each for name, each in found.items() if each is not _DROPPED}


_DROPPED = object()


def _normal_leaf(name: str, value: Any) -> tuple[Any] | None:
    match name.removeprefix("google.protobuf."):
        case "Timestamp":
            head, _, fraction = value.removesuffix("Z").partition(".")
            return (f"{head}.{fraction.ljust(3, '0')[:3]}Z",)
        case "Duration":
            return (re.sub(r"(\.\d*?)0+s$", r"\1s", value).replace(".s", "s"),)
        case "FieldMask":
            return (re.sub(r"[A-Z]", lambda found: f"_{found.group().lower()}", value),)
        case "Int64Value" | "UInt64Value":
            return (int(value),)
        case "Struct" | "Value" | "ListValue":
            return (value,)
        case _:
            return (value,) if name.startswith("google.protobuf.") else None


def _normal_value(known: FieldDescriptor, value: Any) -> Any:
    if known.message_type is not None:
        return normal(known.message_type, value)
    if known.enum_type is not None:
        words = wellknown.enum_words(known.enum_type)
        return words.get(known.enum_type.values_by_name[value].number, _DROPPED)
    whole = {FieldDescriptor.CPPTYPE_INT64, FieldDescriptor.CPPTYPE_UINT64}
    return int(value) if known.cpp_type in whole else value


def ours(table: RouteTable, case: Case) -> tuple[Message, dict[str, Any]] | int:
    """The request and the answer, or the status of a refusal."""
    path, _, query = case.path.partition("?")
    found = table.match(case.verb, path)
    if not isinstance(found, Matched):
        return 404
    try:
        call = found.route.transcoder.decode(found.params, query, case.raw())
    except Problem as problem:
        return problem.status
    message = call.message if case.answer is None else found.route.response(**case.answer)
    answer = json.loads(found.route.transcoder.encode(call, message, request_id="r").body)
    return call.message, answer if found.route.is_alias else answer["data"]


def echoed(name: str, value: object, *, differs: str = "") -> Case:
    return Case("POST", "/echo", {name: value}, differs)


DEEP: dict[str, Any] = {"text": "x"}
for _level in range(28):
    DEEP = {"more": [DEEP]}

SAME = [
    Case("POST", "/echo", {}),
    Case("POST", "/echo", b""),
    echoed("text", "héllo \U0001f600 \u2028"),
    echoed("text", ""),
    Case("POST", "/echo", {"flag": True}),
    echoed("int32_value", -(2**31)),
    echoed("int32_value", 2**31 - 1),
    echoed("int64_value", 2**53 - 1),
    echoed("int64_value", -(2**53) + 1),
    echoed("int64_value", 5.0),
    echoed("int32_value", 1e3),
    echoed("uint32_value", 2**32 - 1),
    echoed("uint64_value", 2**53 - 1),
    echoed("sint32_value", -7),
    echoed("fixed64_value", 7),
    echoed("double_value", 0.1),
    echoed("double_value", 3),
    echoed("double_value", -1.5e300),
    echoed("float_value", 0.1),
    echoed("data", "AP8="),
    echoed("data", ""),
    echoed("inner", {"text": "a", "more": [{"number": 5}, {}]}),
    echoed("inner", {}),
    echoed("inner", None),
    echoed("texts", ["a", "", "c"]),
    echoed("texts", []),
    echoed("numbers", [1, -2, 3]),
    echoed("inners", [{"text": "a"}, {"text": "b", "more": []}]),
    echoed("labels", {"a": "b", "": "c", "d.e": "f"}),
    echoed("numbered", {"-5": {"text": "a"}, "7": {}}),
    echoed("answers", {"true": 1, "false": 0}),
    echoed("maybe_text", ""),
    echoed("maybe_text", None),
    echoed("maybe_number", 0),
    echoed("left", ""),
    echoed("right", {"text": "x"}),
    echoed("at", "2026-11-21T04:21:31Z"),
    echoed("at", "2026-11-21T04:21:31.5Z"),
    echoed("at", "2026-11-21T04:21:31.123456789+05:30"),
    echoed("at", "1969-12-31T23:59:59.999Z"),
    echoed("at", "0001-01-01T00:00:00Z"),
    echoed("at", "9999-12-31T23:59:59Z"),
    echoed("from", "2026-11-21T04:21:31Z"),
    echoed("times", ["2026-11-21T04:21:31Z", "1970-01-01T00:00:00Z"]),
    echoed("lasts", "1.5s"),
    echoed("lasts", "-0.25s"),
    echoed("lasts", "90s"),
    echoed("free", {"a": [1, None, "x", {"b": True}], "c": 1.5, "d": {}}),
    echoed("any_value", "x"),
    echoed("any_value", [1, {"a": None}]),
    echoed("any_value", None),
    echoed("list", [1, "a", [None]]),
    echoed("mask", "text,inner"),
    echoed("wrapped_text", ""),
    echoed("wrapped_number", 7),
    Case("POST", "/echo", {"wrapped_flag": False}),
    echoed("wrapped_data", "AP8="),
    echoed("wrapped_double", 2.5),
    echoed("nothing", {}),
    Case("GET", "/echo?text=a%20b&flag=true&int64_value=-5"),
    Case("GET", "/echo?text=a%2Bc%26d%3De"),
    Case("GET", "/echo?text=%C3%A9%F0%9F%98%80"),
    Case("GET", "/echo?texts=a&texts=b&numbers=1&numbers=2"),
    Case("GET", "/echo?inner.text=x&inner.number=3"),
    Case("GET", "/echo?double_value=1.5&maybe_number=0"),
    Case("GET", "/echo?at=2026-11-21T04:21:31Z&lasts=3s"),
    Case("GET", "/echo?wrapped_number=7&wrapped_text=x"),
    Case("GET", "/echo/text/abc"),
    Case("GET", "/echo/text/a%20b%C3%A9"),
    Case("GET", "/echo/text/a%2Fb"),
    Case("GET", "/echo/text/a.b-c_d~e"),
    Case("GET", "/echo/text/abc?flag=true&inner.text=q"),
    Case("GET", "/echo/-5/nested/x"),
    Case("GET", "/echo/rest/a/b/c"),
    Case("GET", "/echo/shelf/shelves/7/end"),
    Case("POST", "/echo/abc:again"),
    Case("POST", "/echo/inner/abc", {"text": "in", "number": 2}),
    Case("POST", "/echo/inner/abc?int32_value=4&texts=a", {"text": "in"}),
    Case("PUT", "/echo/whole/abc", {"flag": True, "inner": {"text": "x"}}),
    Case("POST", "/api/v1/pets", {"name": "Rex", "weight": 5, "tags": ["a"]}, answer={"id": "1", "kind": 2}),
    Case("POST", f"/api/v1/pets/{ID}:feed", {"grams": 5}, answer={"id": "1", "weight": 2**40}),
    Case("GET", f"/api/v1/pets/{ID}", answer={"id": "1", "name": "x", "price": {"amount": 7}, "version": 3}),
    Case("GET", f"/pets/{ID}", answer={"id": "1", "house": 4}),
    Case("GET", "/api/v1/pets?page_size=5&tags=a&filter.weight=3", answer={"pets": [{"id": "1"}], "total": 3}),
    Case("GET", "/api/v1/files/a/b.txt", answer={"path": "x"}),
    Case("GET", "/api/v1/shelves/shelves/1/books/2/cover", answer={"path": "y"}),
    Case("PUT", f"/api/v1/pets/{ID}/tags", ["a", "b"], answer={"tags": ["c"]}),
]

# Envoy sees the enum's own name where ours sees the word of the API.
WORDS = [
    (echoed("kind", "big_dog"), echoed("kind", "PET_KIND_BIG_DOG")),
    (echoed("colour", "dark_blue"), echoed("colour", "DARK_BLUE")),
    (echoed("kinds", ["cat", "big_dog"]), echoed("kinds", ["PET_KIND_CAT", "PET_KIND_BIG_DOG"])),
    (echoed("kinds_by_name", {"a": "cat"}), echoed("kinds_by_name", {"a": "PET_KIND_CAT"})),
    (echoed("maybe_kind", "cat"), echoed("maybe_kind", "PET_KIND_CAT")),
    (Case("GET", "/echo?kind=cat&kinds=cat"), Case("GET", "/echo?kind=PET_KIND_CAT&kinds=PET_KIND_CAT")),
    (echoed("mask", "inner.int32_value"), echoed("mask", "inner.int32Value")),
]

REFUSED = [
    Case("POST", "/echo", b"{"),
    Case("POST", "/echo", b"[]"),
    Case("POST", "/echo", b'"x"'),
    Case("POST", "/echo", b'{"text": "a"} x'),
    Case("POST", "/echo", b'{"text": "\xff"}'),
    echoed("text", {}),
    echoed("text", ["a"]),
    echoed("flag", 1),
    echoed("int32_value", 5.5),
    echoed("int32_value", 2**31),
    echoed("int32_value", "x"),
    echoed("int64_value", 2**64),
    echoed("uint32_value", -1),
    echoed("uint64_value", -1),
    echoed("double_value", "x"),
    echoed("float_value", 1e39),
    echoed("data", "!!!!"),
    echoed("kind", "PET_KIND_FISH"),
    echoed("kind", {}),
    echoed("inner", "x"),
    echoed("labels", ["a"]),
    echoed("numbered", {"x": {}}),
    echoed("at", "2026-11-21"),
    echoed("at", "2026-13-21T04:21:31Z"),
    echoed("at", "2026-02-29T04:21:31Z"),
    echoed("at", 5),
    echoed("lasts", "5"),
    echoed("free", []),
    echoed("wrapped_flag", "x"),
    Case("POST", "/echo", {"left": "a", "right": {}}),
    Case("GET", "/echo?zz=1"),
    Case("GET", "/echo?text=a&text=b"),
    Case("GET", "/echo?inner.zz=1"),
    Case("GET", "/echo?int32_value=x"),
    Case("GET", "/echo?flag=maybe"),
    Case("GET", "/echo?kind=PET_KIND_FISH"),
    Case("GET", "/echo/x/nested/y"),
    Case("GET", "/nowhere"),
    Case("GET", "/echo/text/a/b"),
    Case("DELETE", "/echo"),
]

OURS_REFUSES = [
    echoed("kind", "PET_KIND_CAT", differs="enum-word"),
    echoed("kind", 1, differs="enum-word"),
    echoed("kind", "PET_KIND_UNSPECIFIED", differs="enum-word"),
    echoed("int32_value", "5", differs="int-text"),
    echoed("int64_value", "5", differs="int-text"),
    echoed("wrapped_number", "5", differs="int-text"),
    echoed("int64_value", 2**53, differs="int-exact"),
    echoed("uint64_value", 2**63, differs="int-exact"),
    echoed("double_value", "1.5", differs="number-text"),
    echoed("double_value", "NaN", differs="number-text"),
    echoed("flag", None, differs="null"),
    echoed("text", None, differs="null"),
    echoed("texts", None, differs="null"),
    echoed("int32Value", 5, differs="camel"),
    echoed("data", "AP8", differs="base64"),
    echoed("data", "_-8=", differs="base64"),
    echoed("text", "a\u0000b", differs="nul"),
    echoed("inner", DEEP, differs="depth"),
    Case("PUT", "/echo/whole/abc", {"text": "abc"}, differs="body-param"),
    Case("POST", "/echo", b"{'text': 'a'}", differs="json"),
    echoed("numeral", 5, differs="unknown"),
    echoed("flag", "yes", differs="bool-text"),
    echoed("inners", {"text": "a"}, differs="list"),
    echoed("list", {}, differs="list"),
    echoed("answers", {"yes": 1}, differs="bool-text"),
    Case("PUT", "/echo/whole/x?flag=true", {}, differs="star-query"),
]


async def through(envoy: Envoy, case: Case, answer: bytes | None = None) -> tuple[int, bytes | None, Any]:
    envoy.echo.seen, envoy.echo.answer = None, answer
    headers = {"content-type": "application/json"} if case.body is not None else {}
    response = await envoy.client.request(case.verb, case.path, content=case.raw() or None, headers=headers)
    if response.status_code != 200:
        return response.status_code, None, None
    return 200, envoy.echo.seen, response.json()


async def compare(envoy: Envoy, table: RouteTable, case: Case, theirs: Case) -> None:
    result = ours(table, case)
    assert not isinstance(result, int), f"ours refuses with {result}"
    message, answer = result
    found = table.match(case.verb, case.path.partition("?")[0])
    assert isinstance(found, Matched)
    packed = None if case.answer is None else found.route.response(**case.answer).SerializeToString()
    status, seen, their_answer = await through(envoy, theirs, packed)
    assert status == 200
    assert type(message).FromString(seen or b"") == message
    output = found.route.method.output
    if found.route.binding.response_body:
        assert answer == their_answer[found.route.binding.response_body]
    elif found.route.transcoder.is_list and not found.route.is_alias:
        assert answer == normal(output, their_answer)[found.route.transcoder.items.name]  # type: ignore[union-attr]
    else:
        assert answer == normal(output, their_answer)


class TestSame:
    @pytest.mark.parametrize("case", SAME, ids=str)
    async def test_request_and_answer(self, envoy: Envoy, table: RouteTable, case: Case) -> None:
        await compare(envoy, table, case, case)

    @pytest.mark.parametrize(("mine", "theirs"), WORDS, ids=str)
    async def test_but_for_the_spelling(self, envoy: Envoy, table: RouteTable, mine: Case, theirs: Case) -> None:
        await compare(envoy, table, mine, theirs)


class TestRefused:
    @pytest.mark.parametrize("case", REFUSED, ids=str)
    async def test_by_both(self, envoy: Envoy, table: RouteTable, case: Case) -> None:
        status, _, _ = await through(envoy, case)

        # 502 is what Envoy makes of one field given twice.
        assert status in {400, 404, 405, 415, 502}
        assert ours(table, case) in {404, 422}


class TestDeviations:
    @pytest.mark.parametrize("case", OURS_REFUSES, ids=str)
    async def test_refused_by_ours_alone(self, envoy: Envoy, table: RouteTable, case: Case) -> None:
        status, _, _ = await through(envoy, case)

        assert status == 200, "Envoy refuses too: no deviation any more"
        assert ours(table, case) == 422
        assert f"| `{case.differs}` |" in DEVIATIONS

    async def test_a_plus_in_a_query_is_a_space(self, envoy: Envoy, table: RouteTable) -> None:
        case = Case("GET", "/echo?text=a+b")

        _, _, theirs = await through(envoy, case)

        result = ours(table, case)
        assert not isinstance(result, int)
        assert (theirs["text"], result[1]["text"]) == ("a+b", "a b")
        assert "| `plus` |" in DEVIATIONS

    def test_each_has_its_reason(self) -> None:
        assert {each.differs for each in OURS_REFUSES} <= set(
            re.findall(r"^\| `([a-z0-9-]+)` \|", DEVIATIONS, re.MULTILINE)
        )
