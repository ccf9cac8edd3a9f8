/**
 * The stage on which the scenarios play: pages on two hosts, a network before the collector, a Chromium, and what a
 * scenario does with them.
 *
 * Standard input tells {collectorPort, keys: {scenario: write key}, snippet}.
 */

import http from "node:http";
import { createRequire } from "node:module";
import { newNetwork } from "./network.mjs";

const require = createRequire(new URL("../../../sdk-js-snippet/package.json", import.meta.url));
const { chromium } = require("playwright-core");

export const { collectorPort, keys, snippet } = JSON.parse(await new Response(process.stdin).text());
export const CHROME =
  "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
export const [SHOP, BRAND, COLLECT] = ["shop.example.test", "brand.example.test", "collect.example.test"];

export const network = await newNetwork(collectorPort);
const collector = `http://${COLLECT}:${network.port}`;

const server = http.createServer((request, response) => {
  const { scenario, csp, ...options } = JSON.parse(new URL(request.url, collector).searchParams.get("with") || "{}");
  const headers = { "Content-Type": "text/html; charset=utf-8" };
  const scripts = csp == "nonce" ? "'nonce-n0nce'" : collector;
  if (csp) headers["Content-Security-Policy"] = `default-src 'none'; script-src ${scripts}; connect-src ${collector}`;
  response.writeHead(200, headers);
  response.end(scenario ? pageOf(scenario, csp, options) : "");
});
await new Promise((go) => server.listen(0, "127.0.0.1", go));

/** The page of the how-to, with the snippet as it is documented, or with the file alone. */
function pageOf(scenario, csp, { early, ...options }) {
  const given = { ...options, url: collector, key: keys[scenario] };
  const inline = snippet.replace(/\{url:.*?\}/, JSON.stringify(given)).replace("<script>", '<script nonce="n0nce">');
  const file = `<script async src="${collector}/xunji.js" data-key="${keys[scenario]}"></script>`;
  return `<!doctype html><html lang="zh"><title>X9</title>
<script nonce="n0nce">window.violations = 0; addEventListener("securitypolicyviolation", () => violations++)</script>
${csp == "file" ? file : inline}
${early ? '<script nonce="n0nce">xunji.track("before_it_was_loaded")</script>' : ""}
<button data-xunji-event="brochure_opened" data-xunji-series="X9" data-xunji-car-model="Max"><b>手册</b></button>
<form data-xunji-form="test_drive"><input name="phone" value="13812345678"><button id="send">预约</button></form>
<a id="brand" href="${addressOf(scenario, { options, host: BRAND })}#top">品牌</a>`;
}

/** A scenario's page: `options` are the tracker's, `query` is more of the address; without a scenario an empty page. */
export function addressOf(scenario, { options = {}, query = "", host = SHOP } = {}) {
  const told = scenario ? `?with=${encodeURIComponent(JSON.stringify({ scenario, ...options }))}${query}` : "";
  return `http://${host}:${server.address().port}/${told}`;
}

const hosts = [SHOP, BRAND, COLLECT].map((host) => `MAP ${host} 127.0.0.1`);

export const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: [
    ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
    ...["--disable-component-update", "--disable-sync"],
    // As with https, so with Web Locks; the other host stays without.
    `--unsafely-treat-insecure-origin-as-secure=http://${SHOP}:${server.address().port}`,
    `--host-resolver-rules=${[...hosts, "MAP * ~NOTFOUND", "EXCLUDE 127.0.0.1"].join(", ")}`,
  ],
});

/** A visitor: a browser profile of their own, driven by no program as far as pages can tell. */
export async function newVisitor({ robot = false, userAgent = CHROME } = {}) {
  if (robot) return browser.newContext();
  const context = await browser.newContext({ userAgent, locale: "zh-CN" });
  await context.addInitScript(() => Object.defineProperty(Navigator.prototype, "webdriver", { get: () => false }));
  return context;
}

/** What our scripts threw on any page. */
export const faults = [];

/** Opens a page and waits for the tracker. */
export async function open(context, address) {
  const page = await context.newPage();
  page.on("pageerror", (error) => faults.push(String(error)));
  await page.goto(address);
  await ready(page);
  return page;
}

export const ready = (page) => page.waitForFunction(() => window.xunji && window.xunji.o === null);
export const flush = (page) => page.evaluate(() => window.xunji.flush());
export const online = (page) => page.evaluate(() => dispatchEvent(new Event("online")));
export const track = (page, from, to) =>
  page.evaluate(
    ([a, b]) => {
      for (let n = a; n < b; n++) xunji.track("step_" + n, { n, text: "后排空间" });
    },
    [from, to],
  );
export const stored = (page) => page.evaluate(() => Object.keys(localStorage));
export const visitorOf = (page, scenario) =>
  page.evaluate((name) => JSON.parse(localStorage.getItem(name)).anonymousId, `xunji.${keys[scenario]}.v`);

/** The posts that reached the collector, and the events in them. */
export const batches = () => network.requests.filter(({ path }) => path.startsWith("/v1/batch"));
export const events = () => batches().flatMap(({ body }) => body.batch);

export const pause = (ms) => new Promise((go) => setTimeout(go, ms));
export async function until(condition, what) {
  for (let tries = 0; !(await condition()); tries++) {
    if (tries > 150) throw new Error("did not happen: " + what);
    await pause(100);
  }
}
/** No events wait any more, in any tab. */
export const drained = (page) =>
  until(async () => !(await stored(page)).some((key) => key.includes(".q.")), "an empty queue");
