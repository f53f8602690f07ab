"""What is run, what it counts, and whether the result is right: numpy alone, no backend."""
