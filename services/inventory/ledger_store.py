"""The queries of the ledger: its rows, and what they add up to."""

from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import aliased
from switchyard.inventory.v1 import inventory_pb2 as pb
from switchyard.inventory.v1 import reservations_pb2

from services.inventory.models import Balance, Batch, Movement, Placement
from services.inventory.reservation_models import LineRow, PickRow, ReservationRow
from services.inventory.store import THERE

# A line in this state holds what was picked for it.
_HELD = reservations_pb2.RESERVATION_STATE_ACTIVE
_OF_LINE = sa.and_(LineRow.order_id == PickRow.order_id, LineRow.line_id == PickRow.line_id)
_SALE = pb.MOVEMENT_TYPE_SALE
# As the database counts it.
_HELD_BACK = sa.or_(Batch.status != pb.BATCH_STATUS_AVAILABLE, Batch.told_days == 0)
_OF_STATIONS = ("moved_at_stations", "at_stations")
_undoing = aliased(Movement)
# A row of the ledger, and whether it was reversed.
_MOVEMENTS: Any = sa.select(Movement, sa.exists().where(_undoing.reversal_of == Movement.id).label("reversed"))


def batches(sites: Iterable[str], **by: Any) -> Any:
    """Batches, of some sites or of all, narrowed by what is given: `item_id`, `status`, `expires_until`, `empty`."""
    conditions: dict[str, Any] = {
        "item_id": lambda value: Batch.item_id == value,
        "status": lambda value: Batch.status == value,
        "expires_until": lambda value: Batch.expires_at <= value,
        "filled": lambda _value: THERE,
    }
    select = sa.select(Batch).where(*(conditions[name](value) for name, value in by.items() if value))
    return _at(select, Batch.site_id, sites)


def movements(sites: Iterable[str], **by: Any) -> Any:
    """Movements, of some sites or of all, each with whether it was reversed, narrowed by what is given."""
    conditions: dict[str, Any] = {
        "item_id": lambda value: Movement.item_id == value,
        "station_id": lambda value: Movement.station_id == value,
        "batch_id": _of_batch,
        "type": lambda value: Movement.type == value,
        # The condition on the type is the index's.
        "order_id": lambda value: sa.and_(Movement.order_id == value, Movement.type == _SALE),
        "date_from": lambda value: Movement.recorded_at >= value,
        "date_to": lambda value: Movement.recorded_at < value,
    }
    select = _MOVEMENTS.where(*(conditions[name](value) for name, value in by.items() if value))
    return _at(select, Movement.site_id, sites)


def _of_batch(batch_id: UUID) -> Any:
    item = sa.select(Batch.item_id).where(Batch.id == batch_id).scalar_subquery()
    return sa.and_(Movement.item_id == item, Movement.batch_id == batch_id)


def _at(select: Any, column: Any, sites: Iterable[str]) -> Any:
    wanted = [UUID(site) for site in sites]
    return select.where(column.in_(wanted)) if wanted else select


async def movement(session: AsyncSession, movement_id: UUID) -> Any:
    """One row of the ledger and whether it was reversed."""
    return (await session.execute(_MOVEMENTS.where(Movement.id == movement_id))).one_or_none()


async def of_order(session: AsyncSession, order_id: UUID) -> Sequence[Movement]:
    """What an order has consumed."""
    select = sa.select(Movement).where(Movement.order_id == order_id, Movement.type == _SALE).order_by(Movement.id)
    return (await session.scalars(select)).all()


async def entry(session: AsyncSession, movement_id: UUID) -> Sequence[Movement]:
    """A row and those recorded as one with it, in their order."""
    named = sa.select(Movement.entry_id).where(Movement.id == movement_id).scalar_subquery()
    select = sa.select(Movement).where(sa.or_(Movement.id == movement_id, Movement.entry_id == named))
    return (await session.scalars(select.order_by(Movement.id))).all()


async def reversed_among(session: AsyncSession, ids: Iterable[UUID]) -> bool:
    """Whether one of some rows was reversed."""
    return bool(await session.scalar(sa.select(sa.exists().where(Movement.reversal_of.in_(list(ids))))))


async def sums(session: AsyncSession, item_id: UUID, sites: Iterable[str]) -> Any:
    """What the ledger, the balances and the reservations of an item say, at some sites or at all, of one moment.

    `wrong`: how many batches, balances and placements are not the sum of their movements and of what is held.
    """
    sites = list(sites)
    of_batches = _sums_of_batches(item_id)
    at_stations = _sums_of_stations(item_id, sites)
    waiting = _waiting(item_id)
    differs = sa.or_(
        Balance.on_hand != sa.func.coalesce(of_batches.c.on_hand, 0),
        Balance.reserved != sa.func.coalesce(of_batches.c.reserved, 0) + Balance.backordered,
        Balance.backordered != sa.func.coalesce(waiting.c.quantity, 0),
        Balance.held_back != sa.func.coalesce(of_batches.c.held_back, 0),
        Balance.wasted != sa.func.coalesce(of_batches.c.wasted, 0),
    )
    select = (
        sa.select(
            _total(of_batches.c.moved).label("moved"),
            _total(of_batches.c.movements).label("movements"),
            (_total(of_batches.c.held) + _total(waiting.c.quantity)).label("held"),
            _total(Balance.on_hand).label("on_hand"),
            _total(Balance.reserved).label("reserved"),
            *(sa.select(at_stations.c[name]).scalar_subquery().label(name) for name in _OF_STATIONS),
            (
                _total(of_batches.c.wrong)
                + sa.func.count().filter(differs)
                + sa.select(at_stations.c.wrong).scalar_subquery()
            ).label("wrong"),
        )
        .select_from(Balance)
        .outerjoin(of_batches, Balance.site_id == of_batches.c.site_id)
        .outerjoin(waiting, Balance.site_id == waiting.c.site_id)
    )
    return (await session.execute(_at(select.where(Balance.item_id == item_id), Balance.site_id, sites))).one()


def _sums_of_batches(item_id: UUID) -> "sa.Subquery":
    """By site: its batches, their movements and what is held of them, and how many batches are not what those say."""
    moved = (
        sa.select(
            Movement.batch_id,
            Movement.site_id,
            sa.func.sum(Movement.quantity).label("quantity"),
            sa.func.sum(-Movement.quantity).filter(Movement.type == pb.MOVEMENT_TYPE_WASTE).label("wasted"),
            sa.func.count().label("rows"),
        )
        .where(Movement.item_id == item_id)
        .group_by(Movement.batch_id, Movement.site_id)
        .subquery()
    )
    held = (
        sa.select(PickRow.batch_id, sa.func.sum(PickRow.quantity).label("quantity"))
        .join(LineRow, _OF_LINE)
        .where(PickRow.item_id == item_id, LineRow.state == _HELD)
        .group_by(PickRow.batch_id)
        .subquery()
    )
    differs = sa.or_(
        Batch.on_hand != sa.func.coalesce(moved.c.quantity, 0), Batch.reserved != sa.func.coalesce(held.c.quantity, 0)
    )
    return (
        sa.select(
            Batch.site_id,
            sa.func.sum(Batch.on_hand).label("on_hand"),
            sa.func.sum(Batch.reserved).label("reserved"),
            sa.func.sum(moved.c.quantity).label("moved"),
            sa.func.sum(moved.c.wasted).label("wasted"),
            sa.func.sum(Batch.on_hand - Batch.reserved).filter(_HELD_BACK).label("held_back"),
            sa.func.sum(moved.c.rows).label("movements"),
            sa.func.sum(held.c.quantity).label("held"),
            sa.func.count().filter(differs).label("wrong"),
        )
        .outerjoin(moved, sa.and_(moved.c.batch_id == Batch.id, moved.c.site_id == Batch.site_id))
        .outerjoin(held, held.c.batch_id == Batch.id)
        .where(Batch.item_id == item_id)
        .group_by(Batch.site_id)
        .subquery()
    )


def _sums_of_stations(item_id: UUID, sites: Iterable[str]) -> "sa.Subquery":
    """What the ledger and the placements say of stations, and how many of these, and of batches, are wrong."""
    moved = (
        _at(sa.select(Movement.batch_id, Movement.station_id), Movement.site_id, sites)
        .add_columns(sa.func.sum(Movement.quantity).label("quantity"))
        .where(Movement.item_id == item_id, Movement.station_id.is_not(None))
        .group_by(Movement.batch_id, Movement.station_id)
        .subquery()
    )
    placed = (
        _at(sa.select(Placement.batch_id, Placement.station_id, Placement.on_hand), Placement.site_id, sites)
        .where(Placement.item_id == item_id)
        .subquery()
    )
    same = sa.and_(moved.c.batch_id == placed.c.batch_id, moved.c.station_id == placed.c.station_id)
    said, is_there = sa.func.coalesce(moved.c.quantity, 0), sa.func.coalesce(placed.c.on_hand, 0)
    of_batch = sa.select(_total(Placement.on_hand)).where(Placement.batch_id == Batch.id).scalar_subquery()
    batches_wrong = _at(
        sa.select(sa.func.count()).where(Batch.item_id == item_id, Batch.placed != of_batch), Batch.site_id, sites
    )
    return (
        sa.select(
            _total(moved.c.quantity).label("moved_at_stations"),
            _total(placed.c.on_hand).label("at_stations"),
            (sa.func.count().filter(said != is_there) + batches_wrong.scalar_subquery()).label("wrong"),
        )
        .select_from(moved.join(placed, same, full=True))
        .subquery()
    )


def _waiting(item_id: UUID) -> "sa.Subquery":
    """By site: what is held without a batch."""
    return (
        sa.select(ReservationRow.site_id, sa.func.sum(PickRow.quantity).label("quantity"))
        .join(LineRow, _OF_LINE)
        .join(ReservationRow, ReservationRow.id == PickRow.order_id)
        .where(PickRow.item_id == item_id, PickRow.batch_id.is_(None), LineRow.state == _HELD)
        .group_by(ReservationRow.site_id)
        .subquery()
    )


def _total(column: Any) -> Any:
    return sa.func.coalesce(sa.func.sum(column), 0)
