/** Keeps the page itself for use without a network. Releases are kept by the page, after their checks. */

export {};

declare const self: ServiceWorkerGlobalScope;
declare const SHELL: { version: string; files: Record<string, string>; large: Record<string, string> };

/** Of this page: others of the same origin keep their own. */
const OWN = `edac-page:${self.registration.scope}:`;
const CACHE = OWN + SHELL.version;
const HASHED = /^\w+-[0-9a-f]{12}\.(js|css)$/;

self.addEventListener("install", (event) => {
  event.waitUntil(
    (async () => {
      const cache = await caches.open(CACHE);
      await cache.add(new Request("./", { cache: "reload" }));
      for (const [path, integrity] of Object.entries(SHELL.files)) {
        await cache.add(new Request(path, { integrity, cache: "no-cache" }));
      }
      await self.skipWaiting();
    })(),
  );
});

self.addEventListener("activate", (event) => {
  event.waitUntil(
    (async () => {
      const former = (await caches.keys()).filter((name) => name.startsWith(OWN) && name !== CACHE);
      for (const name of former.slice(0, -1)) await caches.delete(name); // open pages still ask for the last one's files
      await self.clients.claim();
    })(),
  );
});

self.addEventListener("fetch", (event) => {
  const url = new URL(event.request.url);
  if (event.request.method !== "GET" || url.origin !== self.location.origin) return;
  const scope = new URL(self.registration.scope).pathname;
  const path = url.pathname.startsWith(scope) ? url.pathname.slice(scope.length) : undefined;
  if (path === undefined) return;
  if (event.request.mode === "navigate") event.respondWith(page(event.request));
  else if (Object.hasOwn(SHELL.files, path) || HASHED.test(path)) event.respondWith(kept(event.request));
  else if (path.startsWith("litert/")) event.respondWith(large(event.request));
});

/** The page: the server's if there is one, so that a new one is seen at once. */
async function page(request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  try {
    const answer = await fetch(request);
    const text = await answer.clone().text();
    const isThis = Object.keys(SHELL.files).every((name) => !/^(app|page)-/.test(name) || text.includes(name));
    if (answer.ok && isThis) await cache.put("./", answer.clone()); // a newer page is kept by its own service worker
    return answer;
  } catch {
    return (await cache.match("./")) ?? Response.error();
  }
}

async function kept(request: Request): Promise<Response> {
  return (await (await caches.open(CACHE)).match(request.url)) ?? (await caches.match(request.url)) ?? fetch(request);
}

/** LiteRT's WebAssembly: only the variant that this browser asks for is kept. */
async function large(request: Request): Promise<Response> {
  const cache = await caches.open(CACHE);
  const known = await cache.match(request.url);
  if (known) return known;
  const name = new URL(request.url).pathname.split("/").pop() ?? "";
  const answer = await fetch(request, Object.hasOwn(SHELL.large, name) ? { integrity: SHELL.large[name] } : {});
  if (answer.ok) await cache.put(request.url, answer.clone());
  return answer;
}
