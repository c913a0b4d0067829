// The openai package for node: chat, stream, parsed answers, the tool runner, embeddings, models.
import assert from "node:assert/strict";
import OpenAI from "openai";
import { zodFunction, zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

const client = new OpenAI({ baseURL: process.env.RUNNER_URL, apiKey: "unused", maxRetries: 0 });
const model = "hermes-tiny";
const messages = [{ role: "user", content: "Hello, who are you?" }];
const Pet = z.object({ kind: z.enum(["cat", "dog"]), age: z.number().int().min(0).max(30) });

const answer = await client.chat.completions.create({ model, messages, max_tokens: 40 });
assert.ok(answer.choices[0].message.content);
assert.equal(answer.x_route.served_by, "local");

let text = "";
const stream = await client.chat.completions.create({
  model,
  messages,
  max_tokens: 40,
  stream: true,
  stream_options: { include_usage: true },
});
let usage = null;
for await (const chunk of stream) {
  text += chunk.choices[0]?.delta.content ?? "";
  usage = chunk.usage ?? usage;
}
assert.equal(text, answer.choices[0].message.content);
assert.ok(usage.completion_tokens > 0);

const parsed = await client.chat.completions.parse({
  model,
  messages: [{ role: "user", content: "Describe a pet as JSON." }],
  response_format: zodResponseFormat(Pet, "pet"),
  max_tokens: 80,
});
Pet.parse(parsed.choices[0].message.parsed);

const asked = [];
const runner = client.chat.completions.runTools(
  {
    model,
    messages: [{ role: "user", content: "What is the weather in Rome?" }],
    max_tokens: 200,
    tool_choice: { type: "function", function: { name: "get_weather" } },
    tools: [
      zodFunction({
        name: "get_weather",
        description: "Get the weather in a city.",
        parameters: z.object({ city: z.string() }),
        function: ({ city }) => {
          asked.push(city);
          return `It is 21 degrees in ${city}.`;
        },
      }),
    ],
  },
  { maxChatCompletions: 2 },
);
await runner.done();
assert.equal(typeof asked[0], "string");

const helper = client.chat.completions.stream({ model, messages, max_tokens: 40 });
assert.equal(await helper.finalContent(), text);

const vectors = await client.embeddings.create({ model, input: ["One", "Two"] });
assert.equal(vectors.data.length, 2);
assert.equal(typeof vectors.data[0].embedding[0], "number");

const ids = [];
for await (const item of client.models.list()) ids.push(item.id);
assert.ok(ids.includes(model));
await assert.rejects(
  client.chat.completions.create({ model: "nobody", messages }),
  OpenAI.NotFoundError,
);
