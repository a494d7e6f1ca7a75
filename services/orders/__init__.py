"""Orders, from the wish to the counter.

Owns orders, their lines, their timeline, the numbers a site gives out each day, how far each is paid, and the saga
behind it: what has still to be said to inventory and to the payment's provider, kept in the order's own database, so
that a process may die after any write. Owns bulk orders, whose orders it places in the background, and group orders,
which people join by code.

RPCs: orders, their lines and the live queue; bulk orders; group orders; orders of the past; offline clients' logs;
points of sale.
Calls: inventory (Reserve, PostReservation, ReleaseReservation), tenants (ResolveSites).
Events out: OrderPlaced, OrderStatusChanged, OrderUpdated, OrderAssigned, OrderLineChanged, BulkOrderProgressed,
GroupOrderCreated, GroupOrderUpdated, those of points of sale and of imports. Events in: its own; ReservationExpired.
"""
