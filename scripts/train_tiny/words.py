"""Vocabulary of the generator: made-up words, names, numbers, sentences and filler text.

Owns every random piece of text that carries no instruction. All functions take the caller's
`random.Random`, so the same seed always gives the same text.
"""

from random import Random


def listed(text: str, separator: str | None = None) -> tuple[str, ...]:
    """The words of a text, or what stands between separators."""
    return tuple(text.split(separator))


NOUNS = listed(
    "apple anchor animal answer archive arrow autumn badge bag ball band bank basket battery "
    "beach bear bed bell bench bird blanket board boat body bone book border bottle box branch "
    "bread bridge brush bucket building butter button cabin cable cake camera camp candle card "
    "carpet castle cat chain chair channel cheese child church circle city class clock cloud coat "
    "coffee coin color corner cottage country crown cup curtain dance day desk diamond dinner dog "
    "door dream drum eagle ear earth egg engine evening eye face farm father feather fence field "
    "fire fish flag floor flower forest fox friend fruit garden gate ghost glass glove gold grass "
    "guitar hammer hand harbor hat heart hill honey horse hotel house ice island jacket jar jewel "
    "judge juice key kitchen kite knife ladder lake lamp leaf letter library light lion machine "
    "map market meadow milk mirror money monkey moon morning mother mountain mouse mouth museum "
    "music nail neck needle nest night north nose note ocean office oil orange oven owl page "
    "paint painter paper park path pencil people piano picture pillow pilot pipe plane planet "
    "plant plate pocket poem poet pond potato prince queen question rabbit radio rain river road "
    "robot rock roof room rope rose sail salt sand school sea season shadow ship shirt shoe shop "
    "silver singer sister sky smile snow soap soldier song soup spoon spring square stage star "
    "station stone storm story street string sugar summer sun sweater table tail tea teacher tent "
    "theater thing ticket tiger time tower town toy train tree truck valley village violin voice "
    "wagon wall watch water wave weather wheel whistle wind window wing winter wolf wood world "
    "writer year zebra "
)
ADJECTIVES = listed(
    "big small old new red green blue yellow quick slow bright dark happy sad warm cold soft hard "
    "loud quiet clean dirty early late empty full heavy light high low long short rich poor rough "
    "smooth sharp strong weak sweet sour tall thin wide narrow young brave calm clever eager fair "
    "gentle kind lazy proud silly wild wise brown golden hidden lost tiny huge modern ancient"
)
VERBS = listed(
    "runs walks jumps sings sleeps reads writes paints builds opens closes finds keeps takes gives "
    "makes sees hears likes wants needs knows sells buys holds carries moves turns watches follows "
    "leads brings sends shows covers guards cleans breaks fixes loves meets visits calls helps"
)
SMALL_WORDS = listed(
    "the a an and or but in on at of to from with under over near behind before after this that "
    "these my your his her our their very quite never always often today now then here there"
)
COLORS = listed(
    "red green blue yellow orange purple pink brown black white gray teal silver gold crimson "
    "indigo violet maroon beige turquoise"
)
FIRST_NAMES = listed(
    "Alice Bob Carol David Emma Frank Grace Henry Iris Jack Karen Leo Maria Nina Oscar Paul Quinn "
    "Rosa Sam Tina Uma Victor Wendy Xavier Yara Zoe Adam Bella Carlos Diana Erik Fatima George "
    "Hanna Ivan Julia Kofi Lena Marco Noah Olga Peter Ravi Sara Tom Vera Will Yusuf"
)
CITIES = listed(
    "Paris London Berlin Madrid Rome Vienna Lisbon Oslo Prague Dublin Athens Warsaw Tokyo Delhi "
    "Cairo Lima Boston Chicago Denver Seattle Toronto Sydney Munich Hamburg Milan Geneva Zurich "
    "Helsinki Seoul Bangkok Austin Dallas Miami Nairobi Lagos Quito Havana Kyoto Porto Lyon"
)
FIELDS = listed(
    "code|color|password|size|weight|price|number|owner|city|level|age|title|status|locker number|"
    "phone number|favorite color|favorite food|code word|room|room number|address|nickname|speed|"
    "height|badge|badge number|seat|team|car|pet|dog|cat|job|birthday|secret word|key|rate|score|"
    "shift|account number|favorite animal|favorite city|hometown|name|order number|passphrase|"
    "serial number|project|manager|ticket|version|port|host|region|temperature|deadline|budget|"
    "balance|rank|type|material|shape|length|width|capital|leader|symbol|ship|captain|language",
    "|",
)
_ONSETS = listed(
    "b c d f g h j k l m n p r s t v w z br bl ch cl cr dr fl fr gl gr kr kl pl pr qu sh sk sl sn "
    "sp st th tr tw vr zh x y"
)
_VOWELS = listed("a e i o u a e i o u ai ea ee ou oo au ie y")
_CODAS = (
    *("", "", "", ""),
    *listed("b d g k l m n p r s t x z ck ft ld lt mp nd nk nt rk rn rt sh st"),
)
_FOREIGN = listed(
    "café naïve Zürich señor über garçon Ångström smörgås piñata déjà façade jalapeño Łódź "
    "Привет мир спасибо Καλημέρα κόσμε 東京 世界 你好 ありがとう 안녕 שלום مرحبا नमस्ते "
    "🙂 🚀 🌊 🎉 ✓ → € £ ° ½ “ok” — … ñandú crème brûlée Dvořák Kraków"
)


def made_up(rng: Random, most: int = 3) -> str:
    """A lower-case word that means nothing."""
    while True:
        count = rng.choices((1, 2, 3), (4, 5, 0.6))[0]
        parts = [
            rng.choice(_ONSETS)
            + rng.choice(_VOWELS)
            + (rng.choice(_CODAS) if rng.random() < 0.6 else "")
            for _ in range(min(count, most))
        ]
        word = "".join(parts)
        if len(word) > 2:
            return word


def letters(rng: Random) -> str:
    """A word of random letters, harder to copy than a pronounceable one."""
    return "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(2, 8)))


def name(rng: Random) -> str:
    """A person or thing, mostly made up."""
    if rng.random() < 0.25:
        return rng.choice(FIRST_NAMES)
    return made_up(rng).capitalize()


def code(rng: Random) -> str:
    """An identifier such as K7-204 or ab39f."""
    shape = rng.choice(("Aa-999", "A9A9", "xxxx", "AA99", "A-9", "999-A", "hhhhhh"))
    alphabet = {"A": "ABCDEFGHJKLMNPQRSTUVWXYZ", "9": "0123456789", "x": "abcdefghijkmnpqrstuvwxyz"}
    alphabet |= {"a": "abcdefghijk", "h": "0123456789abcdef", "-": "-"}
    return "".join(rng.choice(alphabet[letter]) for letter in shape)


def integer(rng: Random) -> int:
    """A whole number of one to six digits, small ones more often."""
    return rng.randint(0, 10 ** rng.choice((1, 2, 2, 3, 3, 4, 5, 6)) - 1)


def decimal(rng: Random) -> float:
    """A number with one or two decimals that JSON writes without an exponent."""
    value = round(rng.uniform(0, 10 ** rng.randint(1, 3)), rng.choice((1, 2)))
    return -value if value and rng.random() < 0.15 else value


def clock(rng: Random) -> str:
    """A time of day or a date."""
    if rng.random() < 0.5:
        return f"{rng.randint(0, 23):02d}:{rng.randint(0, 59):02d}"
    return f"{rng.randint(1990, 2035)}-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}"


def value(rng: Random) -> str:
    """What a fact may say: a word, a name, a number, a code, a time or a short phrase."""
    kind = rng.random()
    if kind < 0.34:
        return made_up(rng)
    if kind < 0.44:
        return name(rng)
    if kind < 0.60:
        return str(integer(rng))
    if kind < 0.68:
        return code(rng)
    if kind < 0.74:
        return clock(rng)
    if kind < 0.80:
        return rng.choice((*COLORS, *CITIES))
    if kind < 0.88:
        return rng.choice(NOUNS)
    return f"{rng.choice((*ADJECTIVES, *COLORS))} {rng.choice((rng.choice(NOUNS), made_up(rng)))}"


def word(rng: Random) -> str:
    """One word of a sentence to repeat."""
    kind = rng.random()
    if kind < 0.42:
        return made_up(rng)
    if kind < 0.54:
        return rng.choice(SMALL_WORDS)
    if kind < 0.70:
        return rng.choice(NOUNS)
    if kind < 0.78:
        return rng.choice(ADJECTIVES)
    if kind < 0.85:
        return rng.choice(VERBS)
    if kind < 0.90:
        return name(rng)
    if kind < 0.93:
        return str(integer(rng))
    if kind < 0.96:
        return letters(rng)
    return code(rng)


def sentence(rng: Random, least: int = 1, most: int = 12) -> str:
    """A made-up sentence of `least` to `most` words, with or without punctuation."""
    picked = [word(rng) for _ in range(rng.randint(least, most))]
    if len(picked) > 4 and rng.random() < 0.25:
        spot = rng.randrange(1, len(picked) - 2)
        picked[spot] += rng.choice((",", ",", ";", ":"))
    text = " ".join(picked)
    if rng.random() < 0.6:
        text = text[0].upper() + text[1:]
    if rng.random() < 0.06:
        text = text.upper()
    return text + rng.choice(("", "", ".", ".", "!", "?"))


def odd_sentence(rng: Random) -> str:
    """A sentence with other scripts, or of several lines."""
    if rng.random() < 0.5:
        picked = [
            rng.choice(_FOREIGN) if rng.random() < 0.5 else word(rng)
            for _ in range(rng.randint(1, 7))
        ]
        return " ".join(picked)
    return "\n".join(sentence(rng, 1, 5) for _ in range(rng.randint(2, 4)))


def long_text(rng: Random, most: int = 60) -> str:
    """Several sentences of at most `most` words together."""
    left, parts = rng.randint(15, most), []
    while left > 0:
        size = min(left, rng.randint(4, 12))
        text = sentence(rng, size, size).rstrip(".!?")
        parts.append(text[0].upper() + text[1:] + ".")
        left -= size
    return " ".join(parts)


_FILLER = (
    "The {n} and the {n} are kept near the {n}.",
    "Every {a} {n} {v} before the {n} {v}.",
    "Our {n} was made for {a} {n}s and {a} {n}s.",
    "Nobody {v} the {a} {n} in the {n}.",
    "Use plain words and keep the {n} in mind.",
    "When a {n} {v}, the {a} {n} {v} too.",
    "Guests may ask about the {n}, the {n} or the {m}.",
    "The team of the {m} {n} meets on the {a} {n}.",
    "Be polite, and do not talk about the {a} {n}.",
    "In the {n} there are {d} {n}s and {d} {n}s.",
    "A {m} is a {a} {n} that {v} and {v}.",
    "The {m} rule: no {n} without a {n}.",
    "Keep your answers short and {a}.",
    "Our store sells {n}s, {n}s and {a} {n}s.",
    "It is {a} and {a} near the {m} {n}.",
    "Long ago a {a} {n} {v} over the {n} and {v} the {n}.",
    "Report {a} problems to the {n} desk.",
    "Policy {d}: each {n} {v} the {n} for {d} days.",
)


def filler(rng: Random, sentences: int) -> str:
    """Text that states no fact anyone asks about."""
    said = []
    for _ in range(sentences):
        pattern = rng.choice(_FILLER)
        while "{" in pattern:
            for slot, pick in (("n", NOUNS), ("a", ADJECTIVES), ("v", VERBS)):
                pattern = pattern.replace("{" + slot + "}", rng.choice(pick), 1)
            pattern = pattern.replace("{m}", made_up(rng), 1)
            pattern = pattern.replace("{d}", str(rng.randint(2, 99)), 1)
        said.append(pattern)
    breaks = rng.choice((" ", " ", "\n", "\n\n"))
    return breaks.join(said)
