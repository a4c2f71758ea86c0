"""What raw files seem to hold, as a configuration to start from."""
