"""What is in stock, what is promised, and what a site sells.

Owns: items, batches, the movement ledger, balances, reservations, menu items, restock plans, imports of items.
RPCs: ListItems to DeleteItem; ListBatches, CreateBatch; ListMovements, CreateMovement, VerifyLedger; ListMenuItems to
DeleteMenuItem, ListProducts; ListRestockPlans to ListRestockSuggestions; BatchItems, ImportItems to ListImportErrors;
Reserve, PostReservation, ReleaseReservation (for services).
Events out: ItemCreated, ItemUpdated, StockMoved, StockDepleted, LowStock, MenuItemSoldOut, ReservationExpired,
RestockPlanChanged, ItemsImported.
Events in: none.

Stock changes by movements alone. Whoever changes the stock of an item at a site holds the lock on its balance row, and
takes such locks in the order of the items' ids.
"""
