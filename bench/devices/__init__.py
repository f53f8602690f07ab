"""What can be measured here: each family's devices, their observed identity, or the reason why not."""
