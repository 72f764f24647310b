"""Images that a layer answers to as it does to a given one, and what survives of that one in them."""
