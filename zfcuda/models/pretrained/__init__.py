"""The networks that come with the package: their weights, how they were trained, and their loader."""
