"""What assets, checks and sensors share: all of it knows Dagster."""
