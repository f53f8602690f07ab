"""What is signed, kept and checked."""
