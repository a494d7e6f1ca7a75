"""What identity costs: sign-ins, refreshes, tokens and passes, beside what Keycloak and Zitadel publish.

The suite is a whole `switchyard up`. Workers call it over HTTP as clients do, or auth over gRPC as the gateway does,
one call after the other on a connection that is kept; what follows behind the answer (events, the trail) is counted.
"""

import json
import tempfile
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path
from statistics import median
from typing import Any
from urllib.parse import urlencode

import argon2
import grpc.aio
from joserfc.jwk import KeySet, OKPKey, RSAKey
from rich.console import Console
from rich.table import Table
from switchyard.auth.v1 import auth_pb2, auth_pb2_grpc
from uuid_utils.compat import uuid7

from bench import report
from bench.callers import Caller, Work, measure
from bench.load import WrongAnswer
from bench.suite import Suite
from chassis import identity
from chassis.credentials import Credentials
from cli.api import Api, ApiError
from gateway import passes
from services.auth import access_tokens, sessions
from services.auth.models import Session
from services.auth.settings import AuthSettings

# As many as there are demo users: an account's failures are counted, and an attempt is one until it succeeds.
PEOPLE = 8
CALLERS = 16
REPEATS = 5
# A process that takes less of the whole is not named.
SHOWN_SHARE = 0.02
DATABASE = "postgres"
OAUTH_MISSING = "there is no token endpoint yet"

# A second and vCPU, without their databases. Keycloak 26: "Concepts for sizing CPU and memory resources"; Zitadel
# 4.17.1: its published benchmark, on 7 containers of 6 vCPU.
PUBLISHED = {
    "login": {"Keycloak": 15, "Zitadel": 39},
    "refresh": {"Keycloak": 120},
    "client credentials": {"Keycloak": 120, "Zitadel": 424},
}
_HEADINGS = ("", "a second", "p50 ms", "p99 ms", "CPU µs", "a second and core", "without PostgreSQL", "published")
_METHOD = """
Written by `make bench` (alone: `python -m bench identity`), {seconds:g} s each after a warm-up, {people} people or
{callers} callers at once. The suite runs as `switchyard up` starts it, its rate limits out of the way, PostgreSQL with
fsync. **CPU µs** is user and system time of all processes for one call, PostgreSQL's, the trail's and the events'
included; **a second and core** is what a core would do of it. The generator's own CPU is not counted, though it takes
its share of this machine's cores: **a second** is less than the machine could do.

- **login**: `POST /api/v1/auth/login`, a right password: one Argon2id of {argon2} ({hash_ms:.0f} ms of one core
  here), a session, two tokens, the trail. Keycloak's default is Argon2id of 7 MiB, t=5, p=1, which OWASP holds for
  equally strong; Zitadel does not say with which hash it measured.
- **refresh**: `POST /api/v1/auth/refresh`: each worker spends the token of its last answer (rotation, reuse detected).
- **client credentials**: `POST /oauth/token` by a confidential client.
- **pass, cold**: auth's `ExchangeToken` over gRPC, the first thing any request needs: the token is verified, its
  session and memberships read, a pass signed. The gateway keeps the pass (below) and renews it once a minute.

The published figures are those of other machines, and do not count the database. No TLS here; Keycloak says that client
credentials cost it most in new TLS connections.
"""


async def run(seconds: float, say: Callable[[str], None]) -> dict[str, Any]:
    """Everything, in about a minute. Raises `WrongAnswer` or `bench.suite.SuiteError`."""
    rows, notes = [], []
    async with AsyncExitStack() as stack:
        suite = await Suite.start(Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="switchyard-bench-"))))
        stack.push_async_callback(suite.stop)
        people = suite.people()
        callers = [await Caller.open(stack, suite.port) for _ in range(PEOPLE)]
        makers = {"login": _logins, "refresh": _refreshes, "client credentials": _client_credentials}
        for name, make in makers.items():
            try:
                workers = await make(suite, callers, people)
            except ApiError as missing:
                notes.append(f"{name}: {OAUTH_MISSING} ({missing.status})")
                continue
            rows.append(await measure(name, workers, suite.watch(), seconds))
            say(_line(rows[-1]))
        channel = await stack.enter_async_context(grpc.aio.insecure_channel(suite.address_of(suite.login(), "auth")))
        for name, request in _exchanges(suite).items():
            stub = auth_pb2_grpc.AuthServiceStub(channel)
            rows.append(await measure(name, [_exchange(stub, request)] * CALLERS, suite.watch(), seconds))
            say(_line(rows[-1]))
        found_us = await _found_us(suite)
    return {
        "rows": rows,
        "notes": notes,
        "seconds": seconds,
        "alone_us": {**found_us, **await alone_us()},
        "hash_ms": hash_ms(),
    }


async def _logins(_suite: Suite, callers: list[Caller], people: list[dict[str, str]]) -> list[Work]:
    def login(caller: Caller, person: dict[str, str]) -> Work:
        body = json.dumps({"email": person["email"], "password": person["password"]}).encode()

        async def work() -> None:
            answer = await caller.post("/api/v1/auth/login", body)
            if answer["data"]["user"]["email"] != person["email"]:
                raise WrongAnswer(f"login: {answer}")

        return work

    return [login(caller, person) for caller, person in zip(callers, people, strict=True)]


async def _refreshes(_suite: Suite, callers: list[Caller], people: list[dict[str, str]]) -> list[Work]:
    async def refresh(caller: Caller, person: dict[str, str]) -> Work:
        asked = json.dumps({"email": person["email"], "password": person["password"]}).encode()
        token = (await caller.post("/api/v1/auth/login", asked))["data"]["refresh_token"]

        async def work() -> None:
            nonlocal token
            answer = await caller.post("/api/v1/auth/refresh", json.dumps({"refresh_token": token}).encode())
            spent, token = token, answer["data"]["refresh_token"]
            if spent == token:
                raise WrongAnswer("refresh: the token is the same")

        return work

    return [await refresh(caller, person) for caller, person in zip(callers, people, strict=True)]


async def _client_credentials(suite: Suite, callers: list[Caller], people: list[dict[str, str]]) -> list[Work]:
    admin = next(person for person in people if person["role"] == "admin")
    api = Api(suite.url).login(admin["email"], admin["password"]).in_tenant(admin["tenant_id"])
    wanted = {"name": "Benchmark", "confidential": True, "grant_types": ["client_credentials"], "role": "staff"}
    client = api.call("POST", "/api/v1/oauth/clients", {**wanted, "scopes": ["orders.*"]})
    form = {"grant_type": "client_credentials", "client_id": client["id"], "client_secret": client["secret"]}
    body = urlencode(form).encode()

    def grant(caller: Caller) -> Work:
        async def work() -> None:
            answer = await caller.post("/oauth/token", body, "application/x-www-form-urlencoded")
            if not answer.get("access_token"):
                raise WrongAnswer(f"client credentials: {answer}")

        return work

    return [grant(caller) for caller in callers]


def _exchanges(suite: Suite) -> dict[str, auth_pb2.ExchangeTokenRequest]:
    api = suite.login()
    return {
        "pass of a person, cold": auth_pb2.ExchangeTokenRequest(credential=api.token, tenant_id=api.tenant_id),
        "pass of a kiosk, cold": auth_pb2.ExchangeTokenRequest(credential=suite.kiosk_token()),
    }


def _exchange(stub: Any, request: auth_pb2.ExchangeTokenRequest) -> Work:
    async def work() -> None:
        issued = await stub.ExchangeToken(request, timeout=10)
        if not issued.token:
            raise WrongAnswer("an exchange without a pass")

    return work


# What is too short to be seen over a network: in this process, alone.


async def _found_us(suite: Suite) -> dict[str, float]:
    """How long the gateway takes to find a pass that it keeps."""
    api = suite.login()
    auth = passes.Auth(suite.address_of(api, "auth"))
    credentials = Credentials(suite.address_of(api, "auth"), "")
    try:
        kept = passes.Passes(auth, identity.Verifier(credentials.keys))
        asked = passes.Asked(api.token, api.tenant_id)
        await kept.get(asked)
        return {"pass, kept (gateway)": _us(lambda: kept.find(asked), 20_000)}
    finally:
        await credentials.close()
        await auth.close()


async def alone_us() -> dict[str, float]:
    """Signatures and what avoids them, in microseconds."""
    key = OKPKey.generate_key("Ed25519", parameters={"kid": "bench"}, auto_kid=False)
    rsa = RSAKey.generate_key(2048, parameters={"kid": "rsa"}, auto_kid=False)
    document = {"keys": [each.as_dict(private=False) for each in (key, rsa)]}
    permissions = frozenset(f"bench.things{number}.read" for number in range(20))
    person = identity.Principal("user", str(uuid7()), uuid7(), str(uuid7()), ("staff",), permissions)
    pass_ = identity.sign_pass(person, key)
    access = sessions.sign_access(key, Session(id=uuid7(), user_id=uuid7()), identity.ISSUER)
    verifier = identity.Verifier(_answering(document))
    await verifier.verify(pass_)
    keys = verifier._keys  # noqa: SLF001 - what `verify` does when it has not seen the pass
    assert keys is not None
    return {
        "pass, signed (auth)": _us(lambda: identity.sign_pass(person, key), 500),
        "pass, verified for the first time": _us(lambda: verifier._decode(pass_, keys), 500),  # noqa: SLF001
        "pass, seen before": _us(lambda: verifier.cached(pass_), 20_000),
        "access token, verified (auth)": _us(
            lambda: access_tokens.read(access, KeySet([key, rsa]), identity.ISSUER), 500
        ),
    }


def _answering(document: dict[str, Any]) -> identity.FetchKeys:
    async def fetch() -> dict[str, Any]:
        return document

    return fetch


def _us(work: Callable[[], object], times: int) -> float:
    """Microseconds of CPU, so that what else the machine does is not counted."""
    rounds = []
    for _ in range(REPEATS):
        began = time.process_time()
        for _ in range(times):
            work()
        rounds.append((time.process_time() - began) * 1e6 / times)
    return median(rounds)


def _costs() -> tuple[int, int]:
    """Memory in KiB and passes of a password's hash, as auth uses them unless it is told otherwise."""
    fields = AuthSettings.model_fields
    return fields["argon2_memory_kib"].default, fields["argon2_time_cost"].default


def _argon2() -> str:
    memory_kib, time_cost = _costs()
    return f"{memory_kib // 1024} MiB, t={time_cost}, p=1"


def hash_ms() -> float:
    """What one verification of a password takes of one core."""
    memory_kib, time_cost = _costs()
    hasher = argon2.PasswordHasher(time_cost=time_cost, memory_cost=memory_kib, parallelism=1)
    hashed = hasher.hash("correct horse battery staple")
    return _us(lambda: hasher.verify(hashed, "correct horse battery staple"), 10) / 1e3


# The figures.


def show(result: dict[str, Any]) -> None:
    """Print the tables."""
    table = Table(*_HEADINGS)
    for row in _cells(result):
        table.add_row(*row)
    alone = Table("in one process", "µs")
    for name, took_us in result["alone_us"].items():
        alone.add_row(name, f"{took_us:,.1f}")
    Console(width=max(Console().width, 140)).print(table, alone, *_remarks(result), sep="\n")


def document(result: dict[str, Any]) -> str:
    """The chapter of `bench/RESULTS.md`."""
    told = {"seconds": result["seconds"], "people": PEOPLE, "callers": CALLERS, "hash_ms": result["hash_ms"]}
    alone = [[name, f"{took_us:,.1f}"] for name, took_us in result["alone_us"].items()]
    parts = [
        "## Identity",
        report.markdown(_HEADINGS, _cells(result)),
        report.markdown(("in one process", "µs"), alone),
        "\n".join(f"- {remark}" for remark in _remarks(result)),
        _METHOD.strip().format(argon2=_argon2(), **told),
    ]
    return "\n\n".join(parts)


def _cells(result: dict[str, Any]) -> list[list[str]]:
    return [
        [
            row["name"],
            f"{row['per_s']:,.0f}",
            f"{row['p50_ms']:.1f}",
            f"{row['p99_ms']:.1f}",
            f"{_total(row):,.0f}",
            f"{1e6 / _total(row):,.0f}",
            f"{1e6 / (_total(row) - row['cpu_us'][DATABASE]):,.0f}",
            ", ".join(f"{name} {figure}" for name, figure in PUBLISHED.get(row["name"], {}).items()),
        ]
        for row in result["rows"]
    ]


def _remarks(result: dict[str, Any]) -> list[str]:
    """Where the CPU goes, and what was not there."""
    remarks = [f"one Argon2id of {_argon2()}: {result['hash_ms']:.1f} ms of one core"]
    for row in result["rows"]:
        shares = sorted(row["cpu_us"].items(), key=lambda share: -share[1])
        shown = ", ".join(f"{name} {used:,.0f}" for name, used in shares if used >= _total(row) * SHOWN_SHARE)
        remarks.append(f"{row['name']}: CPU µs {shown}")
    return [*remarks, *result["notes"]]


def _line(row: dict[str, Any]) -> str:
    return f"{row['name']}: {row['per_s']:.0f}/s, {_total(row):.0f} µs"


def _total(row: dict[str, Any]) -> float:
    return float(sum(row["cpu_us"].values()))
