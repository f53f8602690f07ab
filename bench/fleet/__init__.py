"""Several devices measured at once, a process (rank) for each, on one machine or on many."""
