/** Runs LiteRT beside the page, so that the page never waits. Classic worker: LiteRT's loader needs importScripts. */

import { loadAndCompile, loadLiteRt, supportsFeature, Tensor, type CompiledModel } from "@litertjs/core";

import type { Prepared, Read, Reply, Request as Asked, Timed } from "./engine";
import { hear } from "./recording";
import { summaries } from "./rejection";
import { readWav, writeWav } from "./wav";

declare const self: DedicatedWorkerGlobalScope;
declare const trustedTypes: { createPolicy(name: string, rules: { createScriptURL(url: string): string }): unknown };

if (typeof trustedTypes !== "undefined") {
  trustedTypes.createPolicy("default", {
    createScriptURL(url) {
      const asked = new URL(url, self.location.href);
      if (asked.origin === self.location.origin && asked.pathname.includes("/litert/")) return url;
      throw new TypeError("No other script is loaded.");
    },
  });
}

/** Hashes of LiteRT's files, filled in by the build. */
declare const LITERT: Readonly<Record<string, string>>;

const unchecked = self.fetch.bind(self);
let refuse: (error: Error) => void = () => undefined;
self.fetch = async (asked, options) => {
  const name = new URL(asked instanceof Request ? asked.url : asked, self.location.href).pathname.split("/").pop() ?? "";
  if (!Object.hasOwn(LITERT, name)) return unchecked(asked, options);
  try {
    return await unchecked(asked, { ...options, integrity: LITERT[name] });
  } catch (error) {
    refuse(new Error(`The page's file ${name} is altered or cannot be loaded. Load the page again.`)); // LiteRT would wait for ever
    throw error;
  }
};

let frontend: CompiledModel | undefined;
let model: CompiledModel | undefined;
let nCrops = 1;

const THREADED = "litert_wasm_threaded_internal.js";

/** Load LiteRT after a check of its loader, whose bytes no browser checks when a worker imports it. */
async function startLiteRt(litert: string, threads: boolean): Promise<void> {
  const single = (await supportsFeature("relaxedSimd")) ? "litert_wasm_internal.js" : "litert_wasm_compat_internal.js";
  await self.fetch(litert + (threads ? THREADED : single));
  await loadLiteRt(litert, { threads });
}

async function load(request: Extract<Asked, { do: "load" }>): Promise<void> {
  // In a worker the loader would look for its WebAssembly beside the worker's own script.
  const place = { locateFile: (name: string) => request.litert + name, mainScriptUrlOrBlob: request.litert + THREADED };
  Object.assign(self, { Module: place });
  const refused = new Promise<never>((_, reject) => (refuse = reject));
  await Promise.race([startLiteRt(request.litert, request.threads > 1), refused]);
  const options = { accelerator: "wasm" as const, cpuOptions: { numThreads: request.threads } };
  frontend = request.frontend && (await loadAndCompile(request.frontend, options));
  model = await loadAndCompile(request.model, options);
  nCrops = request.nCrops;
}

async function apply(compiled: CompiledModel, values: Float32Array): Promise<Float32Array> {
  const shape = compiled.getInputDetails()[0].shape;
  const input = new Tensor(values, shape);
  const [output] = await compiled.run(input);
  input.delete();
  const found = (output.toTypedArray() as Float32Array).slice();
  output.delete();
  return found;
}

async function run(waveform: Float32Array): Promise<Timed> {
  if (!model) throw new Error("No release is loaded.");
  const start = performance.now();
  const features = frontend ? await apply(frontend, waveform) : waveform;
  const middle = performance.now();
  const scores = nCrops > 1 && frontend ? await overCrops(model, frontend, features) : await apply(model, features);
  const modelMs = performance.now() - middle;
  const summary = frontend ? summaries(features, frontend.getOutputDetails()[0].shape[1]) : [];
  return { scores: [...scores], summary, frontendMs: middle - start, modelMs };
}

/** Mean of the scores of equally spaced crops along time; see `stages/runtime/crops.py`. */
async function overCrops(compiled: CompiledModel, first: CompiledModel, features: Float32Array): Promise<Float32Array> {
  const [, steps, ...rest] = first.getOutputDetails()[0].shape;
  const width = rest.reduce((product, n) => product * n, 1);
  const length = compiled.getInputDetails()[0].shape[1];
  const stride = Math.max(1, Math.floor((steps - length) / Math.max(nCrops - 1, 1)));
  let total: Float32Array | undefined;
  for (let crop = 0; crop < nCrops; crop++) {
    const from = crop * stride * width;
    const scores = await apply(compiled, features.slice(from, from + length * width));
    total = total ? total.map((value, i) => value + scores[i]) : scores;
  }
  return (total as Float32Array).map((value) => value / nCrops);
}

/** Read a file as WAV; what it returns moves to the page. */
function read(content: ArrayBuffer): [Read, Transferable[]] {
  const sound = readWav(content);
  return sound ? [{ sound }, sound.channels.map((channel) => channel.buffer)] : [{ content }, [content]];
}

function prepare({ sound, manifest }: Extract<Asked, { do: "hear" }>): [Prepared, Transferable[]] {
  const samples = hear(sound, manifest);
  return [{ samples, playable: writeWav(samples, manifest.sample_rate) }, [samples.buffer]];
}

async function answer(request: Asked): Promise<[unknown, Transferable[]]> {
  switch (request.do) {
    case "load":
      return [await load(request), []];
    case "run":
      return [await run(request.waveform), []];
    case "read":
      return read(request.content);
    case "hear":
      return prepare(request);
  }
}

function sentence(error: unknown): string {
  if (error instanceof RangeError) return "There is not enough memory here for this sound. Cut it first."; // an array that is too large
  return error instanceof Error ? error.message : String(error);
}

self.addEventListener("message", (event: MessageEvent<Asked & { id: number }>) => {
  const { id } = event.data;
  answer(event.data).then(
    ([value, moved]) => self.postMessage({ id, value } satisfies Reply, moved),
    (error: unknown) => self.postMessage({ id, error: sentence(error) } satisfies Reply),
  );
});
