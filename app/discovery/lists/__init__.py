"""The formats a URL list may have, one module each. All yield rows, which :mod:`app.discovery.url_list` turns into candidates."""
