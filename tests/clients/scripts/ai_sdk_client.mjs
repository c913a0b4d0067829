// Vercel's AI SDK over its openai-compatible provider: text, stream, objects, tools, embeddings.
import assert from "node:assert/strict";
import { createOpenAICompatible } from "@ai-sdk/openai-compatible";
import { embedMany, generateObject, generateText, stepCountIs, streamObject, streamText, tool } from "ai";
import { z } from "zod";

const provider = createOpenAICompatible({
  name: "runner",
  baseURL: process.env.RUNNER_URL,
  includeUsage: true,
  supportsStructuredOutputs: true,
});
const model = provider("hermes-tiny");
const common = { model, maxOutputTokens: 200, maxRetries: 0 };
const prompt = "Hello, who are you?";
const schema = z.object({ kind: z.enum(["cat", "dog"]), age: z.number().int().min(0).max(30) });

const answer = await generateText({ ...common, prompt });
assert.ok(answer.text);
assert.ok(answer.usage.outputTokens > 0);

const streamed = streamText({ ...common, prompt });
let text = "";
for await (const piece of streamed.textStream) text += piece;
assert.equal(text, answer.text);
assert.equal(await streamed.finishReason, "stop");
assert.ok((await streamed.usage).outputTokens > 0);

const { object } = await generateObject({ ...common, schema, prompt: "Describe a pet as JSON." });
schema.parse(object);
const growing = streamObject({ ...common, schema, prompt: "Describe a pet as JSON." });
for await (const _ of growing.partialObjectStream);
schema.parse(await growing.object);

const thinking = await generateText({
  ...common,
  prompt: "What is 3 + 4?",
  providerOptions: { runner: { reasoningEffort: "low" } },
});
assert.ok(thinking.reasoningText);

const asked = [];
const tools = {
  get_weather: tool({
    description: "Get the weather in a city.",
    inputSchema: z.object({ city: z.string() }),
    execute: async ({ city }) => {
      asked.push(city);
      return { degrees: 21 };
    },
  }),
};
for (const run of [generateText, streamText]) {
  const used = await run({
    ...common,
    tools,
    toolChoice: "required",
    prompt: "What is the weather in Rome?",
    stopWhen: stepCountIs(1),
  });
  const calls = await used.toolCalls;
  assert.equal(calls[0].toolName, "get_weather");
  assert.equal(await used.finishReason, "tool-calls");
}
assert.equal(asked.length >= 2, true);

const { embeddings } = await embedMany({
  model: provider.textEmbeddingModel("hermes-tiny"),
  values: ["One", "Two"],
});
assert.equal(embeddings.length, 2);
