"""The demonstration: a simulated node, a real broker, a real log. Built in code, on loopback; no configuration can."""
