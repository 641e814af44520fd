/** What the page shows: scores, events, plots and the model card. Text is text, never HTML. */

import type { SoundEvent } from "./events";
import type { Manifest } from "./manifest";
import { bandEdges, spectrogram, type Saliency } from "./spectrum";

/** The element with an id, which the page has. */
export function part<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`The page has no ${id}.`);
  return found as T;
}

function element(name: string, className: string, text = ""): HTMLElement {
  const made = document.createElement(name);
  made.className = className;
  made.textContent = text;
  return made;
}

/** One bar per label, with its threshold where it has one. */
export function showScores(list: HTMLElement, manifest: Manifest, scores: readonly number[], chosen: readonly string[]): void {
  const { labels, threshold } = manifest;
  const limits = labels.map((_, i) =>
    Array.isArray(threshold) ? (threshold as number[])[i] : typeof threshold === "number" && i === 1 ? threshold : undefined,
  );
  const order = labels.map((_, i) => i);
  if (labels.length > 6) order.sort((a, b) => scores[b] - scores[a]);
  list.replaceChildren(
    ...order.slice(0, 12).map((i) => {
      const line = document.createElement("li");
      if (chosen.includes(labels[i])) line.className = "chosen";
      const track = element("span", "track");
      const bar = document.createElement("i");
      bar.style.transform = `scaleX(${Math.max(0, Math.min(1, scores[i]))})`;
      track.append(bar);
      const limit = limits[i];
      if (limit !== undefined) {
        const mark = document.createElement("b");
        mark.style.left = `${100 * Math.max(0, Math.min(1, limit))}%`;
        mark.title = `threshold ${limit.toFixed(3)}`;
        track.append(mark);
      }
      line.append(element("span", "name", labels[i]), track, element("span", "value", scores[i].toFixed(3)));
      return line;
    }),
  );
}

const RIGHT_TO_LEFT = /[\u0590-\u08ff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufb1d-\ufefc]/;

/** A label within a sentence: one that is written from right to left, or says so, leaves the words about it in place. */
export function isolated(label: string): string {
  if (!RIGHT_TO_LEFT.test(label)) return label;
  return `\u2068${label.replace(/[\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "")}\u2069`;
}

/** Labels as a list in a sentence; empty if there are none. */
export function listed(labels: readonly string[]): string {
  return labels.map(isolated).join(", ");
}

/** A size as a person reads it. */
export function size(bytes: number): string {
  return bytes < 2 ** 20 ? `${(bytes / 1024).toFixed(1)} KiB` : `${(bytes / 2 ** 20).toFixed(1)} MiB`;
}

/** Seconds as a person reads them. */
export function seconds(value: number): string {
  return `${value.toFixed(2)} s`;
}

/** One line for an event. */
export function eventLine(event: SoundEvent): HTMLElement {
  const text = `${isolated(event.label)}: ${seconds(event.onset_s)} to ${seconds(event.offset_s)}, score ${event.peak.toFixed(2)}`;
  return element("li", "", text);
}

function inks(): { text: string; accent: string; ground: [number, number, number]; ink: [number, number, number] } {
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  return dark
    ? { text: "#e8ecec", accent: "#6fd0c4", ground: [14, 17, 18], ink: [233, 245, 240] }
    : { text: "#1d2326", accent: "#14655f", ground: [241, 244, 244], ink: [10, 40, 45] };
}

/** Waveform, spectrogram in one ink (loud is strong), and a frame about the part that the answer is about. */
export function drawSound(samples: Float32Array, rate: number, heard: { start: number; length: number }): void {
  const canvas = part<HTMLCanvasElement>("waveform");
  const { text, accent, ground, ink } = inks();
  const context = canvas.getContext("2d") as CanvasRenderingContext2D;
  const { width, height } = canvas;
  context.clearRect(0, 0, width, height);
  let peak = 1e-6;
  for (let i = 0; i < samples.length; i++) {
    const level = Math.abs(samples[i]);
    if (level > peak) peak = level;
  }
  context.fillStyle = accent;
  for (let x = 0; x < width; x++) {
    let low = 0;
    let high = 0;
    for (let i = Math.floor((x * samples.length) / width); i < ((x + 1) * samples.length) / width; i++) {
      const value = samples[i];
      if (value < low) low = value;
      else if (value > high) high = value;
    }
    const top = (height / 2) * (1 - (0.95 * high) / peak);
    context.fillRect(x, top, 1, Math.max(1, (height / 2) * (1 - (0.95 * low) / peak) - top));
  }
  if (heard.length < samples.length) {
    context.strokeStyle = text;
    context.lineWidth = 3;
    context.strokeRect((heard.start / samples.length) * width, 1.5, (heard.length / samples.length) * width, height - 3);
  }
  const picture = part<HTMLCanvasElement>("spectrogram");
  const [columns, rows] = [600, 80];
  const found = spectrogram(samples, rate, columns, rows);
  const image = new ImageData(columns, rows);
  for (let t = 0; t < columns; t++) {
    for (let b = 0; b < rows; b++) {
      const level = found.levels[t * rows + b] ** 1.4;
      const at = 4 * ((rows - 1 - b) * columns + t);
      for (let c = 0; c < 3; c++) image.data[at + c] = ground[c] + (ink[c] - ground[c]) * level;
      image.data[at + 3] = 255;
    }
  }
  const small = new OffscreenCanvas(columns, rows);
  (small.getContext("2d") as OffscreenCanvasRenderingContext2D).putImageData(image, 0, 0);
  const large = picture.getContext("2d") as CanvasRenderingContext2D;
  large.imageSmoothingEnabled = true;
  large.drawImage(small, 0, 0, picture.width, picture.height);
}

/** Frame the cells on which the decision hangs, and say which they are; the thicker, the more. */
export function drawSaliency(found: Saliency, rate: number, total: number, heard: { start: number; length: number }, label: string): string[] {
  const canvas = part<HTMLCanvasElement>("spectrogram");
  const context = canvas.getContext("2d") as CanvasRenderingContext2D;
  const { nSegments, nBands, drops } = found;
  const edges = bandEdges(rate, nBands + 1);
  const most = Math.max(...drops, 0);
  const cells = [...drops.keys()].filter((i) => drops[i] > 0.25 * most && drops[i] > 0.005);
  const x = (heard.start / total) * canvas.width;
  const [cellWidth, cellHeight] = [((heard.length / total) * canvas.width) / nSegments, canvas.height / nBands];
  const { text, accent } = inks();
  for (const i of cells) {
    const [k, b] = [Math.floor(i / nBands), i % nBands];
    const part = drops[i] / most;
    const box = [x + k * cellWidth, canvas.height - (b + 1) * cellHeight, cellWidth, cellHeight] as const;
    context.fillStyle = accent;
    context.globalAlpha = 0.1 + 0.3 * part;
    context.fillRect(...box);
    context.globalAlpha = 1;
    context.strokeStyle = text;
    context.lineWidth = 1 + 5 * part;
    const inset = context.lineWidth / 2;
    context.strokeRect(box[0] + inset, box[1] + inset, box[2] - 2 * inset, box[3] - 2 * inset);
  }
  const begin = heard.start / rate;
  const span = heard.length / rate / nSegments;
  return cells
    .sort((a, b) => drops[b] - drops[a])
    .slice(0, 3)
    .map((i) => {
      const [k, b] = [Math.floor(i / nBands), i % nBands];
      const [from, to] = [begin + k * span, begin + (k + 1) * span].map(seconds);
      const [low, high] = [edges[b], edges[b + 1]].map((hertz) => Math.round(hertz));
      return `Without ${from} to ${to}, ${low} to ${high} Hz, the score of ${isolated(label)} falls by ${drops[i].toFixed(3)}.`;
    });
}

/** What the model card says in three lines: what for, how good, and what it is not. */
export function cardLines(card: string): string[] {
  const section = (title: string): string => card.split(`## ${title}\n`)[1]?.split("\n## ")[0] ?? "";
  const sentence = section("Intended use").replace(/\s+/g, " ").trim().split(/(?<=\.) /)[0];
  const row = section("How good it is")
    .split("\n")
    .map((line) => line.split("|").map((cell) => cell.trim()))
    .find((cells) => cells.length > 3 && /^(roc auc|accuracy|balanced accuracy|macro)/i.test(cells[1]));
  const figure = row ? `${row[1].charAt(0).toUpperCase()}${row[1].slice(1)}: ${row[2]} on validation, ${row[3]} on test.` : "";
  const warning = /\*\*(It is no medical device\.)\*\*/.exec(card)?.[1] ?? "";
  return [sentence, figure, warning].filter(Boolean).map((line) => line.replace(/\*\*/g, ""));
}

/** Rows of the list of facts. */
export function showFacts(facts: readonly (readonly [string, string])[]): void {
  part("facts").replaceChildren(...facts.flatMap(([name, value]) => [element("dt", "", name), element("dd", "", value)]));
}

/** Lines of a list. */
export function showLines(list: HTMLElement, lines: readonly string[]): void {
  list.replaceChildren(...lines.map((line) => element("li", "", line)));
}
