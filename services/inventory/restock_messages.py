"""Plans and suggestions as the contract says them."""

from collections.abc import Iterable
from typing import Any

from switchyard.inventory.v1 import restock_pb2 as pb

from chassis import clock, codec
from services.inventory import messages, restock_store, schedules
from services.inventory.restock_models import RestockLine, RestockPlan

_WORDS = codec.words(pb.DESCRIPTOR.enum_types_by_name["RestockState"])
_STATES: dict[str, Any] = {word: number for number, word in _WORDS.items()}


def state(number: int) -> str:
    """The word of a state, as it stands in the tables; empty for none."""
    return _WORDS.get(number, "")


def plan(row: RestockPlan, lines: Iterable[RestockLine]) -> pb.RestockPlan:
    """A plan."""
    return pb.RestockPlan(
        id=str(row.id),
        site_id=str(row.site_id),
        supplier=row.supplier,
        schedule=row.schedule,
        lead_days=row.lead_days,
        notes=row.notes,
        lines=map(_line, lines),
        state=_STATES[row.state],
        next_due_on=_next_due_on(row),
        approved_by=row.approved_by,
        ordered_at=messages.moment(row.ordered_at) if row.ordered_at else None,
        version=row.version,
        created_at=messages.moment(row.created_at),
        updated_at=messages.moment(row.updated_at),
    )


def _line(row: RestockLine) -> pb.RestockLine:
    return pb.RestockLine(
        item_id=str(row.item_id), min=row.min, max=row.max, quantity=row.quantity, received=row.received
    )


def _next_due_on(row: RestockPlan) -> str:
    if not row.schedule:
        return ""
    since = schedules.local_date(row.created_at, row.time_zone)
    found = schedules.next_on(row.schedule, since=since, today=schedules.local_date(clock.now(), row.time_zone))
    return found.isoformat() if found else ""


def suggestion(row: Any, asked: restock_store.Asked) -> pb.RestockSuggestion:
    """A suggestion, with why it is one."""
    daily = row.used / asked.use_days
    position = row.available + row.incoming
    cover = position / daily if daily else None
    return pb.RestockSuggestion(
        item_id=str(row.id),
        sku=row.sku,
        name=row.name,
        supplier=row.supplier,
        quantity=row.quantity,
        daily_use=round(daily, 3),
        days_of_cover=None if cover is None else round(cover, 2),
        available=row.available,
        incoming=row.incoming,
        min=row.min,
        max=row.max,
        lead_days=row.lead_days,
        reasons=_reasons(row, cover, asked.horizon_days),
        explanation=_explanation(row, daily, cover),
    )


def _reasons(row: Any, cover: float | None, horizon_days: int) -> list[Any]:
    found = []
    if row.available + row.incoming < row.min:
        found.append(pb.RESTOCK_REASON_BELOW_MINIMUM)
    if cover is not None and cover < row.lead_days:
        found.append(pb.RESTOCK_REASON_RUNS_OUT_BEFORE_DELIVERY)
    elif cover is not None and cover < row.lead_days + horizon_days:
        found.append(pb.RESTOCK_REASON_RUNS_OUT_WITHIN_HORIZON)
    return found


def _explanation(row: Any, daily: float, cover: float | None) -> str:
    there = f"{row.available} available and {row.incoming} on the way"
    if cover is None:
        return f"nothing was used; {there}, the minimum is {row.min}"
    words = f"uses {daily:.10g} a day; {there} last {cover:.1f} days, a delivery takes {row.lead_days}"
    return f"{words}; the minimum is {row.min}" if row.available + row.incoming < row.min else words
