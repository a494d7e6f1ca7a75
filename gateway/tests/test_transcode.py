"""JSON to messages and back, by the rules of the API."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf import json_format, timestamp_pb2
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway import encoding, wellknown
from gateway.errors import Problem
from gateway.routes import Matched, RouteTable
from gateway.transcode import Answer, Call, Transcoder

Ask = Callable[..., tuple[Transcoder, Call]]
ID = "01980000-0000-7000-8000-000000000001"


@pytest.fixture
def ask(table: RouteTable) -> Ask:
    def asked(verb: str, path: str, body: object = None) -> tuple[Transcoder, Call]:
        path, _, query = path.partition("?")
        found = table.match(verb, path)
        assert isinstance(found, Matched), found
        raw = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        return found.route.transcoder, found.route.transcoder.decode(found.params, query, raw)

    return asked


def refusal(ask: Ask, verb: str, path: str, body: object = None) -> dict[str, list[str]]:
    with pytest.raises(Problem) as caught:
        ask(verb, path, body)
    assert caught.value.status == 422
    return caught.value.details


def echo(ask: Ask, body: object) -> Any:
    transcoder, call = ask("POST", "/echo", body)
    return json.loads(transcoder.encode(call, call.message, request_id="r").body)


class TestScalars:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("text", "héllo \U0001f600"),
            ("flag", True),
            ("int32_value", -(2**31)),
            ("int32_value", 2**31 - 1),
            ("int64_value", 2**53 - 1),
            ("int64_value", -(2**53) + 1),
            ("uint32_value", 2**32 - 1),
            ("uint64_value", 2**53 - 1),
            ("double_value", 0.1),
            ("double_value", 1e300),
            ("float_value", 0.1),
            ("float_value", 16777216.0),
            ("data", "AP8="),
            ("kind", "big_dog"),
            ("colour", "dark_blue"),
            ("colour", "none"),
            ("texts", ["a", ""]),
            ("numbers", [1, 2]),
            ("kinds", ["cat", "big_dog"]),
            ("labels", {"a.b": "c"}),
            ("answers", {"true": 1, "false": 2}),
            ("kinds_by_name", {"x": "cat"}),
            ("maybe_number", 0),
            ("maybe_text", ""),
            ("maybe_kind", "cat"),
            ("at", "2026-11-21T04:21:31.123Z"),
            ("at", "0001-01-01T00:00:00.000Z"),
            ("at", "9999-12-31T23:59:59.999Z"),
            ("at", "1969-12-31T23:59:59.999Z"),
            ("lasts", "1.5s"),
            ("lasts", "-0.000000001s"),
            ("lasts", "0s"),
            ("free", {"a": [1, None, {"b": "c"}], "d": 1.5, "e": True}),
            ("any_value", None),
            ("any_value", [1, "a"]),
            ("list", [1, [2]]),
            ("mask", "a,b.c"),
            ("wrapped_text", ""),
            ("wrapped_number", 5),
            ("wrapped_flag", False),
            ("wrapped_data", "AP8="),
            ("wrapped_double", 2.5),
            ("nothing", {}),
            ("times", ["2026-11-21T04:21:31.123Z"]),
            ("from", "2026-11-21T04:21:31.000Z"),
            ("left", ""),
        ],
    )
    def test_comes_back_as_it_went_in(self, ask: Ask, name: str, value: object) -> None:
        assert echo(ask, {name: value})[name] == value

    @pytest.mark.parametrize(
        ("name", "value", "text"),
        [
            ("text", 5, "must be a string"),
            ("text", None, "must be a string"),
            ("flag", 1, "must be true or false"),
            ("flag", "true", "must be true or false"),
            ("int32_value", "5", "must be a whole number"),
            ("int32_value", 5.5, "must be a whole number"),
            ("int32_value", True, "must be a whole number"),
            ("int32_value", 2**31, "must be between -2147483648 and 2147483647"),
            ("int64_value", 2**53, "must be between -9007199254740991 and 9007199254740991"),
            ("int64_value", 2**64, "must be between -9007199254740991 and 9007199254740991"),
            ("uint32_value", -1, "must be between 0 and 4294967295"),
            ("fixed64_value", -1, "must be between 0 and 9007199254740991"),
            ("double_value", "NaN", "must be a number"),
            ("double_value", True, "must be a number"),
            ("float_value", 1e39, "is too large for a 32-bit number"),
            ("data", "AP8", "must be base64"),
            ("data", "AP8_", "must be base64"),
            ("data", "AP9=", "must be base64"),
            ("kind", "PET_KIND_CAT", "must be one of cat, big_dog"),
            ("kind", 1, "must be one of cat, big_dog"),
            ("kind", "unspecified", "must be one of cat, big_dog"),
            ("kind", [], "must be one of cat, big_dog"),
            ("texts", "a", "must be a list"),
            ("texts", None, "must be a list"),
            ("inners", {}, "must be a list"),
            ("inner", [], "must be an object"),
            ("labels", [], "must be an object"),
            ("at", "2026-11-21", "must be an RFC 3339 time such as 2026-11-21T04:21:31.000Z"),
            ("at", "2026-11-21 04:21:31Z", "must be an RFC 3339 time such as 2026-11-21T04:21:31.000Z"),
            ("at", "2026-11-21T04:21:31", "must be an RFC 3339 time such as 2026-11-21T04:21:31.000Z"),
            ("at", "2026-11-21T04:21:31+24:00", "must be an RFC 3339 time such as 2026-11-21T04:21:31.000Z"),
            ("at", "2026-02-29T04:21:31Z", "must be a time of the calendar from year 1 on"),
            ("at", "0001-01-01T00:00:00+01:00", "must be a time of the calendar from year 1 on"),
            ("at", 1795000000, "must be an RFC 3339 time such as 2026-11-21T04:21:31.000Z"),
            ("lasts", "1.5", "must be a duration in seconds such as 1.5s"),
            ("lasts", "315576000001s", "must be at most 315576000000s"),
            ("lasts", 5, "must be a duration in seconds such as 1.5s"),
            ("free", [], "must be an object"),
            ("mask", "A b", "must be field paths with commas between"),
            ("wrapped_number", "5", "must be a whole number"),
            ("nothing", {"a": 1}, "must be an empty object"),
            ("numeral", 1, "is not a known field"),
            ("int32Value", 1, "is not a known field"),
            ("text", "a\u0000b", "must not contain the NUL character"),
        ],
    )
    def test_refuses(self, ask: Ask, name: str, value: object, text: str) -> None:
        assert refusal(ask, "POST", "/echo", {name: value}) == {name: [text]}

    @pytest.mark.parametrize(
        ("given", "seconds", "nanos"),
        [
            ("1970-01-01T00:00:00Z", 0, 0),
            ("1970-01-01t01:00:00.5+01:00", 0, 500_000_000),
            ("1969-12-31T23:59:59.999999999Z", -1, 999_999_999),
            ("1970-01-01T00:00:00-00:30", 1800, 0),
        ],
    )
    def test_times_keep_their_offset_and_nanoseconds(self, ask: Ask, given: str, seconds: int, nanos: int) -> None:
        _, call = ask("POST", "/echo", {"at": given})

        message: Any = call.message
        assert (message.at.seconds, message.at.nanos) == (seconds, nanos)

    def test_a_whole_number_may_be_written_with_a_fraction_of_nothing(self, ask: Ask) -> None:
        assert echo(ask, {"int64_value": 5.0})["int64_value"] == 5

    def test_null_stands_for_absent_where_a_field_can_be(self, ask: Ask) -> None:
        found = echo(ask, {"maybe_text": None, "inner": None, "at": None, "left": None})

        assert not {"maybe_text", "inner", "at", "left"} & set(found)


class TestShape:
    def test_plain_scalars_lists_and_maps_are_always_there(self, ask: Ask) -> None:
        assert echo(ask, {}) == {
            "text": "",
            "flag": False,
            **dict.fromkeys(("int32_value", "int64_value", "uint32_value", "uint64_value", "sint32_value"), 0),
            "fixed64_value": 0,
            "double_value": 0.0,
            "float_value": 0.0,
            "data": "",
            "colour": "none",
            **{name: [] for name in ("texts", "numbers", "kinds", "inners", "times")},
            **{name: {} for name in ("labels", "numbered", "answers", "kinds_by_name")},
        }

    def test_only_one_of_a_oneof(self, ask: Ask) -> None:
        details = refusal(ask, "POST", "/echo", {"left": "a", "right": {}})

        assert details == {"right": ["only one of left, right may be given"]}

    def test_every_error_is_told_with_its_path(self, ask: Ask) -> None:
        body = {
            "int32_value": "x",
            "inners": [{"text": "ok"}, {"number": 1.5, "more": [{"text": 1}]}],
            "numbered": {"a": {}, "5": {"text": 1}},
            "texts": ["a", 1],
            "free": {"a": [2**60]},
        }

        assert set(refusal(ask, "POST", "/echo", body)) == {
            "int32_value",
            "inners.1.number",
            "inners.1.more.0.text",
            "numbered.a",
            "numbered.5.text",
            "texts.1",
            "free.a.0",
        }

    @pytest.mark.parametrize("body", [b"{", b"[]", b'"x"', b"null", b"5", b"\xff", b'{"text": "\\ud800"}', b"{}x"])
    def test_not_a_json_object(self, ask: Ask, body: bytes) -> None:
        assert list(refusal(ask, "POST", "/echo", body)) == ["body"]

    def test_an_empty_body_is_an_empty_object_where_all_of_it_is_the_request(self, ask: Ask) -> None:
        ask("POST", "/echo", b"")

        assert refusal(ask, "POST", "/api/v1/pets", b"") == {"body": ["a JSON body is required"]}

    def test_depth_is_bounded(self, ask: Ask) -> None:
        inner: dict[str, Any] = {}
        free: Any = 1
        for _ in range(100):
            inner, free = {"more": [inner]}, [free]

        assert "nested deeper" in str(refusal(ask, "POST", "/echo", {"inner": inner}))
        assert "nested deeper" in str(refusal(ask, "POST", "/echo", {"any_value": free}))


class TestParameters:
    @pytest.mark.parametrize(
        ("query", "name", "value"),
        [
            ("text=a%20b+c", "text", "a b c"),
            ("text=", "text", ""),
            ("flag=true", "flag", True),
            ("int64_value=-5", "int64_value", -5),
            ("kind=cat", "kind", "cat"),
            ("texts=a&texts=b", "texts", ["a", "b"]),
            ("numbers=1&numbers=2", "numbers", [1, 2]),
            ("inner.text=x", "inner", {"text": "x", "number": 0, "more": []}),
            ("at=2026-11-21T04:21:31Z", "at", "2026-11-21T04:21:31.000Z"),
            ("at=2026-11-21T06:21:31%2B02:00", "at", "2026-11-21T04:21:31.000Z"),
            ("lasts=3s", "lasts", "3s"),
            ("wrapped_number=7", "wrapped_number", 7),
            ("double_value=1.5e3", "double_value", 1500.0),
            ("mask=a,b", "mask", "a,b"),
            ("maybe_number=0", "maybe_number", 0),
        ],
    )
    def test_are_read(self, ask: Ask, query: str, name: str, value: object) -> None:
        transcoder, call = ask("GET", f"/echo?{query}")

        assert json.loads(transcoder.encode(call, call.message, request_id="r").body)[name] == value

    @pytest.mark.parametrize(
        ("query", "path"),
        [
            ("zz=1", "zz"),
            ("flag=1", "flag"),
            ("flag=True", "flag"),
            ("int32_value=1e3", "int32_value"),
            ("int32_value=", "int32_value"),
            ("int32_value=%2B5", "int32_value"),
            ("int32_value=05", "int32_value"),
            ("int64_value=9007199254740992", "int64_value"),
            ("kind=1", "kind"),
            ("kind=", "kind"),
            ("text=a&text=b", "text"),
            ("text=%FF", "query"),
            ("text=%00", "text"),
            ("double_value=NaN", "double_value"),
            ("inner=x", "inner"),
            ("labels.a=x", "labels.a"),
            ("&".join(["a=1"] * 200), "query"),
        ],
    )
    def test_are_refused(self, ask: Ask, query: str, path: str) -> None:
        assert path in refusal(ask, "GET", f"/echo?{query}")

    def test_all_wrong_ones_are_told(self, ask: Ask) -> None:
        assert set(refusal(ask, "GET", "/echo?flag=x&kind=y&zz=1")) == {"flag", "kind", "zz"}

    def test_path_query_and_body_make_one_request(self, ask: Ask) -> None:
        _, call = ask("POST", "/echo/inner/abc?int32_value=4", {"text": "in", "number": 2})

        message: Any = call.message
        assert (message.text, message.int32_value, message.inner.text, message.inner.number) == ("abc", 4, "in", 2)

    def test_where_the_body_is_everything_the_query_is_nothing(self, ask: Ask) -> None:
        assert refusal(ask, "PUT", "/echo/whole/x?flag=true", {}) == {"flag": ["is not a known parameter"]}

    def test_a_path_parameter_is_not_in_the_body_too(self, ask: Ask) -> None:
        assert refusal(ask, "PUT", "/echo/whole/x", {"text": "y"}) == {"text": ["is not a known field"]}

    def test_a_path_parameter_is_checked(self, ask: Ask) -> None:
        assert refusal(ask, "GET", "/echo/abc/nested/x") == {"int32_value": ["must be a whole number"]}


class TestBody:
    def test_read_only_fields_are_refused(self, ask: Ask) -> None:
        assert refusal(ask, "POST", "/api/v1/pets", {"name": "a", "id": "x", "version": 1}) == {
            "id": ["is read-only"],
            "version": ["is read-only"],
        }

    def test_a_list_can_be_the_body(self, ask: Ask) -> None:
        transcoder, call = ask("PUT", f"/api/v1/pets/{ID}/tags", ["a", "b"])

        message: Any = call.message
        assert (message.id, list(message.tags)) == (ID, ["a", "b"])
        answer = transcoder.encode(call, call.message, request_id="r")
        assert json.loads(answer.body)["data"] == ["a", "b"]
        assert refusal(ask, "PUT", f"/api/v1/pets/{ID}/tags", ["a", 1]) == {"1": ["must be a string"]}

    def test_fields_with_a_permission_of_their_own_are_named(self, ask: Ask) -> None:
        _, call = ask("POST", "/api/v1/pets", {"name": "a", "price": {"amount": 5}})

        assert call.guarded == {"price": "pets.prices.write"}


class TestPatch:
    def patch(self, ask: Ask, body: object) -> tuple[Any, list[str]]:
        _, call = ask("PATCH", f"/api/v1/pets/{ID}", body)
        message: Any = call.message
        return message.pet, list(message.update_mask.paths)

    def test_only_what_is_given_is_in_the_mask(self, ask: Ask) -> None:
        pet, mask = self.patch(ask, {"name": "Rex", "weight": 0})

        assert (pet.name, mask) == ("Rex", ["name", "weight"])

    def test_null_clears(self, ask: Ask) -> None:
        pet, mask = self.patch(ask, {"nickname": None, "weight": None, "price": None, "born_at": None})

        assert set(mask) == {"nickname", "weight", "price", "born_at"}
        assert not pet.ByteSize()

    def test_messages_are_merged_to_their_leaves(self, ask: Ask) -> None:
        pet, mask = self.patch(ask, {"price": {"amount": 5, "currency": None}})

        assert (pet.price.amount, mask) == (5, ["price.amount", "price.currency"])

    def test_lists_are_replaced(self, ask: Ask) -> None:
        pet, mask = self.patch(ask, {"tags": ["a"], "young": [{"name": "Pup"}]})

        assert (list(pet.tags), pet.young[0].name, mask) == (["a"], "Pup", ["tags", "young"])

    @pytest.mark.parametrize(
        ("body", "details"),
        [
            ({}, {"body": ["nothing to change"]}),
            ({"price": {}}, {"body": ["nothing to change"]}),
            ({"chip": "x"}, {"chip": ["cannot be changed"]}),
            ({"id": "x"}, {"id": ["is read-only"]}),
            ({"name": None}, {"name": ["must not be null"]}),
            ({"zz": None}, {"zz": ["is not a known field"]}),
            ({"price": {"amount": "1"}}, {"price.amount": ["must be a whole number"]}),
        ],
    )
    def test_refuses(self, ask: Ask, body: object, details: dict[str, list[str]]) -> None:
        assert refusal(ask, "PATCH", f"/api/v1/pets/{ID}", body) == details

    def test_a_put_replaces_everything_that_can_change(self, ask: Ask) -> None:
        _, call = ask("PUT", f"/api/v1/pets/{ID}", {"name": "Rex"})

        message: Any = call.message
        assert set(message.update_mask.paths) == {
            *("name", "kind", "weight", "nickname", "price", "tags", "born_at", "young", "person", "house")
        }
        assert refusal(ask, "PUT", f"/api/v1/pets/{ID}", {"chip": "x"}) == {"chip": ["cannot be changed"]}


class TestAnswer:
    def answer(
        self, table: RouteTable, verb: str, path: str, message: dict[str, Any], *, body: bytes = b"", **more: Any
    ) -> Answer:
        path, _, query = path.partition("?")
        found = table.match(verb, path)
        assert isinstance(found, Matched)
        call = found.route.transcoder.decode(found.params, query, body)
        return found.route.transcoder.encode(call, found.route.response(**message), request_id="r1", **more)

    def test_one_resource_has_an_envelope_and_an_etag(self, table: RouteTable) -> None:
        answer = self.answer(table, "GET", "/api/v1/pets/7", {"id": "7", "name": "Rex", "version": 3})

        found = json.loads(answer.body)
        assert (answer.status, found["meta"], found["data"]["name"]) == (200, {"request_id": "r1"}, "Rex")
        assert answer.headers == {"content-type": "application/json", "etag": '"3"'}

    def test_an_alias_answers_the_bare_message(self, table: RouteTable) -> None:
        assert json.loads(self.answer(table, "GET", "/pets/7", {"id": "7"}).body)["id"] == "7"

    @pytest.mark.parametrize("held", ['"3"', 'W/"3"', '"2", "3"', "*"])
    def test_a_copy_that_is_still_good_is_not_sent_again(self, table: RouteTable, held: str) -> None:
        answer = self.answer(table, "GET", "/api/v1/pets/7", {"version": 3}, if_none_match=held)

        assert (answer.status, answer.body, answer.headers) == (304, b"", {"etag": '"3"'})

    def test_an_old_copy_is_replaced(self, table: RouteTable) -> None:
        assert self.answer(table, "GET", "/api/v1/pets/7", {"version": 3}, if_none_match='"33"').status == 200

    def test_a_page_has_its_items_in_data_and_the_rest_in_meta(self, table: RouteTable) -> None:
        page = {"pets": [{"id": "1"}, {"id": "2"}], "next_cursor": "abc", "total": 9}

        found = json.loads(self.answer(table, "GET", "/api/v1/pets", page).body)

        assert [each["id"] for each in found["data"]] == ["1", "2"]
        assert found["meta"] == {"request_id": "r1", "next_cursor": "abc", "total": 9}

    def test_a_page_whose_contract_says_so_has_a_digest_as_its_etag(self, table: RouteTable) -> None:
        asked = "/api/v1/pets", "/api/v1/pets?fields=id", "/api/v1/pets"
        pages: list[dict[str, Any]] = [
            {"pets": [{"id": "1"}]},
            {"pets": [{"id": "1"}]},
            {"pets": [{"id": "1"}], "next_cursor": "abc"},
        ]
        first, *others = [self.answer(table, "GET", path, page) for path, page in zip(asked, pages, strict=True)]
        held = first.headers["etag"]

        again = self.answer(table, "GET", asked[0], pages[0], if_none_match=held)

        assert (again.status, again.body, again.headers) == (304, b"", {"etag": held})
        assert held not in {other.headers["etag"] for other in others}

    def test_the_last_page_has_no_cursor(self, table: RouteTable) -> None:
        assert "next_cursor" not in json.loads(self.answer(table, "GET", "/api/v1/pets", {}).body)["meta"]

    def test_a_page_by_an_alias_keeps_the_shape_of_the_message(self, table: RouteTable) -> None:
        found = json.loads(self.answer(table, "GET", "/api/pets/", {"pets": [{"id": "1"}], "next_cursor": "c"}).body)

        assert (found["pets"][0]["id"], found["next_cursor"], found["total"]) == ("1", "c", 0)

    def test_created_says_where_even_by_an_alias(self, table: RouteTable) -> None:
        for path in ("/api/v1/pets", "/pets"):
            answer = self.answer(table, "POST", path, {"id": "a b"}, body=b'{"name":"x"}')

            assert (answer.status, answer.headers["location"]) == (201, "/api/v1/pets/a%20b")

    def test_accepted_says_where(self, table: RouteTable) -> None:
        answer = self.answer(table, "POST", f"/api/v1/pets/{ID}:feed", {"id": "9"}, body=b'{"grams":1}')

        assert (answer.status, answer.headers["location"]) == (202, f"/api/v1/pets/{ID}:feed/9")

    def test_nothing_to_say_is_204(self, table: RouteTable) -> None:
        assert self.answer(table, "DELETE", "/api/v1/pets/7", {}) == Answer(204, {}, b"")

    @pytest.mark.parametrize(
        ("query", "names"),
        [
            ("fields=id", {"id"}),
            ("fields=id,price.amount", {"id", "price"}),
            ("view=minimal", {"id", "name"}),
            ("view=compact", {"id", "name", "kind"}),
            ("view=minimal&fields=weight", {"weight"}),
        ],
    )
    def test_is_trimmed(self, table: RouteTable, query: str, names: set[str]) -> None:
        pet = {"id": "1", "kind": 1, "price": {"amount": 5, "currency": "USD"}, "weight": 3}

        one = json.loads(self.answer(table, "GET", f"/api/v1/pets/7?{query}", pet).body)["data"]
        many = json.loads(self.answer(table, "GET", f"/api/v1/pets?{query}", {"pets": [pet]}).body)["data"]
        bare = json.loads(self.answer(table, "GET", f"/api/pets/?{query}", {"pets": [pet]}).body)["pets"]

        assert one == many[0] == bare[0]
        assert set(one) == names
        assert one.get("price", {"amount": 5}) == {"amount": 5}

    @pytest.mark.parametrize(
        "query", ["fields=zz", "fields=", "fields=id.x", "fields=young.zz", "view=tiny", "fields=" + "id,zz," * 99]
    )
    def test_an_unknown_trim_is_refused(self, ask: Ask, query: str) -> None:
        assert set(refusal(ask, "GET", f"/api/v1/pets?{query}")) <= {"fields", "view"}

    def test_fields_that_the_caller_may_not_read_are_left_out(self, table: RouteTable) -> None:
        pet = {"id": "1", "price": {"amount": 5}, "young": [{"price": {"amount": 6}}]}
        denied = frozenset({"pets.prices.read", "others"})

        for path in ("/api/v1/pets/7", "/api/v1/pets/7?fields=id,price", "/api/v1/pets/7?fields=young"):
            answer = self.answer(table, "GET", path, pet, denied=denied)
            assert b"amount" not in answer.body

    def test_trims_that_are_kept_are_bounded(self, table: RouteTable, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(encoding, "TRIMS_MAX", 3)
        found = table.match("GET", "/api/v1/pets/7")
        assert isinstance(found, Matched)

        for name in ("id", "name", "kind", "weight", "tags", "id"):
            self.answer(table, "GET", f"/api/v1/pets/7?fields={name}", {})

        assert len(found.route.transcoder._encoders._trimmed) <= 4


class TestUnknownValues:
    def test_an_enum_value_of_tomorrow_is_left_out(self, table: RouteTable) -> None:
        found = table.match("GET", "/echo")
        assert isinstance(found, Matched)
        message: Any = found.route.request(kind=99, kinds=[99, 1])

        encoded = json.loads(found.route.transcoder.encode(Call(message, {}, {}), message, request_id="r").body)

        assert "kind" not in encoded
        assert encoded["kinds"] == ["cat"]


_TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=6,
)
_INNER: st.SearchStrategy[dict[str, Any]] = st.deferred(
    lambda: st.fixed_dictionaries(
        {},
        optional={
            "text": _TEXT,
            "number": st.integers(-(2**53) + 1, 2**53 - 1),
            "more": st.lists(_INNER, max_size=2),
        },
    )
)
_MOMENTS = st.datetimes().map(lambda moment: f"{moment.isoformat(timespec='milliseconds')}Z")
# What means the same to protobuf's own JSON reader; enums and base64 are covered above.
_SUBSET = st.fixed_dictionaries(
    {},
    optional={
        "text": _TEXT,
        "flag": st.booleans(),
        "int32_value": st.integers(-(2**31), 2**31 - 1),
        "int64_value": st.integers(-(2**53) + 1, 2**53 - 1),
        "uint32_value": st.integers(0, 2**32 - 1),
        "fixed64_value": st.integers(0, 2**53 - 1),
        "double_value": st.floats(allow_nan=False, allow_infinity=False),
        "float_value": st.floats(allow_nan=False, allow_infinity=False, width=32),
        "inner": _INNER,
        "inners": st.lists(_INNER, max_size=3),
        "texts": st.lists(_TEXT, max_size=3),
        "numbers": st.lists(st.integers(-(2**53) + 1, 2**53 - 1), max_size=3),
        "labels": st.dictionaries(_TEXT, _TEXT, max_size=3),
        "numbered": st.dictionaries(st.integers(-(2**31), 2**31 - 1).map(str), _INNER, max_size=2),
        "maybe_text": _TEXT,
        "maybe_number": st.integers(-(2**31), 2**31 - 1),
        "left": _TEXT,
        "at": _MOMENTS,
        "times": st.lists(_MOMENTS, max_size=2),
        "free": st.dictionaries(_TEXT, _JSON, max_size=3),
        "any_value": _JSON,
        "list": st.lists(_JSON, max_size=3),
        "wrapped_text": _TEXT,
        "wrapped_flag": st.booleans(),
    },
)


class TestAgainstProtobufsOwn:
    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(body=_SUBSET)
    def test_reads_and_writes_the_same(self, ask: Ask, body: dict[str, Any]) -> None:
        transcoder, call = ask("POST", "/echo", body)
        theirs = type(call.message)()
        json_format.ParseDict(body, theirs)

        answer = json.loads(transcoder.encode(call, call.message, request_id="r").body)

        assert call.message == theirs
        again = type(call.message)()
        json_format.ParseDict({name: value for name, value in answer.items() if name != "colour"}, again)
        assert again == theirs
        _, second = ask("POST", "/echo", answer)
        assert second.message == call.message

    @settings(max_examples=300, deadline=None)
    @given(st.integers(-62135596800, 253402300799), st.integers(0, 999_999_999))
    def test_writes_times_the_same(self, seconds: int, nanos: int) -> None:
        theirs = timestamp_pb2.Timestamp(seconds=seconds, nanos=nanos // 1_000_000 * 1_000_000)

        ours = wellknown.stamp(seconds, nanos)

        again = timestamp_pb2.Timestamp()
        again.FromJsonString(ours)
        assert again == theirs
        assert wellknown.timestamp(ours, "at", wellknown.Reading()) == (theirs.seconds, theirs.nanos)

    @settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(body=_JSON)
    def test_no_json_breaks_it(self, ask: Ask, body: Any) -> None:
        try:
            ask("POST", "/echo", json.dumps(body).encode())
        except Problem as problem:
            assert problem.status == 422  # noqa: PT017 -- a refusal is one of two good outcomes
