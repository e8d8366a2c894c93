"""What each reason means, in a sentence for users. A test holds it to the closed list."""

from collections.abc import Mapping
from types import MappingProxyType

from errors import Reason

__all__ = ["MEANINGS"]

MEANINGS: Mapping[Reason, str] = MappingProxyType(
    {
        Reason.HTTP_400: "The origin answered 400.",
        Reason.HTTP_401: "The origin answered 401: it wants a login.",
        Reason.HTTP_403: "The origin answered 403: it refuses.",
        Reason.HTTP_404: "The origin answered 404: there is nothing there.",
        Reason.HTTP_410: "The origin answered 410: what was there is gone for good.",
        Reason.HTTP_451: "The origin answered 451: withheld for legal reasons.",
        Reason.HTTP_4XX: "The origin answered with another status from 400 to 499.",
        Reason.HTTP_5XX: "The origin answered with another status from 500 to 599.",
        Reason.RATE_LIMITED: "The origin answered 429 to the last attempt.",
        Reason.SERVICE_UNAVAILABLE: "The origin answered 503 or 504 to the last attempt.",
        Reason.RETRY_AFTER_OVER_CAP: "The origin asked for a longer wait than `retry.retry_after_max_s`.",
        Reason.TIMEOUT: "Connecting, reading or an attempt as a whole took too long, the last time too.",
        Reason.NETWORK: "The connection failed or broke, the last time too.",
        Reason.TRUNCATED_BODY: "Fewer bytes came than were announced, the last time too.",
        Reason.DNS_NOT_FOUND: "The host's name does not exist.",
        Reason.TLS: "The certificate or the handshake is not to be trusted.",
        Reason.HOST_UNAVAILABLE: "The host did not answer until the URL's time was over (`retry.defer_max_s`).",
        Reason.RETRY_BUDGET: "No retry was left: the retry budget held the URL until its time was over, or all attempts were made.",
        Reason.BLOCKED_ADDRESS: "The host is, or resolves to, an address or port that may not be dialled.",
        Reason.INVALID_URL: "Not an absolute http or https URL.",
        Reason.REDIRECT: "A redirect loop, too many hops, or no usable Location.",
        Reason.TOO_LARGE: "More bytes than `fetch.max_bytes`.",
        Reason.EMPTY_BODY: "A success without a body.",
        Reason.PROTOCOL: "The reply is not HTTP, or a status that makes no sense for an image.",
        Reason.NOT_AN_IMAGE: "The bytes begin like no image format that is taken.",
        Reason.ROBOTS: "robots.txt disallows the URL.",
        Reason.OPT_OUT: "The reply refuses use for training in a machine-readable header.",
        Reason.CONTACT_REQUIRED: "The site's rules ask for a contact in the User-Agent, and `fetch.contact` is empty.",
        Reason.POISON: "Working at this image killed its worker again and again.",
        Reason.CORRUPT: "The image does not decode to its end, or its end is missing.",
        Reason.DECODER_CRASH: "Decoding killed the decoder, or took too much memory or time.",
        Reason.TOO_SMALL: "A side is shorter than `validate.min_width` or `validate.min_height`.",
        Reason.TOO_MANY_PIXELS: "More pixels than `validate.max_pixels`.",
        Reason.ASPECT: "Longer side over shorter side is more than `validate.max_aspect`.",
        Reason.LOW_INFORMATION: "Next to nothing to see: a blank or a placeholder (`validate.min_entropy`).",
        Reason.BLURRY: "Edges are missing (`validate.min_sharpness`, level strict).",
        Reason.EXPOSURE: "Nearly all black or white (`validate.min_brightness`, `validate.max_brightness`, level strict).",
        Reason.ANIMATED: "More than one frame.",
        Reason.FORMAT: "A real format that the job does not take.",
        Reason.DUPLICATE_EXACT: "The same bytes as another image of the dataset.",
        Reason.DUPLICATE_NEAR: "Looks like another image of the dataset (`validate.near_distance`).",
        Reason.LICENCE: "Its licence is not one that was asked for.",
        Reason.OVER_TARGET: "Valid, but `--max-images` was reached without it.",
        Reason.CANCELLED: "The job was cancelled before its turn, or the unit of work that it was left in was discarded.",
        Reason.TOMBSTONED: "It was removed from the dataset and is not fetched again.",
    }
)
