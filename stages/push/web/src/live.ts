/** The live listener: the windows, smoothing, thresholds and events of `stages.runtime.stream.listen_events`. */

import { Framer, isSilent, Resampler } from "./audio";
import { defaultRule, EventTracker, smoothing, type SoundEvent } from "./events";
import { decide, isUnknown, type Manifest } from "./manifest";
import { score, soundOf, type Run } from "./recording";

const PENDING_WINDOWS = 2;

export interface Heard {
  readonly startS: number;
  readonly endS: number;
  /** Scores per label, smoothed. */
  readonly scores: readonly number[];
  readonly labels: readonly string[];
  readonly silent: boolean;
  readonly unknown: boolean;
  /** Windows that were dropped until now, this machine being slower than the sound. */
  readonly dropped: number;
}

/** Takes a stream of samples; tells each window and each event as soon as nothing can change it. */
export class Listener {
  private readonly resampler: Resampler;
  private readonly framer: Framer;
  private readonly tracker: EventTracker;
  private readonly smooth: (values: number[]) => number[];
  private readonly waiting: { start: number; window: Float32Array }[] = [];
  private busy: Promise<void> | undefined;
  private dropped = 0;

  constructor(
    private readonly manifest: Manifest,
    sampleRate: number,
    private readonly run: Run,
    private readonly tell: { window(heard: Heard): void; event(event: SoundEvent): void },
  ) {
    const { sample_rate: rate, clip_samples: length } = manifest;
    const rule = manifest.events ?? defaultRule(manifest.labels, manifest.threshold);
    const hopS = rule.hop_s || Math.min(1, length / rate);
    this.resampler = new Resampler(sampleRate, rate);
    this.framer = new Framer(length, Math.round(hopS * rate));
    this.tracker = new EventTracker(rule, manifest.labels, length / rate, hopS);
    this.smooth = (smoothing(rule.smooth) ?? { smooth: (values: number[]) => values }).smooth;
  }

  /** Take the next samples. */
  push(samples: Float32Array): void {
    this.take(this.framer.push(this.resampler.push(samples)), true);
  }

  /** Score what is left and tell the events that the end of the sound ends. */
  async finish(): Promise<void> {
    this.take(this.framer.push(this.resampler.finish()), false);
    await this.busy;
    this.tracker.finish().forEach((event) => this.tell.event(event));
  }

  private take(found: { start: number; window: Float32Array }[], live: boolean): void {
    this.waiting.push(...found);
    while (live && this.waiting.length > PENDING_WINDOWS) {
      this.waiting.shift();
      this.dropped++;
    }
    if (!this.busy && this.waiting.length) this.busy = this.work().finally(() => (this.busy = undefined));
  }

  private async work(): Promise<void> {
    for (let next = this.waiting.shift(); next; next = this.waiting.shift()) {
      const { start, window } = next;
      const { sample_rate: rate, hearing } = this.manifest;
      const found = await score(window, this.manifest, this.run);
      const [outputs, sound] = [found.scores, soundOf(this.manifest, found)];
      const silent = isSilent(window, hearing.silence_dbfs);
      const { scores } = decide(this.manifest, outputs);
      const startS = start / rate;
      const smoothed = this.smooth([...outputs]);
      const { labels } = decide(this.manifest, smoothed);
      const unknown = isUnknown(this.manifest, smoothed, sound);
      const endS = startS + window.length / rate;
      this.tell.window({ startS, endS, scores, labels, silent, unknown, dropped: this.dropped });
      const heard = !silent && !isUnknown(this.manifest, outputs, sound);
      this.tracker.push(startS, scores, heard).forEach((event) => this.tell.event(event));
    }
  }
}
