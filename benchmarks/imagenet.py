"""How well `load("imagenet")` knows photographs, with its own preprocessing and with others.

    python -m benchmarks.imagenet FOLDER

The name of each file says what it shows, after an optional "imagenet_": zebra.jpg,
imagenet_great_grey_owl.jpg. The three photographs of scikit-image are added.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from course_utils import imagenet, pictures
from course_utils.imagenet import indices_of

SCIKIT_IMAGE = {"chelsea": "cat", "coffee": "espresso", "rocket": "missile"}
USUAL = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    labels = dict(SCIKIT_IMAGE)
    for file in sorted(parser.parse_args().folder.glob("*.jpg")):
        labels[str(file)] = file.stem.removeprefix("imagenet_").replace("_", " ")
    own = imagenet.load_imagenet()
    networks = {
        "its own": own,
        "its own, the middle 224 of 256 pixels": replace(own, resize=256),
        "ImageNet's usual mean and spread": replace(own, **USUAL),
        "the same, the middle 224 of 256 pixels": replace(own, resize=256, **USUAL),
    }
    print(f"| preprocessing, {len(labels)} photographs | top-1 | top-5 |\n| --- | ---: | ---: |")
    for name, classifier in networks.items():
        ranks = [_rank(classifier, picture, label) for picture, label in labels.items()]
        print(f"| {name} | {sum(r < 1 for r in ranks)} | {sum(r < 5 for r in ranks)} |")
    print("\n| photograph | shows | probability | first prediction |\n| --- | --- | ---: | --- |")
    for picture, label in labels.items():
        photo = pictures.open_picture(picture)
        probability = imagenet.probability_of(own.scores(photo), label).item()
        [(first, first_probability)] = own.top_k(photo, 1)
        likeliest = f"{first}, {first_probability:.3f}"
        print(f"| {Path(picture).stem} | {label} | {probability:.3f} | {likeliest} |")


def _rank(classifier, picture, label):
    """The place of the best of a label's classes among all, from 0."""
    order = classifier.scores(pictures.open_picture(picture))[0].argsort(descending=True).tolist()
    return min(order.index(index) for index in indices_of(label))


if __name__ == "__main__":
    main()
