"""The sealgate command. Imports lazily, since it runs in initramfs."""
