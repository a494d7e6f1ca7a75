"""What has lapsed may be held anew, or closed."""

from alembic import op

revision = "inventory_0007"
down_revision = "inventory_0006"
branch_labels = None
depends_on = None

_FINAL = """
CREATE OR REPLACE FUNCTION reservations_stay_final() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    -- Posted and released are final. Expired (5) is not: whoever reserved may come back for it, or close it.
    IF NEW.state <> OLD.state AND OLD.state IN (3, 4) THEN
        RAISE EXCEPTION 'a reservation that has ended stays as it is';
    END IF;
    RETURN NEW;
END $$
"""


def upgrade() -> None:
    op.execute(_FINAL)
