"""The formats a URL list may have, one module each. All of them yield rows; :mod:`app.discovery.url_list` makes sense of them."""
