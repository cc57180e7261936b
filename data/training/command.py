"""Trains the course's networks: `python -m data.training [NAME ...] [--seed N] [--into FOLDER]`.

`python -m data.training background_check` asks whether backgrounds give the look-alikes away.
"""

import argparse
import time
from pathlib import Path

from course_utils import classifiers, pictures

from .background import background_check
from .card import model_card
from .fit import fit
from .recipes import MEAN, RECIPES, STD

DATA = Path(__file__).resolve().parents[1]
INTO = DATA / "classifiers"
BACKGROUND = DATA / "look_alikes" / "background_check.md"


def _fitted(name, recipe, seed):
    """A network trained from one seed -> classifier, accuracy on the last epoch, minutes."""
    training = pictures.load_set(recipe.dataset, recipe.split)
    images, labels = training.stack()
    images = (images * 255).round().byte()  # a quarter of the memory
    model = classifiers.PlainNet(len(training.classes))
    untrained = classifiers.Classifier(
        name, model, list(training.classes), MEAN, STD, 128, model.named_layers()
    )
    started = time.perf_counter()
    model, accuracy = fit(
        model, images, labels, untrained.preprocess, recipe.schedule, seed, f"{name}, seed {seed}"
    )
    minutes = (time.perf_counter() - started) / 60
    layers = model.named_layers()
    classifier = classifiers.Classifier(name, model, untrained.classes, MEAN, STD, 128, layers)
    return classifier, accuracy, minutes


def train(name, into=INTO, seed=None):
    """Trains one network and writes NAME.safetensors, NAME.json and NAME.md to a folder."""
    recipe = RECIPES[name]
    seed = recipe.seed if seed is None else seed
    classifier, accuracy, minutes = _fitted(name, recipe, seed)
    command = f"python -m data.training {name}"
    facts = {"dataset": recipe.dataset, "split": recipe.split, "epochs": recipe.schedule.epochs}
    classifiers.save(
        classifier.model,
        into,
        name,
        classes=classifier.classes,
        mean=MEAN,
        std=STD,
        command=command,
        seed=seed,
        **facts,
    )
    siblings = {other: _fitted(name, recipe, other)[0] for other in recipe.other_seeds}
    text = model_card(classifier, recipe, command, accuracy, minutes, siblings)
    (Path(into) / f"{name}.md").write_text(text, encoding="utf-8")
    return text


def main():
    parser = argparse.ArgumentParser("python -m data.training", description=__doc__)
    known = [*RECIPES, "background_check"]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--seed", type=int, help="instead of the recipe's own")
    parser.add_argument("--into", type=Path, default=INTO, help="folder for the results")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in known]
    if unknown:
        parser.error(f"there is no recipe {unknown[0]!r}; there are: {', '.join(known)}.")
    for name in arguments.names or known:
        if name == "background_check":
            BACKGROUND.write_text(background_check(), encoding="utf-8")
            print(BACKGROUND.read_text(encoding="utf-8"))
        else:
            print(train(name, arguments.into, arguments.seed))
