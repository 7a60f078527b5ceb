"""The words of the tiny world: people, places and things that stories and tool calls are about."""


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


PEOPLE = _words(
    "Tom Ana Ben Lily Max Zoe Sam Eva Leo Mia Jack Nora Paul Rita Omar Kate "
    "Hugo Ines Yuki Dina Ravi Sara Ivan Lena Noah Tara Emil Vera Otto Rosa Felix Gina"
)
ITEMS = _words(
    "apples pens books coins cards shells stamps eggs cups toys seeds boxes "
    "stones beads hats keys lamps ropes nails plums spoons rings bells kites"
)
CITIES = _words(
    "Paris London Tokyo Cairo Lima Oslo Rome Berlin Delhi Madrid Boston Sydney "
    "Quito Seoul Dublin Vienna Prague Havana Nairobi Lisbon Athens Denver Geneva Hanoi"
)
DAYS = _words("Monday Tuesday Wednesday Thursday Friday Saturday Sunday")
COLORS = _words("red blue green black white yellow pink brown gray purple")
ROOMS = _words("kitchen bedroom office garage bathroom hallway attic cellar library studio")
FOODS = _words("soup rice bread pasta salad pizza curry beans stew tea cake fish")
ANIMALS = _words("dog cat horse goat parrot rabbit turtle donkey")
SONGS = _words("Sunrise Harvest Lullaby Thunder Meadow Lantern Voyage Winter Carousel Ember")
