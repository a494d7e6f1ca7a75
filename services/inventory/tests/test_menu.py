"""The menu through a real server: modifiers, what each site sells, the catalog, and what has sold out."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

import orjson
import pytest
from nats.aio.client import Client as Nats
from switchyard.common.v1 import common_pb2
from switchyard.inventory.v1 import inventory_pb2 as pb
from switchyard.inventory.v1 import menu_pb2 as menu
from switchyard.inventory.v1 import reservations_pb2 as held
from switchyard.inventory.v1.menu_pb2 import ModifierGroup as Group
from switchyard.inventory.v1.menu_pb2 import ModifierOption as Option
from uuid_utils.compat import uuid7

from chassis import clock, errors, streams
from chassis.testing import Running, Serve, Tenant
from services.inventory import recipes
from services.inventory.__main__ import build
from services.inventory.intake import Intake, Place
from services.inventory.settings import InventorySettings
from services.inventory.tests.support import Stub


@dataclass(frozen=True)
class Cafe:
    """A flat white, made of beans and milk; oat milk may be taken instead, and more shots."""

    processes: Sequence[Running]
    tenant: Tenant
    staff: Any
    site_id: str
    items: dict[str, str]
    sold: menu.MenuItem

    @classmethod
    async def open(cls, serve: Serve, tenant: Tenant, *, processes: int = 1) -> "Cafe":
        running = [await serve("inventory", build, settings=InventorySettings) for _ in range(processes)]
        staff = Stub(running[0].channel(tenant.user()))
        cafe = cls(running, tenant, staff, str(uuid7()), {}, menu.MenuItem())
        for one in running:
            one.service.every_site.stations[cafe.site_id] = []  # type: ignore[attr-defined] # as it is in tests
        for sku in ("BEAN", "MILK", "OAT"):
            told = pb.Item(sku=sku, name=sku.title(), unit=pb.UNIT_G)
            cafe.items[sku] = (await staff.CreateItem(pb.CreateItemRequest(item=told))).id
        return replace(cafe, sold=await cafe.put("Flat white", BEAN=20, MILK=100, groups=cafe.groups()))

    async def put(self, name: str, *, groups: Sequence[Group] = (), **recipe: int) -> menu.MenuItem:
        """Something on the menu."""
        lines = [menu.RecipeLine(item_id=self.items[sku], quantity=quantity) for sku, quantity in recipe.items()]
        told = menu.MenuItem(name=name, price=_usd(400), recipe=lines, modifier_groups=groups)
        created: menu.MenuItem = await self.staff.CreateMenuItem(menu.CreateMenuItemRequest(menu_item=told))
        return created

    def groups(self) -> list[Group]:
        """Which milk (one must be taken), and how many more shots (up to three)."""
        instead = [self.change("OAT", 100), self.change("MILK", -100)]
        milk = [Option(name="Whole", is_default=True), Option(name="Oat", price=_usd(60), recipe=instead)]
        shot = Option(name="Shot", price=_usd(80), recipe=[self.change("BEAN", 9)], max_quantity=3)
        return [
            Group(name="Milk", required=True, max_choices=1, options=milk),
            Group(name="Extras", max_choices=3, options=[shot, Option(name="Own cup", price=_usd(-20))]),
        ]

    def change(self, sku: str, quantity: int) -> menu.RecipeChange:
        """What an option does to the recipe."""
        return menu.RecipeChange(item_id=self.items[sku], quantity=quantity)

    def option(self, name: str) -> str:
        """An option's id."""
        return next(each.id for group in self.sold.modifier_groups for each in group.options if each.name == name)

    async def receive(self, quantity: int, *skus: str) -> None:
        """So much comes in of some items, or of each."""
        for sku in skus or self.items:
            told = pb.Movement(type=pb.MOVEMENT_TYPE_RECEIVE, quantity=quantity, site_id=self.site_id)
            await self.staff.CreateMovement(pb.CreateMovementRequest(item_id=self.items[sku], movement=told))

    async def change_groups(self, groups: Sequence[Group]) -> menu.MenuItem:
        """Replace the modifiers."""
        request = menu.UpdateMenuItemRequest(id=self.sold.id, menu_item=menu.MenuItem(modifier_groups=groups))
        request.update_mask.paths.append("modifier_groups")
        changed: menu.MenuItem = await self.staff.UpdateMenuItem(request)
        return changed

    async def switch(self, **values: Any) -> menu.MenuItemSite:
        """Say how the site sells it."""
        site = menu.MenuItemSite(**values)
        request = menu.PutMenuItemSiteRequest(menu_item_id=self.sold.id, site_id=self.site_id, site=site)
        told: menu.MenuItemSite = await self.staff.PutMenuItemSite(request)
        return told

    async def resolve(self, *chosen: str | tuple[str, int], quantity: int = 1) -> recipes.Resolved:
        """What a line with some options comes to."""
        modifiers = []
        for each in chosen:
            name, count = each if isinstance(each, tuple) else (each, 0)
            modifiers.append(held.ChosenModifier(option_id=self.option(name), quantity=count))
        line = held.ReserveLine(line_id=str(uuid7()), menu_item_id=self.sold.id, quantity=quantity, modifiers=modifiers)
        database = self.processes[0].service.database
        async with database.transaction(self.tenant.service("orders")) as session:
            (found,) = await recipes.resolve(session, UUID(self.site_id), [line])
        return found

    async def products(self, **asked: Any) -> Sequence[menu.Product]:
        """What the site's kiosk sees."""
        kiosk = Stub(self.processes[0].channel(self.tenant.kiosk(self.site_id)))
        page: menu.ListProductsResponse = await kiosk.ListProducts(
            menu.ListProductsRequest(catalog_id=self.site_id, **asked)
        )
        return page.products

    def needs(self, **quantities: int) -> Counter[UUID]:
        """Quantities by item."""
        return Counter({UUID(self.items[sku]): quantity for sku, quantity in quantities.items()})


def _usd(amount: int) -> common_pb2.Money:
    return common_pb2.Money(amount=amount, currency="USD")


async def _told(connection: Nats, tenant: Tenant, count: int) -> list[dict[str, Any]]:
    """The first so many events of what is sold out."""
    subject = f"evt.{tenant.id}.inventory.MenuItemSoldOut"
    subscription = await connection.jetstream().subscribe(subject, ordered_consumer=True)
    found = [orjson.loads((await subscription.next_msg(timeout=10)).data)["data"] for _ in range(count)]
    await subscription.unsubscribe()
    return found


async def _how_often(connection: Nats, tenant: Tenant) -> int:
    """How many events of what is sold out there are."""
    subject = f"evt.{tenant.id}.inventory.MenuItemSoldOut"
    info = await connection.jetstream().stream_info(streams.EVENTS, subjects_filter=subject)
    return (info.state.subjects or {}).get(subject, 0)


class TestModifiers:
    async def test_a_choice_changes_price_and_recipe(self, serve: Serve, tenant: Tenant) -> None:
        cafe = await Cafe.open(serve, tenant)

        found = await cafe.resolve("Oat", ("Shot", 2), quantity=3)

        assert found.unit_amount == 400 + 60 + 2 * 80
        assert [(each.name, each.quantity, each.amount) for each in found.modifiers] == [
            ("Oat", 1, 60),
            ("Shot", 2, 80),
        ]
        assert found.needs == cafe.needs(BEAN=3 * (20 + 18), OAT=300)

    async def test_of_a_required_group_the_default_is_taken(self, serve: Serve, tenant: Tenant) -> None:
        cafe = await Cafe.open(serve, tenant)

        found = await cafe.resolve("Own cup")

        assert ([each.name for each in found.modifiers], found.unit_amount) == (["Whole", "Own cup"], 380)
        assert found.needs == cafe.needs(BEAN=20, MILK=100)

    async def test_rules_of_groups(self, serve: Serve, tenant: Tenant) -> None:
        cafe = await Cafe.open(serve, tenant)

        for chosen in (("Oat", "Whole"), ("Oat", "Oat"), (("Shot", 4),), (("Shot", 3), "Own cup")):
            with pytest.raises(errors.Invalid) as refused:
                await cafe.resolve(*chosen)
            assert list(refused.value.fields) == ["lines.0.modifiers"]

    async def test_anothers_option_is_none(self, serve: Serve, tenant: Tenant) -> None:
        cafe = await Cafe.open(serve, tenant)
        other = await cafe.put("Mocha", BEAN=20, groups=cafe.groups())

        with pytest.raises(errors.Invalid) as refused:
            await replace(cafe, sold=menu.MenuItem(id=cafe.sold.id, modifier_groups=other.modifier_groups)).resolve(
                "Oat"
            )

        assert "lines.0.modifiers.0.option_id" in refused.value.fields

    async def test_what_is_required_and_has_no_default_must_be_chosen(self, serve: Serve, tenant: Tenant) -> None:
        cafe = await Cafe.open(serve, tenant)
        groups = [Group(name="Size", min_choices=1, options=[Option(name="Small"), Option(name="Large")])]
        sized = replace(cafe, sold=await cafe.put("Tea", groups=groups))

        with pytest.raises(errors.Invalid) as refused:
            await sized.resolve()

        assert refused.value.fields == {"lines.0.modifiers": ["Size: at least 1 must be chosen"]}

    async def test_an_option_that_is_off_is_sold_out(self, serve: Serve, tenant: Tenant) -> None:
        cafe = await Cafe.open(serve, tenant)
        groups = list(cafe.sold.modifier_groups)
        groups[0].options[1].sold_out = True
        await cafe.change_groups(groups)

        with pytest.raises(errors.Conflict) as refused:
            await cafe.resolve("Oat")

        assert (refused.value.code, list(refused.value.fields)) == ("SOLD_OUT", ["lines.0.modifiers"])

    async def test_ids_stay_with_names_and_with_ids(self, serve: Serve, tenant: Tenant) -> None:
        cafe = await Cafe.open(serve, tenant)
        milk, extras = cafe.sold.modifier_groups
        renamed = Group(id=extras.id, name="More", options=[Option(id=extras.options[0].id, name="Double")])
        again = Group(name="milk", options=[Option(name="OAT"), Option(name="Soy")])

        changed = (await cafe.change_groups([renamed, again])).modifier_groups

        assert [group.id for group in changed] == [extras.id, milk.id]
        assert changed[0].options[0].id == extras.options[0].id
        assert changed[1].options[0].id == milk.options[1].id
        assert changed[1].options[1].id not in {option.id for option in milk.options}

    async def test_what_cannot_be_is_refused(self, serve: Serve, tenant: Tenant) -> None:
        cafe = await Cafe.open(serve, tenant)
        one = [Option(name="One")]
        euro = Option(name="One", price=common_pb2.Money(amount=1, currency="EUR"))
        wrong = {
            "max_choices": Group(name="A", min_choices=2, max_choices=1, options=[*one, Option(name="Two")]),
            "min_choices": Group(name="A", min_choices=2, options=one),
            "options": Group(name="A", options=[Option(name="One"), Option(name="one")]),
            "options.0.price.currency": Group(name="A", options=[euro]),
            "options.0.recipe.0.item_id": Group(
                name="A", options=[Option(name="One", recipe=[menu.RecipeChange(item_id=str(uuid7()), quantity=1)])]
            ),
        }

        for path, group in wrong.items():
            with pytest.raises(errors.Invalid) as refused:
                await cafe.change_groups([group])
            assert list(refused.value.fields) == [f"menu_item.modifier_groups.0.{path}"]

    async def test_the_same_again_changes_nothing(self, serve: Serve, tenant: Tenant) -> None:
        cafe = await Cafe.open(serve, tenant)

        changed = await cafe.change_groups(cafe.sold.modifier_groups)

        assert changed.version == cafe.sold.version

    async def test_what_an_option_is_made_of_is_not_retired(self, serve: Serve, tenant: Tenant) -> None:
        cafe = await Cafe.open(serve, tenant)

        with pytest.raises(errors.Conflict) as refused:
            await cafe.staff.DeleteItem(pb.DeleteItemRequest(id=cafe.items["OAT"]))

        assert refused.value.code == "ITEM_IN_USE"


class TestSites:
    async def test_nobody_has_said_anything(self, serve: Serve, tenant: Tenant) -> None:
        cafe = await Cafe.open(serve, tenant)
        request = menu.GetMenuItemSiteRequest(menu_item_id=cafe.sold.id, site_id=cafe.site_id)

        found = await cafe.staff.GetMenuItemSite(request)

        assert (found.available, found.sold_out, found.HasField("price"), found.version) == (True, False, False, 0)

    async def test_a_price_of_its_own(self, serve: Serve, tenant: Tenant) -> None:
        cafe = await Cafe.open(serve, tenant)

        told = await cafe.switch(price=_usd(450))
        again = await cafe.switch(price=_usd(450))

        assert (told.price.amount, told.version, again.version) == (450, 1, 1)
        assert (await cafe.resolve()).unit_amount == 450
        assert [product.price.amount for product in await cafe.products()] == [450]

    async def test_what_it_does_not_sell_is_not_on_its_menu(self, serve: Serve, tenant: Tenant) -> None:
        cafe = await Cafe.open(serve, tenant)

        await cafe.switch(available=False)

        with pytest.raises(errors.Invalid):
            await cafe.resolve()
        assert list(await cafe.products()) == []

    async def test_off_by_hand_at_the_site(self, serve: Serve, tenant: Tenant, nats_client: Nats) -> None:
        cafe = await Cafe.open(serve, tenant)
        await _told(nats_client, tenant, 1)

        await cafe.switch(sold_out=True)

        with pytest.raises(errors.Conflict) as refused:
            await cafe.resolve()
        assert refused.value.code == "SOLD_OUT"
        wanted = {"menu_item_id": cafe.sold.id, "site_id": cafe.site_id, "sold_out": True, "reason": "manual"}
        assert (await _told(nats_client, tenant, 2))[1] == wanted

    async def test_a_site_that_is_not_there(self, serve: Serve, tenant: Tenant) -> None:
        cafe = await Cafe.open(serve, tenant)
        limited = Stub(cafe.processes[0].channel(tenant.user(sites=[str(uuid7())])))
        request = menu.PutMenuItemSiteRequest(
            menu_item_id=cafe.sold.id, site_id=cafe.site_id, site=menu.MenuItemSite(sold_out=True)
        )

        with pytest.raises(errors.NotFound):
            await limited.PutMenuItemSite(request)

    async def test_another_currency_is_refused(self, serve: Serve, tenant: Tenant) -> None:
        cafe = await Cafe.open(serve, tenant)

        with pytest.raises(errors.Invalid) as refused:
            await cafe.switch(price=common_pb2.Money(amount=1, currency="EUR"))

        assert list(refused.value.fields) == ["site.price.currency"]

    async def test_they_are_listed(self, serve: Serve, tenant: Tenant) -> None:
        cafe = await Cafe.open(serve, tenant)
        await cafe.switch(sold_out=True)

        listed = await cafe.staff.ListMenuItemSites(menu.ListMenuItemSitesRequest(menu_item_id=cafe.sold.id))

        assert [(each.site_id, each.sold_out, each.out_of_stock) for each in listed.sites] == [
            (cafe.site_id, True, True)
        ]


class TestCatalog:
    async def test_it_shows_how_many_pieces_there_are(self, serve: Serve, tenant: Tenant) -> None:
        cafe = await Cafe.open(serve, tenant)
        await cafe.receive(1000, "BEAN")
        await cafe.receive(250, "MILK")

        (product,) = await cafe.products()

        assert (product.available, product.available_quantity) == (True, 2)

    async def test_an_option_whose_stock_is_gone_cannot_be_chosen(self, serve: Serve, tenant: Tenant) -> None:
        cafe = await Cafe.open(serve, tenant)
        await cafe.receive(1000, "BEAN", "MILK")

        (product,) = await cafe.products()

        milk = product.modifier_groups[0]
        assert [(each.name, each.available) for each in milk.options] == [("Whole", True), ("Oat", False)]
        assert (milk.required, milk.min_choices, milk.max_choices) == (True, 1, 1)

    async def test_filters(self, serve: Serve, tenant: Tenant) -> None:
        cafe = await Cafe.open(serve, tenant)
        await cafe.put("Water")

        for asked, names in (
            ({"available": True}, ["Water"]),
            ({"available": False}, ["Flat white"]),
            ({"q": "WHITE"}, ["Flat white"]),
            ({"category": "coffee"}, []),
            ({"order_by": "-name"}, ["Water", "Flat white"]),
        ):
            assert [product.name for product in await cafe.products(**asked)] == names

    async def test_one_product(self, serve: Serve, tenant: Tenant) -> None:
        cafe = await Cafe.open(serve, tenant)
        kiosk = Stub(cafe.processes[0].channel(tenant.kiosk(cafe.site_id)))

        product = await kiosk.GetProduct(menu.GetProductRequest(catalog_id=cafe.site_id, id=cafe.sold.id))

        assert (product.name, len(product.modifier_groups)) == ("Flat white", 2)
        for catalog_id, product_id in ((cafe.site_id, str(uuid7())), (str(uuid7()), cafe.sold.id)):
            with pytest.raises(errors.NotFound):
                await kiosk.GetProduct(menu.GetProductRequest(catalog_id=catalog_id, id=product_id))


class TestSoldOut:
    async def test_what_comes_in_is_told(self, serve: Serve, tenant: Tenant, nats_client: Nats) -> None:
        cafe = await Cafe.open(serve, tenant)

        await cafe.receive(1000)

        first, second = await _told(nats_client, tenant, 2)
        assert (first["sold_out"], second["sold_out"]) == (True, False)
        assert first == {"menu_item_id": cafe.sold.id, "site_id": cafe.site_id, "sold_out": True, "reason": "stock"}

    async def test_what_is_held_back_is_sold_out(self, serve: Serve, tenant: Tenant, nats_client: Nats) -> None:
        cafe = await Cafe.open(serve, tenant)
        await cafe.receive(1000)
        await _told(nats_client, tenant, 2)
        batches = await cafe.staff.ListBatches(pb.ListBatchesRequest(item_id=cafe.items["MILK"]))
        change = pb.Batch(status=pb.BATCH_STATUS_QUARANTINED, reason="smells")
        request = pb.UpdateBatchRequest(id=batches.batches[0].id, batch=change)
        request.update_mask.paths.extend(["status", "reason"])

        await cafe.staff.UpdateBatch(request)

        assert (await _told(nats_client, tenant, 3))[2]["sold_out"]

    async def test_a_crossing_is_told_once(self, serve: Serve, tenant: Tenant, nats_client: Nats) -> None:
        cafe = await Cafe.open(serve, tenant, processes=2)
        await cafe.receive(60, "BEAN")
        await cafe.receive(1000, "MILK")
        await _told(nats_client, tenant, 2)
        place = Place(tenant.id, UUID(cafe.site_id))
        items = [UUID(item_id) for item_id in cafe.items.values()]

        async def look() -> None:
            await asyncio.gather(
                *(
                    Intake(cafe.processes[number % 2].service.database).look(place, items, at=clock.now())
                    for number in range(8)
                )
            )

        orders = [str(uuid7()) for _ in range(8)]
        clients = [Stub(cafe.processes[number % 2].channel(tenant.service("orders"))) for number in range(2)]
        answers = await asyncio.gather(
            *(clients[number % 2].Reserve(_wish(cafe, order)) for number, order in enumerate(orders)),
            look(),
            return_exceptions=True,
        )
        await look()
        await asyncio.gather(
            *(clients[0].ReleaseReservation(held.ReleaseReservationRequest(order_id=each)) for each in orders)
        )
        await look()
        for one in cafe.processes:
            await one.sent()

        assert sum(isinstance(answer, held.Reservation) for answer in answers) == 3
        assert [event["sold_out"] for event in await _told(nats_client, tenant, 4)] == [True, False, True, False]
        assert await _how_often(nats_client, tenant) == 4


def _wish(cafe: Cafe, order_id: str) -> held.ReserveRequest:
    line = held.ReserveLine(line_id=str(uuid7()), menu_item_id=cafe.sold.id, quantity=1)
    return held.ReserveRequest(order_id=order_id, site_id=cafe.site_id, lines=[line])
