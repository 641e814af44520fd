/**
 * Recordings to one channel at the front end's rate and length: the twin of `stages/runtime/audio.py`.
 *
 * Every rule is explained there; the vectors in `tests/push/page_vectors.json` hold for both.
 */

export const ZERO_CROSSINGS = 32;
const KAISER_BETA = 8;
const ROLLOFF = 0.92;
const LONGEST_TABLE = 8192;
const RESOLUTION = 1024;

export type Align = "start" | "middle";
export type Channel = "mean" | "left" | "right" | "loudest";

/** Rules by which recordings are heard; `stages/runtime/hearing.py` explains them. */
export interface Hearing {
  readonly channel: Channel;
  readonly overload: "exclude" | "scale";
  readonly partial: "exclude" | "keep";
  readonly silence_dbfs: number;
  readonly remove_dc: boolean;
  readonly place: "aligned" | "loudest";
  readonly short: "pad" | "repeat";
  readonly segment_s: number;
  readonly hop_s: number;
}

export const DEFAULT_HEARING: Hearing = {
  channel: "mean",
  overload: "exclude",
  partial: "exclude",
  silence_dbfs: -60,
  remove_dc: false,
  place: "aligned",
  short: "pad",
  segment_s: 0,
  hop_s: 0,
};

/** Modified Bessel function of the first kind, order 0, by its power series. */
function bessel0(x: number): number {
  let term = 1;
  let sum = 1;
  for (let k = 1; term > sum * 1e-17; k++) {
    term *= (x / (2 * k)) ** 2;
    sum += term;
  }
  return sum;
}

function sinc(x: number): number {
  return x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x);
}

function gcd(a: number, b: number): number {
  return b === 0 ? a : gcd(b, a % b);
}

const lowpasses = new Map<string, Float64Array>();

/** Kaiser-windowed sinc at `up` times the input rate, unit gain at 0 Hz. */
export function lowpass(up: number, down: number): Float64Array {
  const key = `${up}/${down}`;
  const known = lowpasses.get(key);
  if (known) return known;
  const longest = Math.max(up, down);
  const half = ZERO_CROSSINGS * longest;
  const taps = new Float64Array(2 * half + 1);
  let sum = 0;
  for (let i = 0; i <= half; i++) {
    const inside = Math.sqrt(Math.max(0, 1 - (i / half) ** 2));
    const value = (sinc((i * ROLLOFF) / longest) * bessel0(KAISER_BETA * inside)) / bessel0(KAISER_BETA);
    taps[half + i] = taps[half - i] = value;
    sum += i === 0 ? value : 2 * value;
  }
  for (let i = 0; i < taps.length; i++) taps[i] /= sum;
  if (lowpasses.size >= 4) lowpasses.clear();
  lowpasses.set(key, taps);
  return taps;
}

let unevenTable: Float64Array | undefined;

function halfOfLowpass(): Float64Array {
  if (unevenTable) return unevenTable;
  const table = new Float64Array(ZERO_CROSSINGS * RESOLUTION + 2);
  let sum = 0;
  for (let i = 0; i <= ZERO_CROSSINGS * RESOLUTION; i++) {
    const offset = i / RESOLUTION;
    const inside = Math.sqrt(1 - (offset / ZERO_CROSSINGS) ** 2);
    table[i] = (sinc(offset * ROLLOFF) * bessel0(KAISER_BETA * inside)) / bessel0(KAISER_BETA);
    sum += table[i];
  }
  const integral = (2 * sum - table[0]) / RESOLUTION;
  for (let i = 0; i < table.length; i++) table[i] /= integral;
  unevenTable = table;
  return table;
}

function resampleUneven(samples: Float32Array, up: number, down: number, start: number, stop: number): Float32Array {
  const table = halfOfLowpass();
  const longest = Math.max(up, down);
  const reach = Math.floor((ZERO_CROSSINGS * longest) / up) + 1;
  const output = new Float32Array(Math.max(0, stop - start));
  for (let n = start; n < stop; n++) {
    const nearest = Math.floor((n * down) / up);
    const rest = n * down - nearest * up;
    let sum = 0;
    for (let lag = -reach; lag <= reach; lag++) {
      const at = nearest + lag;
      const offset = Math.abs(rest - lag * up) * (RESOLUTION / longest);
      if (at < 0 || at >= samples.length || offset > ZERO_CROSSINGS * RESOLUTION) continue;
      const low = Math.min(Math.floor(offset), ZERO_CROSSINGS * RESOLUTION);
      sum += samples[at] * (table[low] + (table[low + 1] - table[low]) * (offset - low));
    }
    output[n - start] = (sum * up) / longest;
  }
  return output;
}

/** Outputs `start` to before `stop` of resampling `samples` by up / down. */
function resampleRange(samples: Float32Array, up: number, down: number, start: number, stop: number): Float32Array {
  if (Math.max(up, down) > LONGEST_TABLE) return resampleUneven(samples, up, down, start, stop);
  const taps = lowpass(up, down);
  const half = (taps.length - 1) / 2;
  const output = new Float32Array(Math.max(0, stop - start));
  for (let n = start; n < stop; n++) {
    const first = Math.max(0, Math.ceil((n * down - half) / up));
    const last = Math.min(samples.length - 1, Math.floor((n * down + half) / up));
    let sum = 0;
    let tap = half + n * down - first * up;
    for (let i = first; i <= last; i++, tap -= up) sum += samples[i] * taps[tap];
    output[n - start] = sum * up;
  }
  return output;
}

/** Number of samples that `resample` returns. */
export function resampledLength(n: number, rateFrom: number, rateTo: number): number {
  return Math.ceil((n * rateTo) / rateFrom);
}

/** Resample a waveform by a rational factor with a polyphase windowed-sinc filter. */
export function resample(samples: Float32Array, rateFrom: number, rateTo: number): Float32Array {
  if (!(rateFrom >= 1 && rateTo >= 1)) throw new Error(`A sample rate must be at least 1 Hz; got ${rateFrom} and ${rateTo}.`);
  if (rateFrom === rateTo) return samples;
  const divisor = gcd(rateFrom, rateTo);
  const up = rateTo / divisor;
  const down = rateFrom / divisor;
  return resampleRange(samples, up, down, 0, Math.ceil((samples.length * up) / down));
}

/** `resample` for a stream: what it returns, joined, is the whole resampled at once. */
export class Resampler {
  private readonly up: number;
  private readonly down: number;
  private readonly half: number;
  private held = new Float32Array(0);
  private first = 0;
  private nOut = 0;

  constructor(rateFrom: number, rateTo: number) {
    const divisor = gcd(rateFrom, rateTo);
    this.up = rateTo / divisor;
    this.down = rateFrom / divisor;
    this.half = rateFrom === rateTo ? 0 : ZERO_CROSSINGS * Math.max(this.up, this.down);
  }

  /** Take the next samples; return what they complete. */
  push(samples: Float32Array): Float32Array {
    this.held = concat([this.held, samples]);
    const heard = this.first + this.held.length;
    return this.emit(heard ? Math.floor((heard * this.up - this.half - 1) / this.down) + 1 : 0);
  }

  /** Return the rest, with silence beyond the end. */
  finish(): Float32Array {
    return this.emit(Math.ceil(((this.first + this.held.length) * this.up) / this.down));
  }

  private emit(nOut: number): Float32Array {
    if (nOut <= this.nOut) return new Float32Array(0);
    const skipped = Math.floor(this.first / this.down) * this.up;
    const fresh =
      this.half === 0
        ? this.held.slice(this.nOut - skipped, nOut - skipped)
        : resampleRange(this.held, this.up, this.down, this.nOut - skipped, nOut - skipped);
    this.nOut = nOut;
    const needed = Math.floor((nOut * this.down - this.half) / this.up);
    const first = Math.max(this.first, Math.floor(needed / this.down) * this.down);
    this.held = this.held.slice(first - this.first);
    this.first = first;
    return fresh;
  }
}

/** Join arrays of samples. */
export function concat(parts: readonly Float32Array[]): Float32Array<ArrayBuffer> {
  const joined = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    joined.set(part, at);
    at += part.length;
  }
  return joined;
}

function energyAboutMean(samples: Float32Array): number {
  let sum = 0;
  for (const value of samples) sum += value;
  const mean = sum / Math.max(1, samples.length);
  let energy = 0;
  for (const value of samples) energy += (value - mean) ** 2;
  return energy;
}

/** The one channel that is heard of a whole recording. */
export function toMono(channels: readonly Float32Array[], channel: Channel): Float32Array {
  if (channels.length === 1 || channel === "left") return channels[0];
  if (channel === "right") return channels[1];
  if (channel === "loudest") {
    const energies = channels.map(energyAboutMean);
    return channels[energies.indexOf(Math.max(...energies))];
  }
  const mono = new Float32Array(channels[0].length);
  for (let i = 0; i < mono.length; i++) {
    let sum = 0;
    for (const each of channels) sum = Math.fround(sum + each[i]);
    mono[i] = sum / channels.length;
  }
  return mono;
}

/** Divisor of floating-point samples whose peak exceeds full scale; 0 if the recording is excluded. */
export function overloadScale(peak: number): number {
  const over = 10 ** (1 / 20);
  if (peak <= over) return 1;
  if (peak <= 32) return peak;
  return [2 ** 15, 2 ** 23, 2 ** 31].find((scale) => peak <= scale * over) ?? 0;
}

/** Whether the peak about the mean stays below a level of full scale. */
export function isSilent(samples: Float32Array, silenceDbfs: number): boolean {
  if (samples.length === 0) return true;
  let sum = 0;
  let low = Infinity;
  let high = -Infinity;
  for (const value of samples) {
    sum += value;
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  const mean = sum / samples.length;
  return Math.max(mean - low, high - mean) < 10 ** (silenceDbfs / 20);
}

/** Where in a waveform its clip begins. */
export function clipStart(samples: Float32Array, nSamples: number, align: Align, hearing: Hearing): number {
  const spare = samples.length - nSamples;
  if (spare <= 0) return 0;
  if (hearing.place === "aligned") return align === "start" ? 0 : Math.floor(spare / 2);
  const hop = Math.max(1, Math.floor(nSamples / 8));
  let best = 0;
  let most = -1;
  const consider = (start: number): void => {
    const energy = energyAboutMean(samples.subarray(start, start + nSamples));
    if (energy > most * (1 + 1e-6) + 1e-12) [best, most] = [start, energy];
  };
  for (let start = 0; start < spare; start += hop) consider(start);
  consider(spare);
  return best;
}

/** What the front end is given of a waveform: placed, without its mean if the rules say so, and of a clip's length. */
export function clip(samples: Float32Array, nSamples: number, align: Align, hearing: Hearing): Float32Array<ArrayBuffer> {
  const start = clipStart(samples, nSamples, align, hearing);
  const part = samples.slice(start, start + nSamples);
  if (hearing.remove_dc && part.length) {
    let sum = 0;
    for (const value of part) sum += value;
    const mean = Math.fround(sum / part.length);
    for (let i = 0; i < part.length; i++) part[i] -= mean;
  }
  const whole = new Float32Array(nSamples);
  if (hearing.short === "repeat" && part.length) {
    for (let at = 0; at < nSamples; at += part.length) whole.set(part.subarray(0, nSamples - at), at);
  } else {
    whole.set(part, align === "start" ? 0 : Math.floor((nSamples - part.length) / 2));
  }
  return whole;
}

/** Starts of the windows of a recording; the last one ends where the recording does. */
export function windowStarts(nSamples: number, length: number, hop: number): number[] {
  const starts: number[] = [];
  let start = 0;
  for (; start + length <= nSamples; start += hop) starts.push(start);
  if (nSamples > Math.max(start - hop, 0) + length || start === 0) starts.push(Math.max(0, nSamples - length));
  return starts;
}

/** Cuts a stream into windows as they are complete. */
export class Framer {
  private held = new Float32Array(0);
  private start = 0;

  constructor(
    private readonly length: number,
    private readonly hop: number,
  ) {}

  /** Take samples; return the windows that they complete, with their starts. */
  push(samples: Float32Array): { start: number; window: Float32Array }[] {
    this.held = concat([this.held, samples]);
    const found = [];
    while (this.held.length >= this.length) {
      found.push({ start: this.start, window: this.held.slice(0, this.length) });
      this.held = this.held.slice(this.hop);
      this.start += this.hop;
    }
    return found;
  }
}
