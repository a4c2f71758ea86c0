"""What `ok-ml doctor` looks at."""
