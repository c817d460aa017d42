"""Plain statements of fact, about nothing that anybody would steer: what steering should leave alone.

Written for the workbench.  How much less likely a steered model finds them is the damage that steering does.
"""

from __future__ import annotations

NEUTRAL_TEXTS = (
    "The library opens at nine in the morning and closes at six in the evening on every day except Sunday.",
    "Water is made of hydrogen and oxygen, and it freezes at zero degrees on the Celsius scale.",
    "The committee meets on the second floor, and a copy of the minutes is sent to each of its members.",
    "A square has four sides of the same length, so its area is the length of a side times itself.",
    "The river rises in the north, passes two towns and reaches the sea after about three hundred kilometres.",
    "The train to the coast leaves from platform four and stops at every station along the way.",
    "In the printed edition, the index follows the appendix, and each chapter begins on a new page.",
    "The parcel weighs two kilograms and contains three books, a map and a letter from the publisher.",
    "Most maps show north at the top, and a scale in the corner says how long a kilometre is on paper.",
    "The museum keeps its coins in the basement and its paintings in two rooms on the first floor.",
    "Bread is made of flour, water, salt and yeast, and the dough rests for an hour before it is baked.",
    "A leap year has three hundred and sixty-six days, because the month of February has one more.",
    "The bridge was built in eighteen months, is forty metres long and carries two lanes of traffic.",
    "The alphabet used for English has twenty-six letters, of which five are usually called vowels.",
    "Copper conducts electricity well, which is why the wires inside of most walls are made of it.",
    "The form has three pages: name and address, the list of items, and a space for the signature.",
)
