/** When a classifier says "unknown": the twin of `stages/runtime/rejection.py`, which states the measures. */

export type ScoreMeasure = "max_probability" | "margin" | "entropy" | "distance";

/** Centre and unit of every value of `summaries`. */
export interface FrontEndDistance {
  readonly means: readonly number[];
  readonly scales: readonly number[];
}

export interface Rejection {
  readonly measure: ScoreMeasure | "frontend_distance";
  /** A lower confidence is unknown. */
  readonly limit: number;
  readonly kept: number;
  readonly by: "group" | "clip";
  /** What `frontend_distance` measures. */
  readonly frontend: FrontEndDistance | null;
  /** Second limit, of the scores, beside one of the front end's output. */
  readonly scores: { readonly measure: ScoreMeasure; readonly limit: number } | null;
}

export const FRONTEND = "frontend_distance";
const BANDS = 16;

export const MULTI_CLASS: readonly string[] = ["max_probability", "margin", "entropy"];
export const BINARY: readonly string[] = ["distance"];
const LEAST = 1e-6;

const inside = (p: number): number => Math.min(Math.max(p, LEAST), 1 - LEAST);
const logit = (p: number): number => Math.log(p / (1 - p));

/** How sure an output vector is, by a measure; `threshold` is a binary task's. */
export function confidence(outputs: readonly number[], measure: ScoreMeasure, threshold: number | null): number {
  const p = outputs.map(inside);
  if (measure === "distance") return Math.abs(logit(p[0]) - logit(inside(threshold ?? 0.5)));
  if (measure === "entropy") return p.reduce((sum, each) => sum + each * Math.log(each), 0);
  const [first, second] = [...p].sort((a, b) => b - a);
  return first - (measure === "margin" ? second : 0);
}

/** Mean, then standard deviation over time of every band; more than 16 neighbouring bands are averaged into 16. */
export function summaries(features: ArrayLike<number>, nSteps: number): number[] {
  const width = features.length / nSteps;
  const n = Math.min(width, BANDS);
  const means = new Array<number>(n).fill(0);
  const deviations = new Array<number>(n).fill(0);
  for (let band = 0; band < n; band++) {
    const [from, to] = [Math.floor((band * width) / n), Math.floor(((band + 1) * width) / n)];
    const values = Array.from({ length: nSteps }, (_, step) => {
      let sum = 0;
      for (let i = from; i < to; i++) sum += features[step * width + i];
      return sum / (to - from);
    });
    means[band] = values.reduce((sum, value) => sum + value, 0) / nSteps;
    deviations[band] = Math.sqrt(values.reduce((sum, value) => sum + (value - means[band]) ** 2, 0) / nSteps);
  }
  return [...means, ...deviations];
}

/** Minus the distance of a clip's summary from those of the training clips. */
export function frontendConfidence(summary: readonly number[], { means, scales }: FrontEndDistance): number {
  if (summary.length !== means.length) throw new Error("This release's rule is of another front end. Push it again.");
  return -Math.sqrt(summary.reduce((sum, value, i) => sum + ((value - means[i]) / scales[i]) ** 2, 0) / means.length);
}

/** How far a clip lies above the limit, below 0 is unknown; `sound` is `frontendConfidence` of a rule that needs it. */
export function excess(rule: Rejection, outputs: readonly number[], sound: number | null, threshold: number | null): number {
  if (!rule.frontend) return confidence(outputs, rule.measure as ScoreMeasure, threshold) - rule.limit;
  const above = (sound ?? -Infinity) - rule.limit;
  if (!rule.scores) return above;
  return Math.min(above, confidence(outputs, rule.scores.measure, threshold) - rule.scores.limit);
}
