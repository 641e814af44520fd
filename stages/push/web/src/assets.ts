/** The files of the page that code refers to, with their hashes; filled in by the build. */

interface Script {
  readonly path: string;
  /** As browsers want it: `sha384-` and the hash in base64. */
  readonly integrity: string;
}

declare const ASSETS: {
  readonly worker: Script;
  readonly recorder: Script;
};

interface ScriptUrls {
  createScriptURL(url: string): string;
}

declare const trustedTypes: { createPolicy(name: string, rules: ScriptUrls): ScriptUrls } | undefined;

const own: ScriptUrls = {
  createScriptURL(url) {
    if (url !== ASSETS.worker.path && url !== "service_worker.js") throw new TypeError("No other script is loaded.");
    return url;
  },
};
const policy = typeof trustedTypes === "undefined" ? own : trustedTypes.createPolicy("edac", own);

/** The address of a script whose bytes are those of the build; browsers check none of a worker's or a recorder's themselves. */
async function checked({ path, integrity }: Script): Promise<string> {
  try {
    await fetch(path, { integrity });
  } catch (error) {
    throw new Error(`The page's file ${path} is altered or cannot be loaded. Load the page again.`, { cause: error });
  }
  return path;
}

/** Start the worker that runs LiteRT. */
export async function startWorker(): Promise<Worker> {
  return new Worker(policy.createScriptURL(await checked(ASSETS.worker)));
}

/** The address of the script that takes the microphone's sound. */
export const recorder = (): Promise<string> => checked(ASSETS.recorder);

/** Keep the page for use without a network, where the browser can. */
export async function keepPage(): Promise<void> {
  if ("serviceWorker" in navigator) await navigator.serviceWorker.register(policy.createScriptURL("service_worker.js"));
}
