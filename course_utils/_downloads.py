"""Files from elsewhere: fetched once on request, checked, and kept in the user's cache."""

from pathlib import Path

from course_utils.errors import DataError

TIMEOUT = 20
"""Seconds without a byte, after which a server counts as silent."""


def cache_folder() -> Path:
    """Where fetched files are kept: the system's folder for caches, such as ~/.cache on Linux."""
    import pooch  # here and below: only those who fetch pay for its import

    return Path(pooch.os_cache("what-does-the-network-see"))


def fetch(address: str, checksum: str, folder: Path) -> Path:
    """The file of an address, in `folder`; downloaded only if it is not there as it should be.

    checksum: "sha256:..." or "sha512:...", in hexadecimal digits
    Raises DataError, which says what to download by hand and where to put it. A damaged file is
    never kept.
    """
    import pooch
    import requests

    path = folder / address.rpartition("/")[2]
    by_hand = f"download {address} and put it into {folder}."
    pooch.get_logger().setLevel("WARNING")
    try:
        downloader = pooch.HTTPDownloader(timeout=TIMEOUT)
        pooch.retrieve(
            address, checksum, path.name, folder,
            downloader=downloader,  # pyright: ignore[reportArgumentType] (its own stub is narrower)
        )  # fmt: skip
    except requests.RequestException as error:
        what = f"can't be downloaded here ({_reason(error)})"
        raise DataError(path.name, what, by_hand) from None
    except OSError as error:
        what = f"can't be written ({error.strerror or error})"
        raise DataError(path, what, "make room or give yourself the permission.") from None
    except ValueError:  # the check sum
        what = "came damaged, or as another file"
        raise DataError(path.name, what, f"try again later, or {by_hand}") from None
    return path


def _reason(error):
    """Why a download failed, in few words."""
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"the server answers {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout):
        return "the server is silent"
    if isinstance(error, requests.exceptions.ChunkedEncodingError):
        return "the connection broke off"
    return "no connection"
