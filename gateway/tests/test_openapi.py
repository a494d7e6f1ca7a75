"""The document that is made of the contracts."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped] # ships no types
import protovalidate
import pytest
from jsonschema import Draft202012Validator, FormatChecker

from gateway import openapi
from gateway.contracts import Contract
from gateway.errors import Problem
from gateway.routes import Matched, RouteTable

ROOT = Path(__file__).parents[2]
VERBS = ("get", "post", "put", "patch", "delete")
Compile = Any


def operations(document: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, Any]]]:
    for path, item in document["paths"].items():
        for verb in VERBS:
            if verb in item:
                yield verb, path, item[verb]


def schemas(operation: dict[str, Any]) -> Iterator[tuple[dict[str, Any], Any]]:
    """Schemas with their examples."""
    for each in operation["parameters"]:
        if "schema" in each:
            yield each["schema"], each.get("example")
    bodies = [operation["requestBody"]] if "requestBody" in operation else []
    for each in [*bodies, *operation["responses"].values()]:
        for content in each.get("content", {}).values():
            yield content["schema"], content["example"]


@pytest.fixture(scope="module")
def live(pets: Contract, compile_set: Compile) -> RouteTable:
    """Everything that this repository announces, and a service that it does not know."""
    folder = ROOT / "protos"
    packages: dict[Path, list[str]] = {}
    for path in sorted(folder.rglob("*.proto")):
        packages.setdefault(path.parent, []).append(str(path.relative_to(folder)))
    contracts = [
        Contract.of(package.parent.name, compile_set(*names, folder=folder))
        for package, names in packages.items()
        if any("\nservice " in (folder / name).read_text() for name in names)
    ]
    return RouteTable.of([*contracts, pets])


@pytest.fixture(scope="module")
def document(live: RouteTable) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(openapi.render(live))
    return found


@pytest.fixture(scope="module")
def check(document: dict[str, Any]) -> Any:
    def checked(schema: dict[str, Any], value: Any) -> None:
        holder = {**schema, "components": document["components"]}
        Draft202012Validator(holder, format_checker=FormatChecker()).validate(value)

    return checked


class TestDocument:
    def test_every_route_is_in_it(self, live: RouteTable, document: dict[str, Any]) -> None:
        assert not live.refused
        assert not live.clashes
        assert len(list(operations(document))) == len(live.routes)

    def test_it_is_cached_by_table(self, live: RouteTable, table: RouteTable) -> None:
        assert openapi.render(live) is openapi.render(live)
        assert openapi.render(table) is not openapi.render(live)

    def test_references_lead_somewhere(self, document: dict[str, Any]) -> None:
        text = json.dumps(document)
        for reference in {each.split('"')[0] for each in text.split('"$ref": "')[1:]}:
            at: Any = document
            for step in reference.removeprefix("#/").split("/"):
                at = at[step]

    def test_operation_ids_are_unique(self, document: dict[str, Any]) -> None:
        ids = [operation["operationId"] for _, _, operation in operations(document)]

        assert len(ids) == len(set(ids))

    def test_schemas_are_schemas(self, document: dict[str, Any]) -> None:
        for schema in document["components"]["schemas"].values():
            Draft202012Validator.check_schema(schema)
        for _, _, operation in operations(document):
            for schema, _ in schemas(operation):
                Draft202012Validator.check_schema(schema)

    def test_everything_says_what_it_is(self, document: dict[str, Any]) -> None:
        for verb, path, operation in operations(document):
            where = f"{verb} {path}"
            assert operation["summary"], where
            assert operation["tags"], where
            assert {"x-permission", "x-audience", "x-rate-class", "x-error-codes"} <= set(operation), where
            assert {"429", "500", "503", "504"} <= set(operation["responses"]), where
            if "x-raw" in operation:
                continue
            assert "422" in operation["responses"], where
            if operation["security"]:
                assert {"401", "403", "404"} <= set(operation["responses"]), where

    def test_path_parameters_are_those_of_the_path(self, document: dict[str, Any]) -> None:
        for _, path, operation in operations(document):
            named = {each["name"] for each in operation["parameters"] if each.get("in") == "path"}

            assert named == {each.split("}")[0] for each in path.split("{")[1:]}

    def test_examples_keep_their_schemas(self, document: dict[str, Any], check: Any) -> None:
        for verb, path, operation in operations(document):
            for schema, example in schemas(operation):
                if example is None:
                    continue
                try:
                    check(schema, example)
                except jsonschema.ValidationError as error:
                    pytest.fail(f"{verb} {path}: {error.message} at {list(error.absolute_path)} in {example}")

    def test_examples_of_requests_are_taken(self, live: RouteTable, document: dict[str, Any]) -> None:
        for verb, path, operation in operations(document):
            if "requestBody" not in operation or "x-raw" in operation:
                continue
            filled = path
            for each in operation["parameters"]:
                if each.get("in") == "path":
                    filled = filled.replace(f"{{{each['name']}}}", str(each["example"]))
            found = live.match(verb.upper(), filled)
            assert isinstance(found, Matched), filled
            example = operation["requestBody"]["content"]["application/json"]["example"]
            try:
                call = found.route.transcoder.decode(found.params, "", json.dumps(example).encode())
                protovalidate.validate(call.message)
            except (Problem, protovalidate.ValidationError) as error:
                pytest.fail(f"{verb} {path}: {example} {getattr(error, 'details', error)}")


@pytest.fixture(scope="module")
def ours(table: RouteTable) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(openapi.render(table))
    return found


class TestOperation:
    def test_a_required_header_is_required(self, ours: dict[str, Any]) -> None:
        create = ours["paths"]["/api/v1/pets"]["post"]

        assert {each["name"]: each["required"] for each in create["parameters"] if "required" in each} == {
            "Idempotency-Key": True
        }
        assert "400" in create["responses"]
        assert "428" in ours["paths"]["/api/v1/pets/{id}"]["patch"]["responses"]

    def test_codes_of_the_method_stand_at_their_status(self, ours: dict[str, Any]) -> None:
        codes = ours["paths"]["/api/v1/pets"]["post"]["x-error-codes"]["409"]

        assert {"ALREADY_EXISTS", "KENNEL_FULL"} <= set(codes)

    def test_rules_become_keywords(self, ours: dict[str, Any]) -> None:
        pet = ours["components"]["schemas"]["PetInput"]
        meal = ours["components"]["schemas"]["FeedPetRequestInput"]

        assert pet["required"] == ["name"]
        assert pet["additionalProperties"] is False
        assert (pet["properties"]["name"]["minLength"], pet["properties"]["name"]["maxLength"]) == (1, 20)
        assert pet["properties"]["kind"]["enum"] == ["cat", "big_dog"]
        assert pet["properties"]["tags"]["maxItems"] == 5
        assert "id" not in pet["properties"]
        assert (meal["required"], list(meal["properties"])) == (["grams"], ["grams"])
        assert (meal["properties"]["grams"]["minimum"], meal["properties"]["grams"]["maximum"]) == (1, 5000)

    def test_a_patch_needs_something_and_may_clear(self, ours: dict[str, Any]) -> None:
        pet = ours["components"]["schemas"]["PetPatch"]

        assert pet["minProperties"] == 1
        assert pet["properties"]["weight"]["type"] == ["integer", "null"]
        assert pet["properties"]["name"]["type"] == "string"
        assert "chip" not in pet["properties"]

    def test_parameters_of_lists(self, ours: dict[str, Any]) -> None:
        parameters = {each.get("name"): each for each in ours["paths"]["/api/v1/pets"]["get"]["parameters"]}

        assert set(parameters) >= {"page_size", "cursor", "kind", "tags", "filter.weight", "from", "view", "fields"}
        assert parameters["page_size"]["schema"]["default"] == 25
        assert parameters["tags"]["schema"]["type"] == "array"

    def test_an_alias_answers_the_bare_message_and_names_its_like(self, ours: dict[str, Any]) -> None:
        alias = ours["paths"]["/pets"]["post"]

        assert alias["x-alias-of"] == "/api/v1/pets"
        # The second is for those who may not read every field.
        assert alias["responses"]["201"]["content"]["application/json"]["schema"] == {
            "anyOf": [{"$ref": f"#/components/schemas/{name}"} for name in ("Pet", "PetTrimmed")]
        }

    def test_public_methods_ask_for_nothing(self, ours: dict[str, Any]) -> None:
        assert ours["paths"]["/api/v1/pets/favourite"]["get"]["security"] == []

    def test_who_may_call_is_said(self, ours: dict[str, Any], document: dict[str, Any]) -> None:
        assert ours["paths"]["/api/v1/pets"]["get"]["x-audience"] == ["user", "client"]
        assert document["paths"]["/api/v1/auth/logout"]["post"]["x-audience"] == ["user"]

    def test_a_fresh_factor_is_said_to_be_needed(self, ours: dict[str, Any], document: dict[str, Any]) -> None:
        create = document["paths"]["/api/v1/tokens"]["post"]
        codes = create["x-error-codes"]

        assert create["x-step-up"] is True
        assert ("STEP_UP_REQUIRED" in codes["401"], "IMPERSONATION_FORBIDDEN" in codes["403"]) == (True, True)
        assert "STEP_UP_REQUIRED" not in ours["paths"]["/api/v1/pets"]["post"]["x-error-codes"]["401"]

    def test_a_suspended_tenant_is_answered_everywhere(self, ours: dict[str, Any]) -> None:
        assert "TENANT_SUSPENDED" in ours["paths"]["/api/v1/pets"]["get"]["x-error-codes"]["403"]

    def test_odd_templates_are_written_plainly(self, ours: dict[str, Any]) -> None:
        assert {"/api/v1/files/{path}", "/api/v1/shelves/{path}/cover", "/api/v1/pets/{id}:feed"} <= set(ours["paths"])


class TestAgreement:
    """The schema of a body and the reader of it say the same of what the schema can express."""

    @pytest.mark.parametrize(
        "body",
        [
            {"name": "x"},
            {"name": ""},
            {"name": None},
            {},
            {"name": "x", "weight": -1},
            {"name": "x", "weight": 1.5},
            {"name": "x", "weight": 1.0},
            {"name": "x", "kind": "fish"},
            {"name": "x", "nickname": None},
            {"name": "x", "tags": ["a"] * 6},
            {"name": "x", "tags": None},
            {"name": "x", "price": {"amount": 1, "currency": "usd"}},
            {"name": "x", "price": None},
            {"name": "x", "zz": 1},
            {"name": "x", "id": "1"},
            {"name": "x" * 21},
            {"name": "x", "person": "a", "house": 1},
            {"name": "x", "person": None, "house": 1},
            {"name": "x", "born_at": "yesterday"},
            {"name": "x", "young": [{"name": "y"}]},
            {"name": "x", "young": [{}]},
        ],
    )
    def test_on_a_pet(self, table: RouteTable, check: Any, body: dict[str, Any]) -> None:
        found = table.match("POST", "/api/v1/pets")
        assert isinstance(found, Matched)
        try:
            call = found.route.transcoder.decode({}, "", json.dumps(body).encode())
            protovalidate.validate(call.message)
            taken = True
        except (Problem, protovalidate.ValidationError):
            taken = False
        try:
            check({"$ref": "#/components/schemas/PetInput"}, body)
            allowed = True
        except jsonschema.ValidationError:
            allowed = False

        assert taken == allowed or "born_at" in body
