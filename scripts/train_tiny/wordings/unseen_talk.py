"""Ways to make small talk that training never reads."""

# fmt: off
TALK: dict[str, list[str]] = {
    "hello": ["Hello my friend", "Hi, anyone home?", "Good afternoon"],
    "who": ["Which assistant is this?", "Could I have your name?", "May I know who you are?"],
    "made": ["Where were you trained?", "Who is behind you?", "What is your size?"],
    "can": [
        "What sort of things can you do?", "What do your skills include?",
        "How could you be of help?",
    ],
    "cannot": [
        "How reliable are you?", "What are your weaknesses?", "Should I believe your answers?",
    ],
    "real": [
        "How can I fetch a real model?", "Is there a command for a better model?",
        "I would like a bigger model.",
    ],
    "plan": ["When do I use runner plan?", "Which model will fit in my memory?"],
    "list": ["When do I use runner list?", "How do I find out which models I have?"],
    "pull": ["When do I use runner pull?", "Describe the pull command."],
    "runner": ["What is hermes-runner for?", "~describe hermes-runner"],
    "nous": ["~describe Hermes", "What does Nous Research do?"],
    "thanks": ["Thanks so much!", "I thank you.", "Awesome"],
    "bye": ["Goodbye for now", "Bye for today", "I am leaving."],
    "how": ["How do you do?", "How are things?", "Is everything fine with you?"],
    "joke": ["Please give me a joke", "I want to laugh.", "Time for a joke"],
    "haiku": [
        "I want a haiku", "~create a haiku about the waves", "Please make a poem about the sea",
    ],
    "story": ["I want to hear a story", "~invent a story"],
    "time": ["What is the current time?", "Which date do we have?"],
    "sky": ["How come the sky is blue?"],
    "meaning": ["Does life have a meaning?"],
    "yes": ["okay then", "Good."],
    "test": ["one two test", "Are you listening?"],
    "languages": ["Is English the only language you speak?", "Do you understand Italian?"],
    "open": [
        "What can you say about {topic}?", "~discuss {topic}", "~write a report on {topic}",
        "How would you describe {topic}?", "~clarify {topic}",
    ],
}
