"""What every process of inventory is told in its tests."""

import os

os.environ.setdefault("SWITCHYARD_INVENTORY_MASTER_KEY", "000102030405060708090a0b0c0d0e0f")
