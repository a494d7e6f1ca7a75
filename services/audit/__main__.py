"""Run audit: `python -m services.audit`."""

from chassis import streams
from chassis.service import Service
from chassis.settings import ServiceSettings
from services.audit.intake import Intake
from services.audit.rpc import AuditRpc

# One transaction a tenant and batch: large enough to spread its cost, small enough to be acknowledged in time.
BATCH = 200
# An entry alone costs a transaction of its own: the trail may be so many seconds behind, that several share one.
GATHER_S = 0.1


def build(service: Service) -> None:
    """Put the parts together."""
    service.serve(AuditRpc(service.database, service.pager()))
    intake = Intake(service.database)
    service.background(
        streams.consume(
            service.nats,
            stream=streams.AUDIT,
            durable="audit",
            subjects=["aud.>"],
            batch=BATCH,
            handle=intake.take,
            gather_s=GATHER_S,
        )
    )


if __name__ == "__main__":
    Service("audit", ServiceSettings.load()).run(build)
