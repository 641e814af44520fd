/** The page: opens the release, then records, listens, plays, decides and explains. */

import { concat } from "./audio";
import { keepPage, recorder, startWorker } from "./assets";
import { decodeFile, openMicrophone, type Microphone } from "./capture";
import { Engine } from "./engine";
import { answerQuestion } from "./headless";
import { Listener } from "./live";
import { decide } from "./manifest";
import { classify, score, type Result } from "./recording";
import { messageOf, open, type Opened, type Release, type Site } from "./release";
import { occlude } from "./spectrum";
import * as view from "./view";
import type { Sound } from "./wav";

const { part } = view;
const site = JSON.parse(part("site").textContent ?? "") as Site;
const LONGEST_RECORDING_S = 600;
const N_MEASURED = 10;
const OCCLUSION = { nSegments: 12, nBands: 6 };

let opened: Opened<Engine>;
let result: Result | undefined;
let microphone: Microphone | undefined;
let address = "";
let turn = 0;

async function start(release: Release, threads = 1): Promise<Engine> {
  const single = release.manifest.reject?.frontend ? undefined : release.files.get("single.tflite");
  return Engine.start(await startWorker(), {
    litert: new URL("litert/", location.href).href,
    frontend: single ? undefined : release.files.get("frontend.tflite"),
    model: single ?? (release.files.get("model.tflite") as Uint8Array),
    nCrops: release.manifest.crops,
    threads,
  });
}

/** Ends the work on a sound when the next one is given. */
class Superseded extends Error {}

function say(message: string): void {
  part("message").textContent = message;
}

async function guarded(action: () => Promise<void>): Promise<void> {
  say("");
  try {
    await action();
  } catch (error) {
    if (error instanceof Superseded) return;
    say(messageOf(error));
  }
}

async function main(): Promise<void> {
  if (!isSecureContext) {
    part("about").textContent = "There is no classifier to run.";
    say("Browsers run classifiers only at addresses that begin with https:// and on this machine itself. Open this page there.");
    return;
  }
  if (await answerQuestion(site, start)) return;
  try {
    opened = await open(site, start);
  } catch (error) {
    part("about").textContent = "There is no classifier to run.";
    say(messageOf(error));
    return;
  }
  showRelease();
  await measure();
  wire();
  await keepPage().catch(() => undefined); // without it the page works, but not offline
  document.documentElement.dataset.ready = "yes";
}

function showRelease(): void {
  const { release, test, notice } = opened;
  const { manifest } = release;
  const title = manifest.registered_name || manifest.name;
  document.title = part("title").textContent = title;
  const labels = manifest.labels.length > 8 ? `${manifest.labels.length} sounds` : view.listed(manifest.labels);
  const clipS = manifest.clip_samples / manifest.sample_rate;
  part("about").textContent = `Tells apart: ${labels}. It hears ${view.seconds(clipS)} of sound at a time.`;
  const worst = Math.max(...Object.values(test.differences));
  const within = worst === 0 ? "score exactly as at its maker's" : `score as at its maker's, within ${worst.toPrecision(1)}`;
  const signed = release.signedBy ? `signed by ${release.signedBy}` : "not signed";
  part("status").textContent =
    `Version ${manifest.version}, ${signed}. Self-test passed: in this browser its ${manifest.golden.length} test ` +
    `recordings ${within}. ${notice}`;
  const card = new TextDecoder().decode(release.files.get(manifest.card));
  part("card-text").textContent = card;
  view.showLines(part("card"), view.cardLines(card));
  part("golden").replaceChildren(
    ...manifest.golden.map((golden, i) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = `${i + 1}: ${view.listed(decide(manifest, golden.scores).labels) || "none"}`;
      button.addEventListener("click", () => {
        const content = release.files.get(golden.file) as Uint8Array<ArrayBuffer>;
        void guarded(() => answerFile(new Blob([content])));
      });
      return button;
    }),
  );
  part("examples").hidden = false;
}

/** Measure latency here and show it with the sizes. */
async function measure(): Promise<void> {
  const { release, running } = opened;
  const { manifest } = release;
  const waveform = new Float32Array(manifest.clip_samples).map((_, i) => 0.1 * Math.sin(i * i * 1e-4));
  const times = [];
  for (let i = 0; i < N_MEASURED; i++) times.push(await running.timed(waveform));
  const median = (values: number[]): number => values.sort((a, b) => a - b)[Math.floor(values.length / 2)];
  const together = median(times.map((each) => each.frontendMs + each.modelMs));
  const clipMs = (1000 * manifest.clip_samples) / manifest.sample_rate;
  const size = (name: string): string => view.size(release.files.get(name)?.length ?? 0);
  view.showFacts([
    ["Model", `${size("model.tflite")}, ${String(manifest.model["scheme"] ?? "unknown")}`],
    ["Front end", size("frontend.tflite")],
    ["Latency here", `${together.toFixed(1)} ms a clip, median of ${N_MEASURED}; ${(clipMs / together).toFixed(0)} times real time`],
    ["Release", release.id],
    ["Variant", manifest.name],
  ]);
}

/** Classify a sound and show the answer; ends without one when the next sound is given. */
async function answer(given: Sound | Promise<Sound>): Promise<void> {
  const { release, running } = opened;
  const mine = ++turn;
  const goOn = (state: string): void => {
    if (mine !== turn) throw new Superseded();
    part("decision").textContent = state;
  };
  result = undefined;
  part("result").hidden = false;
  part("result").setAttribute("aria-busy", "true");
  part<HTMLButtonElement>("explain").disabled = true;
  try {
    goOn("Reading…");
    const { samples, playable } = await running.hear(await given, release.manifest);
    goOn("Working…");
    const found = await classify(samples, release.manifest, running.run, (done, of) => {
      goOn(`Working… ${done} of ${of} windows`);
    });
    goOn("");
    result = found;
    show(found, playable);
  } catch (error) {
    if (mine !== turn) throw new Superseded();
    part("result").hidden = true;
    part("result").removeAttribute("aria-busy");
    throw error;
  }
}

async function answerFile(file: Blob): Promise<void> {
  await answer(decodeFile(file, (content) => opened.running.read(content)));
}

function show(found: Result, playable: Blob): void {
  const { manifest } = opened.release;
  const rate = manifest.sample_rate;
  const decision = view.listed(found.labels) || "none of the labels";
  part("decision").textContent = found.silent ? "Silence" : found.unknown ? "Unknown" : decision;
  const about =
    found.length < found.samples.length
      ? `This answer is about ${view.seconds(found.start / rate)} to ${view.seconds((found.start + found.length) / rate)}, framed below. ` +
        `Events are sought in all ${view.seconds(found.samples.length / rate)}` +
        (found.events.length ? " and listed below." : ": there are none.")
      : `This answer is about all ${view.seconds(found.samples.length / rate)}.`;
  const silence = found.silent ? `Nothing is to be heard; the scores mean nothing (they say ${decision}). ` : "";
  const unsure = found.unknown && !found.silent ? `Too unsure to be one of the labels; the nearest is ${decision}. ` : "";
  part("details").textContent = silence + unsure + about;
  view.showScores(part("scores"), manifest, found.scores, found.labels);
  part("threshold-note").hidden = manifest.threshold === null;
  redraw();
  part("axes").replaceChildren(
    ...[`0 s`, `0 to ${rate / 2} Hz, mel scale; louder is stronger`, view.seconds(found.samples.length / rate)].map((text) => {
      const made = document.createElement("span");
      made.textContent = text;
      return made;
    }),
  );
  part("found-part").hidden = found.events.length === 0;
  part("found").replaceChildren(...found.events.map(view.eventLine));
  const spoken = `${view.seconds(found.samples.length / rate)} of sound`;
  part("spectrogram").setAttribute("aria-label", `Spectrogram of ${spoken}. ${decision}.`);
  part("waveform").setAttribute("aria-label", `Waveform of ${spoken}`);
  URL.revokeObjectURL(address);
  address = URL.createObjectURL(playable);
  part<HTMLAudioElement>("player").src = address;
  part("explanation").replaceChildren();
  part<HTMLButtonElement>("explain").disabled = found.silent;
  part("result").setAttribute("aria-busy", "false");
}

function redraw(): void {
  if (result) view.drawSound(result.samples, opened.release.manifest.sample_rate, result);
}

async function explain(): Promise<void> {
  if (!result) return;
  const { manifest } = opened.release;
  const about = result;
  const index = Math.max(0, manifest.labels.indexOf(about.labels[0] ?? manifest.labels[about.scores.indexOf(Math.max(...about.scores))]));
  const longest = Math.min(about.length, manifest.clip_samples);
  const heard = { start: about.start, length: longest };
  const button = part<HTMLButtonElement>("explain");
  const progress = part<HTMLProgressElement>("explaining");
  button.disabled = true;
  progress.hidden = false;
  try {
    const samples = about.samples.slice(heard.start, heard.start + heard.length);
    const scoreOf = async (each: Float32Array): Promise<number> =>
      decide(manifest, (await score(each, manifest, opened.running.run)).scores).scores[index];
    const found = await occlude(samples, manifest.sample_rate, OCCLUSION, scoreOf, (done, of) => {
      progress.value = done / of;
    });
    if (result !== about) return;
    redraw();
    const lines = view.drawSaliency(found, manifest.sample_rate, about.samples.length, heard, manifest.labels[index]);
    const list = document.createElement("ul");
    const label = view.isolated(manifest.labels[index]);
    const none = `Silencing any one part changes the score of ${label} little: it hangs on the whole.`;
    view.showLines(list, lines.length ? lines : [none]);
    part("explanation").replaceChildren(list);
  } finally {
    button.disabled = false;
    progress.hidden = true;
  }
}

async function record(): Promise<void> {
  const blocks: Float32Array[] = [];
  let ended = false;
  microphone = await openMicrophone(await recorder(), {
    take(samples) {
      if (ended) return; // a last block may come after the microphone was stopped
      blocks.push(samples);
      level(samples);
      const heardS = (blocks.length * samples.length) / (microphone?.sampleRate ?? 48000);
      part("record-text").textContent = `Stop (${heardS.toFixed(0)} s)`;
      if (heardS > LONGEST_RECORDING_S) part("record").click();
    },
    lost: () => lost("record", record),
  });
  stopped = async () => {
    ended = true;
    const rate = microphone?.sampleRate ?? 48000;
    if (!blocks.length) throw new Error("The microphone gave no sound. Try again.");
    await answer({ channels: [concat(blocks)], sampleRate: rate, floating: false, cutShort: false });
    part("result").scrollIntoView({ block: "start" });
  };
  busy("record", true);
}

let stopped: () => Promise<void> = async () => undefined;

async function listenLive(): Promise<void> {
  const { manifest } = opened.release;
  part("events").replaceChildren();
  part("live-panel").hidden = false;
  part("no-events").hidden = false;
  let take = (samples: Float32Array): void => void early.push(samples);
  const early: Float32Array[] = [];
  microphone = await openMicrophone(await recorder(), {
    take(samples) {
      level(samples);
      take(samples);
    },
    lost: () => lost("live", listenLive),
  });
  let last = "";
  const listener = new Listener(manifest, microphone.sampleRate, opened.running.run, {
    window(heard) {
      const labels = view.listed(heard.labels) || "none of the labels";
      const state = heard.silent ? "Silence" : heard.unknown ? "Unknown" : labels;
      const behind = heard.dropped ? `; ${heard.dropped} windows dropped: this device is slower than the sound` : "";
      last = `${view.seconds(heard.endS)}): ${state}${behind}`;
      part("live-head").textContent = `Now (${last}`;
      view.showScores(part("live-scores"), manifest, heard.scores, heard.silent || heard.unknown ? [] : heard.labels);
    },
    event(event) {
      part("no-events").hidden = true;
      part("events").append(view.eventLine(event));
    },
  });
  take = (samples) => listener.push(samples);
  early.forEach(take);
  stopped = async () => {
    await listener.finish();
    part("live-head").textContent = last ? `Last heard (${last}` : "Stopped before a whole window was heard";
  };
  busy("live", true);
}

/** The microphone went away: stop, and say so beside what was heard until then. */
function lost(which: "record" | "live", begin: () => Promise<void>): void {
  void guarded(async () => {
    if (microphone) await toggle(which, begin);
    throw new Error("The microphone was disconnected or is no longer allowed. What was heard before is below.");
  });
}

function level(samples: Float32Array): void {
  const peak = samples.reduce((most, value) => Math.max(most, Math.abs(value)), 1e-6);
  part("meter").style.transform = `scaleX(${Math.max(0, Math.min(1, 1 + (20 * Math.log10(peak)) / 60))})`;
}

/** Show which of the two uses of the microphone runs. */
function busy(which: "record" | "live", on: boolean): void {
  part("record").classList.toggle("recording", on && which === "record");
  if (!on) part("record-text").textContent = "Record";
  part("live").setAttribute("aria-pressed", String(on && which === "live"));
  part("live").textContent = on && which === "live" ? "Stop listening" : "Listen live";
  for (const id of ["record", "live", "pick"]) part<HTMLButtonElement>(id).disabled = on && id !== which;
  part("meter-frame").classList.toggle("idle", !on);
  if (!on) part("meter").style.transform = "scaleX(0)";
}

async function toggle(which: "record" | "live", begin: () => Promise<void>): Promise<void> {
  if (!microphone) return begin();
  microphone.stop();
  busy(which, false);
  const end = stopped;
  try {
    await end();
  } finally {
    microphone = undefined;
  }
}

function wire(): void {
  const on = (id: string, action: () => Promise<void>): void => {
    part<HTMLButtonElement>(id).disabled = false;
    part(id).addEventListener("click", () => void guarded(action));
  };
  on("record", () => toggle("record", record));
  on("live", () => toggle("live", listenLive));
  on("explain", explain);
  on("pick", async () => part("file").click());
  const input = part<HTMLInputElement>("file");
  input.addEventListener("change", () => {
    const file = input.files?.[0];
    if (file) void guarded(() => answerFile(file));
    input.value = "";
  });
  addEventListener("dragover", (event) => {
    event.preventDefault();
    document.body.classList.add("dropping");
  });
  addEventListener("dragleave", () => document.body.classList.remove("dropping"));
  window.addEventListener("drop", (event: DragEvent) => {
    event.preventDefault();
    document.body.classList.remove("dropping");
    const file = event.dataTransfer?.files[0];
    if (file && !microphone) void guarded(() => answerFile(file));
  });
  const player = part<HTMLAudioElement>("player");
  const cursor = part("cursor");
  const follow = (): void => {
    cursor.hidden = !player.duration;
    cursor.style.left = `${(100 * player.currentTime) / (player.duration || 1)}%`;
    if (!player.paused) requestAnimationFrame(follow);
  };
  for (const name of ["play", "seeked", "timeupdate", "loadedmetadata"]) player.addEventListener(name, follow);
  document.querySelector<HTMLElement>(".plots")?.addEventListener("click", (event) => {
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    if (player.duration) player.currentTime = ((event.clientX - box.left) / box.width) * player.duration;
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
}

void main();
