"""Tools of the tiny world: signatures, the requests that ask for them, and the calls that answer."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from posttrainbench.tinyworld.items import Side, side_of
from posttrainbench.tinyworld.vocabulary import (
    ANIMALS,
    CITIES,
    COLORS,
    DAYS,
    FOODS,
    ITEMS,
    PEOPLE,
    ROOMS,
    SONGS,
)

Value = str | int
Arguments = Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that a request can ask for; each phrase is an imperative naming every argument once."""

    name: str
    novel: bool
    parameters: tuple[str, ...]
    phrases: tuple[str, ...]

    @property
    def signature(self) -> str:
        return f"{self.name}({', '.join(self.parameters)})"


@dataclass(frozen=True, slots=True)
class Call:
    """A tool with its arguments; its text is canonical: declared order, double quotes."""

    tool: Tool
    arguments: Arguments

    def __str__(self) -> str:
        shown = (f"{name}={_literal(self.arguments[name])}" for name in self.tool.parameters)
        return f"{self.tool.name}({', '.join(shown)})"


def _literal(value: Value) -> str:
    return str(value) if isinstance(value, int) else f'"{value}"'


def _one_of(words: tuple[str, ...]) -> Callable[[random.Random], Value]:
    return lambda rng: rng.choice(words)


def _between(low: int, high: int) -> Callable[[random.Random], Value]:
    return lambda rng: rng.randint(low, high)


PARAMETERS: dict[str, Callable[[random.Random], Value]] = {
    "city": _one_of(CITIES),
    "day": _one_of(DAYS),
    "room": _one_of(ROOMS),
    "color": _one_of(COLORS),
    "person": _one_of(PEOPLE),
    "item": _one_of(ITEMS),
    "food": _one_of(FOODS),
    "animal": _one_of(ANIMALS),
    "song": _one_of(SONGS),
    "seats": _between(1, 9),
    "nights": _between(1, 14),
    "guests": _between(1, 9),
    "hour": _between(1, 23),
    "minutes": _between(1, 59),
    "count": _between(1, 99),
    "steps": _between(1, 99),
    "cans": _between(1, 20),
    "portions": _between(1, 12),
    "coins": _between(1, 99),
    "volume": _between(1, 10),
    "degrees": _between(10, 30),
    "bags": _between(1, 6),
    "percent": _between(5, 95),
    "stamps": _between(1, 9),
    "spoons": _between(1, 9),
}


def _tool(signature: str, *phrases: str, novel: bool = False) -> Tool:
    name, _, parameters = signature.rstrip(")").partition("(")
    return Tool(name, novel, tuple(parameters.split(", ")), phrases)


TOOLS: tuple[Tool, ...] = (
    _tool(
        "get_weather(city, day)",
        "check the weather in {city} on {day}",
        "see if it rains in {city} this {day}",
    ),
    _tool(
        "book_train(city, day, seats)",
        "book {seats} train seats to {city} for {day}",
        "get a train to {city} on {day} with {seats} seats",
    ),
    _tool(
        "book_hotel(city, nights, guests)",
        "book a hotel in {city} for {nights} nights and {guests} guests",
        "find a room for {guests} guests in {city}, {nights} nights",
    ),
    _tool(
        "set_light(room, color)",
        "make the light in the {room} {color}",
        "turn the lamp to {color} in the {room}",
    ),
    _tool("set_alarm(day, hour)", "set an alarm for {hour} on {day}", "wake me up on {day} at {hour}"),
    _tool(
        "start_timer(food, minutes)",
        "time the {food} for {minutes} minutes",
        "let the {food} cook {minutes} minutes",
    ),
    _tool(
        "send_items(person, item, count)",
        "send {count} {item} to {person}",
        "pack {count} {item} and mail them to {person}",
    ),
    _tool(
        "add_contact(person, city)",
        "save {person} from {city} as a contact",
        "note that {person} lives in {city}",
    ),
    _tool(
        "move_robot(room, steps)",
        "move the robot {steps} steps into the {room}",
        "drive the robot to the {room}, {steps} steps",
    ),
    _tool("order_paint(color, cans)", "order {cans} cans of {color} paint", "buy {color} paint, {cans} cans"),
    _tool(
        "order_food(food, portions, hour)",
        "order {portions} portions of {food} for {hour}",
        "have {food} delivered at {hour}, {portions} portions",
    ),
    _tool("pay_person(person, coins)", "pay {coins} coins to {person}", "give {person} the {coins} coins"),
    _tool(
        "add_reminder(day, item, person)",
        "remind me on {day} to bring {item} to {person}",
        "make a note for {day}: {person} needs the {item}",
    ),
    _tool("call_person(person, hour)", "call {person} at {hour}", "phone {person}, the best time is {hour}"),
    _tool(
        "play_song(song, volume)", "play {song} at volume {volume}", "put on the song {song}, volume {volume}"
    ),
    _tool(
        "heat_room(room, degrees)",
        "heat the {room} to {degrees} degrees",
        "bring the {room} up to {degrees} degrees",
    ),
    _tool(
        "book_flight(city, day, bags)",
        "book a flight to {city} on {day} with {bags} bags",
        "fly me to {city} this {day}, {bags} bags",
        novel=True,
    ),
    _tool(
        "set_curtain(room, percent)",
        "open the {room} curtain to {percent} percent",
        "set the curtain in the {room} to {percent} percent",
        novel=True,
    ),
    _tool(
        "send_letter(person, city, stamps)",
        "send a letter to {person} in {city} with {stamps} stamps",
        "put {stamps} stamps on the letter for {person} in {city}",
        novel=True,
    ),
    _tool(
        "plan_meeting(person, day, hour)",
        "plan a meeting with {person} on {day} at {hour}",
        "meet {person} at {hour} on {day}",
        novel=True,
    ),
    _tool(
        "feed_animal(animal, food, spoons)",
        "feed the {animal} {spoons} spoons of {food}",
        "give {spoons} spoons of {food} to the {animal}",
        novel=True,
    ),
    _tool(
        "sell_items(item, count, coins)",
        "sell {count} {item} for {coins} coins",
        "put {count} {item} up for sale at {coins} coins",
        novel=True,
    ),
    _tool(
        "paint_wall(room, color)",
        "paint the {room} wall {color}",
        "make the wall of the {room} {color}",
        novel=True,
    ),
    _tool(
        "rent_boat(day, hour, guests)",
        "rent a boat for {guests} guests on {day} at {hour}",
        "get a boat on {day} from {hour} for {guests} guests",
        novel=True,
    ),
)

FAMILIAR_TOOLS = tuple(tool for tool in TOOLS if not tool.novel)
NOVEL_TOOLS = tuple(tool for tool in TOOLS if tool.novel)

REQUESTS = ("Please {p}.", "I need you to {p}.", "Could you {p}?", "{P}.", "{P}, please.")


def draw_call(tool: Tool, rng: random.Random, side: Side) -> Call:
    """A call of this tool whose canonical text lies on the given side."""
    while True:
        call = Call(tool, {name: PARAMETERS[name](rng) for name in tool.parameters})
        if side_of(str(call)) == side:
            return call


def describe(call: Call, rng: random.Random) -> str:
    """What the call does, as an imperative phrase without a capital or full stop."""
    return rng.choice(call.tool.phrases).format_map(dict(call.arguments))


def request(call: Call, rng: random.Random) -> str:
    """A sentence that asks for this call."""
    phrase = describe(call, rng)
    return rng.choice(REQUESTS).format(p=phrase, P=capitalised(phrase))


def capitalised(phrase: str) -> str:
    """The phrase with its first letter in upper case, the rest untouched."""
    return phrase[0].upper() + phrase[1:]
