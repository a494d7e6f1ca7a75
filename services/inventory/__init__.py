"""What is in stock, what is promised, and what a site sells.

Owns: items, batches, the ledger, balances, stations' stock, reservations, the menu, restock plans, imports, webhooks.
RPCs, one service for each contract: InventoryService, StockService, MenuService, RestockService, ImportsService,
WebhooksService; ReservationsService (for services).
Events out: ItemCreated, ItemUpdated, StockMoved, StationStockMoved, StockDepleted, LowStock, BatchStatusChanged,
BatchExpiring, MenuItemCreated to MenuItemDeleted, MenuItemSiteUpdated, MenuItemSoldOut, ReservationExpired,
RestockPlanChanged, ItemsImported, WebhookEndpointChanged.
Events in: its own of stock, from which follows what has sold out.

Stock changes by movements alone. Whoever changes it at a site holds the lock on its balance row, in the items' order.
"""
