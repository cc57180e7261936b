"""Trains the course's networks: `python -m data.training [NAME ...] [--seed N] [--into FOLDER]`.

`python -m data.training background_check` asks whether backgrounds give the look-alikes away,
`python -m data.training schedule_check` whether the tank networks differ by how they were trained.
"""

import argparse
import json
import time
from pathlib import Path

from course_utils import architectures, classifiers, decoders, pictures

from . import audit
from .background import background_check
from .card import head_facts, model_card, training_facts
from .fit import fit
from .generator import GeneratorRecipe, fit_generator, generator_card
from .head import fit_gap_head
from .recipes import DECODER_RECIPES, HEAD_RECIPES, MEAN, PLAIN, RECIPES, STD
from .schedules import schedule_check
from .segmenter import fit_segmenter, segmenter_card

DATA = Path(__file__).resolve().parents[1]
INTO = DATA / "classifiers"
DECODERS = DATA / "decoders"
BACKGROUND = DATA / "look_alikes" / "background_check.md"
SCHEDULES = DATA / "tank_yard" / "schedule_check.json"


def _training_pictures(recipe):
    """The set a recipe trains on, its pictures as bytes (a quarter of the memory), its labels."""
    training = pictures.load_set(recipe.dataset, recipe.split)
    images, labels = training.stack()
    return training, (images * 255).round().byte(), labels


def _fitted(name, recipe, seed):
    """A network trained from one seed -> classifier, accuracy on the last epoch, minutes."""
    training, images, labels = _training_pictures(recipe)
    model = architectures.build(recipe.architecture, len(training.classes), PLAIN)
    untrained = classifiers.Classifier(
        name, model, list(training.classes), MEAN, STD, PLAIN["size"], model.named_layers()
    )
    started = time.perf_counter()
    model, accuracy = fit(
        model, images, labels, untrained.preprocess, recipe.schedule, seed, f"{name}, seed {seed}"
    )
    minutes = (time.perf_counter() - started) / 60
    layers = model.named_layers()
    classifier = classifiers.Classifier(
        name, model, untrained.classes, MEAN, STD, PLAIN["size"], layers
    )
    return classifier, accuracy, minutes


def _command(name, recipe, seed):
    """What trains this network again, from the seed that it was trained from."""
    chosen = "" if seed == recipe.seed else f" --seed {seed}"
    return f"python -m data.training {name}{chosen}"


def train(name, into=INTO, seed=None):
    """Trains one network and writes NAME.safetensors, NAME.json and NAME.md to a folder."""
    recipe = RECIPES[name]
    seed = recipe.seed if seed is None else seed
    classifier, accuracy, minutes = _fitted(name, recipe, seed)
    command = _command(name, recipe, seed)
    _save(classifier, recipe, into, command, seed, epochs=recipe.schedule.epochs)
    siblings = {other: _fitted(name, recipe, other)[0] for other in recipe.other_seeds}
    facts = training_facts(classifier, recipe, command, seed, accuracy, minutes)
    return _write_card(classifier, recipe, into, facts, siblings)


def train_head(name, into=INTO, seed=None):
    """Gives a trained network a new last layer behind GAP, and writes what `train` writes."""
    recipe = HEAD_RECIPES[name]
    seed = recipe.seed if seed is None else seed
    source = classifiers.load(recipe.source)
    _, images, labels = _training_pictures(recipe)
    started = time.perf_counter()
    model, accuracy = fit_gap_head(source, images, labels, recipe, seed)
    seconds = time.perf_counter() - started
    layers = model.named_layers()
    classifier = classifiers.Classifier(
        name, model, source.classes, source.mean, source.std, source.size, layers
    )
    command = _command(name, recipe, seed)
    _save(classifier, recipe, into, command, seed, source=recipe.source)
    facts = head_facts(classifier, recipe, command, seed, accuracy, seconds)
    return _write_card(classifier, recipe, into, facts)


def train_decoder(name, into=DECODERS, seed=None):
    """Trains a segmenter or a generator, and writes what `train` writes."""
    recipe = DECODER_RECIPES[name]
    seed = recipe.seed if seed is None else seed
    command = _command(name, recipe, seed)
    facts = {"command": command, "seed": seed, "epochs": recipe.epochs}
    if isinstance(recipe, GeneratorRecipe):
        network, loss, minutes = fit_generator(recipe, seed)
        text = generator_card(name, network, recipe, command, seed, loss, minutes)
        facts |= {"dataset": recipe.dataset, "label": recipe.label}
    else:
        network, minutes = fit_segmenter(recipe, seed)
        text = segmenter_card(name, network, recipe, command, seed, minutes)
        facts |= {"dataset": recipe.dataset, "encoder": recipe.encoder}
    decoders.save(network, into, name, **facts)
    (Path(into) / f"{name}.md").write_text(text, encoding="utf-8")
    return text


def _save(classifier, recipe, into, command, seed, **facts):
    classifiers.save(
        classifier.model,
        into,
        classifier.name,
        classes=classifier.classes,
        mean=classifier.mean,
        std=classifier.std,
        command=command,
        seed=seed,
        dataset=recipe.dataset,
        split=recipe.split,
        **facts,
    )


def _write_card(classifier, recipe, into, facts, siblings=None):
    text = model_card(classifier, recipe, facts, siblings)
    (Path(into) / f"{classifier.name}.md").write_text(text, encoding="utf-8")
    return text


def main():
    parser = argparse.ArgumentParser("python -m data.training", description=__doc__)
    known = [*RECIPES, *HEAD_RECIPES, *DECODER_RECIPES, *audit.RECIPES]
    known += ["background_check", "schedule_check"]
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(known))
    parser.add_argument("--seed", type=int, help="instead of the recipe's own")
    parser.add_argument("--into", type=Path, help="folder for the results, instead of data's own")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.names if name not in known]
    if unknown:
        parser.error(f"there is no recipe {unknown[0]!r}; there are: {', '.join(known)}.")
    for name in arguments.names or known:
        if name == "background_check":
            BACKGROUND.write_text(background_check(), encoding="utf-8")
            print(BACKGROUND.read_text(encoding="utf-8"))
        elif name == "schedule_check":
            rows = schedule_check(_fitted)
            SCHEDULES.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
        elif name in HEAD_RECIPES:
            print(train_head(name, arguments.into or INTO, arguments.seed))
        elif name in DECODER_RECIPES:
            print(train_decoder(name, arguments.into or DECODERS, arguments.seed))
        elif name in audit.RECIPES:
            print(audit.train_audit(name, arguments.into or audit.INTO, arguments.seed))
        else:
            print(train(name, arguments.into or INTO, arguments.seed))
