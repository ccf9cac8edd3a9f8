// Visitors of a shop in a real Chromium, each on a page with another SDK: for `test_browsers.py` and `test_pages.py`.
//
// Shop and collector are two hosts with TLS, so that CORS and secure contexts are real; every other name is unknown to
// the browser. Reads a first line of JSON, tells the first halves, says "half" and waits for a line, tells the second
// halves, says "told" and waits for a line, leaves all pages, and prints what they asked for as JSON.
import { createServer } from "node:https";
import { connect } from "node:net";
import { createInterface } from "node:readline/promises";
import { setTimeout } from "node:timers/promises";
import { createServer as createTlsServer } from "node:tls";
import { build } from "esbuild";
import { chromium } from "playwright-core";

const SHOP = "shop.example.com";
const COLLECTOR = "collect.example.com";
const LEAVE_MS = 1000;
const FLAGS = [
  ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
  ...["--disable-component-update", "--disable-sync", "--ignore-certificate-errors"],
];
const HTML = `<!doctype html><html lang="zh-CN"><meta charset="utf-8"><title>X9</title>
<h1>X9</h1><button id="seat">后排空间</button><script src="SCRIPT"></script></html>`;

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const line = async () => (await lines.next()).value;

const { collectorPort, certificate, privateKey, visits, browser: executablePath } = JSON.parse(await line());
const tls = { cert: certificate, key: privateKey };

const listening = (server) =>
  new Promise((listens) => server.listen(0, "127.0.0.1", () => listens(server.address().port)));

/** The collector behind TLS, byte for byte. */
const collector = createTlsServer(tls, (socket) => {
  const onward = connect(collectorPort, "127.0.0.1");
  for (const [one, other] of [[socket, onward], [onward, socket]]) {
    one.on("error", () => other.destroy());
    one.on("close", () => other.destroy());
    one.pipe(other);
  }
});

const scripts = new Map();
const shop = createServer(tls, (request, response) => {
  const { pathname } = new URL(request.url, `https://${SHOP}`);
  const script = scripts.get(pathname);
  response.setHeader("content-type", script === undefined ? "text/html" : "text/javascript");
  response.end(script ?? HTML.replace("SCRIPT", `${pathname}.js`));
});

const [shopPort, collectPort] = [await listening(shop), await listening(collector)];
for (const { name, stdin, entry } of visits) {
  const source = stdin === undefined ? { entryPoints: [entry] } : { stdin: { contents: stdin, resolveDir: import.meta.dirname } };
  const built = await build({ ...source, bundle: true, write: false, format: "iife", globalName: "story", target: "es2022" });
  scripts.set(`/${name}.js`, built.outputFiles[0].text);
}

const browser = await chromium.launch({
  executablePath,
  args: [
    ...FLAGS,
    `--host-resolver-rules=MAP ${SHOP} 127.0.0.1:${shopPort}, MAP ${COLLECTOR} 127.0.0.1:${collectPort}, ` +
      "MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
  ],
});
const userAgent = `Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/${browser.version()} Safari/537.36`;

/** A new visitor's page, and what it asked for; SDKs that leave robots out find none here. */
async function arrive({ name }) {
  const context = await browser.newContext({ userAgent, locale: "zh-CN" });
  await context.addInitScript(() => Object.defineProperty(Navigator.prototype, "webdriver", { get: () => false }));
  const page = await context.newPage();
  const seen = { hosts: new Set(), faults: [] };
  page.on("request", (request) => seen.hosts.add(new URL(request.url()).host));
  page.on("pageerror", (error) => seen.faults.push(String(error)));
  await page.goto(`https://${SHOP}/${name}?utm_source=baidu&utm_campaign=x9-launch`);
  return { page, seen };
}

const arrived = new Map();
for (const visit of visits) {
  const { page, seen } = await arrive(visit);
  arrived.set(visit.name, { page, seen });
  if (visit.entry === undefined) continue;
  await page.evaluate((told) => story.visit(...told), [`https://${COLLECTOR}`, visit.key, ...visit.arguments]);
  await page.click("#seat");
  await page.evaluate((member) => void story.login(member), visit.member);
}
console.log("half");
await line();
for (const visit of visits) {
  if (visit.entry !== undefined) await arrived.get(visit.name).page.evaluate(() => void story.book());
}
console.log("told");
await line();
const asked = {};
for (const [name, { page, seen }] of arrived) {
  await page.goto("about:blank");
  asked[name] = { hosts: [...seen.hosts].filter((host) => host).sort(), faults: seen.faults };
}
await setTimeout(LEAVE_MS);
await browser.close();
console.log(JSON.stringify(asked));
process.exit(0);
