"""What is read and written: regular files alone, and results whole or not at all."""
