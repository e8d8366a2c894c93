"""The JSON API under ``/v1`` (docs/how-to/use-the-api.md), one module for each resource."""
