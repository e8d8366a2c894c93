"""Images of pages, galleries, sitemaps, feeds and IIIF manifests. Pure: bytes and their address in, candidates and links out.

:mod:`app.discovery.pages.document` reads a body of any kind; :mod:`app.discovery.pages.frontier` decides which links are followed.
"""

from app.discovery.pages.document import ReadingRules, WebDocument, read
from app.discovery.pages.frontier import CrawlScope, host_of, page_key

__all__ = ["CrawlScope", "ReadingRules", "WebDocument", "host_of", "page_key", "read"]
