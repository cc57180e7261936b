"""The four photographs of the article on occlusion from which this course started.

    picture = open_picture("article:zebra")     # also basketball, pineapple, submarine

They belong to the repository gsurma/cnn_explainer (MIT licence) and are no part of the course: each
is fetched on its first use and kept in the user's cache.
"""

from pathlib import Path

from course_utils import _downloads
from course_utils.pictures import DataError

REPOSITORY = "https://github.com/gsurma/cnn_explainer"
COMMIT = "96ee8506f5d6dc60c0b90818de4f8533d7a96ec8"
ADDRESS = f"https://raw.githubusercontent.com/gsurma/cnn_explainer/{COMMIT}/test_images"

SHA256 = {
    "basketball": "c6eccbbb85a8fa75d053a1f9de8c27429b49352dfedb316cee6a4a7c455069d2",
    "pineapple": "035d8bb0d1404ec812e16f431f3113d193322a721ea5cbff996f7c164b9d5582",
    "submarine": "abf234000a47aad0a4bfb935237aa7b9eff87ca1f5dd1b5d7d4113c39ee1be17",
    "zebra": "c84840b64ec52972090074f786d517863606927cd1d6b7ff4933eb40e0a9d90c",
}
"""The check sum of each photograph, 224 x 224 pixels."""


def photograph(name: str) -> Path:
    """The file of a photograph, fetched if it isn't in the cache yet.

    Raises ValueError for other names and DataError where it can't be fetched.
    """
    if name not in SHA256:
        raise ValueError(f"The article has no picture {name!r}; it has: {', '.join(SHA256)}.")
    folder = _downloads.cache_folder() / "article"
    is_new = not (folder / f"{name}.jpg").exists()
    try:
        path = _downloads.fetch(f"{ADDRESS}/{name}.jpg", f"sha256:{SHA256[name]}", folder)
    except DataError as error:
        offline = "Without a network, there are chelsea, coffee and rocket."
        raise DataError(f"{error} {offline}") from None
    if is_new:
        print(f"{name}.jpg: a photograph from {REPOSITORY} (MIT licence), kept in {folder}")
    return path
