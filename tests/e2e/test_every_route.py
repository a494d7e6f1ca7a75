"""Every route of the OpenAPI document, times what can be wrong with a call. The cases come from the document alone."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import httpx
import pytest_asyncio
from joserfc import jwt
from pydantic import SecretStr
from uuid_utils.compat import uuid7

from chassis import clock, identity
from chassis.db import Database
from chassis.encryption import Vault
from services.auth import keys, store
from tests.e2e.conftest import System, created, stock

VERBS = ("get", "post", "put", "patch", "delete")


@dataclass(frozen=True)
class Route:
    """One operation of the document."""

    verb: str
    path: str
    operation: dict[str, Any]
    components: dict[str, Any]

    @property
    def parameters(self) -> list[dict[str, Any]]:
        """The parameters, where the document has them."""
        shared = self.components["parameters"]
        return [shared[one["$ref"].rsplit("/", 1)[1]] if "$ref" in one else one for one in self.operation["parameters"]]

    @property
    def name(self) -> str:
        return f"{self.verb.upper()} {self.path}"

    @property
    def public(self) -> bool:
        return self.operation["security"] == []

    @property
    def raw(self) -> bool:
        """Whether the method speaks a protocol of its own: what it answers to a bad call is not a problem document."""
        return "x-raw" in self.operation

    @property
    def permission(self) -> str:
        return str(self.operation["x-permission"])

    @property
    def audience(self) -> list[str]:
        return list(self.operation["x-audience"])

    @property
    def refuses(self) -> bool:
        """Whether there is anybody with a credential who may not call."""
        return bool(self.permission) or not {"user", "kiosk", "pos"} <= set(self.audience)

    @property
    def variables(self) -> list[str]:
        return re.findall(r"{(\w+)}", self.path)

    def something(self, variable: str) -> str:
        """What can stand in the path and is nobody's."""
        parameter = next(one for one in self.parameters if (one["in"], one["name"]) == ("path", variable))
        return "1" if parameter["schema"].get("type") == "integer" else str(uuid7())

    def body(self) -> Any:
        """The document's own example."""
        content = self.operation.get("requestBody", {}).get("content", {})
        return next((one.get("example") for one in content.values()), None)

    @property
    def strict(self) -> bool:
        """Whether the body has certain fields and no others; a settings document has what its schema says."""
        (content,) = self.operation["requestBody"]["content"].values()
        schema = content["schema"]
        if "$ref" in schema:
            schema = self.components["schemas"][schema["$ref"].rsplit("/", 1)[1]]
        return schema.get("additionalProperties") is False

    def headers(self) -> dict[str, str]:
        """What the document requires beside the credential."""
        required = [one for one in self.parameters if one["in"] == "header" and one.get("required")]
        return {one["name"]: {"If-Match": '"1"'}.get(one["name"], str(uuid7())) for one in required}

    def query(self) -> dict[str, str]:
        """The query parameters the document requires."""
        required = [one for one in self.parameters if one["in"] == "query" and one.get("required")]
        return {one["name"]: str(uuid7()) for one in required}


@dataclass
class Caller:
    """Somebody who may call, as the document's words describe them."""

    kind: str
    client: httpx.AsyncClient
    permissions: frozenset[str]
    operator: bool = False

    def may(self, route: Route) -> bool:
        if self.kind not in route.audience:
            return False
        if route.operation["x-platform"]:
            return route.permission in self.permissions
        who = identity.Principal(self.kind, "", None, permissions=self.permissions)
        if self.operator and not route.operation["x-tenant-optional"]:
            return False
        return not route.permission or who.may(route.permission)


@dataclass
class Callers:
    """Everybody of the first company, the operator, and a stranger of the second."""

    own: list[Caller]
    strangers: list[Caller]
    nobody: httpx.AsyncClient
    routes: list[Route]

    def allowed(self, route: Route) -> Caller | None:
        return next((caller for caller in self.own if caller.may(route)), None)

    def refused(self, route: Route) -> Caller | None:
        return next((caller for caller in self.own if not caller.may(route)), None)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def callers(system: System) -> AsyncIterator[Callers]:
    """Everybody, signed in; and something of each kind in the first company, for the other to reach for."""
    own = [await _person(system, role, 0) for role in ("admin", "manager", "staff", "auditor", "operator")]
    own += [await _device(system, "kiosk", own[0].client, system.site(0)), await _pos(system, own[0].client)]
    strangers = [await _person(system, "admin", 1)]
    other_site = next(one["id"] for one in system.demo["sites"] if one["tenant_id"] == system.tenant(1))
    strangers.append(await _device(system, "kiosk", strangers[0].client, other_site))
    await _something_of_everything(system, own[0].client)
    nobody = httpx.AsyncClient(base_url=system.url, timeout=30)
    document = (await nobody.get("/openapi.json")).json()
    routes = [
        Route(verb, path, operations[verb], document["components"])
        for path, operations in sorted(document["paths"].items())
        for verb in VERBS
        if verb in operations
    ]
    yield Callers(own, strangers, nobody, routes)
    for client in (nobody, *(caller.client for caller in (*own, *strangers))):
        await client.aclose()


async def _person(system: System, role: str, tenant: int) -> Caller:
    client = await system.acting(role, tenant)
    me = (await client.get("/api/v1/auth/me")).json()["data"]
    return Caller("user", client, frozenset(me["permissions"]), operator=role == "operator")


async def _device(system: System, kind: str, admin: httpx.AsyncClient, site: str) -> Caller:
    names = {"kiosk": "catalog", "pos": "store"}
    body = {"name": f"Matrix {kind}", "kind": names[kind], "site_id": site}
    client = system.client((await created(admin, "/api/v1/tokens", body))["token"])
    me = await client.get("/api/v1/auth/me")
    return Caller(kind, client, frozenset(me.json()["data"]["permissions"]))


async def _pos(system: System, admin: httpx.AsyncClient) -> Caller:
    return await _device(system, "pos", admin, system.site(0))


async def _something_of_everything(system: System, admin: httpx.AsyncClient) -> None:
    sold = await stock(admin, system.site(0), 5)
    await created(admin, "/api/v1/orders", {"site_id": sold.site_id, **sold.order()})
    await admin.post("/api/v1/locks/acquire", json={"lock_name": f"matrix-{uuid7()}", "timeout": 600})


async def _call(client: httpx.AsyncClient, route: Route, path: str | None = None, **more: Any) -> httpx.Response:
    body = {"data" if route.raw else "json": route.body()}
    if route.body() is None or {"json", "content"} & more.keys():
        body = {}
    headers = {**route.headers(), **more.pop("headers", {})}
    where = path or re.sub(r"{(\w+)}", lambda found: route.something(found.group(1)), route.path)
    return await client.request(route.verb.upper(), where, params=route.query(), headers=headers, **body, **more)


def _problem(answer: httpx.Response) -> tuple[int, str]:
    if answer.headers.get("content-type") != "application/problem+json":
        return answer.status_code, "no problem"
    found = answer.json()
    members = {"type", "title", "status", "code", "message", "details", "request_id", "trace_id", "retryable"}
    assert members <= found.keys(), found
    assert found["status"] == answer.status_code
    return answer.status_code, found["code"]


class TestNoToken:
    async def test_is_unauthenticated(self, callers: Callers) -> None:
        wrong = {}
        for route in callers.routes:
            if not route.public:
                answer = await _call(callers.nobody, route)
                if _problem(answer) != (401, "UNAUTHENTICATED") or "www-authenticate" not in answer.headers:
                    wrong[route.name] = answer.text

        assert wrong == {}


class TestExpiredToken:
    async def test_is_told_that_it_has_expired(self, system: System, callers: Callers) -> None:
        token = await _expired(system)
        wrong = {}
        async with system.client(token, system.tenant()) as client:
            for route in callers.routes:
                if not route.public:
                    answer = await _call(client, route)
                    if _problem(answer) != (401, "TOKEN_EXPIRED"):
                        wrong[route.name] = answer.text

        assert wrong == {}


class TestWrongPermission:
    async def test_is_denied(self, callers: Callers) -> None:
        wrong, untried = {}, []
        for route in callers.routes:
            if route.public or not route.refuses:
                continue
            caller = callers.refused(route)
            if caller is None:
                untried.append(route.name)
                continue
            answer = await _call(caller.client, route)
            expected = {(403, "PERMISSION_DENIED")}
            if caller.operator:
                # An operator acts in no tenant; what is asked for first is which one.
                expected.add((422, "VALIDATION_FAILED"))
            if _problem(answer) not in expected:
                wrong[route.name] = answer.text

        assert (wrong, untried) == ({}, [])


class TestOthersThings:
    async def test_are_not_found(self, callers: Callers) -> None:
        wrong = {}
        for route in callers.routes:
            stranger = next((caller for caller in callers.strangers if caller.may(route)), None)
            if not route.variables or route.raw or stranger is None:
                continue
            path = await _path_to_others(callers, route)
            answer = await _call(stranger.client, route, path)
            if _problem(answer) != (404, "NOT_FOUND"):
                wrong[f"{route.name} ({path})"] = answer.text

        assert wrong == {}

    async def test_are_in_no_list(self, callers: Callers) -> None:
        """No id of the first company's lists is in the second's."""
        shared = {}
        for route in callers.routes:
            if route.verb != "get" or route.variables or route.operation["x-platform"]:
                continue
            mine, theirs = [
                await _ids(caller.client, route)
                for caller in (callers.own[0], callers.strangers[0])
                if caller.may(route)
            ] or [set(), set()]
            # What belongs to the platform (its services, what they ask for) both may see.
            if mine & theirs and not route.path.rstrip("/").endswith(("services", "roles", "permissions")):
                shared[route.name] = mine & theirs

        assert shared == {}


class TestBadBody:
    async def test_is_told_what_is_wrong(self, callers: Callers) -> None:
        wrong = {}
        for route in callers.routes:
            if "requestBody" not in route.operation or route.raw:
                continue
            client = callers.nobody if route.public else getattr(callers.allowed(route), "client", None)
            if client is None:
                continue
            json = {"headers": {"Content-Type": "application/json"}}
            tried = {
                "not JSON": await _call(client, route, content=b"{", **json),
                "a list": await _call(client, route, content=b"[]", **json),
            }
            if route.strict:
                tried["an unknown field"] = await _call(client, route, json={"no_such_field": 1})
            wrong |= {f"{route.name}: {what}": it.text for what, it in tried.items() if _problem(it)[0] != 422}
            plain = await _call(client, route, content=b"x", headers={"Content-Type": "text/plain"})
            large = await _call(client, route, content=b'"' + b"x" * (1 << 20) + b'"', **json)
            if (_problem(plain)[1], _problem(large)[1]) != ("UNSUPPORTED_MEDIA_TYPE", "BODY_TOO_LARGE"):
                wrong[f"{route.name}: media type, size"] = plain.text + large.text

        assert wrong == {}


class TestDocument:
    async def test_every_route_is_documented_whole(self, callers: Callers) -> None:
        lacking = [
            route.name
            for route in callers.routes
            if not route.operation["summary"]
            or (not route.public and "401" not in route.operation["responses"])
            or (route.permission and "403" not in route.operation["responses"])
            or ("requestBody" in route.operation and route.body() is None)
        ]

        assert lacking == []
        assert len(callers.routes) > 80


async def _path_to_others(callers: Callers, route: Route) -> str:
    """The route's path with ids of the first company's own things, where a list of them can be read."""
    path = route.path
    while match := re.search(r"{(\w+)}", path):
        found = await _first_of(callers, path[: match.start()].rstrip("/"), match.group(1))
        path = path[: match.start()] + (found or route.something(match.group(1))) + path[match.end() :]
    return path


async def _first_of(callers: Callers, collection: str, variable: str) -> str | None:
    if variable in {"site_id", "catalog_id"}:
        collection = "/api/v1/sites"
    listed = next((route for route in callers.routes if (route.verb, route.path) == ("get", collection)), None)
    if listed is None or listed.variables:
        return None
    owner = callers.allowed(listed)
    if owner is None or owner.operator:
        return None
    strange = await _ids(callers.strangers[0].client, listed)
    return next(iter(sorted(await _ids(owner.client, listed) - strange)), None)


async def _ids(client: httpx.AsyncClient, route: Route) -> set[str]:
    answer = await client.get(route.path, params=route.query())
    if answer.status_code != 200:
        return set()
    content = answer.json()
    rows = content.get("data", content) if isinstance(content, dict) else content
    if isinstance(rows, dict):
        rows = next((value for value in rows.values() if isinstance(value, list)), [])
    return {str(row.get("id") or row.get("name")) for row in rows if isinstance(row, dict)} - {"None"}


async def _expired(system: System) -> str:
    """A token that auth itself would have signed, an hour ago."""
    database = Database("auth", system.database_url("auth"))
    vault = Vault(database, master=SecretStr(system.secret("auth_master_key")), previous=SecretStr(""))
    await vault.load()
    async with database.transaction(identity.service_principal("auth", None)) as session:
        key = next(keys.opened(vault, row) for row in await store.signing_keys(session) if row.alg == keys.PASSES)
    await database.close()
    fresh = jwt.decode(await system.login("admin"), key, algorithms=["Ed25519"])
    ended = int((clock.now() - timedelta(hours=1)).timestamp())
    return jwt.encode(fresh.header, {**fresh.claims, "exp": ended}, key, algorithms=["Ed25519"])
