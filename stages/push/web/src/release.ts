/**
 * Which release this browser runs: signed, whole, not older than one it ran, and passing its self-test here.
 *
 * What is accepted is kept in the browser's cache, so that it runs without a network, and when a later one is refused.
 */

import { decide, isClear, parseManifest, type Manifest } from "./manifest";
import { hear, score, type Run } from "./recording";
import { readWav } from "./wav";

/** What the person who publishes the page has pinned in it. */
export interface Site {
  /** Public Ed25519 keys (base64) of which one must have signed a release; null asks for no signature. */
  readonly keys: readonly string[] | null;
  /** The one release that may follow a later version of its model, and the last version that it takes back. */
  readonly rollback: { readonly model: string; readonly release: string; readonly after: number } | null;
}

export interface Release {
  /** First 12 hexadecimal digits of the sha256 of its manifest. */
  readonly id: string;
  readonly manifest: Manifest;
  readonly files: ReadonlyMap<string, Uint8Array>;
  /** Fingerprint of the key that signed it; null if the page asks for no signature. */
  readonly signedBy: string | null;
}

export interface SelfTest {
  readonly ok: boolean;
  /** Golden recording to the largest difference of a score; absent where it could not be scored. */
  readonly differences: Readonly<Record<string, number>>;
  readonly reason: string;
}

const PLACE = "current/";
/** Of this page: others of the same origin keep their own. */
const SCOPE = new URL("./", location.href).pathname;
const KEPT = `edac-kept:${SCOPE}`;
const FOLDER = "https://release.invalid/";

/** Where the parts of a release come from. */
type Source = (path: string) => Promise<Uint8Array<ArrayBuffer> | undefined>;

const fromNetwork: Source = async (path) => {
  const answer = await fetch(PLACE + path, { cache: "no-cache" });
  return answer.ok ? new Uint8Array(await answer.arrayBuffer()) : undefined;
};

function cacheOf(id: string): string {
  return `${KEPT}:${id}`;
}

/** What this browser keeps under a key; null where it keeps nothing, as some do in private windows. */
function kept(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

function keptKeys(): string[] {
  try {
    return Object.keys(localStorage);
  } catch {
    return [];
  }
}

const fromCache: Source = async (path) => {
  const found = await (await caches.open(cacheOf(kept(KEPT) ?? ""))).match(FOLDER + path);
  return found && new Uint8Array(await found.arrayBuffer());
};

/** Hexadecimal sha256. */
export async function sha256(content: Uint8Array<ArrayBuffer>): Promise<string> {
  const digest = new Uint8Array(await crypto.subtle.digest("SHA-256", content));
  return [...digest].map((byte) => byte.toString(16).padStart(2, "0")).join("");
}

function fromBase64(text: string): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(atob(text.trim()), (character) => character.charCodeAt(0));
}

/** Fingerprint of the key that signed some content; throws if none of the keys did. */
export async function signer(content: Uint8Array<ArrayBuffer>, signature: string, keys: readonly string[]): Promise<string> {
  for (const key of keys) {
    const raw = fromBase64(key);
    const known = await crypto.subtle.importKey("raw", raw, { name: "Ed25519" }, false, ["verify"]);
    if (await crypto.subtle.verify({ name: "Ed25519" }, known, fromBase64(signature), content)) {
      return (await sha256(raw)).slice(0, 16);
    }
  }
  throw new Error("It is not signed with a key that this page trusts.");
}

/** Read and check the release that is offered, whatever ran here before. */
export function readOffered(site: Site): Promise<Release> {
  return read(fromNetwork, site);
}

async function read(source: Source, site: Site): Promise<Release> {
  const content = await source("manifest.json");
  if (!content) throw new Error("There is no release here.");
  let signedBy: string | null = null;
  if (site.keys) {
    const signature = await source("manifest.sig");
    if (!signature) throw new Error("It is not signed, and this page takes signed releases only.");
    signedBy = await signer(content, new TextDecoder().decode(signature), site.keys);
  }
  const manifest = parseManifest(JSON.parse(new TextDecoder().decode(content)));
  if (manifest.not_after && new Date().toISOString().slice(0, 10) > manifest.not_after) {
    throw new Error(`It was good until ${manifest.not_after}.`);
  }
  const files = new Map<string, Uint8Array>([["manifest.json", content]]);
  const needed = Object.keys(manifest.files).filter((path) => !path.endsWith(".py"));
  await Promise.all(
    needed.map(async (path) => {
      const file = await source(path);
      if (!file || (await sha256(file)) !== manifest.files[path]) throw new Error(`Its file ${path} is missing or altered.`);
      files.set(path, file);
    }),
  );
  return { id: (await sha256(content)).slice(0, 12), manifest, files, signedBy };
}

const VERSIONS = `edac-version:${SCOPE}:`;

/** The highest version of this model that this browser ran; a release without a model's name is held against all. */
function highestVersion({ registered_name: model }: Manifest): number {
  const others = keptKeys().filter((key) => model === "" && key.startsWith(VERSIONS));
  return Math.max(0, ...[...others, VERSIONS + model, VERSIONS].map((key) => Number(kept(key) ?? 0)));
}

/** Whether the page's publisher went back to another release of this model, from this version or a later one. */
function isTakenBack({ id, manifest }: Release, { rollback }: Site): boolean {
  return rollback !== null && rollback.model === manifest.registered_name && id !== rollback.release && manifest.version <= rollback.after;
}

/** Refuse an older version than this browser ran, unless the publisher went back to it; return what to say of that. */
function checkVersion(release: Release, site: Site): string {
  const { version } = release.manifest;
  const highest = highestVersion(release.manifest);
  if (isTakenBack(release, site)) throw new Error(`It is version ${version}, which the publisher of this page took back.`);
  if (version >= highest) return "";
  if (site.rollback?.release !== release.id) {
    throw new Error(`It is version ${version}, and this browser ran version ${highest}.`);
  }
  return site.rollback.after >= highest ? `The publisher of this page took back version ${highest}, which this browser ran.` : "";
}

/** Keep a release for use without a network, and its version against older ones; throws where the browser keeps nothing. */
async function keep(release: Release, signature: Uint8Array<ArrayBuffer> | undefined): Promise<void> {
  const { registered_name: model, version } = release.manifest;
  localStorage.setItem(VERSIONS + model, String(Math.max(Number(localStorage.getItem(VERSIONS + model) ?? 0), version)));
  const cache = await caches.open(cacheOf(release.id));
  for (const [path, content] of release.files) await cache.put(FOLDER + path, new Response(content as Uint8Array<ArrayBuffer>));
  if (signature) await cache.put(`${FOLDER}manifest.sig`, new Response(signature));
  localStorage.setItem(KEPT, release.id);
  for (const name of await caches.keys()) {
    if (name.startsWith(`${KEPT}:`) && name !== cacheOf(release.id)) await caches.delete(name);
  }
}

/** Keep a release, unless a later one was accepted in another tab meanwhile; return what to say of it. */
async function accept(release: Release, site: Site): Promise<string> {
  const signature = site.keys ? await fromNetwork("manifest.sig") : undefined;
  let begun = false;
  const keepNext = async (): Promise<string> => {
    begun = true;
    const said = checkVersion(release, site);
    try {
      await keep(release, signature);
    } catch {
      return `${said} This browser keeps nothing of it (a private window, or no room): without a network it will not run.`.trim();
    }
    return said;
  };
  try {
    return await navigator.locks.request(KEPT, keepNext);
  } catch (error) {
    if (begun) throw error;
    return keepNext(); // browsers that keep nothing have no locks either
  }
}

/** Score the golden recordings and compare them with the scores at home; `run` is of that release. */
export async function selfTest(release: Release, run: Run): Promise<SelfTest> {
  const { manifest } = release;
  const differences: Record<string, number> = {};
  for (const golden of manifest.golden) {
    const content = release.files.get(golden.file);
    const sound = content && readWav(content.slice().buffer);
    if (!sound) return { ok: false, differences, reason: `${golden.file} is no WAV file that can be read` };
    const { scores: outputs } = await score(hear(sound, manifest), manifest, run);
    const difference = Math.max(...golden.scores.map((expected, i) => Math.abs(outputs[i] - expected)));
    if (!(difference <= manifest.tolerance)) {
      const reason = `${golden.file}: scores differ by ${difference.toPrecision(2)}, ${manifest.tolerance} allowed`;
      return { ok: false, differences, reason };
    }
    differences[golden.file] = difference;
    const decided = decide(manifest, outputs).labels.join();
    if (isClear(manifest, golden.scores) && decided !== decide(manifest, golden.scores).labels.join()) {
      return { ok: false, differences, reason: `${golden.file}: decides otherwise than home` };
    }
  }
  return { ok: true, differences, reason: "" };
}

export interface Opened<T> {
  readonly release: Release;
  readonly running: T;
  readonly test: SelfTest;
  /** Why a release was refused or taken back, or that there is no network; empty if nothing is to be said. */
  readonly notice: string;
}

/**
 * Open the release that this browser is to run.
 *
 * `start` loads a release and returns what runs it; the self-test decides whether it is used. A release that is refused
 * leaves the one that ran before.
 */
export async function open<T extends { run: Run; close(): void }>(
  site: Site,
  start: (release: Release) => Promise<T>,
): Promise<Opened<T>> {
  let notice: string;
  try {
    const release = await read(fromNetwork, site);
    checkVersion(release, site);
    const running = await start(release);
    try {
      const test = await selfTest(release, running.run);
      if (!test.ok) throw new Error(`It fails its self-test in this browser (${test.reason}).`);
      return { release, running, test, notice: await accept(release, site) };
    } catch (error) {
      running.close();
      throw error;
    }
  } catch (error) {
    const offline = !navigator.onLine || error instanceof TypeError; // what fetch throws where nothing answers
    notice = offline ? "No network: this runs from the browser's own copy." : `The release offered here is refused. ${messageOf(error)}`;
    if (kept(KEPT) === null) throw new Error(notice, { cause: error });
  }
  const release = await read(fromCache, site);
  if (isTakenBack(release, site)) throw new Error(`${notice} The publisher took back the version that is kept here.`);
  const running = await start(release);
  const test = await selfTest(release, running.run);
  if (!test.ok) throw new Error(`${notice} The copy kept here fails its self-test too (${test.reason}).`);
  return { release, running, test, notice };
}

/** An error's sentence. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
