"""Templates that training never reads: they measure how far a skill carries."""

from . import Bank
from .unseen_talk import TALK

# fmt: off
_TEXTS: dict[str, list[str]] = {
    "repeat": [
        "~parrot this sentence: {s}", "~reproduce the following line: {s}",
        "I'd love to hear you say: {s}", "~state these words exactly: {s}",
        'What I want to read in your answer is "{s}"', "~mirror my input: {s}",
        "Below is a sentence. Send it back unchanged.\n{s}",
        '~repeat my sentence without changes: "{s}"',
    ],
    "long": [
        "~speak this passage: {s}", "~reproduce this passage word for word: {s}",
        "~type out the text that follows. {s}",
    ],
    "times": [
        "~give me the word {w} {n} times over", "I want to see {w} {n} times",
        "~type {w} {n} times in a row",
    ],
    "count": [
        "~enumerate from {a} to {b}", "Counting from {a} to {b}, go!",
        "~show every number from {a} through to {b}",
    ],
    "add": [
        "~find {a}{p}{b}", "Result of {a}{p}{b}?", "{a}{p}{b} equals what?",
        "What do you get for {a}{p}{b}?",
    ],
    "spell": [
        "~write {w} letter by letter", "What are the letters in {w}?",
        "The spelling of {w}, please.",
    ],
    "upper": [
        "~change {w} to all caps", "{w} in all capitals, please.",
        "~capitalize every letter of {w}",
    ],
    "three": ["~think of three {k}", "I want three {k}.", "Which three {k} can you name?"],
    "capital": [
        "{c} has which capital?", "~say what the capital of {c} is", "What city is {c}'s capital?",
    ],
    "fact_of": [
        "It is known that {o} has {v} for a {f}.", "The {f} assigned to {o} is {v}.",
        "{o}'s current {f} is {v}.", "Be aware: the {f} of {o} is {v}.", "We gave {o} the {f} {v}.",
        "{f} for {o} -> {v}", "In our records, {o}'s {f} is {v}.",
        "You will find that {v} is {o}'s {f}.",
    ],
    "fact": [
        "Be aware that the {f} is {v}.", "In our records the {f} is {v}.", "{f} -> {v}",
        "This week the {f} is {v}.",
    ],
    "fact_user": [
        "The person you talk to has the {f} {v}.", "In our records the user's {f} is {v}.",
        "User's current {f}: {v}",
    ],
    "my": [
        "Please memorize my {f}, which is {v}.", "Here is my {f}: {v}.",
        "I should mention that my {f} is {v}.", "Know that my {f} is {v}.",
        "People say my {f} is {v}.", "The thing is, my {f} is {v}.",
    ],
    "told": [
        "I should mention that {fact}", "Write this down: {fact}", "Know that {fact}",
        "The thing is, {fact}",
    ],
    "ask_of": [
        "Any idea what {o}'s {f} is?", "Would you happen to know the {f} of {o}?",
        "{o} has which {f}?", "~find out the {f} of {o}", "Let me know {o}'s {f}.",
        "I can't recall the {f} of {o}, what was it?", "~fetch {o}'s {f} for me",
        "Concerning {o}: what is the {f}?",
    ],
    "ask": [
        "Any idea what the {f} is?", "Would you happen to know the {f}?", "~find out the {f}",
        "Let me know the {f}.", "I can't recall the {f}, what was it?", "~fetch the {f} for me",
        "Which {f} should I use?", "What {f} do we have?",
    ],
    "ask_my": [
        "Any idea what my {f} is?", "Would you happen to know my {f}?", "~find out my {f}",
        "Let me know my {f}.", "I can't recall my {f}, what was it?", "~fetch my {f} for me",
        "And my {f} was?", "My {f}, do you still know it?",
    ],
    "act": [
        "~{act} right now{args}", "I was wondering if you can {act}{args}",
        "~make use of {tool}{args}", "~trigger {tool}{args}",
        "The customer asked us to {act}{args}", "~let {tool} do its work{args}",
        "You are asked to {act}{args}", "What happens if you {act}{args}",
    ],
    "clause": ["{act}{args}", "make use of {tool}{args}", "trigger {tool}{args}"],
    "args_open": [" given ", " having ", ", that is ", " - "],
    "arg": ["{n} set to {v}", "{n} being {v}", "{v} as its {n}", "the value {v} for {n}"],
    "arg_alone": [" regarding {v}", " with {v}", " on {v}"],
    "both": [
        "{a}, additionally {b}", "there are two jobs: {a}; {b}", "{a}; besides that {b}",
        "{a}, and while you are at it {b}", "{a}, furthermore {b}",
        "I have two wishes: {a} and {b}", "{a} - and {b}", "{a}. On top of that {b}",
    ],
    "chain": [
        "{a}, afterwards {b} with the outcome", "{a}, and once you know it {b} with it",
        "{a}. Take what it returns and {b} with it", "{a}; the result is what you need to {b}",
        "initially {a}, finally {b} with the result", "{a} before you {b} with that result",
        "{a}. Given the result, {b} with it", "I need two steps: {a}, then {b} with the outcome",
    ],
    "json_values": ["{f} -> {v}", "as {f} we have {v}", "the {f} equals {v}"],
    "json_ask": [
        "~transform the following into an object: {vals}",
        "What would this look like as JSON? {vals}", "Input data: {vals}.",
        "~encode these details: {vals}", "I found this: {vals}.",
        "~map this onto the schema: {vals}", "Form content: {vals}",
        "~build the object out of this: {vals}",
    ],
    "json_known": [
        "~show me the values you have", "~list everything from your notes", "~hand me the object",
        "So, what are the values?",
    ],
    "json_keys": [
        " It should contain {keys}.", " Wanted keys: {keys}.", " Please include {keys}.",
        "\nI want the fields {keys}.",
    ],
    "no_tool": [
        "~{act} right now{args}", "I was wondering if you can {act}{args}",
        "The customer asked us to {act}{args}", "You are asked to {act}{args}",
        "What happens if you {act}{args}",
    ],
    **TALK,
}

UNSEEN = Bank(
    texts=_TEXTS,
    wrappers=(
        "would you kindly {clause}", "do me a favour and {clause}",
        "I'd appreciate it if you {clause}", "be so kind and {clause}", "time to {clause}",
        "would you mind if I ask you to {clause}",
    ),
    openers=("Good evening. ", "Right. ", "Listen, ", "Dear assistant, ", "Excuse me, ", "Fine. "),
)
