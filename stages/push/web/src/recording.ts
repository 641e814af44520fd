/** A recording of any length to an answer, windows and events: the rules of `stages/runtime/recording.py`. */

import { clip, clipStart, isSilent, overloadScale, resample, toMono, windowStarts } from "./audio";
import { defaultRule, EventTracker, type SoundEvent } from "./events";
import { decide, isUnknown, type Answer, type Manifest } from "./manifest";
import { frontendConfidence } from "./rejection";
import type { Sound } from "./wav";

export interface Scored {
  readonly scores: readonly number[];
  /** The front end's output, as `summaries` sums it up; empty where it has none of its own. */
  readonly summary: readonly number[];
}

/** Runs front end and model on one clip. */
export type Run = (waveform: Float32Array<ArrayBuffer>) => Promise<Scored>;

export interface Window {
  readonly startS: number;
  readonly scores: readonly number[];
  readonly silent: boolean;
  readonly unknown: boolean;
}

export interface Result extends Answer {
  readonly silent: boolean;
  /** Whether the scores are too unsure for the labels to be meant. */
  readonly unknown: boolean;
  /** Mono, at the front end's rate. */
  readonly samples: Float32Array;
  /** Start and length of what the answer is about, in samples at that rate. */
  readonly start: number;
  readonly length: number;
  readonly windows: readonly Window[];
  readonly events: readonly SoundEvent[];
}

/** The one channel of a sound that is heard, at the front end's rate; throws if the task's rules exclude it. */
export function hear(sound: Sound, manifest: Manifest): Float32Array {
  const { hearing } = manifest;
  if (sound.cutShort && hearing.partial === "exclude") {
    throw new Error("This file ends before its header says, and this task takes whole recordings only. Copy it again.");
  }
  let mono = toMono(sound.channels, hearing.channel);
  let peak = 0;
  for (const channel of sound.channels) {
    for (const value of channel) {
      if (!Number.isFinite(value)) throw new Error("This file holds samples that are not finite numbers. Convert it again.");
      peak = Math.max(peak, Math.abs(value));
    }
  }
  const scale = sound.floating ? overloadScale(peak) : 1;
  if (scale !== 1) {
    if (!scale || hearing.overload === "exclude") throw new Error("This file exceeds full scale. Scale it to at most 1.");
    mono = mono.map((value) => value / scale);
  }
  return resample(mono, sound.sampleRate, manifest.sample_rate);
}

/** Score one window as the classifier hears it. */
export async function score(window: Float32Array, manifest: Manifest, run: Run): Promise<Scored> {
  return run(clip(window, manifest.clip_samples, manifest.align, manifest.hearing));
}

/** How sure the release's rejection rule is of the front end's output; null if it does not measure it. */
export function soundOf({ reject }: Pick<Manifest, "reject">, { summary }: Scored): number | null {
  return reject?.frontend ? frontendConfidence(summary, reject.frontend) : null;
}

/** Classify a whole recording, window by window if it is longer than a clip; its events are of windows as the event rule has them. */
export async function classify(
  samples: Float32Array,
  manifest: Manifest,
  run: Run,
  progress: (done: number, of: number) => void = () => undefined,
): Promise<Result> {
  const { hearing, clip_samples: length, sample_rate: rate, align } = manifest;
  const windows: Window[] = [];
  const events: SoundEvent[] = [];
  const outputs: (readonly number[])[] = [];
  const sounds: (number | null)[] = [];
  const isLong = samples.length > length;
  if (isLong) {
    const rule = manifest.events ?? defaultRule(manifest.labels, manifest.threshold);
    const hopS = hearing.hop_s || rule.hop_s || length / rate;
    const eventHopS = rule.hop_s || hopS;
    const [hop, eventHop] = [hopS, eventHopS].map((each) => Math.round(each * rate));
    const tracker = new EventTracker(rule, manifest.labels, length / rate, eventHopS);
    const track = ({ startS, scores, silent, unknown }: Window): void => {
      events.push(...tracker.push(startS, scores, !silent && !unknown));
    };
    const starts = windowStarts(samples.length, length, hop);
    const eventStarts = eventHop === hop ? [] : windowStarts(samples.length, length, eventHop);
    let done = 0;
    const answer = async (start: number): Promise<{ window: Window; found: Scored; sound: number | null }> => {
      const part = samples.subarray(start, start + length);
      const found = await score(part, manifest, run);
      const sound = soundOf(manifest, found);
      const window = {
        startS: start / rate,
        scores: decide(manifest, found.scores).scores,
        silent: isSilent(part, hearing.silence_dbfs),
        unknown: isUnknown(manifest, found.scores, sound),
      };
      progress(++done, starts.length + eventStarts.length);
      return { window, found, sound };
    };
    for (const start of starts) {
      const { window, found, sound } = await answer(start);
      outputs.push(found.scores);
      sounds.push(sound);
      windows.push(window);
      if (eventHop === hop) track(window);
    }
    for (const start of eventStarts) track((await answer(start)).window);
    events.push(...tracker.finish());
  }
  if (isLong && hearing.segment_s) {
    const silent = windows.every((window) => window.silent);
    const heard = <T>(each: readonly T[]): T[] => each.filter((_, i) => silent || !windows[i].silent);
    const averaged = heard(outputs);
    const mean = averaged[0].map((_, i) => averaged.reduce((sum, each) => sum + each[i], 0) / averaged.length);
    const sound = heard(sounds).reduce<number>((sum, each) => sum + (each ?? 0), 0) / averaged.length;
    const unknown = isUnknown(manifest, mean, sound);
    return { ...decide(manifest, mean), silent, unknown, samples, start: 0, length: samples.length, windows, events };
  }
  const start = clipStart(samples, length, align, hearing);
  const part = samples.subarray(start, start + length);
  const found = await score(part, manifest, run);
  const silent = isSilent(part, hearing.silence_dbfs);
  const unknown = isUnknown(manifest, found.scores, soundOf(manifest, found));
  return { ...decide(manifest, found.scores), silent, unknown, samples, start, length: part.length, windows, events };
}
