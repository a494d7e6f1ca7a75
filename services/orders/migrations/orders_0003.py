"""Payments, and the steps of the saga that ask for them."""

from alembic import op

from chassis import migrate

revision = "orders_0003"
down_revision = "orders_0002"
branch_labels = None
depends_on = "chassis_0002"

_STATEMENTS = """
ALTER TABLE sagas DROP CONSTRAINT sagas_step_check;
ALTER TABLE sagas ADD CONSTRAINT sagas_known_step
    CHECK (step IN ('reserve', 'authorise', 'capture', 'post', 'trim', 'void', 'release', 'none'));
ALTER TABLE sagas
    ADD COLUMN subject text NOT NULL DEFAULT '',
    ADD COLUMN released boolean NOT NULL DEFAULT false;
ALTER TABLE orders
    ADD COLUMN refunded bigint CHECK (refunded > 0),
    ADD CONSTRAINT orders_captured_is_authorized CHECK (captured IS NULL OR captured <= authorized),
    ADD CONSTRAINT orders_refunded_was_captured CHECK (refunded IS NULL OR refunded <= captured);
CREATE TABLE order_payments (
    tenant_id uuid NOT NULL,
    id uuid NOT NULL,
    order_id uuid NOT NULL,
    provider text NOT NULL,
    state text NOT NULL CHECK (
        state IN ('created', 'processing', 'unknown', 'authorized', 'captured', 'refunded', 'voided', 'failed')
    ),
    token bytea,
    amount bigint CHECK (amount >= 0),
    currency text NOT NULL,
    authorized bigint CHECK (authorized >= 0),
    captured bigint CHECK (captured >= 0),
    refunded bigint NOT NULL CHECK (refunded >= 0),
    reference text NOT NULL,
    code text NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, id),
    CONSTRAINT order_payments_one_of_order UNIQUE (tenant_id, order_id),
    FOREIGN KEY (tenant_id, order_id) REFERENCES orders (tenant_id, id),
    CONSTRAINT order_payments_asks_for_something CHECK (state IN ('created', 'voided') OR amount IS NOT NULL),
    CONSTRAINT order_payments_authorizes_what_is_due CHECK (authorized <= amount),
    CONSTRAINT order_payments_captures_what_is_authorized CHECK (captured IS NULL OR captured <= authorized),
    CONSTRAINT order_payments_refunds_what_is_captured CHECK (refunded <= COALESCE(captured, 0)),
    CONSTRAINT order_payments_known_amounts CHECK (
        CASE state
            WHEN 'authorized' THEN authorized IS NOT NULL AND captured IS NULL
            WHEN 'captured' THEN captured IS NOT NULL AND token IS NULL
            WHEN 'refunded' THEN captured IS NOT NULL AND refunded = captured
            ELSE captured IS NULL
        END
    )
);
CREATE TABLE test_charges (
    tenant_id uuid NOT NULL,
    key text NOT NULL,
    token text NOT NULL,
    state text NOT NULL CHECK (state IN ('absent', 'authorized', 'declined', 'captured', 'voided', 'refunded')),
    currency text NOT NULL,
    authorized bigint NOT NULL CHECK (authorized >= 0),
    captured bigint NOT NULL CHECK (captured BETWEEN 0 AND authorized),
    refunded bigint NOT NULL CHECK (refunded BETWEEN 0 AND captured),
    asked jsonb NOT NULL,
    PRIMARY KEY (tenant_id, key)
)
"""

# The last line of defence: whatever a process believes, money is captured once and no payment goes back.
_GO_ON = """
CREATE FUNCTION order_payments_go_on() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    far CONSTANT jsonb := '{"created": 0, "processing": 1, "unknown": 1, "authorized": 2, "failed": 3, "voided": 3,
        "captured": 3, "refunded": 4}';
BEGIN
    IF NEW.state <> OLD.state AND (
        (far -> NEW.state)::int < (far -> OLD.state)::int
        OR OLD.state IN ('failed', 'voided', 'refunded')
        OR (OLD.state = 'captured' AND NEW.state <> 'refunded')
    ) THEN
        RAISE EXCEPTION 'a payment cannot go from % to %', OLD.state, NEW.state USING ERRCODE = 'check_violation';
    END IF;
    IF NEW.captured <> OLD.captured OR (NEW.captured IS NULL AND OLD.captured IS NOT NULL)
        OR NEW.refunded < OLD.refunded OR NEW.authorized < OLD.authorized
        OR NEW.order_id <> OLD.order_id OR NEW.provider <> OLD.provider OR NEW.amount <> OLD.amount THEN
        RAISE EXCEPTION 'what was captured stays captured, once' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NEW;
END $$
"""
# What a completed order came to is paid, and nothing more. Orders of the past were paid elsewhere.
_PAID = """
CREATE FUNCTION orders_completed_are_paid() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM order_payments p
    WHERE p.tenant_id = NEW.tenant_id AND p.order_id = NEW.id AND p.captured - p.refunded = NEW.amount;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'a completed order has nothing due' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$
"""
# Of a cancelled order nothing is held: once its saga has settled, its stock was given back and no money stands at a
# provider. Asked from both sides, so that neither can change alone.
_OPEN = """
CREATE FUNCTION cancelled_order_holds(of_tenant uuid, of_order uuid) RETURNS boolean LANGUAGE sql STABLE AS $$
    SELECT EXISTS (
        SELECT FROM orders o
        JOIN sagas s ON s.tenant_id = o.tenant_id AND s.order_id = o.id
        LEFT JOIN order_payments p ON p.tenant_id = o.tenant_id AND p.order_id = o.id
        WHERE o.tenant_id = of_tenant AND o.id = of_order AND o.status = 'cancelled' AND o.channel <> 'import'
        AND s.state = 'settled' AND (NOT s.released OR p.state IN ('processing', 'unknown', 'authorized', 'captured'))
    )
$$
"""
_HOLD = """
CREATE FUNCTION cancelled_orders_hold_nothing() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    told CONSTANT jsonb := to_jsonb(NEW);
BEGIN
    IF cancelled_order_holds(NEW.tenant_id, COALESCE(told ->> 'order_id', told ->> 'id')::uuid) THEN
        RAISE EXCEPTION 'a cancelled order holds nothing once it is settled' USING ERRCODE = 'check_violation';
    END IF;
    RETURN NULL;
END $$
"""
# By name: table, when, on which rows, function. At the end of the transaction, which may write in any order.
_AT_COMMIT = {
    "orders_completed_paid": (
        "orders",
        "INSERT OR UPDATE OF status, amount",
        "NEW.status = 'completed' AND NEW.channel <> 'import'",
        "orders_completed_are_paid",
    ),
    "orders_cancelled_hold_nothing": (
        "orders",
        "UPDATE OF status",
        "NEW.status = 'cancelled' AND NEW.channel <> 'import'",
        "cancelled_orders_hold_nothing",
    ),
    "sagas_settle_empty": ("sagas", "UPDATE", "NEW.state = 'settled'", "cancelled_orders_hold_nothing"),
    "order_payments_of_nothing": (
        "order_payments",
        "INSERT OR UPDATE",
        "NEW.state IN ('processing', 'unknown', 'authorized', 'captured')",
        "cancelled_orders_hold_nothing",
    ),
}


def upgrade() -> None:
    for statement in filter(str.strip, _STATEMENTS.split(";")):
        op.execute(statement)
    for table in ("order_payments", "test_charges"):
        migrate.isolate(table)
    migrate.resealable("order_payments", key=["tenant_id", "id"], columns=["token"])
    for create in (_GO_ON, _PAID, _OPEN, _HOLD):
        op.execute(create)
    op.execute(
        "CREATE TRIGGER order_payments_forward BEFORE UPDATE ON order_payments "
        "FOR EACH ROW EXECUTE FUNCTION order_payments_go_on()"
    )
    for name, (table, when, rows, function) in _AT_COMMIT.items():
        op.execute(
            f"CREATE CONSTRAINT TRIGGER {name} AFTER {when} ON {table} DEFERRABLE INITIALLY DEFERRED "
            f"FOR EACH ROW WHEN ({rows}) EXECUTE FUNCTION {function}()"
        )
