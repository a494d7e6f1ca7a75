"""What contracts ask for, and following those that run."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from chassis import errors
from services.auth import permissions
from services.auth.permissions import Catalogue, Permissions
from services.auth.tests import registry
from services.auth.tests.registry import Registry


def everything() -> Permissions:
    contracts = registry.contracts().items()
    return Permissions(each for name, contract in contracts for each in permissions.read(name, contract))


@pytest_asyncio.fixture(loop_scope="session")
async def told() -> AsyncIterator[Registry]:
    async with registry.serving() as running:
        yield running


@pytest_asyncio.fixture(loop_scope="session")
async def catalogue(told: Registry) -> AsyncIterator[Catalogue]:
    followed = Catalogue(told.address)
    following = asyncio.create_task(followed.run())
    yield followed
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


async def until(catalogue: Catalogue, *wanted: str) -> None:
    async with asyncio.timeout(10):
        while set((await catalogue.now()).known) != set(wanted):
            await asyncio.sleep(0.01)


class TestRead:
    def test_a_permission_is_told_with_its_service_and_methods(self) -> None:
        found = everything().known["orders.create"]

        assert found.service == "orders"
        assert {"PlaceKioskOrder", "PlaceOrder"} <= set(found.methods)

    def test_methods_of_other_services_are_told_with_theirs(self) -> None:
        assert everything().known["tenants.sites.read"].methods == ["GetSite", "ListSites", "auth.ListSiteUsers"]

    def test_what_acts_for_the_platform_is_left_out(self) -> None:
        found = everything()

        assert [name for name in found.known if name.startswith("platform.") or name == "registry.write"] == []
        assert found.of_platform("registry.write")
        assert found.of_platform("platform.whatever.there_will_be")

    def test_what_a_method_needs_besides_is_there(self) -> None:
        assert {"AssignOrder", "UpdateOrder"} <= set(everything().known["orders.override"].methods)

    def test_what_a_nested_field_demands_is_there(self) -> None:
        found = Permissions(permissions.read("pets", registry.foreign(field="acme.prices.read")))

        assert found.known["acme.prices.read"].methods == ["Feed"]

    @pytest.mark.parametrize("name", ["*", "acme.*", "Acme.Pets", "feed", "acme..feed", "acme.pets.feed "])
    def test_what_is_no_permission_is_not_one(self, name: str) -> None:
        assert permissions.read("pets", registry.foreign(name)) == []

    @pytest.mark.parametrize("garbage", [b"", b"\xff\xff", b"no contract"])
    def test_what_is_no_contract_asks_for_nothing(self, garbage: bytes) -> None:
        assert permissions.read("pets", garbage) == []


class TestCovered:
    @pytest.mark.parametrize("granted", ["orders.create", "orders.*", "*.read", "*"])
    def test_what_allows_something_is_covered(self, granted: str) -> None:
        assert everything().covered(granted)

    @pytest.mark.parametrize("granted", ["orders.fly", "rockets.*", "*.fly", "platform.*", "registry.write"])
    def test_what_allows_nothing_is_not(self, granted: str) -> None:
        assert not everything().covered(granted)


class TestCatalogue:
    async def test_a_service_that_comes_and_goes(self, catalogue: Catalogue, told: Registry) -> None:
        await until(catalogue)

        running = await told.put("pets", registry.foreign())
        await until(catalogue, "acme.pets.feed")
        await told.take_out(running)

        await until(catalogue)

    async def test_two_versions_at_once_give_both(self, catalogue: Catalogue, told: Registry) -> None:
        await told.put("pets", registry.foreign())
        await told.put("pets", registry.foreign("acme.pets.brush"))

        await until(catalogue, "acme.pets.feed", "acme.pets.brush")

    async def test_only_what_an_instance_serves_counts(self, catalogue: Catalogue, told: Registry) -> None:
        await told.put("pets", registry.foreign(), grpc_services=["acme.pets.v1.OtherService"])
        await told.put("pets", registry.foreign("acme.pets.brush"), grpc_services=["acme.pets.v1.PetsService"])

        await until(catalogue, "acme.pets.brush")

    async def test_a_broken_contract_harms_no_other(self, catalogue: Catalogue, told: Registry) -> None:
        await told.put("broken", b"\xff\xff")
        await told.put("pets", registry.foreign())

        await until(catalogue, "acme.pets.feed")

    async def test_before_the_registry_is_seen_nothing_is_known(self) -> None:
        with pytest.raises(errors.Unavailable):
            await Catalogue("127.0.0.1:1").now()
