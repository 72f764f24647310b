"""What a network makes of pictures by their attributes: as they are, and with one attribute changed at a time."""
