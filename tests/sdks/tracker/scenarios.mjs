/**
 * What visitors do, in a real Chromium, on pages of two hosts with the collector on a third.
 *
 * Reads {collectorPort, keys: {scenario: write key}} from standard input and prints what each scenario saw. What the
 * product made of it is asked by the test that started this.
 */

import http from "node:http";
import { createRequire } from "node:module";
import { newNetwork } from "./collector.mjs";

const require = createRequire(new URL("../../../sdk-js-snippet/package.json", import.meta.url));
const { chromium } = require("playwright-core");

const { collectorPort, keys, snippet } = JSON.parse(await new Response(process.stdin).text());
const CHROME = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36";
const HOSTS = ["shop.example.test", "brand.example.test", "collect.example.test"];

const network = await newNetwork(collectorPort);
const pages = http.createServer((request, response) => {
  const url = new URL(request.url, "http://pages");
  const { scenario, ...options } = JSON.parse(url.searchParams.get("with") || "{}");
  const headers = { "Content-Type": "text/html; charset=utf-8" };
  const collector = `http://collect.example.test:${network.port}`;
  if (options.csp) {
    const scripts = options.csp == "nonce" ? "'nonce-n0nce'" : collector;
    headers["Content-Security-Policy"] = `default-src 'none'; script-src ${scripts}; connect-src ${collector}`;
  }
  response.writeHead(200, headers);
  response.end(scenario ? pageOf(scenario, options) : "");
});
await new Promise((go) => pages.listen(0, "127.0.0.1", go));

/** The page of the how-to, with the snippet as it is documented. */
function pageOf(scenario, { csp, ...options }) {
  const given = { ...options, url: `http://collect.example.test:${network.port}`, key: keys[scenario] };
  const script = snippet.replace(/\{url:.*?\}/, JSON.stringify(given));
  return `<!doctype html><html lang="zh"><title>X9</title>
<script nonce="n0nce">window.violations = 0; addEventListener("securitypolicyviolation", () => violations++)</script>
${csp == "file" ? `<script async src="${given.url}/xunji.js" data-key="${given.key}"></script>` : script.replace("<script>", '<script nonce="n0nce">')}
<button data-xunji-event="brochure_opened" data-xunji-series="X9" data-xunji-car-model="Max"><b>手册</b></button>
<form data-xunji-form="test_drive"><input name="phone" value="13812345678"><button id="send">预约</button></form>
<a id="brand" href="http://brand.example.test:${pages.address().port}/?with=${encodeURIComponent(JSON.stringify({ scenario, ...options }))}#top">品牌</a>`;
}

const addressOf = (scenario, options = {}, query = "", host = HOSTS[0]) =>
  `http://${host}:${pages.address().port}/?with=${encodeURIComponent(JSON.stringify({ scenario, ...options }))}${query}`;

const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: [
    ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
    ...["--disable-component-update", "--disable-sync"],
    `--unsafely-treat-insecure-origin-as-secure=http://${HOSTS[0]}:${pages.address().port}`,
    `--host-resolver-rules=${HOSTS.map((host) => `MAP ${host} 127.0.0.1`).join(", ")}, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1`,
  ],
});

/** A visitor: a browser profile of their own, driven by no program as far as pages can tell. */
async function newVisitor({ robot = false } = {}) {
  const context = await browser.newContext(robot ? {} : { userAgent: CHROME, locale: "zh-CN" });
  if (!robot) await context.addInitScript(() => Object.defineProperty(Navigator.prototype, "webdriver", { get: () => false }));
  return context;
}

const faults = [];
async function open(context, address) {
  const page = await context.newPage();
  page.on("pageerror", (error) => faults.push(String(error)));
  await page.goto(address);
  return page;
}

const ready = (page) => page.waitForFunction(() => window.xunji && window.xunji.o === null);
const flush = (page) => page.evaluate(() => window.xunji.flush());
const track = (page, from, to) =>
  page.evaluate(([a, b]) => { for (let n = a; n < b; n++) xunji.track("step_" + n, { n, text: "后排空间" }); }, [from, to]);
const stored = (page) => page.evaluate(() => Object.keys(localStorage));
const visitorOf = (page, key) => page.evaluate((name) => JSON.parse(localStorage.getItem(name)).anonymousId, `xunji.${key}.v`);
const batches = () => network.requests.filter(({ path }) => path.startsWith("/v1/batch"));
const events = () => batches().flatMap(({ body }) => body.batch);
const pause = (ms) => new Promise((go) => setTimeout(go, ms));
async function until(condition, what) {
  for (let tries = 0; !(await condition()); tries++) {
    if (tries > 150) throw new Error("did not happen: " + what);
    await pause(100);
  }
}
/** No events wait any more, in any tab. */
const drained = (page) => until(async () => !(await stored(page)).some((key) => key.includes(".q.")), "an empty queue");

async function twoTabs(scenario, host) {
  const context = await newVisitor();
  const [one, two] = [await open(context, addressOf(scenario, {}, "", host)), await open(context, addressOf(scenario, {}, "", host))];
  await Promise.all([ready(one), ready(two)]);
  await Promise.all([flush(one), flush(two)]);
  network.state = "down";
  await Promise.all([track(one, 0, 100), track(two, 100, 200)]);
  await pause(1_200);
  network.state = "up";
  for (const tab of [one, two]) await tab.evaluate(() => dispatchEvent(new Event("online")));
  await drained(two);
  const ids = events().map((event) => event.messageId);
  network.state = "down";
  await track(one, 200, 250);
  await one.close();
  network.state = "up";
  await flush(two);
  await drained(two);
  return { twice: ids.length - new Set(ids).size, locks: await two.evaluate(() => !!navigator.locks) };
}

const SCENARIOS = {
  async journey() {
    const page = await open(await newVisitor(), addressOf("journey", {}, "&utm_source=douyin&utm_medium=cpc&utm_campaign=autumn&clickid=c-1"));
    await page.evaluate(() => xunji.track("before_it_was_loaded"));
    await ready(page);
    await page.click("button b");
    await page.evaluate(() => document.querySelector("form").addEventListener("submit", (event) => event.preventDefault()));
    await page.click("#send");
    await page.evaluate(() => { history.pushState({}, "", "/space"); document.title = "后排空间"; });
    await page.evaluate(() => { history.replaceState({}, "", "/space#seat"); });
    await pause(50);
    await page.evaluate(() => xunji.identify("YQ1", { city: "上海" }));
    await flush(page);
    await page.goBack();
    await until(() => events().filter((event) => event.type == "page").length > 2, "the way back");
    return { visitor: await visitorOf(page, keys.journey), preflights: network.requests.filter(({ method }) => method == "OPTIONS").length, origin: network.requests.find(({ method }) => method == "POST").origin };
  },

  async offline() {
    const context = await newVisitor();
    const page = await open(context, addressOf("offline"));
    await ready(page);
    await flush(page);
    network.state = "down";
    await track(page, 0, 20);
    await pause(1_300);
    await page.reload();
    await ready(page);
    await track(page, 20, 25);
    await pause(300);
    network.state = "up";
    await page.evaluate(() => dispatchEvent(new Event("online")));
    await drained(page);
    return {};
  },

  async leaving() {
    const page = await open(await newVisitor(), addressOf("leaving"));
    await ready(page);
    await flush(page);
    network.state = "deaf";
    await track(page, 0, 60);
    await until(() => network.requests.some(({ answered }) => !answered), "a post under way");
    await track(page, 60, 70);
    await page.goto(addressOf("leaving", {}, "&next"));
    await pause(200);
    network.state = "up";
    await ready(page);
    await drained(page);
    return {};
  },

  async last() {
    const page = await open(await newVisitor(), addressOf("last"));
    await ready(page);
    await flush(page);
    await page.evaluate((away) => {
      const link = document.body.appendChild(document.createElement("a"));
      Object.assign(link, { id: "away", href: away, textContent: "走" });
      link.dataset.xunjiEvent = "step_0";
      link.dataset.xunjiN = "0";
    }, `http://brand.example.test:${pages.address().port}/`);
    await page.click("#away");
    await page.waitForURL(/brand/);
    await until(() => events().some((event) => event.event == "step_0"), "the last click");
    return {};
  },

  async blocked() {
    const context = await newVisitor();
    await context.addInitScript(() =>
      Object.defineProperty(window, "localStorage", { get() { throw new DOMException("denied", "SecurityError"); } }));
    const page = await open(context, addressOf("blocked"));
    await ready(page);
    await track(page, 0, 5);
    await flush(page);
    return {};
  },

  async csp() {
    const page = await open(await newVisitor(), addressOf("csp", { csp: "nonce" }));
    await ready(page);
    await track(page, 0, 1);
    await flush(page);
    return { violations: await page.evaluate(() => window.violations) };
  },

  async file() {
    const page = await open(await newVisitor(), addressOf("file", { csp: "file" }));
    await ready(page);
    await track(page, 0, 1);
    await flush(page);
    return {};
  },

  async refusing() {
    const context = await newVisitor();
    await context.addInitScript(() => Object.defineProperty(Navigator.prototype, "globalPrivacyControl", { get: () => true }));
    const page = await open(context, addressOf("refusing", { doNotTrack: true }));
    await ready(page);
    await track(page, 0, 1);
    await flush(page);
    const before = { posts: batches().length, stored: await stored(page) };
    await page.evaluate(() => xunji.consent(true));
    await track(page, 1, 2);
    await flush(page);
    return before;
  },

  async many() {
    const page = await open(await newVisitor(), addressOf("many"));
    await ready(page);
    const began = Date.now();
    await track(page, 0, 10_000);
    const tracked = Date.now();
    await flush(page);
    await drained(page);
    const posts = batches();
    return { tracking_ms: tracked - began, sending_ms: Date.now() - tracked, posts: posts.length, largest: Math.max(...posts.map((post) => Buffer.byteLength(JSON.stringify(post.body)))) };
  },

  // With https, so with Web Locks, and without.
  tabs: () => twoTabs("tabs", HOSTS[0]),
  tabs_plain: () => twoTabs("tabs_plain", HOSTS[1]),

  async consent() {
    const page = await open(await newVisitor(), addressOf("consent", { consent: "required" }));
    await ready(page);
    await track(page, 0, 3);
    await pause(1_300);
    const before = { stored: await stored(page), posts: batches().length };
    await page.evaluate(() => xunji.consent(true));
    await drained(page);
    await page.evaluate(() => xunji.consent(false));
    await track(page, 3, 6);
    await pause(1_300);
    return { before, after: await stored(page) };
  },

  async domains() {
    const options = { linkDomains: ["brand.example.test"] };
    const context = await newVisitor();
    const page = await open(context, addressOf("domains", options));
    await ready(page);
    await page.evaluate(() => xunji.identify("YQ2"));
    await flush(page);
    const visitor = await visitorOf(page, keys.domains);
    const link = new Promise((go) => page.on("request", (request) => request.isNavigationRequest() && go(request.url())));
    await page.click("#brand");
    await page.waitForURL(/brand/);
    await ready(page);
    await flush(page);
    const address = page.url();
    const there = await visitorOf(page, keys.domains);
    // The same link, sent to somebody with another browser.
    const other = await browser.newContext({ userAgent: CHROME.replace("156", "155"), locale: "zh-CN" });
    await other.addInitScript(() => Object.defineProperty(Navigator.prototype, "webdriver", { get: () => false }));
    const stranger = await open(other, await link);
    await ready(stranger);
    await flush(stranger);
    // A visitor who was known there already, and comes over a link for the first time.
    const known = await newVisitor();
    const first = await open(known, addressOf("domains", options, "", HOSTS[1]));
    await ready(first);
    await flush(first);
    const second = await open(known, addressOf("domains", options));
    await ready(second);
    await second.click("#brand");
    await second.waitForURL(/brand/);
    await ready(second);
    await flush(second);
    await drained(second);
    return {
      address, visitor, there, link: await link, stranger: await visitorOf(stranger, keys.domains),
      known: [await visitorOf(first, keys.domains), events().find((event) => event.type == "alias")?.previousId],
    };
  },

  async lead() {
    const page = await open(await newVisitor(), addressOf("lead", {}, "&utm_source=auto-shanghai"));
    await ready(page);
    await track(page, 0, 3);
    const form = (phone) => ({
      contact: { name: "李女士", phone },
      interest: { series: "X9" },
      consent: { purposes: ["sales_contact"], text_version: "2026-01" },
      shownAt: Date.now() - 60_000,
    });
    const refused = await page.evaluate((given) => xunji.lead(given).catch((error) => ({ status: error.status, errors: error.errors })), form("12"));
    const lead = await page.evaluate((given) => xunji.lead(given), form("13812345678"));
    return { lead, refused, stored: JSON.stringify(await page.evaluate(() => ({ ...localStorage }))).includes("13812345678") };
  },

  async robot() {
    const context = await newVisitor({ robot: true });
    const page = await context.newPage();
    const warnings = [];
    page.on("console", (message) => warnings.push(message.text()));
    await page.goto(addressOf("robot"));
    await ready(page);
    await track(page, 0, 3);
    await flush(page);
    return { posts: batches().length, warnings, stored: await stored(page) };
  },
};

const seen = {};
for (const [name, scenario] of Object.entries(SCENARIOS)) {
  if (!keys[name]) continue;
  network.state = "up";
  network.requests.length = 0;
  faults.length = 0;
  const began = Date.now();
  try {
    seen[name] = { ...(await scenario()), faults: [...faults], took_ms: Date.now() - began };
  } catch (error) {
    seen[name] = { failed: String(error.stack), faults: [...faults] };
  }
  for (const context of browser.contexts()) await context.close();
}
await browser.close();
pages.close();
network.close();
console.log(JSON.stringify(seen));
process.exit(0);
