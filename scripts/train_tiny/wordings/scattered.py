"""Training wordings put together from parts, so that no single phrasing carries a skill.

Each list is drawn once from all the ways its parts go together. Some parts are words without
meaning: what surrounds a request is often unknown to so small a model, and it has to learn that
the shape of a sentence is what counts.
"""

from collections.abc import Sequence
from itertools import product
from random import Random

from scripts.train_tiny import words

_MOST = 900


def _put_together(*parts: Sequence[str], most: int = _MOST) -> list[str]:
    """Some of the ways to join one of each part, always the same ones."""
    rng = Random("|".join(part[0] for part in parts) + f"{len(parts)}")
    found: dict[str, None] = {}
    for _ in range(4 * most):
        found["".join(rng.choice(part) for part in parts)] = None
        if len(found) == most:
            break
    return list(found)


def _capitalised(texts: list[str]) -> list[str]:
    return [text[0].upper() + text[1:] if text[0].isalpha() else text for text in texts]


def _noise(count: int, most: int) -> tuple[str, ...]:
    """Phrases of one to `most` words, common and made up, without meaning."""
    rng = Random(f"noise {count} {most}")

    def word() -> str:
        kind = rng.random()
        if kind < 0.45:
            return rng.choice(words.SMALL_WORDS)
        if kind < 0.65:
            return rng.choice(words.NOUNS)
        return words.made_up(rng) if kind < 0.85 else rng.choice(words.VERBS)

    return tuple(" ".join(word() for _ in range(rng.randint(1, most))) for _ in range(count))


_SOME_WORD, _SOME_WORDS = _noise(160, 1), _noise(160, 4)
_MAYBE_WORDS = ("",) * 160 + tuple(" " + words_ for words_ in _SOME_WORDS)

_SAY = (
    "repeat", "say", "write", "echo", "copy", "print", "type", "output", "quote", "return",
    "read out", "give me", "tell me", "send me", "show me", "speak", "recite", "answer with",
    "reply with", "write down", "replicate", "duplicate", "restate", "utter", "dictate", "voice",
    "put down", "spell out", "hand me", "bring back", "pass back", "imitate", "retell",
    "transcribe",
    "shout", "whisper", "sing", "post", "emit", "deliver", *_SOME_WORD[:60],
)  # fmt: skip
_TEXT = (
    "this", "the following", "this text", "the following text", "this sentence", "the next line",
    "the text below", "this line", "the following words", "this string", "what follows",
    "the sentence", "this phrase", "my words", "the next few words", "the line here",
    "my line", "my text", "this message", "these words", "the words", "the passage", "this input",
    "the statement", "my message", "the words that follow", "that", "the line",
)  # fmt: skip
_HOW = (
    "", "", " exactly", " word for word", " back to me", " for me", " once", " now", " as it is",
    " unaltered", " and nothing else", " as I wrote it", " in your answer", " letter for letter",
    " without any change", " faithfully", " precisely", " in full", *_MAYBE_WORDS[150:190],
)  # fmt: skip
_SHOWN = (": {s}", ": {s}", ": {s}", ' "{s}"', ":\n{s}", ': "{s}"', ":\n\n{s}", ".\n{s}", ' "{s}"')
_BEFORE = (
    "I would like to read", "What I need is", "Your answer has to be", "The reply I want is",
    "I want to hear", "Let me hear you say", "I am waiting for you to say", "You say",
    "Please answer", "My friend says", "Now comes a line", "Here is the text to write",
    "Repeat after the colon", "The line to copy is", "I dare you to say", "All I want is",
    "Your whole answer is", "We all say", "Now write this line", "The right answer is",
)  # fmt: skip
_AFTER = (
    "\nSay it back.",
    "\nNow write that.",
    "\nCopy the line above.",
    "\n\nEcho it.",
    "\nSay that.",
    "\nWrite it exactly so.",
    "\n\nAnswer with this line.",
    "\nSend me that.",
)
_INTRODUCED = (
    "Here comes a line. Copy it.\n", "A text follows. Write it again.\n", "Look at this line:\n",
    "Read the next line, then say it.\n", "Under this is a sentence. Say it exactly.\n",
    "I give you a line and you give it back.\n", "Your answer is the next line.\n",
    "The following is a text. Return it.\n\n", "Take this line, and write it again.\n",
    "There is a sentence here. Please copy it without a change.\n",
    "Look below. Say what you see.\n", "A message is next. Do not change it, repeat it.\n",
)  # fmt: skip

_ASK = (
    "what is", "what is", "what was", "tell me", "give me", "do you know", "I need",
    "remind me of",
    "do you remember", "I forgot", "name", "look up", "state", "I want to know", "say", "show me",
    "please tell me", "can you tell me", "I would like", "I asked for", "write down", "where is",
    "any clue about", "could you say what is", "I wonder what is", "I can't remember", "check",
    "help me recall", "any news on", "can I have", "may I know", "read me", "report", "how about",
    "it slipped my mind: what is", "I am not sure about", "answer with", "just say", "send me",
    "have you noted", "is it possible to get", "I'd love to know", "find", "get", "print",
    "are you able to tell me", "they want", "please look for", *_SOME_WORDS[:60],
)  # fmt: skip
_TAIL = (
    "", "?", "?", ".", " please", " again?", " now?", ", please.", "? Answer briefly.", " is?",
    " then?", " exactly?", "? I forgot.", ", will you?", " to me.", " quickly.", ", as you know?",
    "? Thanks.", ", by the way?", *(f" {word}." for word in _SOME_WORD[:20]),
)  # fmt: skip
_OF = (
    "the {f} of {o}", "{o}'s {f}", "the {f} for {o}", "the {f} that {o} has",
    "the {f} belonging to {o}", "the {f} of that {o}", "the {f} of {o}", "{o}'s {f}",
    "{o}'s own {f}", "the {f} given to {o}", "the {f} under {o}", "{o} and its {f}",
)  # fmt: skip
_ABOUT = (
    "About {o}: {f}?", "About {o}, what is the {f}?", "For {o}, which {f} is right?",
    "With {o}, what {f} do we have?", "{o}: {f}?", "{o}. {f}?", "Talking of {o}: the {f}, please.",
    "I think of {o}. Which {f} is it?", "Which {f} did {o} get?", "{o} got which {f}?",
    "For {o}, I need the {f}.", "Is there a {f} for {o}? Which?", "Take {o}. Its {f} is what?",
    "As to {o}, tell me the {f}.", "{o}, and what {f}?", "{o} uses what {f}?", "{f} for {o}?",
)  # fmt: skip
_PLAIN = ("the {f}", "the {f}", "our {f}", "that {f}", "the {f} from before", "this {f}", "a {f}")
_MY = (
    "my {f}",
    "my {f}",
    "my own {f}",
    "the {f} I have",
    "the {f} of mine",
    "my {f}",
    "my dear {f}",
)

_TO_DO = (
    "", "", "", "I ask you to ", "do me the kindness to ", "I'd be glad if you ", "be good and ",
    "it is your turn to ", "the time has come to ", "we want to ", "they told me to ", "who can ",
    "the plan is to ", "my friend wants you to ", "it is important to ", "do not forget to ",
    "my wish is to ", "the team needs you to ", "quickly ", "you may ", "here you have to ",
    "today we ", "make sure to ", "remember to ", "let us now ", "I plan to ",
    "the next step is to ",
    "would it be fine to ", "I expect you to ", "a user wants to ", "what about this: ",
    "help us ",
    "are you ready to ", "you have been told to ", "see if you can ", "I beg you to ", "could we ",
    "do you think you can ", "everyone wants to ", "it would help to ", "maybe you ",
    *(f"{phrase} to " for phrase in _SOME_WORDS[:50]),
    *(f"{phrase}: " for phrase in _SOME_WORDS[50:80]),
    *(f"{phrase} and " for phrase in _SOME_WORDS[80:110]),
)  # fmt: skip
_WHEN = (
    "", "", "", "", " for me", " at once", " today", " once more", " quickly", " with care",
    " immediately", " as soon as you can", " this time", " again", " for us",
    *(f" {word}" for word in _SOME_WORD[60:100]),
)  # fmt: skip
_WITH_TOOL = (
    "apply {tool}", "employ {tool}", "pick {tool}", "take {tool}", "launch {tool}",
    "go with {tool}",
    "have {tool} handle this", "send this to {tool}", "this is a job for {tool}", "fire {tool}",
    "ask {tool} to do this", "we need {tool}", "I think {tool} fits", "hand this to {tool}",
    "one call of {tool}", "do a {tool} call", "choose {tool}", "request {tool}", "activate {tool}",
    "put {tool} to work", "let us use {tool}", "try {tool}", "do {tool}", "perform {tool}",
    "get {tool} going", "make {tool} run", "with the help of {tool} do this", "open {tool}",
    *(f"{word} {{tool}}" for word in _SOME_WORD[100:140]),
    *(f"{word} the {{tool}} {other}" for word, other in zip(_SOME_WORD[:40], _SOME_WORD[40:80],
    strict=True)),
)  # fmt: skip

_NEXT = (
    "also", "moreover", "in addition", "next", "later", "likewise", "as a second thing", "second",
    "at the same time", "too", "as well", "after this", "another thing:", "one more:", "please",
    "finally", "and", "what is more,", "last", "I also want you to", "you should also", "again",
    "together with that", "by the way", "in parallel", "similarly", "the other job:",
    *_SOME_WORDS[110:140],
)  # fmt: skip
_STOPS = (
    ", ",
    ". ",
    "; ",
    " and ",
    ", and ",
    " - ",
    "\n",
    ", but ",
    ": ",
    " / ",
    " + ",
    ".\n",
    ", so ",
)
_TWO = (
    "", "", "", "", "two jobs, please: ", "I want two things: ", "here are my tasks: ", "please ",
    "this is a double request: ", "two calls: ", "in one go ", "at once: ",
    "one turn, two calls: ",
    "my list: ", *(f"{phrase}: " for phrase in _SOME_WORDS[140:]),
)  # fmt: skip
_USING = (
    "with",
    "using",
    "based on",
    "by means of",
    "given",
    "from",
    "on the basis of",
    "by",
    "for",
)
_RESULT = (
    "it", "that", "the result", "the answer", "the output", "what came back", "the value", "this",
    "what it gives you", "the returned value", "the response", "what you learn", "what you find",
    "its result", "its answer", "the thing you get", "what it says", "that one", "its value",
)  # fmt: skip

_KNOWN = (
    "", "", "", "it is said that ", "we think that ", "rumour has it that ", "please note that ",
    "it is clear that ", "my notes say that ", "the list says that ", "the records show that ",
    "it is true that ", "from now on ", "as of today ", "for now ", "in short, ", "officially ",
    "they say ", "I heard that ", "one should know that ", "mind that ", "fact: ", "note - ",
    *(f"{phrase} " for phrase in _SOME_WORDS[:30]),
    *(f"{phrase}: " for phrase in _SOME_WORDS[30:60]),
)  # fmt: skip
_STATED_OF = (
    "the {f} of {o} is {v}", "{o}'s {f} is {v}", "the {f} for {o} is {v}", "{o} has the {f} {v}",
    "{v} is the {f} of {o}", "{o} has {v} as {f}", "the {f} {v} belongs to {o}",
    "{o} chose the {f} {v}",
    "{o} was given the {f} {v}", "the {f} that {o} has is {v}", "{v} is {o}'s {f}",
    "{o} owns the {f} {v}", "{o} works with the {f} {v}", "{o}'s own {f} is {v}",
    "for {o} we noted the {f} {v}", "{o} comes with the {f} {v}", "{o} now has {v} for its {f}",
    "the {f} we gave to {o} is {v}", "{o} took {v} as its {f}", "the {f} with {o} is {v}",
)  # fmt: skip
_LISTED_OF = (
    "{o} ~ {f} ~ {v}",
    "{o}/{f}: {v}",
    "{f} [{o}]: {v}",
    "{o} ({f}): {v}",
    "{o} > {f} > {v}",
    "{f} of {o} := {v}",
    "{o}.{f} = {v}",
    "{o} => {f} {v}",
    "# {o}: {f} {v}",
    "{f}, {o}: {v}",
    "{o}; {f}; {v}",
    "{f} @ {o}: {v}",
    "{o} {f}: {v}",
    "[{o}] {f} is {v}",
    "{o} has {f} {v}",
)
_STATED = (
    "the {f} is {v}", "our {f} is {v}", "{v} is the {f}", "this {f} is {v}", "the {f} was {v}",
    "we have the {f} {v}", "the {f} will be {v}", "{v} is our {f}", "the {f} reads {v}",
    "the {f} we use is {v}", "they gave us the {f} {v}", "the right {f} is {v}",
)  # fmt: skip
_STATED_MY = (
    "my {f} is {v}", "my {f} is {v}", "my own {f} is {v}", "{v} is my {f}", "I have {v} as my {f}",
    "the {f} I use is {v}", "my {f}: {v}", "my {f} will be {v}", "my new {f} is {v}",
    "they gave me the {f} {v}", "I call my {f} {v}", "my {f} = {v}", "as for my {f}, it is {v}",
    "the {f} I have is {v}", "I was given the {f} {v}", "my {f} now is {v}",
    "I took {v} as my {f}",
)  # fmt: skip
_TOLD = (
    "", "I tell you that ", "listen: ", "one thing: ", "please keep this: ", "mind that ",
    "it is good to know that ", "learn this: ", "please learn that ", "let me say that ",
    "I have news: ", "keep a note of this: ", "save this: ", "hear this: ",
    "you may want to know: ",
    "please store that ", "for your notes: ", "add to your notes that ", "bear in mind that ",
    "it matters that ", "I can tell you that ", "once for all, ", "don't lose this: ",
    *(f"{phrase}: " for phrase in _SOME_WORDS[60:90]),
    *(f"{phrase}, " for phrase in _SOME_WORDS[90:120]),
)  # fmt: skip
_END = (
    ".",
    ".",
    ".",
    "",
    "!",
    ", okay?",
    ". Keep that.",
    ", don't forget.",
    ". Thanks.",
    " from now on.",
)

_INTO = (
    "~turn this into", "~make", "~write", "~give me", "~return", "~produce", "~create", "~form",
    "~answer with", "~print", "~put this in", "~show me", "~change this to", "~bring this into",
    "what is this as", "I need", "this should become", "~translate this to", "~render", "~compose",
    "can this be", *(f"~{word} this to" for word in _SOME_WORD[:20]),
)  # fmt: skip
_OBJECT = (
    " JSON", " an object", " a JSON object", " the object", " the JSON", " a record",
    " the record",
    " an object of the schema", " valid JSON", " one object", " a small object",
    " structured data",
)  # fmt: skip
_DATA = (
    ": {vals}",
    ":\n{vals}",
    ". {vals}",
    ". The data: {vals}",
    " from this: {vals}",
    "? {vals}",
    ". Here: {vals}",
    ", knowing that {vals}",
    " with these details: {vals}",
    "\n\n{vals}",
    ". This is known: {vals}.",
    " for the following: {vals}",
    " of this: {vals}.",
)
_HEADED = tuple(
    f"{head}{mark} {{vals}}{end}"
    for head, mark, end in product(
        ("Facts", "Entry", "Values", "What we know", "Here", "Description", "Sheet", "Message",
         "From a mail", "Customer data", "The form says", "A line of the file", "My notes",
         "I read this", "We got this", "They wrote", "Look", "Known", *_SOME_WORDS[:20]),
        (":", " -", " says:", ", that is"), ("", ".", "\nJSON?"),
    )
)  # fmt: skip
_WANT_KEYS = (
    " I want", " Give", " Put in", " Take only", " The fields are", " It needs", " Only the keys",
    " Write", " It has", " Fill in", " With", " We need", " Add", " The object holds", " Report",
    " Key list:", " Wanted:", "\nKeys needed:", " These keys:", " The result has the keys",
    " Select", " My keys are", "\nAnswer with", " Do not leave out",
    *(f" {p}" for p in _SOME_WORDS[:30]),
)  # fmt: skip
_KEYS = (
    " {keys}.",
    " {keys}.",
    " {keys}",
    ": {keys}.",
    " {keys}, please.",
    " the keys {keys}.",
    " {keys} only.",
)
_FROM_NOTES = (
    "what is in your notes", "your notes", "the data you have", "what you were told", "the values",
    "the details", "the object", "the record", "what you know", "the data", "the fields",
)  # fmt: skip

_BIND = (
    "becomes", "stays", "shall be", "will be", "was", "gets", "at", "with", ">>", "|",
    "~", "-", "fixed at", "put to", "given as", "to be", "may be", "reads", "goes to", ":=", "==",
    "takes", "kept at", "chosen as", "marked", "said to be", "now", *_SOME_WORD[140:],
)  # fmt: skip

REPEAT = [
    *_put_together(("~",), _SAY, (" ",), _TEXT, _HOW, _SHOWN),
    *_capitalised(_put_together(_BEFORE, (": {s}", ': "{s}"', ":\n{s}", ' "{s}"'), most=200)),
    *_put_together(('"{s}"', "{s}"), _AFTER), *_put_together(_INTRODUCED, ("{s}", '"{s}"')) * 6,
]  # fmt: skip
ASK_OF = _capitalised([*_put_together(_ASK, (" ",), _OF, _TAIL), *_ABOUT * 8])
ASK = _capitalised(_put_together(_ASK, (" ",), _PLAIN, _TAIL))
ASK_MY = _capitalised(_put_together(_ASK, (" ",), _MY, _TAIL))
NO_TOOL = _capitalised(_put_together(_TO_DO, ("{act}",), _WHEN, ("{args}",)))
ACT = [*NO_TOOL, *_put_together(("~",), _WITH_TOOL, ("{args}",), most=300)]
CLAUSE = [
    *_put_together(("{act}",), _WHEN, ("{args}",), most=40) * 2,
    *_put_together(_WITH_TOOL[:28], ("{args}",), most=30),
]
ARGS_OPEN = [
    " given that ", " provided ", " featuring ", ", specifically ", ", i.e. ", " | ",
    ", as follows: ",
    "\n", " / ", " under ", " so that ", ". The details: ", ". Details: ", " when ", ", let ",
    " [",
    ". Set ", ". Use ", " while ", " if ", ", here ", " at ", " on ", ", please ", " -- ",
    *(f" {word} " for word in _SOME_WORD[:24]), *(f", {phrase} " for phrase in _SOME_WORDS[:12]),
]  # fmt: skip
ARG = [
    *(f"{{n}} {bind} {{v}}" for bind in _BIND),
    *(f"the {{n}} {bind} {{v}}" for bind in _BIND[:12]),
    "{v} as your {n}", "{v} as this {n}", "{v} as our {n}", "{v} to be its {n}", "{v} under {n}",
    "the text {v} for {n}", "the entry {v} in {n}", "a value of {v} for {n}", "the {n}, {v}",
    "{n}: the value {v}", "{n}, {v}", "{v} to {n}", "{v} at {n}", "{v} goes to {n}", "{v} -- {n}",
    "the number {v} for {n}", "{v} will be the {n}", "its {n} {v}", "my {n} is {v}", "<{n}> {v}",
]  # fmt: skip
ARG_ALONE = [
    " by {v}", " at {v}", " under {v}", " and take {v}", " as {v}", " using {v}", ", that is {v}",
    " concerning {v}", " like {v}", " by the name of {v}", " over {v}", " called {v}", " [{v}]",
    " - {v}", ", I mean {v}", " near {v}", " into {v}",
    *(f" {word} {{v}}" for word in _SOME_WORD[:12]),
]  # fmt: skip
BOTH = _put_together(_TWO, ("{a}",), _STOPS, _NEXT, (" {b}",))
CHAIN = [
    *_put_together(("", "", "first ", "you "), ("{a}",), _STOPS, ("then ", "next ", "after it ",
    "", "later ", "so you can ", "to "), ("{b} ",), _USING, (" ",), _RESULT),
    *_put_together(("{a}",), _STOPS, ("take ", "use ", "with ", "pass ", "keep ", "get ",
    "read "), _RESULT, (" to {b}", ", then {b} with it", " and {b}", " when you {b}",
    " on: {b}"), most=400),
]  # fmt: skip
FACT_OF = _capitalised([*_put_together(_KNOWN, _STATED_OF, ("", ".", ".", "!")), *_LISTED_OF * 12])
FACT = _capitalised(_put_together(_KNOWN, _STATED, ("", ".", ".", "!")))
MY = _capitalised(_put_together(_TOLD, _STATED_MY, _END))
TOLD = _capitalised(_put_together(_TOLD, ("{fact}",), most=100))
JSON_VALUES = [
    *(f"{{f}} {bind} {{v}}" for bind in _BIND),
    *(f"the {{f}} {bind} {{v}}" for bind in _BIND[:10]),
    "our {f} {v}", "with {f} {v}", "{v} for {f}", "{v} for the {f}", "it has the {f} {v}",
    "{f}, {v}",
    "for {f} we got {v}", "a {f} {v}", "{v} as its {f}", "{f} [{v}]", "{f}; this is {v}",
]  # fmt: skip
JSON_ASK = [*_put_together(_INTO, _OBJECT, _DATA), *_put_together(_HEADED, most=300)]
JSON_KEYS = _put_together(_WANT_KEYS, _KEYS, most=300)
JSON_KNOWN = _put_together(
    ("~tell me ", "~print ", "~send me ", "~output ", "~read ", "~put down ", "I want ", "~get "),
    _FROM_NOTES, ("", " as JSON", " in JSON", " now", " as an object", ", please", " again"),
)  # fmt: skip
WRAPPERS = tuple(
    f"{lead}{{clause}}" for lead in dict.fromkeys((*_TO_DO[3:], *_TO_DO[3:43])) if lead.strip()
)
OPENERS = (
    "Hello Hermes. ", "Dear Hermes, ", "Please, ", "Yes. ", "No. ", "Fine, ", "Look, ", "Hm, ",
    "And now: ", "Let's go on. ", "Now then. ", "Good day. ", "Very good. ", "My friend, ",
    "A new task: ", "As I said, ", "First: ", "Oh, ", "Perfect. ", "Hi Hermes, ", "Attention: ",
    *(f"{phrase[0].upper()}{phrase[1:]}{mark} " for phrase, mark in zip(_SOME_WORDS[:60],
    ".,:" * 20, strict=True)),
)  # fmt: skip
