"""Word problems in free wording: how they are told, told in other words, and told in German.

A file for two sides. The red team's benchmark (`questions.py`) draws its items from it; the programs that
cheat get it as what an agent's LLM knows: it lets them recall, reword, translate and renumber items.
Every story is invented. No two drawn from different seeds share more than the frame of a sentence.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

# Three columns: a word, another word for it, German.
THINGS = """
jars|pots|Gläser
lanterns|lamps|Laternen
marbles|glass balls|Murmeln
quills|feather pens|Federkiele
barrels|casks|Fässer
pebbles|small stones|Kiesel
ribbons|bands|Bänder
kettles|boilers|Kessel
thimbles|sewing caps|Fingerhüte
oars|paddles|Ruder
tulips|cup flowers|Tulpen
anvils|iron blocks|Ambosse
candles|tapers|Kerzen
buttons|fasteners|Knöpfe
whistles|pipes|Pfeifen
acorns|oak nuts|Eicheln
saddles|riding seats|Sättel
postcards|picture cards|Postkarten
corks|stoppers|Korken
pears|fruits|Birnen
shutters|blinds|Fensterläden
spoons|ladles|Löffel
maps|charts|Landkarten
hinges|joints|Scharniere
puppets|dolls|Puppen
radishes|red roots|Radieschen
bells|chimes|Glocken
goblets|drinking cups|Kelche
planks|boards|Bretter
shells|conches|Muscheln
mittens|gloves|Handschuhe
wheels|discs|Räder
almonds|kernels|Mandeln
arrows|darts|Pfeile
blankets|covers|Decken
horseshoes|hoof irons|Hufeisen
violins|fiddles|Geigen
nets|meshes|Netze
tickets|passes|Fahrkarten
scarves|shawls|Schals
"""
TRADES = """
glassblower|bottle maker|Glasbläser
ferryman|boatman|Fährmann
cobbler|shoemaker|Schuster
beekeeper|honey farmer|Imker
locksmith|key cutter|Schlosser
weaver|cloth maker|Weber
surveyor|land measurer|Landvermesser
pharmacist|chemist|Apotheker
organist|church musician|Organist
shepherd|sheep herder|Schäfer
cartographer|chart drawer|Kartograf
plumber|pipe fitter|Klempner
astronomer|star gazer|Astronom
librarian|book keeper|Bibliothekar
miller|grain grinder|Müller
diver|pearl fisher|Taucher
baker|bread maker|Bäcker
gardener|plant grower|Gärtner
magician|conjurer|Zauberer
dentist|tooth doctor|Zahnarzt
tailor|dressmaker|Schneider
juggler|circus artist|Jongleur
printer|press operator|Drucker
falconer|hawk trainer|Falkner
mechanic|engine fixer|Mechaniker
potter|clay worker|Töpfer
florist|flower seller|Florist
carpenter|joiner|Tischler
geologist|rock expert|Geologe
brewer|beer maker|Brauer
"""
LOOKS = """
amber|honey coloured|bernsteinfarbene
crooked|bent|krumme
dusty|grimy|staubige
velvet|soft|samtene
speckled|spotted|gesprenkelte
hollow|empty|hohle
ancient|very old|uralte
silver|shiny|silberne
wobbly|unsteady|wackelige
scarlet|bright red|scharlachrote
tiny|minute|winzige
frozen|icy|gefrorene
polished|gleaming|polierte
striped|banded|gestreifte
fragile|breakable|zerbrechliche
heavy|weighty|schwere
borrowed|lent|geliehene
purple|violet|lila
wooden|timber|hölzerne
fragrant|sweet smelling|duftende
rusty|corroded|rostige
square|four sided|viereckige
foreign|imported|ausländische
painted|coloured|bemalte
knitted|woollen|gestrickte
gilded|golden|vergoldete
sturdy|solid|stabile
faded|pale|verblasste
curved|arched|gebogene
waxed|oiled|gewachste
"""
PLACES = """
attic|loft|Dachboden
chapel|little church|Kapelle
canal|waterway|Kanal
staircase|flight of steps|Treppe
depot|train yard|Bahndepot
lighthouse|beacon|Leuchtturm
greenhouse|glass house|Gewächshaus
balcony|terrace|Balkon
harbour|port|Hafen
orchard|fruit garden|Obstgarten
stable|horse barn|Stall
windmill|mill|Windmühle
museum|gallery|Museum
promenade|boardwalk|Promenade
cabin|hut|Berghütte
theatre|playhouse|Theater
quarry|stone pit|Steinbruch
belfry|clock tower|Uhrturm
ferry|boat|Fähre
school|classroom|Schule
viaduct|bridge|Viadukt
tearoom|cafe|Teestube
observatory|star house|Sternwarte
vineyard|wine hill|Weinberg
laundry|wash house|Wäscherei
bakery|bread shop|Bäckerei
aquarium|fish house|Aquarium
courtyard|inner yard|Innenhof
tunnel|underpass|Tunnel
pavilion|summer house|Pavillon
"""
TIMES = """
flood|high water|Hochwasser
carnival|festival|Karneval
strike|walkout|Streik
auction|sale|Auktion
wedding|marriage|Hochzeit
rehearsal|practice|Probe
thaw|melting|Tauwetter
lesson|class|Unterrichtsstunde
thunderstorm|tempest|Gewitter
harvest|gathering in|Ernte
blackout|power cut|Stromausfall
breakfast|morning meal|Frühstück
regatta|boat race|Regatta
election|vote|Wahl
eclipse|darkening|Finsternis
parade|march|Parade
banquet|feast|Bankett
inspection|check|Prüfung
earthquake|tremor|Erdbeben
premiere|first night|Premiere
"""
NAMES = [
    "Marta",
    "Ilja",
    "Oswin",
    "Tamsin",
    "Bertil",
    "Yara",
    "Cosmo",
    "Edda",
    "Fionn",
    "Greta",
    "Hakon",
    "Imke",
    "Jovan",
    "Katinka",
    "Leopold",
    "Mireille",
    "Nils",
    "Odette",
    "Pavel",
    "Quirin",
    "Rosalind",
    "Severin",
    "Thekla",
    "Ulrik",
    "Violetta",
    "Wanda",
    "Xaver",
    "Ysolde",
    "Zeno",
    "Adele",
    "Balthasar",
    "Celeste",
    "Dorian",
    "Elspeth",
    "Ferdinand",
    "Gudrun",
    "Horatio",
    "Isolde",
    "Jasper",
    "Kunigunde",
]

# English, other words, German, of the same story. n: name; t u: trades; w v: things; l m r x y: looks;
# p q: places; z: an event.
OPENINGS = (
    (
        "{n} the {r} {t} stores {a} {l} {w} behind a {x} {p}.",
        "A {t} called {n}, who is {r}, has {a} {w} that are {l}, all of them past some {p}, a {x} one.",
        "{n}, von Beruf {t} ({r}), lagert {a} {l} {w} hinter dem Ort {p} ({x}).",
    ),
    (
        "Exactly {a} {l} {w} stand near one {x} {p}; {r} {t} {n} owns them.",
        "The {t} {n}, {r} as ever, owns {a} {w}, each {l} and kept close to the {p}, which is {x}.",
        "Genau {a} {l} {w} stehen beim Ort {p} ({x}); sie gehören {n}, {t} im Ort ({r}).",
    ),
    (
        "Inside his {x} {p}, {t} {n} counts {a} {l} {w} like a {r} king.",
        "Like some {r} ruler, {n} (a {t}) finds {a} {w}, {l} ones, within the {p} that is {x}.",
        "{n} ist {t} und zählt im Ort {p} ({x}) wie ein König ({r}) {a} {l} {w}.",
    ),
    (
        "{a} {w}, every piece {l}, fill {n}'s {x} {p} since that {t} became {r}.",
        "Since {n} the {t} turned {r}, the {p} ({x}) is full: {a} {w}, {l} without exception.",
        "Seit {n} als {t} ({r}) arbeitet, füllen {a} {w} ({l}) den Ort {p} ({x}).",
    ),
)
MIDDLES = (
    (
        "After some {y} {z} {n} sells {b} for {m} coins, paid by an {u}.",
        "An {u} pays with money, {m} pieces of it, and buys {b} when the {z} ({y}) has passed.",
        "Nach dem Ereignis {z} ({y}) verkauft {n} davon {b} an jemanden: {u}, Münzen ({m}).",
    ),
    (
        "Before the {y} {z}, one {u} drives {b} off on {m} wheels.",
        "Ahead of a {z}, which was {y}, {b} are carried away by a {u} whose cart is {m}.",
        "Vor dem Ereignis {z} ({y}) nimmt {u} mit einem Wagen ({m}) davon {b} mit.",
    ),
    (
        "{b} break during that {y} {z}, says {u} with {m} voice.",
        "In a tone quite {m} the {u} reports {b} broken while there was a {z}, a {y} one.",
        "{b} zerbrechen beim Ereignis {z} ({y}), sagt {u} mit einer Stimme ({m}).",
    ),
    (
        "A {m} {u} wins {b} at cards, {y} {z} notwithstanding.",
        "Despite a {z} that is {y}, {b} are lost in a game to some {u}, rather {m}.",
        "{u} ({m}) gewinnt trotz {z} ({y}) beim Kartenspiel {b}.",
    ),
)
ASIDES = (
    (
        "Leave {v} from any {q} aside.",
        "Do not count {v} that lie around the {q}.",
        "Die {v} vom Ort {q} zählen nicht mit.",
    ),
    (
        "Nobody wants {v}, {q} or not.",
        "With or without a {q}, {v} play no role.",
        "Nach {v} vom Ort {q} fragt niemand.",
    ),
    (
        "His {q} holds {v} as well, unasked.",
        "There are {v} too, at the {q}, yet they are no part of this.",
        "Auch {v} gibt es im Ort {q}, aber danach wird nicht gefragt.",
    ),
)
QUESTIONS = (
    ("How many {w} remain?", "What number of {w} is left?", "Wie viele {w} bleiben übrig?"),
    ("{n} keeps how many {w}?", "What does {n} have left, in {w}?", "Wie viele {w} hat {n} noch?"),
    ("Count {n}'s {w} now.", "So what is the number of {w} by then?", "Zähle nun die {w}."),
)
COLUMNS = {"english": 0, "reworded": 1, "german": 2}


def _rows(table: str) -> list[tuple[str, ...]]:
    return [tuple(line.split("|")) for line in table.strip().splitlines()]


WORDS = {
    "w": _rows(THINGS), "v": _rows(THINGS), "t": _rows(TRADES), "u": _rows(TRADES), "l": _rows(LOOKS),
    "m": _rows(LOOKS), "r": _rows(LOOKS), "x": _rows(LOOKS), "y": _rows(LOOKS), "p": _rows(PLACES),
    "q": _rows(PLACES), "z": _rows(TIMES),
}  # fmt: skip
FRAMES = (OPENINGS, MIDDLES, ASIDES, QUESTIONS)


@dataclass(frozen=True)
class Story:
    """One problem before it is told: which frames, which words, who, and the two numbers."""

    frames: tuple[int, ...]
    words: tuple[tuple[str, int], ...]  # (slot, row of its table)
    name: str
    a: int
    b: int

    def question(self, language: str = "english") -> str:
        """The story in one of COLUMNS."""
        column = COLUMNS[language]
        told = [options[n][column] for options, n in zip(FRAMES, self.frames, strict=True)]
        spelled = {slot: WORDS[slot][row][column] for slot, row in self.words}
        text = " ".join(told).format(n=self.name, a=self.a, b=self.b, **spelled)
        return text[0].upper() + text[1:]

    def answer(self, language: str = "english") -> str:
        """A worked answer in the benchmark's own style."""
        thing = WORDS["w"][dict(self.words)["w"]][COLUMNS[language]]
        if language == "german":
            return f"Von {self.a} gehen {self.b} ab, also bleiben {self.target} {thing}.\n#### {self.target}"
        return f"{self.a} less {self.b} makes {self.target}, so {self.target} {thing}.\n#### {self.target}"

    def rationale(self, rng: random.Random) -> str:
        """Another way to the same final answer, in words of its own."""
        step = rng.choice(("Count down", "Take away", "Let x be the rest: x + taken = all"))
        check = f"{self.target} + {self.b} = {self.a}"
        return f"{step}. We start from {self.a}. Check: {check}. The final answer is\n#### {self.target}"

    @property
    def target(self) -> str:
        return str(self.a - self.b)

    def renumbered(self, rng: random.Random) -> Story:
        """The same story about somebody else, with other numbers."""
        a = rng.randint(40, 900)
        return replace(
            self, name=rng.choice([n for n in NAMES if n != self.name]), a=a, b=rng.randint(3, a - 2)
        )


def draw(rng: random.Random) -> Story:
    """A story at random."""
    words = tuple((slot, rng.randrange(len(rows))) for slot, rows in WORDS.items())
    frames = tuple(rng.randrange(len(options)) for options in FRAMES)
    a = rng.randint(40, 900)
    return Story(frames, words, rng.choice(NAMES), a, rng.randint(3, a - 2))


def stories(seed: str, count: int) -> list[Story]:
    """`count` stories; the same for the same seed."""
    rng = random.Random(seed)
    return [draw(rng) for _ in range(count)]
