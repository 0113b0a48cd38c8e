"""The policy engine behind our interface, and the bundles it evaluates."""
