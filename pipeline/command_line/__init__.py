"""The command line in parts: options, groups of commands, and how a fault or a stop ends."""
