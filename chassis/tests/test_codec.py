"""Events travel in the API's JSON form and come back as they were."""

import orjson
from switchyard.audit.v1 import audit_pb2
from switchyard.orders.v1 import events_pb2, orders_pb2

from chassis import codec


def _order() -> orders_pb2.Order:
    order = orders_pb2.Order(id="o", number=7, status=orders_pb2.ORDER_STATUS_QUEUED, version=2**40)
    order.lines.add(id="l", quantity=2).unit_price.amount = 450
    order.placed_at.FromJsonString("2026-11-21T10:00:00.125Z")
    return order


class TestEncode:
    def test_the_form_is_the_apis(self) -> None:
        told = orjson.loads(codec.encode(events_pb2.OrderPlaced(order=_order())))["order"]

        assert (told["status"], told["number"], told["version"]) == ("queued", 7, 2**40)
        assert told["placed_at"] == "2026-11-21T10:00:00.125Z"
        assert told["lines"][0]["unit_price"] == {"amount": 450, "currency": ""}

    def test_what_is_not_set_is_left_out(self) -> None:
        told = codec.to_json(orders_pb2.Order())

        assert not {"number", "status", "placed_at"} & told.keys()
        assert told["lines"] == []


class TestFromJson:
    def test_comes_back_as_it_was(self) -> None:
        event = events_pb2.OrderPlaced(order=_order())

        assert codec.from_json(events_pb2.OrderPlaced, orjson.loads(codec.encode(event))) == event

    def test_structs_come_back(self) -> None:
        event = audit_pb2.AuditEvent(id="a", outcome=audit_pb2.OUTCOME_DENIED)
        event.changes.update({"items/1": {"before": {}, "after": {"tags": ["x", 1, None]}}})

        assert codec.from_json(audit_pb2.AuditEvent, orjson.loads(codec.encode(event))) == event

    def test_what_a_newer_release_says_is_passed_over(self) -> None:
        read = codec.from_json(orders_pb2.Order, {"id": "o", "brand_new": 1, "status": "brand_new"})

        assert read == orders_pb2.Order(id="o")
