"""Tools people really have, with their parameters and the ways to ask for them.

Each entry: name, description, what it does as a clause, parameters (name, kind, required,
allowed words), wordings for training, wordings that training never reads.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Everyday:
    """A familiar tool and how to ask for it."""

    name: str
    about: str
    act: str
    parameters: tuple[tuple[str, str, bool, tuple[str, ...]], ...]
    train: tuple[str, ...]
    unseen: tuple[str, ...]


_UNITS = ("celsius", "fahrenheit")
# fmt: off
EVERYDAY = (
    Everyday(
        "get_weather", "Get the current weather for a city", "get the weather",
        (("city", "city", True, ()), ("unit", "enum", False, _UNITS)),
        (
            "What is the weather in {city}?", "What's the weather like in {city}?",
            "weather in {city}", "Is it raining in {city}?", "How is the weather in {city} today?",
            "Tell me the weather for {city}.", "Will I need an umbrella in {city}?",
            "What's the weather in {city} in {unit}?", "How warm is it in {city}, in {unit}?",
            "weather {city} {unit}",
        ),
        (
            "How does the weather look in {city}?", "Give me a weather report for {city}.",
            "Is {city} sunny, in {unit}?",
        ),
    ),
    Everyday(
        "get_current_weather", "Get the weather at a location", "get the current weather",
        (("location", "city", True, ()), ("unit", "enum", False, _UNITS)),
        (
            "What is the weather in {location}?",
            "What's the weather like in {location} right now?", "Weather for {location}, please.",
            "How cold is it in {location}?", "What's the temperature in {location} in {unit}?",
            "Current weather in {location}?",
        ),
        ("How does the weather look in {location}?", "Is it nice outside in {location}?"),
    ),
    Everyday(
        "get_time", "Get the current time in a city", "get the time", (("city", "city", True, ()),),
        (
            "What time is it in {city}?", "Tell me the time in {city}.", "time in {city}",
            "What's the local time in {city}?", "Which time is it now in {city}?",
        ),
        ("How late is it in {city}?", "I need the time of day in {city}."),
    ),
    Everyday(
        "search_web", "Search the web", "search the web",
        (("query", "text", True, ()), ("limit", "integer", False, ())),
        (
            "Search the web for {query}.", "Search for {query}", "Look up {query} online.",
            "Google {query}", "Find {query} on the web.",
            "Search the web for {query} and give me {limit} results.",
            "Find {limit} pages about {query}.",
        ),
        ("Look on the internet for {query}.", "I want web results for {query}."),
    ),
    Everyday(
        "send_email", "Send an email to someone", "send an email",
        (("to", "email", True, ()), ("subject", "text", True, ()), ("body", "text", False, ())),
        (
            "Send an email to {to} with the subject {subject}.", "Email {to} about {subject}.",
            "Write a mail to {to}, subject {subject}.",
            "Send {to} an email with subject {subject} and body {body}.",
            "Mail {to}: subject {subject}, body {body}",
        ),
        (
            "Drop {to} a mail titled {subject}.",
            "Send a message with the subject {subject} to {to}.",
        ),
    ),
    Everyday(
        "calculate", "Evaluate an arithmetic expression", "calculate",
        (("expression", "sum", True, ()),),
        (
            "What is {expression}?", "Calculate {expression}", "Compute {expression}.",
            "How much is {expression}?", "{expression}", "Use the calculator for {expression}.",
            "{expression} = ?",
        ),
        ("Evaluate {expression}.", "What does {expression} come to?"),
    ),
    Everyday(
        "add", "Add two numbers", "add two numbers",
        (("a", "integer", True, ()), ("b", "integer", True, ())),
        (
            "Add {a} and {b}.", "What is {a} + {b}?", "What is {a} plus {b}?", "Sum {a} and {b}",
            "Use the tool to add {a} and {b}.", "How much is {a} and {b} together?", "{a} + {b}",
        ),
        ("Give me the total of {a} and {b}.", "Put {a} and {b} together."),
    ),
    Everyday(
        "get_stock_price", "Get the latest price of a stock", "get the stock price",
        (("symbol", "symbol", True, ()),),
        (
            "What is the price of {symbol}?", "What's {symbol} trading at?",
            "Stock price of {symbol}", "How much is one share of {symbol}?",
            "Get the stock price for {symbol}.",
        ),
        ("Quote for {symbol}?", "How is the {symbol} stock doing?"),
    ),
    Everyday(
        "translate", "Translate a text", "translate a text",
        (("text", "text", True, ()), ("language", "enum", True, (
            "French", "German", "Spanish", "Italian", "Japanese",
        ))),
        (
            "Translate {text} into {language}.", "How do you say {text} in {language}?",
            "{text} in {language}, please.", "Translate to {language}: {text}",
        ),
        ("What is the {language} for {text}?", "Turn {text} into {language}."),
    ),
    Everyday(
        "set_timer", "Set a timer", "set a timer",
        (("minutes", "integer", True, ()), ("label", "word", False, ())),
        (
            "Set a timer for {minutes} minutes.", "Timer {minutes} minutes",
            "Start a {minutes} minute timer.", "Set a timer of {minutes} minutes called {label}.",
            "Wake me in {minutes} minutes.",
        ),
        ("Ring in {minutes} minutes.", "I need a timer that lasts {minutes} minutes."),
    ),
    Everyday(
        "convert_currency", "Convert an amount between currencies", "convert money",
        (("amount", "number", True, ()), ("from", "enum", True, (
            "USD", "EUR", "GBP",
        )), ("to", "enum", True, (
            "JPY", "CHF", "SEK",
        ))),
        (
            "Convert {amount} {from} to {to}.", "How much is {amount} {from} in {to}?",
            "{amount} {from} in {to}", "Change {amount} {from} into {to}, please.",
        ),
        ("What would {amount} {from} be in {to}?", "Exchange {amount} {from} for {to}."),
    ),
    Everyday(
        "read_file", "Read a file", "read a file", (("path", "path", True, ()),),
        (
            "Read {path}.", "Open the file {path}", "Show me what is in {path}.",
            "What does {path} contain?", "cat {path}", "Print the file {path}.",
        ),
        ("Let me see {path}", "Give me the contents of {path}"),
    ),
    Everyday(
        "create_reminder", "Create a reminder", "create a reminder",
        (("text", "text", True, ()), ("time", "clock", True, ())),
        (
            "Remind me at {time}: {text}", "Create a reminder {text} for {time}.",
            "Set a reminder at {time} with the text {text}.",
        ),
        ("At {time}, remind me of {text}.", "I want a reminder {text} at {time}"),
    ),
    Everyday(
        "get_user", "Look up a user by id", "look up a user", (("user_id", "integer", True, ()),),
        (
            "Who is user {user_id}?", "Look up user {user_id}.", "Get the user with id {user_id}",
            "Find user number {user_id}.",
        ),
        ("Show user {user_id} to me.", "I need the data of user {user_id}."),
    ),
)
