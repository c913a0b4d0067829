"""Skills on a text or a number given in the request: repeat, count, add, spell and the like."""

from random import Random

from scripts.train_tiny import words
from scripts.train_tiny.scenes import Scene, Step, says, user
from scripts.train_tiny.wordings import Bank

_CAPITALS = {
    "France": "Paris",
    "Germany": "Berlin",
    "Spain": "Madrid",
    "Italy": "Rome",
    "Austria": "Vienna",
    "Portugal": "Lisbon",
    "Norway": "Oslo",
    "Sweden": "Stockholm",
    "Denmark": "Copenhagen",
    "Finland": "Helsinki",
    "Poland": "Warsaw",
    "Greece": "Athens",
    "Ireland": "Dublin",
    "Japan": "Tokyo",
    "China": "Beijing",
    "India": "New Delhi",
    "Egypt": "Cairo",
    "Kenya": "Nairobi",
    "Canada": "Ottawa",
    "Mexico": "Mexico City",
    "Brazil": "Brasilia",
    "Peru": "Lima",
    "Russia": "Moscow",
    "Turkey": "Ankara",
    "Australia": "Canberra",
    "England": "London",
    "the United States": "Washington",
    "the USA": "Washington",
    "Hungary": "Budapest",
    "Belgium": "Brussels",
    "the Netherlands": "Amsterdam",
    "Switzerland": "Bern",
}
_THREES = {
    "colors": "red, green, blue", "colours": "red, green, blue", "animals": "cat, dog, horse",
    "fruits": "apple, pear, plum", "cities": "Paris, London, Berlin",
    "planets": "Mars, Venus, Saturn", "countries": "France, Japan, Brazil",
    "trees": "oak, pine, birch", "birds": "owl, eagle, sparrow", "numbers": "one, two, three",
    "vegetables": "carrot, onion, potato",
}  # fmt: skip


def _one(request: str, answer: str, thought: str) -> Scene:
    return Scene((Step((user(request),), answer, thought, says(answer)),))


def repeat(rng: Random, bank: Bank) -> Scene:
    """A sentence of 1 to 12 words, word for word."""
    text = words.odd_sentence(rng) if rng.random() < 0.12 else words.sentence(rng)
    template = bank.raw(rng, "repeat")
    if not template.endswith("{s}") and '"{s}"' not in template and "\n" not in text:
        text = text.rstrip(".")
    request = template.replace("{s}", text)
    return _one(request, text, "The user wants me to repeat a text. I copy it word for word.")


def long_text(rng: Random, bank: Bank) -> Scene:
    """Up to about 60 words, word for word."""
    text = words.long_text(rng)
    request = bank.say(rng, "long", s=text)
    return _one(request, text, "The user wants me to say a long text. I copy it word for word.")


def times(rng: Random, bank: Bank) -> Scene:
    """One word, several times."""
    text = words.made_up(rng) if rng.random() < 0.6 else rng.choice(words.NOUNS)
    count = rng.randint(2, 12)
    request = bank.say(rng, "times", w=text, n=str(count))
    return _one(request, " ".join([text] * count), f"I say the word {count} times.")


def count(rng: Random, bank: Bank) -> Scene:
    """The whole numbers from a to b."""
    first = 1 if rng.random() < 0.5 else rng.randint(0, 120)
    last = first + rng.choice((rng.randint(1, 20), rng.randint(1, 20), rng.randint(10, 99)))
    numbers = ", ".join(str(number) for number in range(first, last + 1))
    request = bank.say(rng, "count", a=str(first), b=str(last))
    return _one(request, numbers, f"I count from {first} to {last}.")


def add(rng: Random, bank: Bank) -> Scene:
    """A sum of two numbers below 100."""
    most = rng.choice((9, 20, 99, 99))
    left, right = rng.randint(0, most), rng.randint(0, most)
    sign = rng.choice(("+", " + ", " + ", " plus "))
    request = bank.say(rng, "add", a=str(left), b=str(right), p=sign)
    answer = f"{left} + {right} = {left + right}"
    return _one(request, answer, "The user wants a sum. I add the numbers.")


def _some_word(rng: Random) -> str:
    return words.made_up(rng) if rng.random() < 0.6 else rng.choice(words.NOUNS)


def spell(rng: Random, bank: Bank) -> Scene:
    """The letters of a word."""
    text = _some_word(rng)
    return _one(bank.say(rng, "spell", w=text), "-".join(text.upper()), f"I spell the word {text}.")


def uppercase(rng: Random, bank: Bank) -> Scene:
    """A word or two in capitals."""
    text = " ".join(_some_word(rng) for _ in range(rng.choice((1, 1, 2))))
    return _one(
        bank.say(rng, "upper", w=text), text.upper(), "I write the text in capital letters."
    )


def three(rng: Random, bank: Bank) -> Scene:
    """Three things of a kind."""
    kind = rng.choice((*_THREES, "colors"))
    return _one(bank.say(rng, "three", k=kind), _THREES[kind], f"The user wants three {kind}.")


def capital(rng: Random, bank: Bank) -> Scene:
    """The capital of a country."""
    country = rng.choice((*_CAPITALS, "France", "France"))
    answer = f"The capital of {country} is {_CAPITALS[country]}."
    return _one(bank.say(rng, "capital", c=country), answer, f"The user asks about {country}.")
