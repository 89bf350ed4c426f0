"""The engine's parts: a cluster of this machine, a running one, a process held to its limits."""
