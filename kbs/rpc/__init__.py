"""gRPC: bytes in, values through, bytes out. Protobuf messages stop here."""
