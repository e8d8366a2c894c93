"""Tests of app.discovery.folders."""
