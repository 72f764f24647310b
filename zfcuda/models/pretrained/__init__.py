"""The network that comes with the package: its weights, how they were trained, and its loader."""
