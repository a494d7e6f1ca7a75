"""Group orders as the contract's messages."""

from collections.abc import Sequence
from functools import cache
from typing import Any

from google.protobuf import json_format
from google.protobuf.descriptor import EnumDescriptor
from switchyard.orders.v1 import groups_pb2, orders_pb2

from chassis import codec
from services.orders import messages
from services.orders.group_models import GroupOrder, GroupParticipant

_ENUMS = groups_pb2.DESCRIPTOR.enum_types_by_name


@cache
def _numbers(enum: EnumDescriptor) -> dict[str, Any]:
    return {word: number for number, word in codec.words(enum).items()}


def word(status: groups_pb2.GroupOrderStatus) -> str:
    """The word of a state, as it stands in the table."""
    return codec.words(_ENUMS["GroupOrderStatus"])[status]


def group(row: GroupOrder, participants: Sequence[GroupParticipant] = ()) -> groups_pb2.GroupOrder:
    """A group order."""
    return groups_pb2.GroupOrder(
        id=str(row.id),
        site_id=str(row.site_id),
        site_name=row.site_name,
        name=row.name,
        code=row.code,
        host_name=row.host_name,
        created_by=row.created_by,
        status=_numbers(_ENUMS["GroupOrderStatus"])[row.status],
        deadline=messages.time(row.deadline),
        order_id=str(row.order_id) if row.order_id and not row.rejection else "",
        rejection=row.rejection,
        rejection_message=row.rejection_message,
        outcome=_numbers(_ENUMS["GroupOrderOutcome"]).get(row.outcome, 0),
        participant_count=row.participant_count,
        line_count=row.line_count,
        participants=map(_participant, participants),
        version=row.version,
        created_at=messages.time(row.created_at),
        updated_at=messages.time(row.updated_at),
    )


def _participant(row: GroupParticipant) -> groups_pb2.Participant:
    return groups_pb2.Participant(
        id=str(row.id), name=row.name, lines=map(line, row.lines), joined_at=messages.time(row.joined_at)
    )


def participation(row: GroupParticipant, token: str = "") -> groups_pb2.Participation:
    """Somebody's part, for themselves."""
    return groups_pb2.Participation(
        id=str(row.id),
        group_order_id=str(row.group_id),
        name=row.name,
        lines=map(line, row.lines),
        token=token,
        joined_at=messages.time(row.joined_at),
    )


def invitation(row: Any) -> groups_pb2.GroupOrderInvitation:
    """What somebody who was given the code may know."""
    return groups_pb2.GroupOrderInvitation(
        id=str(row.id),
        name=row.name,
        host_name=row.host_name,
        site_id=str(row.site_id),
        site_name=row.site_name,
        deadline=messages.time(row.deadline),
        participant_count=row.participant_count,
    )


def line(kept: Any) -> orders_pb2.OrderLine:
    """A line as it was wished for."""
    return json_format.ParseDict(kept, orders_pb2.OrderLine())


def kept(wished: orders_pb2.OrderLine) -> Any:
    """A line as it is kept."""
    return json_format.MessageToDict(wished, preserving_proto_field_name=True)
