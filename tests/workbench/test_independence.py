"""The platform names no family and no world, in imports (import-linter sees to those) nor in any other way."""

import re
from pathlib import Path

from workbench.families import families
from workbench.worlds import worlds

ROOT = Path(__file__).parents[2]
PLACES = ("families", "worlds")


def test_no_file_of_the_platform_names_a_family_or_a_world():
    names = {*families(), *worlds()} | {name for world in worlds().values() for name in (*world.sources, *world.games)}
    names |= {recipe.name for world in worlds().values() for recipe in world.recipes}
    modules = [f"{place}.{path.name}" for place in PLACES for path in (ROOT / "workbench" / place).glob("*/")]
    said = re.compile("|".join([rf"[\"'`/]{name}[\"'`/]" for name in sorted(names)] + [rf"{m}\b" for m in modules]))
    files = [file for room in ("workbench", "probes", "steering", "apps") for file in (ROOT / room).rglob("*.py")]
    platform = [file for file in files if file.relative_to(ROOT).parts[1] not in PLACES]
    found = {str(file.relative_to(ROOT)): said.findall(file.read_text(encoding="utf-8")) for file in platform}
    assert len(platform) > 100 and not {file: words for file, words in found.items() if words}
