"""Imports as the contract says them."""

from typing import Any

from switchyard.inventory.v1 import imports_pb2 as pb

from chassis import codec
from services.inventory import messages
from services.inventory.imports_models import Import

_STATES: dict[str, Any] = {
    word: number for number, word in codec.words(pb.DESCRIPTOR.enum_types_by_name["ImportState"]).items()
}
_ENDED = ("succeeded", "failed")


def job(row: Import) -> pb.Import:
    """An import."""
    return pb.Import(
        id=str(row.id),
        state=_STATES[row.state],
        name=row.name,
        chunks=row.chunks,
        chunks_received=row.chunks_received,
        rows=row.rows,
        rows_done=row.rows_done,
        created=row.created,
        updated=row.updated,
        unchanged=row.unchanged,
        rejected=row.rejected,
        percent=100 if row.state in _ENDED else min(99, 100 * row.rows_done // max(row.rows, 1)),
        failure=row.failure,
        created_by=row.created_by,
        created_at=messages.moment(row.created_at),
        finished_at=messages.moment(row.finished_at) if row.finished_at else None,
    )


def error(row: Any) -> pb.ImportError:
    """A line of the error report."""
    return pb.ImportError(row=row.row, field=row.field, reason=row.reason, sku=row.sku)
