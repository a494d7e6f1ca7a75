"""Up to a hundred operations on items in one call; each row answers for itself."""

from collections.abc import Sequence
from dataclasses import replace

from sqlalchemy.ext.asyncio import AsyncSession
from switchyard.inventory.v1 import imports_pb2 as pb
from switchyard.inventory.v1 import inventory_pb2

from chassis import call, db, errors
from chassis.rpc import validation
from services.inventory import inventory

_CHANGES = tuple(field.name for field in pb.ItemChange.DESCRIPTOR.fields if field.name not in {"id", "version"})
# What a row may fail of; anything else is no matter of a row.
_REFUSALS = (errors.Invalid, errors.NotFound, errors.AlreadyExists, errors.Conflict, errors.FailedPrecondition)


class _NotAllGoodError(Exception):
    """A row of a batch that is done as a whole or not at all cannot be done."""


async def apply(session: AsyncSession, request: pb.BatchItemsRequest) -> pb.BatchItemsResponse:
    """Do the operations in their order, under the batch's policy."""
    whole = request.error_policy == pb.ERROR_POLICY_REJECT_ALL
    results: list[pb.ItemOperationResult] = []
    try:
        async with db.attempt(session):
            for position, operation in enumerate(request.operations):
                results.append(await _row(session, position, operation))
            if whole:
                _require_all(results)
    except _NotAllGoodError:
        results = [_undone(result) for result in results]
    return _answer(results)


def _require_all(results: Sequence[pb.ItemOperationResult]) -> None:
    if any(result.outcome == pb.ROW_OUTCOME_REJECTED for result in results):
        raise _NotAllGoodError


def _answer(results: Sequence[pb.ItemOperationResult]) -> pb.BatchItemsResponse:
    applied = sum(result.outcome == pb.ROW_OUTCOME_APPLIED for result in results)
    rejected = sum(result.outcome == pb.ROW_OUTCOME_REJECTED for result in results)
    return pb.BatchItemsResponse(results=results, applied=applied, rejected=rejected)


async def _row(session: AsyncSession, position: int, operation: pb.ItemOperation) -> pb.ItemOperationResult:
    try:
        async with db.attempt(session):
            done = await _do(session, operation)
    except _REFUSALS as refusal:
        details = [pb.FieldProblem(field=name, reason=why) for name, whys in refusal.fields.items() for why in whys]
        return pb.ItemOperationResult(
            position=position,
            outcome=pb.ROW_OUTCOME_REJECTED,
            code=refusal.code,
            message=refusal.message,
            details=details,
        )
    return pb.ItemOperationResult(
        position=position, outcome=pb.ROW_OUTCOME_APPLIED, item_id=done.id, version=done.version
    )


def _undone(result: pb.ItemOperationResult) -> pb.ItemOperationResult:
    if result.outcome == pb.ROW_OUTCOME_REJECTED:
        return result
    return pb.ItemOperationResult(position=result.position, outcome=pb.ROW_OUTCOME_NOT_APPLIED)


async def _do(session: AsyncSession, operation: pb.ItemOperation) -> inventory_pb2.Item:
    """The item as far as the answer tells of it: id and version."""
    which = operation.WhichOneof("operation")
    told = getattr(operation, which)
    problems = validation.violations(told)
    if problems:
        raise errors.Invalid(fields=problems)
    if which == "create":
        row = await inventory.create(session, told)
        return inventory_pb2.Item(id=str(row.id), version=row.version)
    expected = told.version if told.HasField("version") else None
    with call.answering(replace(call.current(), expected_version=expected)):
        if which == "update":
            await _change(session, told)
        else:
            await inventory.retire(session, told.id)
    # A retired item is found no more.
    version = (await inventory.get(session, told.id)).version if which == "update" else 0
    return inventory_pb2.Item(id=told.id, version=version)


async def _change(session: AsyncSession, told: pb.ItemChange) -> None:
    paths = [name for name in _CHANGES if told.HasField(name)]
    if not paths:
        raise errors.Invalid(fields={"update": ["names nothing to change"]})
    item = inventory_pb2.Item(**{name: getattr(told, name) for name in paths})
    await inventory.change(session, told.id, item, paths)
