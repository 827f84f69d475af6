"""The words that products, searches and descriptions are made of."""

from __future__ import annotations

NOUNS: dict[str, dict[str, tuple[str, ...]]] = {
    "Kitchen": {
        "Cookware": ("pan", "pot", "wok"),
        "Knives": ("knife", "peeler"),
        "Tableware": ("bowl", "plate", "mug"),
    },
    "Garden": {
        "Tools": ("spade", "rake", "shears"),
        "Pots": ("planter", "trough"),
        "Seeds": ("herb set", "flower mix"),
    },
    "Toys": {"Puzzles": ("puzzle", "cube"), "Building": ("brick box", "marble run"), "Plush": ("bear", "rabbit")},
    "Sports": {"Running": ("shoe", "vest"), "Cycling": ("helmet", "lamp", "lock"), "Fitness": ("mat", "kettlebell")},
    "Electronics": {"Audio": ("headphones", "speaker"), "Power": ("charger", "battery"), "Light": ("lamp", "lantern")},
    "Beauty": {"Skin": ("cream", "serum"), "Hair": ("shampoo", "brush"), "Bath": ("soap", "bath oil")},
    "Books": {
        "Novels": ("novel", "story book"),
        "Cooking": ("cook book", "baking guide"),
        "Travel": ("atlas", "guide"),
    },
    "Fashion": {"Coats": ("coat", "parka"), "Knitwear": ("jumper", "cardigan"), "Bags": ("bag", "backpack")},
    "Pets": {"Dogs": ("leash", "dog bed"), "Cats": ("scratching post", "cat toy"), "Fish": ("filter", "pump")},
    "Office": {"Paper": ("notebook", "planner"), "Desk": ("organiser", "desk pad"), "Writing": ("pen", "pencil set")},
}
"""Top category to subcategory to what is sold there."""

BRANDS = {
    "Kitchen": ("Hearth", "Copperline", "Brinda", "Maison Oak"),
    "Garden": ("Greenly", "Fernhill", "Rootwork", "Alder & Ash"),
    "Toys": ("Pippa", "Woodling", "Playmoor", "Tinker Lane"),
    "Sports": ("Stride", "Velora", "Northpace", "Summit Eight"),
    "Electronics": ("Voltano", "Lumio", "Echofield", "Auralis"),
    "Beauty": ("Dew", "Calla", "Rosier", "Maison Lys"),
    "Books": ("Harbour Press", "Papermill", "Quill House", "Lantern"),
    "Fashion": ("Everyday", "Marlow", "Tessuto", "Atelier Nord"),
    "Pets": ("Pawly", "Whisker", "Fetchwell", "Noble Tail"),
    "Office": ("Clip", "Foldery", "Inkwell", "Bureau Eleven"),
}
"""Top category to its brands, the cheapest first."""

ADJECTIVES = (
    "classic", "light", "sturdy", "small", "large", "quiet", "bright", "soft", "compact", "handmade", "striped", "pale",
    "foldable", "round", "slim", "warm", "blue", "green", "red", "natural", "modern", "simple", "robust", "gentle",
)  # fmt: skip

PURPOSES = (
    "for every day", "for small flats", "for long weekends", "for beginners", "for the whole family", "as a present",
    "for people in a hurry", "for careful hands",
)  # fmt: skip

PRAISES = (
    "easy to clean", "made to last", "fits into any cupboard", "pleasant to the touch", "ready at once",
    "kind to the environment", "tested for two years", "spare parts for ten years",
)  # fmt: skip
