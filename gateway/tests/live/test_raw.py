"""Methods that read and answer HTTP themselves."""

from typing import Any

import pytest
from switchyard.common.v1 import http_pb2

from chassis import errors
from chassis.rpc import metadata

BREW = "/pots/%C3%A9tain%2F1/brew"


def _answer(house: Any, **values: Any) -> None:
    headers = [http_pb2.HttpHeader(name=name, value=value) for name, value in values.pop("headers", ())]
    packed = http_pb2.HttpResponse(headers=headers, **values).SerializeToString()
    method = next(each for each in house.kettles._methods.values() if each.name == "Brew")
    house.kettles.answers["Brew"] = house.kettles.answers["Look"] = lambda _: method.response.FromString(packed)


def _asked(house: Any) -> Any:
    return house.kettles.calls[-1][1]


def _headers(house: Any) -> list[tuple[str, str]]:
    return [(each.name, each.value) for each in _asked(house).headers]


class TestRequest:
    async def test_it_arrives_as_it_was_sent(self, house: Any) -> None:
        body = b"strength=\xff%20\0&additions=Sugar"

        await house.http.post(f"{BREW}?a=%20b&a=c;d", content=body, headers={"Content-Type": "text/odd; q=1"})

        asked = _asked(house)
        assert (asked.method, asked.path, asked.query, asked.body) == ("POST", BREW, "a=%20b&a=c;d", body)
        assert ("content-type", "text/odd; q=1") in _headers(house)

    async def test_a_get_arrives_without_a_body(self, house: Any) -> None:
        await house.http.get(BREW)

        assert (_asked(house).method, _asked(house).body) == ("GET", b"")

    async def test_headers_keep_their_order_and_number(self, house: Any) -> None:
        sent = [("Cookie", "a=1"), ("Authorization", "Basic YTpi"), ("X-Twice", "1"), ("X-Twice", "\xe9")]

        await house.http.get(BREW, headers=[(name, value.encode("latin-1")) for name, value in sent])

        named = {name.lower() for name, _ in sent}
        assert [each for each in _headers(house) if each[0] in named] == [(name.lower(), value) for name, value in sent]

    async def test_what_is_the_connections_stays_with_it(self, house: Any) -> None:
        headers = {"Connection": "x-hop, keep-alive", "X-Hop": "1", "TE": "trailers", "Switchyard-Pass": "forged"}

        await house.http.get(BREW, headers=headers)

        names = {name for name, _ in _headers(house)}
        assert names.isdisjoint({"connection", "x-hop", "te", "switchyard-pass"})
        assert metadata.PASS not in house.kettles.calls[-1][2]

    async def test_a_bearer_is_the_methods_business(self, house: Any) -> None:
        answer = await house.http.get(BREW, headers={"Authorization": "Bearer nonsense"})

        assert (answer.status_code, house.auth.exchanges) == (200, [])

    async def test_conditions_are_the_methods_business(self, house: Any) -> None:
        answer = await house.http.get(BREW, headers={"If-Match": "odd", "Idempotency-Key": "k", "X-Audit-Context": "{"})

        assert answer.status_code == 200
        assert metadata.IDEMPOTENCY_KEY not in house.kettles.calls[-1][2]

    async def test_a_body_over_the_limit_is_413(self, house: Any) -> None:
        answer = await house.http.post(BREW, content=b"x" * 1024 * 1024 + b"x")

        assert (answer.status_code, answer.json()["code"]) == (413, "BODY_TOO_LARGE")

    async def test_one_that_is_not_public_asks_for_a_pass(self, house: Any) -> None:
        stranger = house.bearer(house.tenant.user(permissions={"kettles.read"}))

        refused = await house.http.get("/api/v1/pots")
        answered = await house.http.get("/api/v1/pots", headers=stranger)

        assert (refused.status_code, answered.status_code) == (401, 200)
        assert metadata.PASS in house.kettles.calls[-1][2]


class TestAnswer:
    async def test_it_arrives_as_it_was_given(self, house: Any) -> None:
        cookies = [("set-cookie", "a=1; Secure"), ("Set-Cookie", "b=2")]
        _answer(house, status=418, headers=[("content-type", "message/coffeepot"), *cookies], body=b"\xff\0")

        answer = await house.http.get(BREW)

        assert (answer.status_code, answer.content) == (418, b"\xff\0")
        assert answer.headers["content-type"] == "message/coffeepot"
        assert answer.headers.get_list("set-cookie") == ["a=1; Secure", "b=2"]

    async def test_nothing_said_is_200(self, house: Any) -> None:
        answer = await house.http.get(BREW)

        assert (answer.status_code, answer.content) == (200, b"")
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["content-security-policy"].startswith("default-src 'none'")

    async def test_a_security_header_of_its_own_replaces_the_gateways(self, house: Any) -> None:
        own = [
            ("content-security-policy", "default-src 'self'"),
            ("Cache-Control", "private"),
            ("x-frame-options", "X"),
        ]
        _answer(house, headers=own)

        answer = await house.http.get(BREW)

        for name, value in own:
            assert answer.headers.get_list(name) == [value]
        assert answer.headers["x-content-type-options"] == "nosniff"

    async def test_what_is_the_gateways_to_say_is_ignored(self, house: Any) -> None:
        said = [("content-length", "7"), ("connection", "close"), ("access-control-allow-origin", "*"), ("date", "1")]
        _answer(house, headers=[*said, ("x-request-id", "x"), ("transfer-encoding", "chunked")], body=b"abc")

        answer = await house.http.get(BREW, headers={"X-Request-ID": "mine"})

        assert (answer.content, answer.headers["content-length"], answer.headers["x-request-id"]) == (
            b"abc",
            "3",
            "mine",
        )
        assert {"connection", "access-control-allow-origin", "transfer-encoding"}.isdisjoint(answer.headers)
        assert len(answer.headers.get_list("date")) == 1

    @pytest.mark.parametrize(
        "wrong",
        [
            {"status": 99},
            {"status": 101},
            {"status": 600},
            {"headers": [("location", "/\r\nset-cookie: a=1")]},
            {"headers": [("location\r\nset-cookie", "a=1")]},
            {"headers": [("", "x")]},
            {"headers": [("x-text", "\u2603")]},
        ],
    )
    async def test_what_http_has_no_form_for_is_500(self, house: Any, wrong: Any) -> None:
        _answer(house, **wrong)

        answer = await house.http.get(BREW)

        assert (answer.status_code, answer.json()["code"]) == (500, "INTERNAL")
        assert "set-cookie" not in answer.headers

    async def test_one_without_content_has_none(self, house: Any) -> None:
        _answer(house, status=204, body=b"abc")

        answer = await house.http.get(BREW)

        assert (answer.status_code, answer.content) == (204, b"")

    async def test_head_is_get_without_the_body(self, house: Any) -> None:
        _answer(house, body=b"abc")

        answer = await house.http.head(BREW)

        assert (answer.status_code, answer.content, answer.headers["content-length"]) == (200, b"", "3")

    async def test_it_is_never_kept(self, house: Any) -> None:
        headers = house.bearer()

        for _ in range(2):
            answer = await house.http.get("/api/v1/pots", headers=headers)

        assert (len(house.kettles.calls), answer.headers["cache-control"]) == (2, "no-store")

    async def test_an_error_of_the_service_is_a_problem_document(self, house: Any) -> None:
        def fail(_: object) -> None:
            raise errors.Exhausted(retry_after_s=3)

        house.kettles.answers["Brew"] = fail

        answer = await house.http.post(BREW)

        assert (answer.status_code, answer.headers["retry-after"]) == (429, "3")
        assert answer.headers["content-type"] == "application/problem+json"
        assert answer.headers.get_list("cache-control") == ["no-store"]


class TestDocument:
    async def test_it_says_what_is_inside(self, house: Any) -> None:
        document = (await house.http.get("/openapi.json")).json()

        brew = document["paths"]["/pots/{pot}/brew"]["post"]
        (form,) = brew["requestBody"]["content"].items()
        assert form[0] == "application/x-www-form-urlencoded"
        assert form[1]["schema"] == {"$ref": "#/components/schemas/BrewFormInput"}
        assert brew["responses"]["200"]["content"]["message/coffeepot"]["schema"]["$ref"].endswith("Manual")
        assert {"302", "418", "413", "429", "503"} <= set(brew["responses"])
        assert [each["name"] for each in brew["parameters"]] == ["pot"]
        assert (brew["x-raw"], brew["security"], brew["summary"]) == (True, [], "Brew as RFC 2324 has it")

    async def test_without_a_body_the_message_is_the_query(self, house: Any) -> None:
        document = (await house.http.get("/openapi.json")).json()

        look = document["paths"]["/api/v1/pots"]["get"]
        assert {"strength", "additions"} <= {each.get("name") for each in look["parameters"]}
        assert {"401", "403"} <= set(look["responses"])
        assert "text/html" in look["responses"]["200"]["content"]
