"""Orders, from the wish to the counter.

Owns orders, their lines, their timeline, the numbers a site gives out each day, and the saga behind each order: what
has still to be said to inventory, kept in the order's own database, so that a process may die after any write.

RPCs: PlaceOrder, PlaceKioskOrder, ListOrders, GetQueue, GetOrder, UpdateOrder, ListOrderEvents.
Calls: inventory (Reserve, PostReservation, ReleaseReservation).
Events out: OrderPlaced, OrderStatusChanged. Events in: none.
"""
