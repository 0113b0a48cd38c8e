"""The only place that sees everything: makes a site, wires its broker, serves."""
