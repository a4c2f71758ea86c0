"""What every pipeline type is made of: stages, the steps that make them, and the pipeline that has both."""
