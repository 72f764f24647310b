"""Points of one picture matched in another by the nearest feature (Long, Zhang, Darrell 2014)."""
