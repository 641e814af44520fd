/** When a classifier says "unknown": the twin of `stages/runtime/rejection.py`, which states the measures. */

export interface Rejection {
  readonly measure: "max_probability" | "margin" | "entropy" | "distance";
  /** A lower confidence is unknown. */
  readonly limit: number;
  readonly kept: number;
  readonly by: "group" | "clip";
}

export const MULTI_CLASS: readonly string[] = ["max_probability", "margin", "entropy"];
export const BINARY: readonly string[] = ["distance"];
const LEAST = 1e-6;

const inside = (p: number): number => Math.min(Math.max(p, LEAST), 1 - LEAST);
const logit = (p: number): number => Math.log(p / (1 - p));

/** How sure an output vector is, by a measure; `threshold` is a binary task's. */
export function confidence(outputs: readonly number[], measure: Rejection["measure"], threshold: number | null): number {
  const p = outputs.map(inside);
  if (measure === "distance") return Math.abs(logit(p[0]) - logit(inside(threshold ?? 0.5)));
  if (measure === "entropy") return p.reduce((sum, each) => sum + each * Math.log(each), 0);
  const [first, second] = [...p].sort((a, b) => b - a);
  return first - (measure === "margin" ? second : 0);
}
