"""Where keys live at rest: root (a file here) → tenant KEK → asset KEK → key version, each wrapped with its context."""
