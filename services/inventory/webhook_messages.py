"""Webhooks as the contract says them."""

from urllib.parse import quote

from switchyard.common.v1 import http_pb2
from switchyard.inventory.v1 import webhooks_pb2

from chassis import clock, codec
from services.inventory.messages import moment
from services.inventory.webhook_models import WebhookDelivery, WebhookEndpoint


def endpoint(row: WebhookEndpoint, secret: str = "") -> webhooks_pb2.WebhookEndpoint:
    """An endpoint, with the secret that was made for it just now."""
    until = row.previous_until
    return webhooks_pb2.WebhookEndpoint(
        site_id=str(row.site_id),
        provider=row.provider,
        secret=secret or None,
        path=f"/stores/{row.site_id}/webhooks/{quote(row.provider, safe='')}/end_point",
        notification_url=row.notification_url,
        location_id=row.location_id,
        skus=row.skus,
        previous_secret_until=moment(until) if until is not None and until > clock.now() else None,
        version=row.version,
        created_at=moment(row.created_at),
        updated_at=moment(row.updated_at),
    )


def delivery(row: WebhookDelivery) -> webhooks_pb2.WebhookDelivery:
    """A webhook that came in."""
    told = {
        "id": str(row.id),
        "site_id": str(row.site_id),
        "provider": row.provider,
        "event_id": row.event_id,
        "type": row.type,
        "status": row.status,
        "reason": row.reason,
        "results": row.results,
    }
    message = codec.from_json(webhooks_pb2.WebhookDelivery, told)
    message.received_at.CopyFrom(moment(row.received_at))
    return message


def answer(told: webhooks_pb2.WebhookAnswer) -> http_pb2.HttpResponse:
    """The answer to a webhook."""
    headers = [http_pb2.HttpHeader(name="content-type", value="application/json")]
    return http_pb2.HttpResponse(status=200, headers=headers, body=codec.encode(told))
