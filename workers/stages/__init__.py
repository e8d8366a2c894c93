"""What the jobs do, one module for each stage; ``outcomes`` and ``decode`` serve several of them."""
