"""Where anything is decided: pure, and the same for every RPC. `ask`, then engines, then `decide`."""
