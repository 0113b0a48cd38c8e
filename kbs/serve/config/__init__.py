"""The configuration: one TOML file, read once into frozen values, one dataclass for each room's section."""
