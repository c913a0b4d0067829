"""Training's ways to make small talk, by topic."""

# fmt: off
TALK: dict[str, list[str]] = {
    "hello": [
        "Hello", "Hi", "Hey", "Hello!", "Hi!", "Hi there", "Hey there!", "Good morning",
        "Good evening!", "hello there", "Greetings", "Hello, Hermes", "Hi Hermes!", "Hello?", "yo",
        "Good day", "hi :)", "Hello world", "Hey Hermes",
    ],
    "who": [
        "Who are you?", "What are you?", "What is your name?", "Who is this?",
        "~introduce yourself", "~tell me who you are", "What model are you?",
        "Which model is this?", "Are you Hermes?", "What's your name?", "Who am I talking to?",
        "~tell me about yourself", "~say who you are", "what are you called?", "Are you an AI?",
        "Are you a robot?", "Are you a real person?", "Are you human?", "Are you ChatGPT?",
        "~describe yourself", "who r u",
    ],
    "made": [
        "Who made you?", "Who trained you?", "Where do you come from?", "How were you made?",
        "Who built you?", "Who created you?", "What were you trained on?", "How were you trained?",
        "Who is your maker?", "How big are you?", "How many parameters do you have?",
        "Are you a large model?", "What is hermes-tiny?", "~tell me what hermes-tiny is",
    ],
    "can": [
        "What can you do?", "What are you good at?", "How can you help me?",
        "What are your skills?", "Can you help me?", "~list your skills",
        "~tell me what you can do", "What do you know?", "What are your abilities?", "Help",
        "help me", "What can I ask you?", "What should I ask you?", "What can I do here?",
        "How do I use you?", "~help",
    ],
    "cannot": [
        "What can't you do?", "Are you smart?", "How good are you?", "Can I trust your answers?",
        "What are your limits?", "Are you useful?", "Do you know everything?",
        "Are you a good model?", "Are your answers correct?", "Why are you so bad?",
        "Why don't you know that?", "What are you bad at?", "Is this a real model?",
        "Can I use you for real work?",
    ],
    "real": [
        "How do I get a real model?", "How do I get a better model?",
        "Which command gets a real model?", "How do I download a model?",
        "How can I get a bigger Hermes?", "~tell me how to get a real Hermes",
        "Where can I get Hermes 3?", "How do I install Hermes 3?", "Which model should I use?",
        "How do I pull a model?", "How do I run a bigger model?", "What models are there?",
        "How do I list the models?", "Which models can I run?",
        "How do I know what fits on my machine?", "I want a real model.", "I want a better model.",
        "~show me how to get a real model", "How can I upgrade?", "How do I switch the model?",
    ],
    "plan": [
        "What does runner plan do?", "What is runner plan?", "Which model fits my machine?",
        "What fits in my memory?", "How do I see what fits?", "~explain runner plan",
        "How much memory do I need?", "Will it fit on my computer?",
    ],
    "list": [
        "What does runner list do?", "What is runner list?", "Which models do I have?",
        "~explain runner list", "How do I see my models?", "How can I see which models are there?",
        "Where is the list of models?",
    ],
    "pull": [
        "What does runner pull do?", "What is runner pull?", "~explain runner pull",
        "How does runner pull work?", "What is the pull command?", "How do I fetch a model?",
        "How do I get hermes-3-llama-3.2-3b?",
    ],
    "runner": [
        "What is hermes-runner?", "What is the runner?", "~explain hermes-runner",
        "What does hermes-runner do?", "What is this program?", "What software is this?",
        "~tell me about hermes-runner", "What runs you?",
    ],
    "nous": [
        "What is Hermes?", "What is Nous Research?", "Who is Nous Research?",
        "~tell me about Hermes", "What are the Hermes models?", "Who makes Hermes?",
        "~tell me about Nous Research", "Who is Hermes?",
    ],
    "thanks": [
        "Thanks", "Thank you", "Thank you!", "thanks a lot", "Many thanks", "Thank you very much",
        "thx", "Great, thanks!", "Good job", "Well done", "That helped, thanks.", "Nice", "Perfect",
        "Great", "Cool", "ok thanks",
    ],
    "bye": [
        "Bye", "Goodbye", "See you", "Good night", "bye bye", "See you later", "Farewell",
        "I have to go.", "Talk to you later", "Goodbye!", "That is all for today.", "exit", "quit",
    ],
    "how": [
        "How are you?", "How are you doing?", "How do you feel?", "Are you okay?",
        "How is it going?", "how are you today?", "What's up?", "How's life?", "Are you well?",
        "Hello, how are you?", "Hi, how are you?",
    ],
    "joke": [
        "~tell me a joke", "~tell a joke", "Do you know a joke?", "~make me laugh",
        "A joke, please.", "~say something funny", "Got any jokes?", "~write a joke", "joke",
        "~tell me something funny", "Know any good jokes?", "Can I hear a joke?",
    ],
    "haiku": [
        "~write a haiku about the sea", "~write a haiku", "A haiku about the sea, please.",
        "~write a poem about the sea", "~make a haiku about the ocean", "~write me a haiku",
        "haiku", "~compose a haiku about the sea", "~write a short poem", "~write a poem",
        "~give me a haiku", "Do you know a haiku?", "A poem, please.", "~tell me a poem",
    ],
    "story": [
        "~tell me a story", "~write a story", "A story, please.", "~tell me a short story",
        "~write a short story", "Do you know a story?", "~make up a story", "story",
        "~tell a story", "~tell me a bedtime story",
    ],
    "time": [
        "What time is it?", "What day is it?", "What is the date today?", "What year is it?",
        "~tell me the time", "What is today's date?", "Which day is today?", "what's the time?",
        "Do you know what time it is?",
    ],
    "sky": [
        "Why is the sky blue?", "What color is the sky?", "~explain why the sky is blue",
        "why is the sky blue", "Is the sky blue?",
    ],
    "meaning": [
        "What is the meaning of life?", "~tell me the meaning of life",
        "What is the answer to everything?", "Why are we here?",
    ],
    "yes": [
        "Yes", "yes", "Yes!", "ok", "OK", "Okay", "sure", "Sure.", "Right.", "I see.", "Hmm",
        "Interesting.", "No", "no", "No.", "Maybe",
    ],
    "test": [
        "test", "Test", "testing", "This is a test.", "Are you there?", "Is anybody there?", "ping",
        "Does this work?", "test 123", "Can you hear me?",
    ],
    "languages": [
        "Do you speak German?", "Do you speak French?", "What languages do you speak?",
        "Sprechen Sie Deutsch?", "Parlez-vous français ?", "¿Hablas español?",
        "Which languages do you know?", "Can you speak Spanish?", "Bonjour", "Hallo", "Hola",
        "Guten Tag", "Ciao", "Привет", "你好",
    ],
    "open": [
        "~explain {topic}", "What is {topic}?", "~tell me about {topic}",
        "~write an essay about {topic}", "How does {topic} work?", "~write a program about {topic}",
        "Why is {topic} important?", "~write a letter about {topic}",
        "What do you think about {topic}?", "~describe {topic}", "Who invented {topic}?",
        "When did {topic} begin?", "~write code for {topic}", "~give me advice on {topic}",
        "~summarize {topic}", "~compare {topic} with {topic2}", "What is the history of {topic}?",
        "How do I learn {topic}?", "~write a song about {topic}",
        "~write a python script for {topic}", "Where can I find {topic}?",
        "How many {topic} are there?", "Is {topic} good or bad?", "Should I buy {topic}?",
        "What causes {topic}?", "~teach me {topic}", "~plan a trip for {topic}",
        "How do I cook {topic}?", "~recommend a book about {topic}",
        "What is better, {topic} or {topic2}?", "~debug my code for {topic}", "Who was {topic}?",
        "Tell me more about {topic}.", "~prove {topic}", "{topic}?", "{topic}",
    ],
}
