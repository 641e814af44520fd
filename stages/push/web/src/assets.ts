/** The files of the page that code refers to, with their hashes; filled in by the build. */

declare const ASSETS: {
  readonly worker: string;
  readonly recorder: string;
  readonly version: string;
};

export const assets = ASSETS;

interface ScriptUrls {
  createScriptURL(url: string): string;
}

declare const trustedTypes: { createPolicy(name: string, rules: ScriptUrls): ScriptUrls } | undefined;

const own: ScriptUrls = {
  createScriptURL(url) {
    if (url !== assets.worker && url !== "service_worker.js") throw new TypeError("No other script is loaded.");
    return url;
  },
};
const policy = typeof trustedTypes === "undefined" ? own : trustedTypes.createPolicy("edac", own);

/** Start the worker that runs LiteRT. */
export function startWorker(): Worker {
  return new Worker(policy.createScriptURL(assets.worker));
}

/** Keep the page for use without a network, where the browser can. */
export async function keepPage(): Promise<void> {
  if ("serviceWorker" in navigator) await navigator.serviceWorker.register(policy.createScriptURL("service_worker.js"));
}
