"""The broker: the effects, and the order in which they happen. The story of a release is kbs/release/release.py."""
