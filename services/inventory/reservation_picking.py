"""Which batches an order's lines are held in and sold from: pure rules over rows that are locked."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import cast
from uuid import UUID

from services.inventory import placements
from services.inventory.models import Batch
from services.inventory.placements import Placed, Source
from services.inventory.reservation_models import Level, Line, Lot, Pick, Sale

# Why a pick has no batch.
BACKORDER = "backorder"


class Shelf:
    """Locked balances and the batches under them, changed in place as lines hold, give back and sell."""

    def __init__(self, levels: dict[UUID, Level], lots: dict[UUID, list[Lot]]) -> None:
        self.levels = levels
        self._lots = lots
        self._by_id = {lot.id: lot for of_item in lots.values() for lot in of_item}
        self._touched: set[UUID] = set()

    @property
    def touched(self) -> list[Lot]:
        """The batches that were changed."""
        return [self._by_id[lot_id] for lot_id in sorted(self._touched)]

    def hold(self, lines: Iterable[tuple[Line, Mapping[UUID, int]]]) -> Counter[UUID]:
        """Hold for each line what it needs. What is missing, by item: of items that allow it, it is waited for."""
        short: Counter[UUID] = Counter()
        for line, needs in lines:
            for item_id, quantity in sorted(needs.items()):
                missing = quantity - self._hold(line, item_id, min(quantity, self._for_newcomers(item_id)))
                if missing and self.levels[item_id].allow_backorder:
                    self._wait(item_id, missing)
                    _add(line, Pick(item_id, None, missing, BACKORDER))
                elif missing:
                    short[item_id] += missing
        return short

    def give_back(self, line: Line, picks: Iterable[Pick]) -> None:
        """Take picks from a line; what they held is free again, and nobody waits for what they waited for."""
        for pick in list(picks):
            if pick.batch_id is None:
                self._wait(pick.item_id, -pick.quantity)
            else:
                self._promise(pick.batch_id, -pick.quantity)
            line.picks.remove(pick)

    def renew(self, lines: Sequence[Line]) -> tuple[list[Line], Counter[UUID]]:
        """Pick anew what was waited for and what may not be sold any more: which lines changed, what is missing."""
        changed, missing = [], []
        for line in lines:
            gone = [pick for pick in line.picks if not self._may_be_sold(pick)]
            if gone:
                changed.append(line)
                missing += [(line, pick.item_id, pick.quantity) for pick in gone]
                self.give_back(line, gone)
        short: Counter[UUID] = Counter()
        # After all of it was given back: another line's batch may have room for this one.
        for line, item_id, quantity in missing:
            short[item_id] += quantity - self._hold(line, item_id, quantity)
        return changed, +short

    def placed(self, lines: Iterable[Line]) -> list[Lot]:
        """The batches that lines are about to take, of which something lies at stations."""
        picked = {pick.batch_id for line in lines for pick in line.picks}
        return [lot for lot in self._by_id.values() if lot.id in picked and lot.placed]

    def sell(self, line: Line, placed: Placed, source: Source) -> list[Sale]:
        """Take what a line holds from its batches, of each where `source` says first."""
        sales = []
        for pick in line.picks:
            assert pick.batch_id is not None  # `renew` leaves none without
            level, lot, missing = self.levels[pick.item_id], self._lot(pick.batch_id), pick.quantity
            for at, there in placements.parts(cast("Batch", lot), placed, source):
                taken = min(missing, there)
                if taken <= 0:
                    continue
                for row in (level, lot):
                    row.reserved -= taken
                    row.on_hand -= taken
                if at is not None:
                    at.on_hand -= taken
                missing -= taken
                station_id = None if at is None else at.station_id
                sales.append(Sale(line.id, lot.item_id, lot.id, station_id, taken, level.on_hand))
        return sales

    def wanting(self, short: Mapping[UUID, int], wanted: Mapping[UUID, int]) -> dict[str, tuple[int, int]]:
        """By SKU, how much was wanted and how much there was of what is missing."""
        return {
            self.levels[item_id].item.sku: (wanted[item_id], wanted[item_id] - missing)
            for item_id, missing in sorted(short.items())
        }

    def _hold(self, line: Line, item_id: UUID, quantity: int) -> int:
        missing = quantity
        for lot in self._lots[item_id]:
            taken = min(missing, lot.free) if lot.sellable else 0
            if taken > 0:
                self._promise(lot.id, taken)
                missing -= taken
                _add(line, Pick(item_id, lot.id, taken, lot.reason))
        return quantity - missing

    def _promise(self, lot_id: UUID, quantity: int) -> None:
        lot = self._lot(lot_id)
        level = self.levels[lot.item_id]
        lot.reserved += quantity
        level.reserved += quantity
        # Of a batch that is held back counts what is not promised.
        level.held_back -= quantity if lot.held_back else 0

    def _wait(self, item_id: UUID, quantity: int) -> None:
        level = self.levels[item_id]
        level.reserved += quantity
        level.backordered += quantity

    def _for_newcomers(self, item_id: UUID) -> int:
        # What has come in since belongs to those who wait already.
        free = sum(lot.free for lot in self._lots[item_id] if lot.sellable)
        return max(0, free - self.levels[item_id].backordered)

    def _may_be_sold(self, pick: Pick) -> bool:
        return pick.batch_id is not None and self._by_id[pick.batch_id].sellable

    def _lot(self, lot_id: UUID) -> Lot:
        self._touched.add(lot_id)
        return self._by_id[lot_id]


def _add(line: Line, pick: Pick) -> None:
    for known in line.picks:
        if (known.item_id, known.batch_id) == (pick.item_id, pick.batch_id):
            known.quantity += pick.quantity
            return
    line.picks.append(pick)
