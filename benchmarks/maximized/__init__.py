"""What images that a network makes are worth: does another network see in them what they were made for?"""
