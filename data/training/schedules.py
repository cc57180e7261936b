"""Does the archive make the tank networks differ, or how they were trained?

Each archive is also trained as the other's recipe says.
"""

from dataclasses import replace

from course_utils import pictures
from course_utils.classifiers import load

from .measure import accuracy_by
from .recipes import RECIPES

PAIR = ("tank_biased", "tank_fair")


def schedule_check(fitted) -> list[dict]:
    """The accuracy on test scenes in all four conditions for each archive and schedule.

    fitted: (name, recipe, seed) -> (classifier, accuracy, minutes), as in `command`
    """
    test = pictures.load_set("tank_yard", "test")
    rows = []
    for archive in PAIR:
        for schedule in PAIR:
            recipe = replace(RECIPES[archive], schedule=RECIPES[schedule].schedule)
            if schedule == archive:
                network = load(archive)
            else:
                network = fitted(f"{archive}, trained as {schedule}", recipe, recipe.seed)[0]
            right = accuracy_by(network, test, "label", "weather")
            row = {"archive": archive, "trained as": schedule, "epochs": recipe.schedule.epochs}
            row["recolouring"] = recipe.schedule.recolouring
            rows.append(row | {" ".join(key): round(share, 4) for key, share in right.items()})
    return rows
