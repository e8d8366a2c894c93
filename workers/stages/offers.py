"""Finds the pictures of a page that the dataset has already, and records the further offers on their rows.

Retry: none here; a page that is read again offers what its rows have, and changes nothing.
"""

from collections.abc import Sequence
from dataclasses import replace

from app.db import Connection, images, offers
from app.discovery import identities
from app.discovery.licences.policy import LicencePolicy
from app.discovery.offers import Change, Found, add_offer, divide
from app.domain import LISTED_SOURCES, Candidate
from logging_setup import get_logger

__all__ = ["divide_known", "name_candidate", "record_offers"]

log = get_logger(__name__)


def name_candidate(url: str, candidate: Candidate) -> Found:
    """Return a candidate with every name of its picture. Those of a list or folder get none: each of them is one of the user's."""
    if candidate.line is not None or candidate.source in LISTED_SOURCES:
        return Found(url, candidate)
    named = replace(candidate, identities=identities.name_all(candidate))
    return Found(url, named, (images.url_digest(url), *named.identities))


async def divide_known(connection: Connection, dataset_id: str, found: Sequence[Found]) -> tuple[Sequence[Found], Sequence[Found]]:
    """Return the candidates that are new to a dataset, and those that offer a picture again."""
    names = [name for item in found for name in item.names]
    if not names:
        return found, ()
    await images.one_at_a_time(connection, dataset_id)
    return divide(found, await offers.find(connection, dataset_id, names))


async def record_offers(connection: Connection, dataset_id: str, again: Sequence[Found], policy: LicencePolicy) -> int:
    """Write offers to the rows of their pictures; where licences disagree the stricter holds. Return how many rows it takes out."""
    if not again:
        return 0
    known = await offers.find(connection, dataset_id, [name for item in again for name in item.names])
    of: list[tuple[int, Found]] = []
    for item in again:
        image_id = min(known[name] for name in item.names if name in known)
        known |= dict.fromkeys(item.names, image_id)
        of.append((image_id, item))
    rows = await offers.load(connection, list({image_id for image_id, _ in of}))
    changes: dict[int, Change] = {}
    for image_id, item in of:
        if change := add_offer(rows[image_id], item.candidate, policy):
            rows[image_id] = change.applied_to(rows[image_id])
            changes[image_id] = changes[image_id].followed_by(change) if image_id in changes else change
    await offers.add_identities(connection, dataset_id, [(image_id, item.identities) for image_id, item in of])
    refused = await offers.change(connection, changes)
    if changes:
        log.info("search.offers", pictures=len(changes), refused=refused)
    return refused
