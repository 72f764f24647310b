"""Grey squares on pictures, and how alike the changes are that they cause (section 4.3 of the paper)."""
