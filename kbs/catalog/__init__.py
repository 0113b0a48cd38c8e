"""Assets, tiers, key versions, reference values: documents that are content-addressed and change only with an entry."""
