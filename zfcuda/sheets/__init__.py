"""Sheets of pictures that say by themselves what they show: letters, and tiles with names and a title."""
