"""Contracts and the table of routes."""

import random
from typing import Any

import pytest
from google.api import annotations_pb2  # type: ignore[import-untyped] # ships no types
from google.protobuf import descriptor_pb2
from switchyard.common.v1 import http_pb2
from switchyard.options.v1 import policy_pb2

from gateway import openapi, routes
from gateway.contracts import RAW, Contract, ContractError
from gateway.routes import Matched, MethodNotAllowed, RouteTable

# Its stub names no container, so it has no type here.
POLICY: Any = policy_pb2.policy
HTTP = descriptor_pb2.FileDescriptorProto.FromString(http_pb2.DESCRIPTOR.serialized_pb)


def matched(table: RouteTable, verb: str, path: str) -> tuple[str, dict[str, str]]:
    found = table.match(verb, path)
    assert isinstance(found, Matched), found
    return found.route.method.name, dict(found.params)


class TestMatch:
    @pytest.mark.parametrize(
        ("verb", "path", "method", "params"),
        [
            ("GET", "/api/v1/pets", "ListPets", {}),
            ("GET", "/api/pets/", "ListPets", {}),
            ("GET", "/api/v1/pets/7", "GetPet", {"id": "7"}),
            ("HEAD", "/api/v1/pets/7", "GetPet", {"id": "7"}),
            ("GET", "/api/v1/pets/favourite", "GetFavourite", {}),
            ("PATCH", "/api/v1/pets/7", "UpdatePet", {"id": "7"}),
            ("PUT", "/api/v1/pets/7", "UpdatePet", {"id": "7"}),
            ("POST", "/api/v1/pets/7:feed", "FeedPet", {"id": "7"}),
            ("GET", "/api/v1/pets/7:other", "GetPet", {"id": "7:other"}),
            ("GET", "/api/v1/pets/a%2Fb%20c%C3%A9", "GetPet", {"id": "a/b cé"}),
            ("GET", "/api/v1/pets/favourit%65", "GetFavourite", {}),
            ("GET", "/api/v1/files/a/b/c.txt", "GetFile", {"path": "a/b/c.txt"}),
            ("GET", "/api/v1/files/a%2Fb/c%20d", "GetFile", {"path": "a%2Fb/c d"}),
            ("GET", "/api/v1/shelves/shelves/1/books/2/cover", "GetFile", {"path": "shelves/1/books/2"}),
            ("GET", "/echo/5/nested/x", "Echo", {"int32_value": "5", "inner.text": "x"}),
        ],
    )
    def test_finds_the_method(
        self, table: RouteTable, verb: str, path: str, method: str, params: dict[str, str]
    ) -> None:
        assert matched(table, verb, path) == (method, params)

    @pytest.mark.parametrize(
        "path",
        [
            *("/", "", "/nothing", "/api/v1/pets/", "/api/pets", "/api/v1/pets/7/8", "//api/v1/pets"),
            *("/api/v1/pets/%FF", "/a" * 50, "/api/v1/files", "x/api/v1/pets"),
        ],
    )
    def test_there_is_no_such_path(self, table: RouteTable, path: str) -> None:
        assert table.match("GET", path) is None

    def test_the_path_exists_for_other_methods(self, table: RouteTable) -> None:
        assert table.match("PUT", "/api/v1/pets") == MethodNotAllowed(("GET", "HEAD", "POST"))

    def test_the_most_literal_path_decides_whatever_its_methods(self, table: RouteTable) -> None:
        assert table.match("DELETE", "/api/v1/pets/favourite") == MethodNotAllowed(("GET", "HEAD"))

    def test_a_dead_end_behind_a_literal_is_left_again(self, table: RouteTable) -> None:
        assert matched(table, "PUT", "/api/v1/pets/favourite/tags") == ("SetTags", {"id": "favourite"})


class TestAlias:
    def test_what_lies_outside_the_base_path_is_one(self, table: RouteTable) -> None:
        assert {each.template for each in table.routes if each.is_alias and each.method.name != "Echo"} == {
            "/api/pets/",
            "/pets/{id}",
            "/pets",
        }


class TestClash:
    def test_the_first_stays_and_the_other_is_reported(self, pets: Contract, descriptor_set: bytes) -> None:
        other = Contract.of("imitation", descriptor_set)

        table = RouteTable.of([pets, other])

        assert {each.service for each in table.routes} == {"pets"}
        assert len(table.clashes) == len(table.routes)
        assert "imitation" in str(table.clashes[0])
        assert "is taken by pets" in str(table.clashes[0])

    def test_names_of_variables_make_no_difference(self, table: RouteTable) -> None:
        assert routes.parse("/a/{id}/b")[0] == routes.parse("/a/{name}/b")[0]


class TestParse:
    @pytest.mark.parametrize(
        "template",
        ["a", "/{a}{b}", "/{a}x", "/x{a}", "/{**}", "/{a=**}/b", "/{a}/{a}", "/{a", "/a*"],
    )
    def test_refuses_what_is_no_template(self, template: str) -> None:
        with pytest.raises(ContractError):
            routes.parse(template)


class TestContract:
    def test_reads_bindings_policies_and_comments(self, pets: Contract) -> None:
        create = next(each for each in pets.methods if each.name == "CreatePet")

        assert [(each.verb, each.template, each.body) for each in create.bindings] == [
            ("POST", "/api/v1/pets", "pet"),
            ("POST", "/pets", "pet"),
        ]
        assert create.policy.permission == "pets.write"
        assert create.comment == "Create a pet."
        assert create.path == "/acme.pets.v1.PetsService/CreatePet"

    def test_streams_are_known(self, pets: Contract) -> None:
        assert [each.name for each in pets.methods if each.server_streaming] == ["WatchPets"]

    def test_only_the_services_asked_for(self, descriptor_set: bytes) -> None:
        contract = Contract.of("echo", descriptor_set, services=["acme.pets.v1.EchoService"])

        assert [each.name for each in contract.methods] == ["Echo"]

    def test_an_imported_package_is_not_its_own(self, descriptor_set: bytes) -> None:
        file_set = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set)
        mine = file_set.file.add(name="mine.proto", package="mine.v1", syntax="proto3", dependency=["pets.proto"])
        mine.service.add(name="Mine").method.add(
            name="Do", input_type=".acme.pets.v1.Pet", output_type=".acme.pets.v1.Pet"
        )

        contract = Contract.of("mine", file_set.SerializeToString())

        assert [each.path for each in contract.methods] == ["/mine.v1.Mine/Do"]

    def test_the_order_of_files_does_not_matter(self, descriptor_set: bytes) -> None:
        file_set = descriptor_pb2.FileDescriptorSet.FromString(descriptor_set)
        turned = descriptor_pb2.FileDescriptorSet(file=reversed(file_set.file))

        assert Contract.of("pets", turned.SerializeToString()).methods


class TestBadContract:
    def refuse(self, file_set: descriptor_pb2.FileDescriptorSet) -> str:
        try:
            contract = Contract.of("bad", file_set.SerializeToString())
        except ContractError as error:
            return str(error)
        return RouteTable.of([contract]).refused["bad"]

    def copy(self, descriptor_set: bytes) -> descriptor_pb2.FileDescriptorSet:
        return descriptor_pb2.FileDescriptorSet.FromString(descriptor_set)

    @pytest.mark.parametrize("raw", [b"", b"rubbish", b"\x0a\x03abc", b"\x00" * 100])
    def test_not_a_descriptor_set(self, raw: bytes) -> None:
        with pytest.raises(ContractError):
            Contract.of("bad", raw)

    def test_too_large(self) -> None:
        with pytest.raises(ContractError, match="over"):
            Contract.of("bad", b"\x00" * (8 * 1024 * 1024 + 1))

    def test_an_import_is_missing(self, descriptor_set: bytes) -> None:
        file_set = self.copy(descriptor_set)
        del file_set.file[0]

        assert "imports" in self.refuse(file_set)

    def test_an_unknown_type(self, descriptor_set: bytes) -> None:
        file_set = self.copy(descriptor_set)
        file_set.file[-1].message_type[0].field[0].type_name = ".no.such.Type"
        file_set.file[-1].message_type[0].field[0].type = descriptor_pb2.FieldDescriptorProto.TYPE_MESSAGE

        assert self.refuse(file_set)

    def test_code_in_a_name(self, descriptor_set: bytes) -> None:
        file_set = self.copy(descriptor_set)
        file_set.file[-1].message_type[0].field[0].name = "x'); import os #"

        assert "not a name" in self.refuse(file_set)

    def test_a_binding_without_a_policy(self, descriptor_set: bytes) -> None:
        file_set = self.copy(descriptor_set)
        file_set.file[-1].service[0].method[0].options.ClearExtension(POLICY)

        assert "without a policy" in self.refuse(file_set)

    def test_a_body_that_the_request_does_not_have(self, descriptor_set: bytes) -> None:
        file_set = self.copy(descriptor_set)
        create = next(each for each in file_set.file[-1].service[0].method if each.name == "CreatePet")
        create.options.Extensions[annotations_pb2.http].body = "nothing"

        assert "no field nothing" in self.refuse(file_set)

    def test_a_path_parameter_that_the_request_does_not_have(self, descriptor_set: bytes) -> None:
        file_set = self.copy(descriptor_set)
        options = file_set.file[-1].service[0].method[1].options
        options.Extensions[annotations_pb2.http].get = "/api/v1/pets/{nothing}"

        assert "no field nothing" in self.refuse(file_set)

    def test_a_raw_method_that_answers_a_message(self, descriptor_set: bytes) -> None:
        file_set = self.copy(descriptor_set)
        file_set.file.insert(0, HTTP)
        file_set.file[-1].dependency.append(HTTP.name)
        file_set.file[-1].service[0].method[1].input_type = f".{RAW[0]}"

        assert "a raw method takes" in self.refuse(file_set)

    def test_a_message_that_says_it_is_raw(self, descriptor_set: bytes) -> None:
        file_set = self.copy(descriptor_set)
        file_set.file[-1].service[0].method[1].options.Extensions[POLICY].raw.produces = "text/html"

        assert "a raw method takes" in self.refuse(file_set)

    def test_it_breaks_nobody_else(self, pets: Contract, descriptor_set: bytes) -> None:
        file_set = self.copy(descriptor_set)
        file_set.file[-1].service[0].method[1].options.Extensions[annotations_pb2.http].get = "/x/{nothing}"

        table = RouteTable.of([Contract.of("bad", file_set.SerializeToString()), pets])

        assert list(table.refused) == ["bad"]
        assert {each.service for each in table.routes} == {"pets"}

    def test_no_damage_breaks_more_than_the_contract(self, descriptor_set: bytes) -> None:
        dice = random.Random(1)
        start = descriptor_set.find(b"acme.pets.v1")
        for _ in range(300):
            damaged = bytearray(descriptor_set)
            for _ in range(dice.choice([1, 1, 2, 5])):
                damaged[dice.randrange(start, len(damaged))] = dice.randrange(256)
            try:
                table = RouteTable.of([Contract.of("bad", bytes(damaged))])
            except ContractError:
                continue
            assert openapi.document(table)["openapi"]
