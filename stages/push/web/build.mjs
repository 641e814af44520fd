// Builds the page into dist/: the same bytes from the same sources. `node build.mjs`
import { createHash } from "node:crypto";
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync, readdirSync } from "node:fs";
import { build } from "esbuild";

const out = "dist";
rmSync(out, { recursive: true, force: true });
mkdirSync(`${out}/litert`, { recursive: true });

const integrity = (content) => `sha384-${createHash("sha384").update(content).digest("base64")}`;
const short = (content) => createHash("sha256").update(content).digest("hex").slice(0, 12);
const files = {};

async function bundle(entry, format, define = {}) {
  const made = await build({
    entryPoints: [`src/${entry}.ts`], bundle: true, minify: true, format, write: false, define,
    target: ["chrome113", "firefox121", "safari17"], legalComments: "none", logLevel: "warning",
  });
  return Buffer.from(made.outputFiles[0].contents);
}

function write(name, content, hashed = true) {
  const [stem, extension] = name.split(".");
  const place = hashed ? `${stem}-${short(content)}.${extension}` : name;
  writeFileSync(`${out}/${place}`, content);
  files[place] = integrity(content);
  return place;
}

const from = "node_modules/@litertjs/core/wasm";
const large = {};
for (const name of readdirSync(from).filter((each) => !each.includes("jspi"))) {
  cpSync(`${from}/${name}`, `${out}/litert/${name}`);
  large[name] = integrity(readFileSync(`${from}/${name}`));
}
const script = (place) => ({ path: place, integrity: files[place] });
const worker = write("worker.js", await bundle("worker", "iife", { LITERT: JSON.stringify(large) }));
const recorder = write("recorder.js", await bundle("recorder", "iife"));
const assets = { worker: script(worker), recorder: script(recorder) };
const app = write("app.js", await bundle("app", "esm", { ASSETS: JSON.stringify(assets) }));
const css = write("page.css", readFileSync("static/page.css"));
for (const name of ["icon.svg", "app.webmanifest"]) write(name, readFileSync(`static/${name}`), false);

const page = readFileSync("static/index.html", "utf8")
  .replaceAll("__CSS__", css).replaceAll("__CSS_INTEGRITY__", files[css])
  .replaceAll("__APP__", app).replaceAll("__APP_INTEGRITY__", files[app]);
writeFileSync(`${out}/index.html`, page);
const shell = { version: short(Buffer.from(page + JSON.stringify({ files, large }))), files, large };
writeFileSync(`${out}/service_worker.js`, await bundle("service_worker", "iife", { SHELL: JSON.stringify(shell) }));

// For the tests of the arithmetic, which run in Node beside Python.
writeFileSync(`${out}/twin.mjs`, await bundle("twin", "esm"));
