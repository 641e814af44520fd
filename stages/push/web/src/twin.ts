/** What Node runs beside Python to compare the two implementations; no part of the page. */

export * from "./audio";
export * from "./events";
export * from "./manifest";
export { classify } from "./recording";
export { confidence, excess, frontendConfidence, summaries } from "./rejection";
export { readWav } from "./wav";
