"""What the jobs do: one module for each stage of a build."""
