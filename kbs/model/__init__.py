"""The nouns that cross rooms: frozen values, no I/O."""
