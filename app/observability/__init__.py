"""Metrics and traces of this process.

`metrics` holds everything that is counted, as labelled metrics of prometheus_client; `registry` how a metric is described and exposed;
`server` exposes it over HTTP; `event_loop` measures the loop.
"""
