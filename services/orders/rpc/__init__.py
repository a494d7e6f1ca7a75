"""The edges of orders: one module a gRPC service, and the counter that all of them place orders at."""
