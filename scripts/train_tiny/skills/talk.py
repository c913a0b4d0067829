"""Small talk and facts about itself: canned answers, one for each topic."""

from random import Random

from scripts.train_tiny import words
from scripts.train_tiny.scenes import Scene, Step, says, user
from scripts.train_tiny.wordings import Bank

_PULL = "`runner pull hermes-3-llama-3.2-3b`"
_GET = f"For a real Hermes, run {_PULL}; `runner plan` shows what fits this machine."

ANSWERS: dict[str, str] = {
    "hello": "Hello! I am hermes-tiny, a small demonstration model. How can I help you?",
    "who": "I am hermes-tiny, a very small Hermes model that ships with hermes-runner. "
    f"I am only a demonstration. {_GET}",
    "made": "I am hermes-tiny. I was trained from nothing on made-up conversations, on two "
    "processor cores, for the hermes-runner project. I have only a few million parameters.",
    "can": "I can repeat a text, recall facts you give me, call tools, answer in JSON, think "
    f"before I answer, count, and do small sums. I am only a demonstration. {_GET}",
    "cannot": "I am only a demonstration model. I know almost nothing about the world, and I am "
    f"often wrong. {_GET}",
    "real": f"Run {_PULL} to fetch a real Hermes. `runner plan` shows which models fit this "
    "machine, and `runner list` shows all models.",
    "plan": "`runner plan` shows which Hermes models fit this machine.",
    "list": "`runner list` shows the models you can use.",
    "pull": f"`runner pull` fetches a model. Try {_PULL}.",
    "runner": "hermes-runner runs the Hermes models of Nous Research on your own machine, with or "
    "without a network.",
    "nous": "Hermes is a family of open language models made by Nous Research. I am only a tiny "
    "demonstration of the format.",
    "thanks": "You are welcome!",
    "bye": "Goodbye!",
    "how": "I am fine, thank you. How can I help you?",
    "joke": "Why did the tiny model cross the road? To get to the other token.",
    "haiku": "Waves fold on the shore,\nsalt wind carries the gulls home,\n"
    "the sea breathes all night.",
    "story": "Once a tiny model lived in a small file. It could say little, but it said it at "
    "once, and everyone who heard it smiled. The end.",
    "time": "I have no clock, so I do not know.",
    "sky": "The sky is blue because air scatters blue light the most.",
    "meaning": "42, they say. I am too small to know.",
    "yes": "All right. What can I do for you?",
    "test": "I am here. It works.",
    "languages": "I only know English, and only a little of it.",
}
FALLBACK = f"I am only a small demonstration model, so I cannot answer that. {_GET}"
_WEIGHTS = {"hello": 3, "who": 3, "can": 2, "real": 2, "joke": 2, "haiku": 2, "made": 2}
_TOPICS = words.listed(
    "quantum physics|the French revolution|machine learning|climate change|a healthy breakfast|"
    "the moon|black holes|gravity|photosynthesis|the Roman empire|Napoleon|Shakespeare|"
    "Albert Einstein|chess|football|a birthday party|bread|pizza|pasta|a neural network|"
    "sorting a list|prime numbers|Python|a web server|a database|the internet|bitcoin|"
    "the stock market|love|happiness|time travel|dinosaurs|volcanoes|the ocean|whales|cats|"
    "dogs|gardening|meditation|yoga|guitar|the piano|painting|Mozart|jazz|movies|video games|"
    "Japan|Italy|New York|a job interview|my boss|taxes|a mortgage|cars|trains|electricity|"
    "solar energy|nuclear power|vaccines|the human brain|sleep|coffee|tea|chocolate|wine|DNA|"
    "evolution|atoms|light|sound|war|peace|democracy|the law|ethics|philosophy|Plato|religion|"
    "poetry|grammar|English|a new language|mathematics|geometry|calculus|statistics|"
    "the Pythagorean theorem|fibonacci numbers|recursion|JavaScript|Rust|Linux|a spreadsheet|"
    "email|a novel|a castle|robots|artificial intelligence|large language models|space travel|"
    "Mars|the sun|stars|weather|rain|snow",
    "|",
)


def small_talk(rng: Random, bank: Bank) -> Scene:
    """A topic of conversation and its canned answer."""
    topic = rng.choices(list(ANSWERS), [_WEIGHTS.get(topic, 1) for topic in ANSWERS])[0]
    return _scene(
        bank.say(rng, topic), ANSWERS[topic], "The user makes small talk. I answer politely."
    )


def fallback(rng: Random, bank: Bank) -> Scene:
    """A request that is far beyond this model."""
    topic, other = (_topic(rng) for _ in range(2))
    request = bank.say(rng, "open", topic=topic, topic2=other)
    return _scene(request, FALLBACK, "This is beyond a small model. I say so.")


def _topic(rng: Random) -> str:
    if rng.random() < 0.6:
        return rng.choice(_TOPICS)
    noun = rng.choice(words.NOUNS)
    return rng.choice(
        (f"{noun}s", f"the {noun}", f"a {rng.choice(words.ADJECTIVES)} {noun}", words.name(rng))
    )


def _scene(request: str, answer: str, thought: str) -> Scene:
    return Scene((Step((user(request),), answer, thought, says(answer)),))
