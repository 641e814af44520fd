/** `manifest.json` of a release, checked as `stages/runtime/manifest.py` checks it. Nothing in it is ever HTML. */

import { DEFAULT_HEARING, type Align, type Hearing } from "./audio";
import { smoothing, type EventRule } from "./events";
import { BINARY, excess, FRONTEND, MULTI_CLASS, type FrontEndDistance, type Rejection } from "./rejection";

export interface Golden {
  readonly file: string;
  readonly scores: readonly number[];
}

export interface Manifest {
  readonly name: string;
  readonly version: number;
  readonly device_class: string;
  readonly card: string;
  readonly labels: readonly string[];
  readonly threshold: number | readonly number[] | null;
  readonly sample_rate: number;
  readonly clip_samples: number;
  readonly files: Readonly<Record<string, string>>;
  readonly golden: readonly Golden[];
  readonly tolerance: number;
  readonly model: Readonly<Record<string, unknown>>;
  readonly align: Align;
  readonly crops: number;
  readonly hearing: Hearing;
  readonly registered_name: string;
  readonly not_after: string | null;
  readonly tolerance_reason: string;
  readonly events: EventRule | null;
  readonly reject: Rejection | null;
}

const REQUIRED = [
  "schema", "name", "version", "device_class", "card", "labels", "threshold", "sample_rate", "clip_samples", "files",
  "golden", "tolerance", "model",
];
const OPTIONAL = ["align", "crops", "events", "hearing", "registered_name", "reject", "not_after", "tolerance_reason"];
const PATH = /^(?!manifest\.(json|sig)$)[A-Za-z0-9_][A-Za-z0-9_.-]*(\/[A-Za-z0-9_][A-Za-z0-9_.-]*)*$/;
const CLASS = /^[a-z0-9][a-z0-9._-]*$/;
const CHOICES: Record<string, readonly string[]> = {
  channel: ["mean", "left", "right", "loudest"],
  overload: ["exclude", "scale"],
  partial: ["exclude", "keep"],
  place: ["aligned", "loudest"],
  short: ["pad", "repeat"],
};

type Plain = Record<string, unknown>;

const isPlain = (value: unknown): value is Plain => typeof value === "object" && value !== null && !Array.isArray(value);
const isText = (value: unknown): value is string => typeof value === "string" && value !== "";
const isNumber = (value: unknown): value is number => typeof value === "number" && Number.isFinite(value);
const isCount = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 1;
const isSha256 = (value: unknown): boolean => typeof value === "string" && /^[0-9a-f]{64}$/.test(value);

function isDay(value: unknown): boolean {
  if (typeof value !== "string" || !/^\d{4}-\d\d-\d\d$/.test(value) || value.startsWith("0000")) return false;
  const day = new Date(`${value}T00:00:00Z`);
  return !Number.isNaN(day.getTime()) && day.toISOString().slice(0, 10) === value;
}

function require(holds: boolean, rule: string): asserts holds {
  if (!holds) throw new Error(`The release's manifest breaks a rule: ${rule}.`);
}

/** Check plain values, as JSON gives them; throws with the rule that is broken. */
export function parseManifest(values: unknown): Manifest {
  require(isPlain(values), "it must be an object");
  const known = [...REQUIRED, ...OPTIONAL];
  require(REQUIRED.every((key) => Object.hasOwn(values, key)), `it must have ${REQUIRED.join(", ")}`);
  require(Object.keys(values).every((key) => known.includes(key)), "it has an unknown key");
  require(values.schema === 2, "schema must be 2");
  require(isText(values.name), "name must be text");
  require(typeof values.device_class === "string" && CLASS.test(values.device_class), "device_class must be a class");
  const { labels, threshold, files, golden } = values;
  require(Array.isArray(labels) && labels.every(isText) && new Set(labels).size === labels.length && labels.length >= 2,
    "labels must be at least two different names");
  if (Array.isArray(threshold)) {
    require(threshold.length === labels.length && threshold.every(isNumber), "there must be a threshold for each label");
  } else if (labels.length === 2) require(isNumber(threshold), "threshold must be a number when there are two labels");
  else require(threshold === null, "threshold must be null when there are more than two labels");
  for (const key of ["version", "sample_rate", "clip_samples"]) require(isCount(values[key]), `${key} must be at least 1`);
  const align = values.align ?? "start";
  require(align === "start" || align === "middle", "align must be start or middle");
  const crops = values.crops ?? 1;
  require(isCount(crops), "crops must be at least 1");
  for (const key of ["registered_name", "tolerance_reason"]) {
    require(typeof (values[key] ?? "") === "string", `${key} must be text`);
  }
  const notAfter = values.not_after ?? null;
  require(notAfter === null || isDay(notAfter), "not_after must be a day or null");
  require(isPlain(files), "files must be an object");
  for (const [path, sha256] of Object.entries(files)) {
    require(PATH.test(path), "files must hold relative paths that stay in the folder");
    require(isSha256(sha256), "files must hold a sha256 for each path");
  }
  for (const path of ["frontend.tflite", "model.tflite"]) require(Object.hasOwn(files, path), `files must hold ${path}`);
  require(isText(values.card) && Object.hasOwn(files, values.card), "card must be among files");
  require(Array.isArray(golden) && golden.length >= 1, "golden must hold at least one recording");
  const nOutputs = labels.length === 2 && !Array.isArray(threshold) ? 1 : labels.length;
  for (const entry of golden as unknown[]) {
    require(isPlain(entry) && Object.keys(entry).sort().join() === "file,scores", "golden must hold file and scores");
    require(isText(entry.file) && Object.hasOwn(files, entry.file), "a golden file must be among files");
    const scores = entry.scores;
    require(Array.isArray(scores) && scores.length === nOutputs && scores.every(isNumber), "golden scores must be numbers");
  }
  require(isNumber(values.tolerance) && values.tolerance >= 0, "tolerance must be a number of at least 0");
  require(isPlain(values.model), "model must be an object");
  return {
    ...(values as unknown as Manifest),
    align,
    crops,
    hearing: parseHearing(values.hearing ?? {}),
    registered_name: (values.registered_name ?? "") as string,
    tolerance_reason: (values.tolerance_reason ?? "") as string,
    not_after: notAfter as string | null,
    events: values.events == null ? null : parseEvents(values.events, labels as string[]),
    reject: values.reject == null ? null : parseRejection(values.reject, threshold),
  };
}

function parseHearing(values: unknown): Hearing {
  require(isPlain(values), "hearing must be an object");
  for (const [name, value] of Object.entries(values)) {
    require(Object.hasOwn(DEFAULT_HEARING, name), "hearing has an unknown rule");
    const choices = Object.hasOwn(CHOICES, name) ? CHOICES[name] : undefined;
    if (choices) require(choices.includes(value as string), `${name} must be ${choices.join(" or ")}`);
    else if (name === "remove_dc") require(typeof value === "boolean", "remove_dc must be true or false");
    else require(isNumber(value), `${name} must be a number`);
  }
  const rules = { ...DEFAULT_HEARING, ...values } as Hearing;
  require(rules.silence_dbfs >= -120 && rules.silence_dbfs < 0, "silence_dbfs must be in [-120, 0) dB");
  const cuts = rules.hop_s > 0 && rules.hop_s <= rules.segment_s;
  require(rules.segment_s >= 0 && rules.segment_s > 0 === cuts, "hop_s must be above 0 and at most segment_s");
  return rules;
}

function parseEvents(values: unknown, labels: readonly string[]): EventRule {
  const keys = ["hop_s", "smooth", "on", "off", "refractory_s", "merge_s"];
  require(isPlain(values) && Object.hasOwn(values, "on") && Object.keys(values).every((key) => keys.includes(key)),
    `events must be an object of ${keys.join(", ")}`);
  const limits = (name: "on" | "off"): Record<string, number> => {
    const given = values[name] ?? {};
    require(isPlain(given) && Object.entries(given).every(([label, limit]) => labels.includes(label) && isNumber(limit)),
      `events must have ${name} as an object of labels and numbers`);
    return given as Record<string, number>;
  };
  const on = limits("on");
  const off = limits("off");
  require(Object.values(on).every((limit) => limit > 0 && limit <= 1), "events must have on-thresholds in (0, 1]");
  require(Object.entries(off).every(([label, limit]) => Object.hasOwn(on, label) && limit > 0 && limit <= on[label]),
    "events must have off-thresholds above 0 and at most the on-threshold");
  const seconds = { hop_s: 0, refractory_s: 0, merge_s: 0 };
  for (const name of ["hop_s", "refractory_s", "merge_s"] as const) {
    const value = values[name] ?? 0;
    require(isNumber(value) && value >= 0, `events must have ${name} of at least 0 s`);
    seconds[name] = value;
  }
  const smooth = values.smooth ?? "mean:1";
  require(typeof smooth === "string" && smoothing(smooth) !== undefined, "events must have smooth as mean:N or exponential:A");
  return { on, off, smooth, ...seconds };
}

function parseRejection(values: unknown, threshold: unknown): Rejection {
  require(!Array.isArray(threshold), "reject must be null of a multi-label task");
  const keys = ["measure", "limit", "kept", "by", "frontend", "scores"];
  require(isPlain(values) && Object.keys(values).every((key) => keys.includes(key)), `reject must hold ${keys.join(", ")}`);
  const { measure, limit, kept, by = "group", scores } = values;
  const fitting = threshold === null ? MULTI_CLASS : BINARY;
  require([...fitting, FRONTEND].includes(measure as string), `reject must have measure ${fitting.join(" or ")}`);
  require(isNumber(limit) && Math.abs(limit) < 1e300, "reject must have a number as limit");
  require(isNumber(kept) && kept > 0 && kept < 1, "reject must have kept in (0, 1)");
  require(by === "group" || by === "clip", "reject must have by group or clip");
  const measures = measure === FRONTEND;
  require(measures === Object.hasOwn(values, "frontend"), `reject must have frontend if measure is ${FRONTEND}, and only then`);
  const frontend = measures ? parseDistance(values.frontend) : null;
  if (scores === undefined) return { measure, limit, kept, by, frontend, scores: null } as Rejection;
  const two = measures && isPlain(scores) && Object.keys(scores).sort().join() === "limit,measure";
  require(two && fitting.includes(scores.measure as string), `reject must have scores of measure ${fitting.join(" or ")} and limit`);
  require(isNumber(scores.limit) && Math.abs(scores.limit) < 1e300, "reject must have scores with a number as limit");
  return { measure, limit, kept, by, frontend, scores } as Rejection;
}

function parseDistance(values: unknown): FrontEndDistance {
  require(isPlain(values) && Object.keys(values).sort().join() === "means,scales", "frontend must hold means and scales");
  const { means, scales } = values;
  for (const each of [means, scales]) {
    const known = Array.isArray(each) && each.every((value) => isNumber(value) && Math.abs(value) < 1e300);
    require(known && each.length > 0 && each.length <= 32 && each.length % 2 === 0, "frontend must have two numbers a band");
  }
  const good = (means as number[]).length === (scales as number[]).length && (scales as number[]).every((scale) => scale > 0);
  require(good, "frontend must have equally many means and scales above 0");
  return { means, scales } as FrontEndDistance;
}

/** Whether the release's rejection rule calls an output vector unknown; `sound` as for `excess`. */
export function isUnknown(manifest: Pick<Manifest, "reject" | "threshold">, outputs: readonly number[], sound: number | null): boolean {
  const { reject, threshold } = manifest;
  return reject !== null && excess(reject, outputs, sound, typeof threshold === "number" ? threshold : null) < 0;
}

export interface Answer {
  /** What was decided: one label, or those of a multi-label task. */
  readonly labels: readonly string[];
  /** One score per label. */
  readonly scores: readonly number[];
}

/** Decide by an output vector. */
export function decide(manifest: Manifest, outputs: readonly number[]): Answer {
  const { labels, threshold } = manifest;
  if (Array.isArray(threshold)) {
    return { labels: labels.filter((_, i) => outputs[i] >= (threshold as readonly number[])[i]), scores: outputs };
  }
  if (threshold === null) return { labels: [labels[outputs.indexOf(Math.max(...outputs))]], scores: outputs };
  return { labels: [labels[outputs[0] >= (threshold as number) ? 1 : 0]], scores: [1 - outputs[0], outputs[0]] };
}

/** Whether no output vector within the tolerance of this one means another decision. */
export function isClear(manifest: Manifest, scores: readonly number[]): boolean {
  const { threshold, tolerance } = manifest;
  if (Array.isArray(threshold)) {
    return scores.every((score, i) => Math.abs(score - (threshold as readonly number[])[i]) > tolerance);
  }
  if (threshold === null) {
    const [first, second] = [...scores].sort((a, b) => b - a);
    return first - second > 2 * tolerance;
  }
  return Math.abs(scores[0] - (threshold as number)) > tolerance;
}
