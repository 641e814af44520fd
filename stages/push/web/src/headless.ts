/**
 * What a push asks of a headless browser on its own machine: the self-test, latencies, or the scores of given clips.
 *
 * It answers only where the page comes from this machine itself, to the server that the page came from.
 */

import type { Engine } from "./engine";
import { messageOf, readOffered, selfTest, type Release, type Site } from "./release";

type Question =
  | { readonly do: "selftest" }
  | { readonly do: "benchmark"; readonly runs: number; readonly threads: number }
  | { readonly do: "scores"; readonly threads: number };

/** Answer the question that the address names, if it does; return whether it did. */
export async function answerQuestion(site: Site, start: (release: Release, threads: number) => Promise<Engine>): Promise<boolean> {
  const asked = /^#ask=([0-9a-f]{32})$/.exec(location.hash);
  if (!asked || !["127.0.0.1", "localhost", "[::1]"].includes(location.hostname)) return false;
  const place = `ask/${asked[1]}`;
  let answer: unknown;
  try {
    const question = (await (await fetch(`${place}.json`)).json()) as Question;
    answer = { ok: true, ...(await reply(question, `${place}.f32`, site, start)) };
  } catch (error) {
    answer = { ok: false, error: messageOf(error) };
  }
  await fetch(place, { method: "POST", body: JSON.stringify(answer) });
  return true;
}

async function reply(
  question: Question,
  clips: string,
  site: Site,
  start: (release: Release, threads: number) => Promise<Engine>,
): Promise<object> {
  const begin = performance.now();
  const release = await readOffered(site);
  const engine = await start(release, question.do === "selftest" ? 1 : question.threads);
  const loadedMs = performance.now() - begin;
  if (question.do === "selftest") {
    const test = await selfTest(release, engine.run);
    return { ...test, release: release.id, signed_by: release.signedBy };
  }
  const length = release.manifest.clip_samples;
  if (question.do === "scores") {
    const samples = new Float32Array(await (await fetch(clips)).arrayBuffer());
    const scores = [];
    for (let at = 0; at < samples.length; at += length) scores.push((await engine.run(samples.slice(at, at + length))).scores);
    return { release: release.id, scores };
  }
  const waveform = Float32Array.from({ length }, (_, i) => 0.1 * Math.sin(i * i * 1e-4));
  await engine.timed(waveform);
  const firstMs = performance.now() - begin;
  const times = [];
  for (let i = 0; i < question.runs; i++) times.push(await engine.timed(waveform));
  return {
    release: release.id,
    loaded_ms: loadedMs,
    first_ms: firstMs,
    frontend_ms: times.map((each) => each.frontendMs),
    model_ms: times.map((each) => each.modelMs),
    isolated: crossOriginIsolated,
    agent: navigator.userAgent,
  };
}
