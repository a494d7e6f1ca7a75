"""Serving and calling gRPC methods; the only place that knows the transport."""
