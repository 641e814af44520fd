/** Window scores to events: the twin of `stages/runtime/events.py`, which states the rule. */

const ROUNDING_S = 1e-9;

export interface EventRule {
  readonly on: Readonly<Record<string, number>>;
  readonly off: Readonly<Record<string, number>>;
  readonly hop_s: number;
  readonly smooth: string;
  readonly refractory_s: number;
  readonly merge_s: number;
}

export interface SoundEvent {
  readonly label: string;
  readonly onset_s: number;
  readonly offset_s: number;
  readonly peak: number;
  readonly detected_s: number;
}

/** A smoother of score vectors and its delay in windows; undefined if the rule is none. */
export function smoothing(rule: string): { smooth: (values: number[]) => number[]; delay: number } | undefined {
  const mean = /^mean:([0-9]{1,6})$/.exec(rule);
  if (mean && Number(mean[1]) >= 1) {
    const n = Number(mean[1]);
    const last: number[][] = [];
    return {
      smooth: (values) => {
        last.push(values);
        if (last.length > n) last.shift();
        return values.map((_, i) => last.reduce((sum, each) => sum + each[i], 0) / last.length);
      },
      delay: (n - 1) / 2,
    };
  }
  const exponential = /^exponential:([0-9]*\.?[0-9]+)$/.exec(rule);
  const weight = Number(exponential?.[1]);
  if (exponential && weight > 0 && weight <= 1) {
    let before: number[] | undefined;
    return {
      smooth: (values) => {
        const last = before;
        before = last ? values.map((value, i) => weight * value + (1 - weight) * last[i]) : values;
        return before;
      },
      delay: (1 - weight) / weight,
    };
  }
  return undefined;
}

/** The rule of a release that has none of its own. */
export function defaultRule(labels: readonly string[], threshold: number | readonly number[] | null): EventRule {
  const limits: [string, number][] = Array.isArray(threshold)
    ? labels.map((label, i) => [label, (threshold as readonly number[])[i]])
    : threshold === null
      ? labels.map((label) => [label, 0.5])
      : [[labels[labels.length - 1], threshold as number]];
  const on = Object.fromEntries(limits.map(([label, limit]) => [label, Math.min(Math.max(limit, 1e-6), 1)]));
  return { on, off: {}, hop_s: 0, smooth: "mean:1", refractory_s: 0, merge_s: 0 };
}

interface Following {
  event: SoundEvent | undefined;
  active: boolean;
  readyS: number;
}

/** Windows in, one at a time; events out, each as soon as nothing can change it. */
export class EventTracker {
  private readonly smoother: { smooth: (values: number[]) => number[]; delay: number };
  private readonly followed: { label: string; column: number; state: Following }[];

  constructor(
    private readonly rule: EventRule,
    labels: readonly string[],
    private readonly windowS: number,
    private readonly hopS: number,
  ) {
    const smoother = smoothing(rule.smooth);
    if (!smoother) throw new Error(`smooth must be mean:N or exponential:A; got ${rule.smooth}.`);
    this.smoother = smoother;
    this.followed = labels
      .map((label, column) => ({ label, column, state: { event: undefined, active: false, readyS: 0 } }))
      .filter(({ label }) => Object.hasOwn(rule.on, label));
  }

  /** Take the next window; return the events that are over for certain. */
  push(startS: number, scores: readonly number[], heard = true): SoundEvent[] {
    const values = this.smoother.smooth(heard ? [...scores] : scores.map(() => 0));
    const middle = startS + this.windowS / 2 - this.hopS / 2 - this.smoother.delay * this.hopS;
    const begin = Math.max(0, middle);
    const end = Math.max(0, middle + this.hopS);
    return this.followed.flatMap(({ label, column, state }) =>
      this.follow(label, state, values[column], begin, end, startS + this.windowS),
    );
  }

  /** Return the events that the end of the sound ends. */
  finish(): SoundEvent[] {
    const left = this.followed.flatMap(({ state }) => (state.event ? [state.event] : []));
    for (const { state } of this.followed) state.event = undefined;
    return left;
  }

  private follow(label: string, state: Following, score: number, begin: number, end: number, known: number): SoundEvent[] {
    const over: SoundEvent[] = [];
    const on = this.rule.on[label];
    const off = Object.hasOwn(this.rule.off, label) ? this.rule.off[label] : on;
    if (state.event && !state.active && begin - state.event.offset_s > this.rule.merge_s + ROUNDING_S) {
      over.push(state.event);
      state.event = undefined;
    }
    state.active = score >= (state.active ? off : on);
    if (!state.active) return over;
    if (state.event) {
      state.event = { ...state.event, offset_s: end, peak: Math.max(state.event.peak, score) };
    } else if (begin >= state.readyS - ROUNDING_S) {
      state.event = { label, onset_s: begin, offset_s: end, peak: score, detected_s: known };
    } else {
      state.active = false;
      return over;
    }
    state.readyS = end + this.rule.refractory_s;
    return over;
  }
}
