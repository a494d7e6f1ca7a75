"""inventory through a real server: items, batches, movements, the menu and the catalog."""

from datetime import timedelta
from typing import Any

import pytest
from switchyard.inventory.v1 import inventory_pb2 as pb
from switchyard.inventory.v1 import menu_pb2 as menu
from uuid_utils.compat import uuid7

from chassis import clock, errors
from chassis.identity import Principal
from chassis.testing import Serve, Tenant
from services.inventory.__main__ import build
from services.inventory.settings import InventorySettings
from services.inventory.tests.support import Stub

SITE, OTHER_SITE = str(uuid7()), str(uuid7())


async def _stub(serve: Serve, principal: Principal, **told: str) -> Any:
    running = await serve("inventory", build, settings=InventorySettings)
    return Stub(running.channel(principal, **told))


def _item(**values: Any) -> pb.CreateItemRequest:
    told: dict[str, Any] = {"sku": "BEAN", "name": "Beans", "unit": pb.UNIT_G, **values}
    return pb.CreateItemRequest(item=pb.Item(**told))


def _catalog() -> menu.ListProductsRequest:
    return menu.ListProductsRequest(catalog_id=SITE)


def _batch(item_id: str, quantity: int, *, lot: str = "L1", site: str = SITE, days: int = 0) -> pb.CreateBatchRequest:
    batch = pb.Batch(site_id=site, lot=lot, quantity=quantity)
    if days:
        batch.expires_at.FromDatetime(clock.now() + timedelta(days=days))
    return pb.CreateBatchRequest(item_id=item_id, batch=batch)


def _movement(item_id: str, kind: int, quantity: int, **more: Any) -> pb.CreateMovementRequest:
    told: dict[str, Any] = {"type": kind, "quantity": quantity, "site_id": SITE, **more}
    return pb.CreateMovementRequest(item_id=item_id, movement=pb.Movement(**told))


class TestItems:
    async def test_created_is_read(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _stub(serve, tenant.user())
        created = await stub.CreateItem(_item())

        read = await stub.GetItem(pb.GetItemRequest(id=created.id))

        assert (read.sku, read.unit, read.on_hand, read.version) == ("BEAN", pb.UNIT_G, 0, 1)
        assert read.created_at == created.created_at

    async def test_a_sku_is_taken_once(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _stub(serve, tenant.user())
        await stub.CreateItem(_item())

        with pytest.raises(errors.AlreadyExists):
            await stub.CreateItem(_item(sku="bean"))

    async def test_anothers_item_is_not_found(self, serve: Serve, tenant: Tenant) -> None:
        item = await (await _stub(serve, tenant.user())).CreateItem(_item())
        stranger = await _stub(serve, Tenant().user())

        for attempt in (
            stranger.GetItem(pb.GetItemRequest(id=item.id)),
            stranger.CreateBatch(_batch(item.id, 1)),
            stranger.ListMovements(pb.ListMovementsRequest(item_id=item.id)),
            stranger.VerifyLedger(pb.VerifyLedgerRequest(item_id=item.id)),
            stranger.DeleteItem(pb.DeleteItemRequest(id=item.id)),
        ):
            with pytest.raises(errors.NotFound):
                await attempt
        assert list((await stranger.ListItems(pb.ListItemsRequest())).items) == []

    async def test_pages_filters_and_order(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _stub(serve, tenant.user())
        for number in range(7):
            category = "tea" if number % 2 else "coffee"
            await stub.CreateItem(_item(sku=f"S{number}", name=f"Item {number}", category=category))

        seen, cursor = [], ""
        while True:
            request = pb.ListItemsRequest(page_size=2, order_by="-sku", category="coffee", cursor=cursor)
            page = await stub.ListItems(request)
            seen += [item.sku for item in page.items]
            cursor = page.next_cursor
            if not cursor:
                break

        assert seen == ["S6", "S4", "S2", "S0"]
        assert [one.sku for one in (await stub.ListItems(pb.ListItemsRequest(q="item 3"))).items] == ["S3"]

    async def test_low_stock_filter(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _stub(serve, tenant.user())
        low = await stub.CreateItem(_item(sku="LOW", low_stock_threshold=5))
        await stub.CreateItem(_item(sku="FINE"))

        listed = await stub.ListItems(pb.ListItemsRequest(low_stock=True))

        assert [item.id for item in listed.items] == [low.id]

    async def test_who_is_limited_to_a_site_sees_its_stock(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _stub(serve, tenant.user())
        item = await stub.CreateItem(_item())
        await stub.CreateBatch(_batch(item.id, 10))
        await stub.CreateBatch(_batch(item.id, 5, site=OTHER_SITE))
        limited = await _stub(serve, tenant.user(sites=[SITE]))

        seen = [(await one.GetItem(pb.GetItemRequest(id=item.id))).on_hand for one in (stub, limited)]

        assert seen == [15, 10]
        with pytest.raises(errors.NotFound):
            await limited.CreateBatch(_batch(item.id, 1, lot="L2", site=OTHER_SITE))

    async def test_change_and_stale_version(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _stub(serve, tenant.user(), switchyard_expected_version="1")
        item = await stub.CreateItem(_item())
        request = pb.UpdateItemRequest(id=item.id, item=pb.Item(name="Better beans"))
        request.update_mask.paths.append("name")

        changed = await stub.UpdateItem(request)

        assert (changed.name, changed.sku, changed.version) == ("Better beans", "BEAN", 2)
        with pytest.raises(errors.StaleVersion):
            await stub.UpdateItem(request)

    async def test_an_item_with_stock_is_not_retired(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _stub(serve, tenant.user())
        item = await stub.CreateItem(_item())
        await stub.CreateBatch(_batch(item.id, 1))

        with pytest.raises(errors.Conflict) as refused:
            await stub.DeleteItem(pb.DeleteItemRequest(id=item.id))

        assert refused.value.code == "ITEM_IN_USE"


class TestMovements:
    async def test_first_expiry_goes_first(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _stub(serve, tenant.user())
        item = await stub.CreateItem(_item())
        await stub.CreateBatch(_batch(item.id, 5, lot="never"))
        await stub.CreateBatch(_batch(item.id, 5, lot="late", days=30))
        await stub.CreateBatch(_batch(item.id, 5, lot="soon", days=3))

        await stub.CreateMovement(_movement(item.id, pb.MOVEMENT_TYPE_DEDUCT, 7))

        batches = (await stub.ListBatches(pb.ListBatchesRequest(item_id=item.id))).batches
        assert [(batch.lot, batch.on_hand) for batch in batches] == [("soon", 0), ("late", 3), ("never", 5)]

    async def test_what_comes_in_without_a_lot_lies_together(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _stub(serve, tenant.user())
        item = await stub.CreateItem(_item())

        for _ in range(2):
            moved = await stub.CreateMovement(_movement(item.id, pb.MOVEMENT_TYPE_RECEIVE, 4))

        batches = (await stub.ListBatches(pb.ListBatchesRequest(item_id=item.id))).batches
        assert [(batch.lot, batch.on_hand) for batch in batches] == [("-", 8)]
        assert moved.balance_after == 8

    async def test_more_than_there_is_does_not_go(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _stub(serve, tenant.user())
        item = await stub.CreateItem(_item())
        await stub.CreateBatch(_batch(item.id, 3))

        for kind, quantity in ((pb.MOVEMENT_TYPE_WASTE, 4), (pb.MOVEMENT_TYPE_ADJUST, -4)):
            with pytest.raises(errors.Conflict) as refused:
                await stub.CreateMovement(_movement(item.id, kind, quantity))
            assert refused.value.code == "INSUFFICIENT_STOCK"

    async def test_the_ledger_agrees(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _stub(serve, tenant.user())
        item = await stub.CreateItem(_item())
        await stub.CreateBatch(_batch(item.id, 10, days=2))
        await stub.CreateMovement(_movement(item.id, pb.MOVEMENT_TYPE_ADJUST, -3))
        await stub.CreateMovement(_movement(item.id, pb.MOVEMENT_TYPE_RECEIVE, 1))

        verified = await stub.VerifyLedger(pb.VerifyLedgerRequest(item_id=item.id))
        movements = (await stub.ListMovements(pb.ListMovementsRequest(item_id=item.id))).movements

        assert (verified.consistent, verified.ledger_quantity, verified.movements) == (True, 8, 3)
        assert [movement.quantity for movement in movements] == [1, -3, 10]

    async def test_a_sale_is_not_recorded_by_hand(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _stub(serve, tenant.user())
        item = await stub.CreateItem(_item())

        with pytest.raises(errors.Invalid):
            await stub.CreateMovement(_movement(item.id, pb.MOVEMENT_TYPE_SALE, 1))


class TestMenu:
    async def test_a_recipe_of_unknown_items_is_refused(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _stub(serve, tenant.user())
        sold = menu.MenuItem(name="Coffee", recipe=[menu.RecipeLine(item_id=str(uuid7()), quantity=1)])
        sold.price.amount, sold.price.currency = 100, "USD"

        with pytest.raises(errors.Invalid) as refused:
            await stub.CreateMenuItem(menu.CreateMenuItemRequest(menu_item=sold))

        assert list(refused.value.fields) == ["menu_item.recipe.0.item_id"]

    async def test_a_kiosk_sees_what_its_stock_allows(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _stub(serve, tenant.user())
        item = await stub.CreateItem(_item())
        await stub.CreateBatch(_batch(item.id, 50))
        sold = menu.MenuItem(name="Coffee", recipe=[menu.RecipeLine(item_id=item.id, quantity=18)])
        sold.price.amount, sold.price.currency = 390, "USD"
        await stub.CreateMenuItem(menu.CreateMenuItemRequest(menu_item=sold))
        kiosk = await _stub(serve, tenant.kiosk(SITE))

        (product,) = (await kiosk.ListProducts(menu.ListProductsRequest(catalog_id=SITE))).products

        assert (product.available, product.available_quantity, product.price.amount) == (True, 2, 390)
        with pytest.raises(errors.NotFound):
            await kiosk.ListProducts(menu.ListProductsRequest(catalog_id=OTHER_SITE))

    async def test_what_has_expired_is_not_on_offer(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _stub(serve, tenant.user())
        item = await stub.CreateItem(_item())
        await stub.CreateBatch(_batch(item.id, 50, days=1))
        sold = menu.MenuItem(name="Coffee", recipe=[menu.RecipeLine(item_id=item.id, quantity=18)])
        sold.price.amount, sold.price.currency = 390, "USD"
        await stub.CreateMenuItem(menu.CreateMenuItemRequest(menu_item=sold))

        kiosk = await _stub(serve, tenant.kiosk(SITE))

        with clock.shifted(timedelta(days=2)):
            (product,) = (await kiosk.ListProducts(_catalog())).products

        assert (product.available, product.available_quantity) == (False, 0)

    async def test_switched_off_it_cannot_be_ordered(self, serve: Serve, tenant: Tenant) -> None:
        stub = await _stub(serve, tenant.user())
        sold = menu.MenuItem(name="Coffee")
        sold.price.amount, sold.price.currency = 390, "USD"
        created = await stub.CreateMenuItem(menu.CreateMenuItemRequest(menu_item=sold))
        request = menu.UpdateMenuItemRequest(id=created.id, menu_item=menu.MenuItem(sold_out=True))
        request.update_mask.paths.append("sold_out")

        await stub.UpdateMenuItem(request)

        (product,) = (await (await _stub(serve, tenant.kiosk(SITE))).ListProducts(_catalog())).products
        assert not product.available
