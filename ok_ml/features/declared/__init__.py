"""Features as declarations: what each one is, and those of a project's own."""
