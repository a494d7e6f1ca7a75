"""Run audit: `python -m services.audit`."""

from chassis import streams
from chassis.service import Service
from chassis.settings import ServiceSettings
from services.audit.intake import Intake
from services.audit.rpc import AuditRpc

# One transaction a tenant and batch: large enough to spread its cost, small enough to be acknowledged in time.
BATCH = 200


def build(service: Service) -> None:
    """Put the parts together."""
    service.serve(AuditRpc(service.database, service.pager()))
    intake = Intake(service.database)
    service.background(
        streams.consume(
            service.nats, stream=streams.AUDIT, durable="audit", subjects=["aud.>"], batch=BATCH, handle=intake.take
        )
    )


if __name__ == "__main__":
    Service("audit", ServiceSettings.load()).run(build)
