"""What is sold, as the contract says it."""

from switchyard.inventory.v1 import menu_pb2

from services.inventory.menu_models import MenuItem
from services.inventory.messages import moment


def menu_item(row: MenuItem) -> menu_pb2.MenuItem:
    """A thing that is sold."""
    message = menu_pb2.MenuItem(
        id=str(row.id),
        name=row.name,
        category=row.category,
        recipe=[menu_pb2.RecipeLine(item_id=part["item_id"], quantity=part["quantity"]) for part in row.recipe],
        sold_out=row.sold_out,
        version=row.version,
        created_at=moment(row.created_at),
        updated_at=moment(row.updated_at),
    )
    message.price.amount, message.price.currency = row.price_amount, row.price_currency
    return message
