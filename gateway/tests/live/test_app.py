"""What a client meets at the public listener."""

import asyncio
from typing import Any

import orjson
import pytest
from uuid_utils.compat import uuid7

from chassis import errors
from chassis.rpc import metadata


def _kettle(house: Any, **values: Any) -> None:
    house.kettles.answers["GetKettle"] = lambda request: house.kettles.kettle(id=request.id, **values)


class TestRead:
    async def test_the_answer_is_in_the_envelope(self, house: Any) -> None:
        _kettle(house, name="Whistler", version=3)

        answer = await house.http.get("/api/v1/kettles/k1", headers=house.bearer() | {"X-Request-ID": "r.1-a_b"})

        assert answer.status_code == 200
        assert answer.json() == {
            "data": {"id": "k1", "name": "Whistler", "price": "", "version": 3},
            "meta": {"request_id": "r.1-a_b"},
        }

    async def test_it_carries_its_id_etag_and_limits(self, house: Any) -> None:
        _kettle(house, version=3)

        headers = (await house.http.get("/api/v1/kettles/k1", headers=house.bearer())).headers

        assert headers["etag"] == '"3"'
        assert len(headers["x-request-id"]) == 36
        assert headers["ratelimit"].startswith('"read";r=599;t=')
        assert headers["ratelimit-policy"] == '"tenant";q=2000;w=2, "read";q=600;w=2'
        assert headers["server-timing"].startswith("total;dur=")
        assert headers["cache-control"] == "no-store"

    async def test_it_carries_the_security_headers(self, house: Any) -> None:
        headers = (await house.http.get("/healthz")).headers

        assert headers["strict-transport-security"].startswith("max-age=")
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert "server" not in headers

    async def test_a_known_version_is_not_sent_again(self, house: Any) -> None:
        _kettle(house, version=3)

        answer = await house.http.get("/api/v1/kettles/k1", headers=house.bearer() | {"If-None-Match": '"3"'})

        assert (answer.status_code, answer.content) == (304, b"")

    async def test_head_is_get_without_the_body(self, house: Any) -> None:
        _kettle(house, version=3)

        answer = await house.http.head("/api/v1/kettles/k1", headers=house.bearer())

        assert (answer.status_code, answer.content, answer.headers["etag"]) == (200, b"", '"3"')

    async def test_an_alias_answers_with_the_bare_message(self, house: Any) -> None:
        _kettle(house, name="Whistler")

        answer = await house.http.get("/kettles/k1", headers=house.bearer())

        assert answer.json()["name"] == "Whistler"

    async def test_a_field_without_its_permission_is_left_out(self, house: Any) -> None:
        _kettle(house, price="100")
        reader = house.tenant.user(permissions={"kettles.read"})

        answer = await house.http.get("/api/v1/kettles/k1", headers=house.bearer(reader))

        assert "price" not in answer.json()["data"]


class TestTold:
    """What the service is told of the call."""

    async def _told(self, house: Any, **headers: str) -> dict[str, Any]:
        await house.http.get("/api/v1/kettles/k1", headers=house.bearer() | headers)
        told: dict[str, Any] = house.kettles.calls[-1][2]
        return told

    async def test_the_pass_and_not_the_credential(self, house: Any) -> None:
        told = await self._told(house)

        assert told[metadata.PASS].count(".") == 2
        assert "authorization" not in told

    async def test_who_asked_from_where(self, house: Any) -> None:
        told = await self._told(house, **{"User-Agent": "kettle-app/1", "X-Request-ID": "mine"})

        assert told[metadata.ADDRESS] == "127.0.0.1"
        assert told[metadata.USER_AGENT] == b"kettle-app/1"
        assert told[metadata.REQUEST_ID] == "mine"

    async def test_the_clients_trace_goes_on(self, house: Any) -> None:
        parent = f"00-{'a' * 32}-{'b' * 16}-00"

        told = await self._told(house, traceparent=parent)

        assert told[metadata.TRACEPARENT] == parent

    async def test_the_conditions(self, house: Any) -> None:
        told = await self._told(
            house, **{"If-Match": '"7"', "Idempotency-Key": "once", "X-Audit-Context": '{"why":"tea"}'}
        )

        assert told[metadata.EXPECTED_VERSION] == "7"
        assert told[metadata.IDEMPOTENCY_KEY] == "once"
        assert told[metadata.AUDIT_CONTEXT] == b'{"why":"tea"}'

    async def test_an_unsafe_request_id_is_replaced(self, house: Any) -> None:
        told = await self._told(house, **{"X-Request-ID": "a b\t<script>"})

        assert len(told[metadata.REQUEST_ID]) == 36

    @pytest.mark.parametrize(
        ("header", "value"),
        [
            ("X-Tenant-ID", "north"),
            ("X-Site-ID", "1"),
            ("If-Match", "3"),
            ("If-Match", '"3", "4"'),
            ("Idempotency-Key", "k" * 256),
            ("X-Audit-Context", "{"),
            ("X-Audit-Context", "[]"),
            ("X-Audit-Context", '{"a":"' + "x" * 2048 + '"}'),
        ],
    )
    async def test_a_malformed_header_is_named(self, house: Any, header: str, value: str) -> None:
        answer = await house.http.get("/api/v1/kettles/k1", headers=house.bearer() | {header: value})

        assert answer.status_code == 422
        assert list(answer.json()["details"]) == [header]


class TestWrite:
    async def test_a_creation_answers_201_with_its_place(self, house: Any) -> None:
        house.kettles.answers["CreateKettle"] = lambda _: house.kettles.kettle(id="k9", name="Whistler", version=1)

        answer = await house.http.post("/api/v1/kettles", json={"name": "Whistler"}, headers=house.bearer())

        assert (answer.status_code, answer.headers["location"]) == (201, "/api/v1/kettles/k9")

    async def test_a_replayed_answer_says_so(self, house: Any) -> None:
        house.kettles.trailers = (("idempotency-replayed", "true"),)
        headers = house.bearer() | {"Idempotency-Key": "once"}

        answer = await house.http.post("/api/v1/kettles", json={"name": "Whistler"}, headers=headers)

        assert answer.headers["idempotency-replayed"] == "true"

    async def test_clearing_a_guarded_field_needs_its_permission(self, house: Any) -> None:
        writer = house.tenant.user(permissions={"kettles.write"})

        answer = await house.http.patch("/api/v1/kettles/k1", json={"price": None}, headers=house.bearer(writer))

        assert (answer.status_code, answer.json()["details"]) == (403, {"price": ["requires kettles.price"]})

    async def test_a_broken_body_is_422(self, house: Any) -> None:
        headers = house.bearer() | {"Content-Type": "application/json"}

        answer = await house.http.post("/api/v1/kettles", content=b'{"name":', headers=headers)

        assert (answer.status_code, answer.json()["code"]) == (422, "VALIDATION_FAILED")


class TestShape:
    async def test_an_unknown_route_is_404_for_anyone(self, house: Any) -> None:
        answer = await house.http.get("/api/v1/teapots")

        assert (answer.status_code, answer.json()["code"]) == (404, "NOT_FOUND")
        assert answer.headers["content-type"] == "application/problem+json"

    async def test_an_unknown_verb_is_405_with_those_that_are_known(self, house: Any) -> None:
        answer = await house.http.delete("/api/v1/kettles/k1")

        assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD, PATCH")

    async def test_another_media_type_is_415(self, house: Any) -> None:
        answer = await house.http.post("/api/v1/kettles", data={"name": "Whistler"}, headers=house.bearer())

        assert answer.status_code == 415

    async def test_a_body_over_the_limit_is_413(self, house: Any) -> None:
        big = orjson.dumps({"name": "x" * 1024 * 1024})

        answer = await house.http.post(
            "/api/v1/kettles", content=big, headers=house.bearer() | {"Content-Type": "application/json"}
        )

        assert (answer.status_code, answer.json()["code"]) == (413, "BODY_TOO_LARGE")

    async def test_a_body_of_unknown_length_is_bounded_too(self, house: Any) -> None:
        async def chunks() -> Any:
            yield b'{"name":"'
            for _ in range(20):
                yield b"x" * 64 * 1024

        answer = await house.http.post(
            "/api/v1/kettles", content=chunks(), headers=house.bearer() | {"Content-Type": "application/json"}
        )

        assert answer.status_code == 413

    async def test_a_long_path_is_414(self, house: Any) -> None:
        answer = await house.http.get("/api/v1/kettles?q=" + "x" * 9000)

        assert answer.status_code == 414

    async def test_headers_over_the_limit_are_431(self, house: Any) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", house.gateway.port)
        writer.write(b"GET /healthz HTTP/1.1\r\nhost: x\r\nx-long: " + b"x" * 100_000)

        line = await reader.readline()

        assert line == b"HTTP/1.1 431 Request Header Fields Too Large\r\n"
        writer.close()


class TestIdentity:
    async def test_without_a_credential_is_401_with_a_challenge(self, house: Any) -> None:
        answer = await house.http.get("/api/v1/kettles")

        assert (answer.status_code, answer.json()["code"]) == (401, "UNAUTHENTICATED")
        assert answer.headers["www-authenticate"].startswith("Bearer")

    async def test_a_bad_credential_is_401(self, house: Any) -> None:
        answer = await house.http.get("/api/v1/kettles", headers={"Authorization": "Bearer nonsense"})

        assert answer.status_code == 401

    async def test_another_tenant_is_403(self, house: Any) -> None:
        answer = await house.http.get("/api/v1/kettles", headers=house.bearer() | {"X-Tenant-ID": str(uuid7())})

        assert answer.status_code == 403

    async def test_a_public_route_ignores_a_bad_credential(self, house: Any) -> None:
        answer = await house.http.get("/api/v1/manual", headers={"Authorization": "Bearer nonsense"})

        assert (answer.status_code, house.auth.exchanges) == (200, [])

    async def test_a_credential_is_exchanged_once(self, house: Any) -> None:
        headers = house.bearer()

        await asyncio.gather(*(house.http.get("/api/v1/kettles", headers=headers) for _ in range(5)))

        assert len(house.auth.exchanges) == 1


class TestFailure:
    async def test_an_error_of_the_service_is_its_problem_document(self, house: Any) -> None:
        def fail(_: object) -> None:
            raise errors.Conflict("it is boiling", code="KETTLE_BUSY")

        house.kettles.answers["GetKettle"] = fail
        headers = house.bearer() | {"X-Request-ID": "mine", "traceparent": f"00-{'a' * 32}-{'b' * 16}-00"}

        answer = await house.http.get("/api/v1/kettles/k1", headers=headers)

        assert answer.status_code == 409
        assert answer.json() == {
            "type": "urn:switchyard:problem:kettle-busy",
            "title": "Kettle busy",
            "status": 409,
            "code": "KETTLE_BUSY",
            "message": "it is boiling",
            "details": {},
            "request_id": "mine",
            "trace_id": "a" * 32,
            "retryable": False,
        }

    async def test_a_bug_of_the_service_tells_nothing(self, house: Any) -> None:
        house.kettles.answers["GetKettle"] = lambda _: 1 / 0

        answer = await house.http.get("/api/v1/kettles/k1", headers=house.bearer())

        assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL")
        assert "Zero" not in answer.text

    async def test_a_service_without_instances_keeps_its_routes(self, make_house: Any) -> None:
        house = await make_house()
        headers = house.bearer()
        await house.registry.take_out(house.instance)

        answer = await house.http.get("/api/v1/kettles/k1", headers=headers, timeout=10)

        assert (answer.status_code, answer.json()["code"]) == (503, "UNAVAILABLE")
        assert answer.headers["retry-after"] == "1"

    async def test_a_service_that_is_too_slow_is_504(self, make_house: Any) -> None:
        house = await make_house(deadline_s=0.2)
        house.kettles.answers["GetKettle"] = lambda _: asyncio.sleep(5)

        answer = await house.http.get("/api/v1/kettles/k1", headers=house.bearer())

        assert (answer.status_code, answer.json()["code"]) == (504, "DEADLINE_EXCEEDED")

    async def test_too_much_at_once_is_shed(self, make_house: Any) -> None:
        house = await make_house(concurrency_max=1)
        gate = asyncio.Event()

        async def wait(_: object) -> Any:
            await gate.wait()
            return house.kettles.kettle()

        house.kettles.answers["GetKettle"] = wait
        headers = house.bearer()
        first = asyncio.create_task(house.http.get("/api/v1/kettles/k1", headers=headers))
        while not house.kettles.calls:
            await asyncio.sleep(0.01)

        second = await house.http.get("/api/v1/kettles/k1", headers=headers)

        gate.set()
        assert ((await first).status_code, second.status_code, second.json()["code"]) == (200, 503, "OVERLOADED")


class TestLimit:
    async def test_over_the_limit_is_429(self, make_house: Any) -> None:
        house = await make_house(limit_read="1/m burst 2")
        headers = house.bearer()

        answers = [await house.http.get("/api/v1/kettles", headers=headers) for _ in range(3)]

        assert [answer.status_code for answer in answers] == [200, 200, 429]
        assert answers[2].json()["code"] == "RATE_LIMITED"
        assert 50 <= int(answers[2].headers["retry-after"]) <= 60
        assert answers[2].headers["ratelimit"].startswith('"read";r=0;t=')

    async def test_an_alias_is_no_way_around(self, make_house: Any) -> None:
        house = await make_house(limit_read="1/m burst 1")
        headers = house.bearer()

        answers = [await house.http.get(path, headers=headers) for path in ("/api/v1/kettles/k1", "/kettles/k1")]

        assert [answer.status_code for answer in answers] == [200, 429]

    async def test_another_principal_has_its_own(self, make_house: Any) -> None:
        house = await make_house(limit_read="1/m burst 1")

        answers = [await house.http.get("/api/v1/kettles", headers=house.bearer()) for _ in range(2)]

        assert [answer.status_code for answer in answers] == [200, 200]

    async def test_a_tenants_principals_share_its_limit(self, make_house: Any) -> None:
        house = await make_house(limit_tenant="1/m burst 1")

        answers = [await house.http.get("/api/v1/kettles", headers=house.bearer()) for _ in range(2)]

        assert [answer.status_code for answer in answers] == [200, 429]

    async def test_secrets_are_limited_by_address(self, make_house: Any, servers: Any) -> None:
        house = await make_house(limit_login="1/m burst 1", valkey_url=f"{servers.valkey_url[:-1]}5")

        answers = [await house.http.post("/api/v1/kitchen/unlock", json={"code": str(code)}) for code in range(2)]

        assert [answer.status_code for answer in answers] == [200, 429]


class TestCache:
    async def test_an_answer_is_kept_where_the_contract_allows_it(self, make_house: Any) -> None:
        house = await make_house()
        answers = [await house.http.get("/api/v1/manual") for _ in range(2)]

        assert len(house.kettles.calls) == 1
        assert answers[1].headers["cache-control"] == "public, max-age=60"
        assert answers[0].json()["meta"] != answers[1].json()["meta"]

    async def test_an_event_of_the_service_drops_it(self, make_house: Any) -> None:
        house = await make_house()
        await house.http.get("/api/v1/manual")

        await house.publish("kettles.ManualChanged", {})

        async with asyncio.timeout(5):
            while len(house.kettles.calls) == 1:
                await house.http.get("/api/v1/manual")

    async def test_a_change_that_passes_through_drops_it(self, make_house: Any) -> None:
        house = await make_house()
        await house.http.get("/api/v1/manual")

        await house.http.post("/api/v1/kettles", json={"name": "Whistler"}, headers=house.bearer())
        await house.http.get("/api/v1/manual")

        assert [name for name, *_ in house.kettles.calls] == ["GetManual", "CreateKettle", "GetManual"]


class TestBrowser:
    async def test_a_preflight_of_a_known_origin_is_answered(self, make_house: Any) -> None:
        house = await make_house(cors_origins="https://portal.example")
        headers = {"Origin": "https://portal.example", "Access-Control-Request-Method": "PATCH"}

        answer = await house.http.options("/api/v1/kettles/k1", headers=headers)

        assert answer.status_code == 204
        assert answer.headers["access-control-allow-origin"] == "https://portal.example"
        assert "PATCH" in answer.headers["access-control-allow-methods"]
        assert "access-control-allow-credentials" not in answer.headers

    async def test_another_origin_is_not_allowed(self, make_house: Any) -> None:
        house = await make_house(cors_origins="https://portal.example")

        answer = await house.http.get("/healthz", headers={"Origin": "https://evil.example"})

        assert "access-control-allow-origin" not in answer.headers


class TestPages:
    async def test_the_document_is_of_the_live_contracts(self, house: Any) -> None:
        document = (await house.http.get("/openapi.json")).json()

        assert document["paths"]["/api/v1/kettles/{id}"]["get"]["tags"] == ["kettles"]

    async def test_the_documentation_runs_nothing_foreign(self, house: Any) -> None:
        answer = await house.http.get("/docs")

        assert answer.status_code == 200
        assert "script-src 'sha256-" in answer.headers["content-security-policy"]
        assert "https://" not in answer.text

    async def test_metrics_and_readiness_are_not_public(self, house: Any) -> None:
        answers = [await house.http.get(path) for path in ("/metrics", "/readyz")]

        assert [answer.status_code for answer in answers] == [404, 404]
