// Compares the page's TypeScript with Python's answers: node page_twin.mjs TWIN COMMAND FILE
import { readFileSync, writeFileSync } from "node:fs";

const [twinPath, command, file] = process.argv.slice(2);
const twin = await import(twinPath);
const floats = (text) => {
  const bytes = Buffer.from(text, "base64");
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
};
const wrong = [];
const same = (what, got, expected) => {
  if (JSON.stringify(got) !== JSON.stringify(expected)) wrong.push(`${what}: ${JSON.stringify(got)}, expected ${JSON.stringify(expected)}`);
};
const close = (what, got, expected, tolerance = 1e-6) => {
  let worst = got.length === expected.length ? 0 : Infinity;
  for (let i = 0; i < expected.length; i++) worst = Math.max(worst, Math.abs(got[i] - expected[i]));
  if (!(worst <= tolerance)) wrong.push(`${what}: differs by ${worst}, lengths ${got.length} and ${expected.length}`);
  return worst;
};

const commands = {
  vectors() {
    const vectors = JSON.parse(readFileSync(file, "utf8"));
    for (const each of vectors.mono) close(`mono ${each.channel}`, twin.toMono(each.channels.map(floats), each.channel), floats(each.mono));
    for (const each of vectors.clips) {
      const hearing = { ...twin.DEFAULT_HEARING, ...each.hearing };
      const samples = floats(each.samples);
      same("clip start", twin.clipStart(samples, each.length, each.align, hearing), each.start);
      close("clip", twin.clip(samples, each.length, each.align, hearing), floats(each.clip));
    }
    for (const each of vectors.silence) same("silence", twin.isSilent(floats(each.samples), each.silence_dbfs), each.silent);
    for (const [peak, scale] of vectors.overload) same("overload", twin.overloadScale(peak), scale);
    for (const each of vectors.windows) same(`windows of ${each.n}`, twin.windowStarts(each.n, each.length, each.hop), each.starts);
    for (const each of vectors.manifests) {
      let ok = true;
      try { twin.parseManifest(each.manifest); } catch { ok = false; }
      same(`manifest ${JSON.stringify(each.manifest)}`, ok, each.ok);
    }
    for (const [measure, outputs, threshold, sure] of vectors.confidences) {
      close(`confidence ${measure}`, [twin.confidence(outputs, measure, threshold)], [sure], 1e-9);
    }
    for (const each of vectors.front_ends) {
      const summary = twin.summaries(floats(each.features), each.steps);
      close(`summary of ${each.steps} steps`, summary, each.summary, 1e-9);
      for (const [rule, outputs, sound, excess] of each.rules) {
        close("front-end confidence", [twin.frontendConfidence(summary, rule.frontend)], [sound], 1e-9);
        close("excess", [twin.excess(rule, outputs, sound, null)], [excess], 1e-9);
      }
    }
    for (const each of vectors.decisions) {
      const manifest = { labels: each.labels, threshold: each.threshold, tolerance: 0.01 };
      same("decision", twin.decide(manifest, each.scores).labels, each.decided);
      same("clear", twin.isClear(manifest, each.scores), each.clear);
    }
  },
  events() {
    for (const each of JSON.parse(readFileSync(file, "utf8")).cases) {
      const rule = { on: {}, off: {}, hop_s: 0, smooth: "mean:1", refractory_s: 0, merge_s: 0, ...each.rule };
      const tracker = new twin.EventTracker(rule, each.labels, each.window_s, each.hop_s);
      const found = each.scores.flatMap((scores, i) => tracker.push(each.starts_s[i], scores, each.heard[i])).concat(tracker.finish());
      found.sort((a, b) => a.onset_s - b.onset_s || each.labels.indexOf(a.label) - each.labels.indexOf(b.label));
      same(`${each.name}: labels`, found.map((event) => event.label), each.events.map((event) => event.label));
      for (const key of ["onset_s", "offset_s", "peak", "detected_s"]) {
        close(`${each.name}: ${key}`, found.map((event) => event[key]), each.events.map((event) => event[key]));
      }
    }
  },
  // The score is a window's peak.
  async recordings() {
    const { samples, cases } = JSON.parse(readFileSync(file, "utf8"));
    const run = async (waveform) => ({ scores: [waveform.reduce((most, value) => Math.max(most, Math.abs(value)), 0)], summary: [] });
    for (const each of cases) {
      const told = [];
      const found = await twin.classify(floats(samples), twin.parseManifest(each.manifest), run, (done, of) => told.push([done, of]));
      const name = JSON.stringify([each.manifest.hearing, each.manifest.events]);
      same(`${name}: windows`, found.windows.map((window) => window.startS), each.starts_s);
      same(`${name}: labels`, found.events.map((event) => event.label), each.events.map((event) => event.label));
      for (const key of ["onset_s", "offset_s", "peak", "detected_s"]) {
        close(`${name}: ${key}`, found.events.map((event) => event[key]), each.events.map((event) => event[key]));
      }
      same(`${name}: progress`, told.at(-1), [told.length, told.length]);
    }
  },
  // Resamples every case at once and in blocks; the caller compares.
  resample() {
    const { cases, samples, place } = JSON.parse(readFileSync(file, "utf8"));
    const all = new Float32Array(readFileSync(samples).buffer.slice(0));
    const results = [];
    for (const { start, stop, from, to, blocks } of cases) {
      const whole = twin.resample(all.slice(start, stop), from, to);
      const stream = new twin.Resampler(from, to);
      const parts = [];
      for (let at = start, i = 0; at < stop; at += blocks[i % blocks.length], i++) {
        parts.push(stream.push(all.slice(at, Math.min(stop, at + blocks[i % blocks.length]))));
      }
      parts.push(stream.finish());
      const joined = Float32Array.from(parts.flatMap((part) => [...part]));
      close(`stream ${from} to ${to}`, joined, whole, 0);
      results.push(whole);
    }
    writeFileSync(place, Buffer.concat(results.map((each) => Buffer.from(each.buffer, each.byteOffset, each.byteLength))));
  },
};
await commands[command]();
console.log(wrong.slice(0, 20).join("\n"));
process.exitCode = wrong.length ? 1 : 0;
