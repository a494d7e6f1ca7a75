"""Which batches an order's lines are held in and sold from: pure rules over rows that are locked."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from uuid import UUID

from services.inventory.reservation_models import Level, Line, Lot, Pick

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
                    self._wait(line, item_id, missing)
                elif missing:
                    short[item_id] += missing
        return short

    def give_back(self, line: Line, picks: Iterable[Pick]) -> None:
        """Take picks from a line; what they held is free again, and nobody waits for what they waited for."""
        for pick in list(picks):
            level = self.levels[pick.item_id]
            level.reserved -= pick.quantity
            if pick.batch_id is None:
                level.backordered -= pick.quantity
            else:
                self._lot(pick.batch_id).reserved -= pick.quantity
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

    def sell(self, pick: Pick) -> int:
        """Take from its batch what a pick holds. What is left at the site of the item."""
        assert pick.batch_id is not None  # `renew` leaves none without
        level, lot = self.levels[pick.item_id], self._lot(pick.batch_id)
        for row in (level, lot):
            row.reserved -= pick.quantity
            row.on_hand -= pick.quantity
        return level.on_hand

    def wanting(self, short: Mapping[UUID, int], wanted: Mapping[UUID, int]) -> dict[str, tuple[int, int]]:
        """By SKU, how much was wanted and how much there was of what is missing."""
        return {
            self.levels[item_id].item.sku: (wanted[item_id], wanted[item_id] - missing)
            for item_id, missing in sorted(short.items())
        }

    def _hold(self, line: Line, item_id: UUID, quantity: int) -> int:
        level, missing = self.levels[item_id], quantity
        for lot in self._lots[item_id]:
            taken = min(missing, lot.free) if lot.sellable else 0
            if taken > 0:
                self._lot(lot.id).reserved += taken
                level.reserved += taken
                missing -= taken
                _add(line, Pick(item_id, lot.id, taken, lot.reason))
        return quantity - missing

    def _wait(self, line: Line, item_id: UUID, quantity: int) -> None:
        level = self.levels[item_id]
        level.reserved += quantity
        level.backordered += quantity
        _add(line, Pick(item_id, None, quantity, BACKORDER))

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
