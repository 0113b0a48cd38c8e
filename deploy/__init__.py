"""Everything a site needs to run it."""
