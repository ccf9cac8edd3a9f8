/**
 * What visitors do, in a real Chromium, on pages of two hosts with the collector on a third. Prints what each scenario
 * saw; what the product made of it is asked by the test that started this.
 */

import {
  addressOf,
  batches,
  BRAND,
  browser,
  drained,
  events,
  faults,
  flush,
  keys,
  network,
  newVisitor,
  online,
  open,
  pause,
  ready,
  SHOP,
  stored,
  track,
  until,
  visitorOf,
} from "./stage.mjs";

async function twoTabs(scenario, host) {
  const context = await newVisitor();
  const [one, two] = [
    await open(context, addressOf(scenario, { host })),
    await open(context, addressOf(scenario, { host })),
  ];
  await Promise.all([flush(one), flush(two)]);
  network.state = "down";
  await Promise.all([track(one, 0, 100), track(two, 100, 200)]);
  await pause(1_200);
  network.state = "up";
  for (const tab of [one, two]) await online(tab);
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
    const page = await open(
      await newVisitor(),
      addressOf("journey", {
        options: { early: true },
        query: "&utm_source=douyin&utm_medium=cpc&utm_campaign=autumn&clickid=c-1",
      }),
    );
    await page.click("button b");
    await page.evaluate(() =>
      document.querySelector("form").addEventListener("submit", (event) => event.preventDefault()),
    );
    await page.click("#send");
    await page.evaluate(() => {
      history.pushState({}, "", "/space");
      document.title = "后排空间";
    });
    await page.evaluate(() => {
      history.replaceState({}, "", "/space#seat");
    });
    await pause(50);
    await page.evaluate(() => xunji.identify("YQ1", { city: "上海" }));
    await flush(page);
    await page.goBack();
    await until(() => events().filter((event) => event.type == "page").length > 2, "the way back");
    return {
      visitor: await visitorOf(page, "journey"),
      preflights: network.requests.filter(({ method }) => method == "OPTIONS").length,
      origin: network.requests.find(({ method }) => method == "POST").origin,
    };
  },

  async offline() {
    const context = await newVisitor();
    const page = await open(context, addressOf("offline"));
    await flush(page);
    network.state = "down";
    await track(page, 0, 20);
    await pause(1_300);
    await page.reload();
    await ready(page);
    await track(page, 20, 25);
    await pause(300);
    network.state = "up";
    await online(page);
    await drained(page);
    return {};
  },

  async leaving() {
    const page = await open(await newVisitor(), addressOf("leaving"));
    await flush(page);
    network.state = "deaf";
    await track(page, 0, 60);
    await until(() => network.requests.some(({ answered }) => !answered), "a post under way");
    await track(page, 60, 70);
    await page.goto(addressOf("leaving", { query: "&next" }));
    await pause(200);
    network.state = "up";
    await ready(page);
    await drained(page);
    return {};
  },

  async last() {
    const page = await open(await newVisitor(), addressOf("last"));
    await flush(page);
    await page.evaluate(
      (away) => {
        const link = document.body.appendChild(document.createElement("a"));
        Object.assign(link, { id: "away", href: away, textContent: "走" });
        link.dataset.xunjiEvent = "step_0";
        link.dataset.xunjiN = "0";
      },
      addressOf(null, { host: BRAND }),
    );
    await page.click("#away");
    await page.waitForURL(/brand/);
    await until(() => events().some((event) => event.event == "step_0"), "the last click");
    return {};
  },

  async blocked() {
    const context = await newVisitor();
    await context.addInitScript(() =>
      Object.defineProperty(window, "localStorage", {
        get() {
          throw new DOMException("denied", "SecurityError");
        },
      }),
    );
    const page = await open(context, addressOf("blocked"));
    await track(page, 0, 5);
    await flush(page);
    return {};
  },

  async csp() {
    const page = await open(await newVisitor(), addressOf("csp", { options: { csp: "nonce" } }));
    await track(page, 0, 1);
    await flush(page);
    return { violations: await page.evaluate(() => window.violations) };
  },

  async file() {
    const page = await open(await newVisitor(), addressOf("file", { options: { csp: "file" } }));
    await track(page, 0, 1);
    await flush(page);
    return {};
  },

  async refusing() {
    const context = await newVisitor();
    await context.addInitScript(() =>
      Object.defineProperty(Navigator.prototype, "globalPrivacyControl", { get: () => true }),
    );
    const page = await open(context, addressOf("refusing", { options: { doNotTrack: true } }));
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
    const began = Date.now();
    await track(page, 0, 10_000);
    const tracked = Date.now();
    await flush(page);
    await drained(page);
    const posts = batches();
    return {
      tracking_ms: tracked - began,
      sending_ms: Date.now() - tracked,
      posts: posts.length,
      largest: Math.max(...posts.map((post) => Buffer.byteLength(JSON.stringify(post.body)))),
    };
  },

  // With https, so with Web Locks, and without.
  tabs: () => twoTabs("tabs", SHOP),
  tabs_plain: () => twoTabs("tabs_plain", BRAND),

  async crash() {
    const context = await newVisitor();
    await context.clock.install();
    const one = await open(context, addressOf("crash"));
    await flush(one);
    network.state = "down";
    await track(one, 0, 20);
    await pause(1_200);
    const devtools = await context.newCDPSession(one);
    await Promise.race([devtools.send("Page.crash").catch(() => {}), one.waitForEvent("crash")]);
    await one.close();
    network.state = "up";
    const two = await open(context, addressOf("crash"));
    await flush(two);
    const early = (await stored(two)).filter((key) => key.includes(".q.")).length;
    // Until the lease of the tab that died has run out.
    await context.clock.fastForward(200_000);
    await flush(two);
    await drained(two);
    return { early };
  },

  async limited() {
    const page = await open(await newVisitor(), addressOf("limited", { options: { batchSize: 10 } }));
    await track(page, 0, 60);
    await drained(page);
    return { refused: batches().filter(({ status }) => status == 429).length };
  },

  async huge() {
    const page = await open(await newVisitor(), addressOf("huge"));
    await page.evaluate(() => xunji.track("step_0", { n: 0, text: "x".repeat(1_200_000) }));
    await track(page, 1, 3);
    await flush(page);
    await flush(page);
    return {};
  },

  async consent() {
    const page = await open(await newVisitor(), addressOf("consent", { options: { consent: "required" } }));
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
    const options = { linkDomains: [BRAND, SHOP] };
    const context = await newVisitor();
    const page = await open(context, addressOf("domains", { options }));
    await page.evaluate(() => xunji.identify("YQ2"));
    await flush(page);
    const visitor = await visitorOf(page, "domains");
    const link = new Promise((go) =>
      page.on("request", (request) => request.isNavigationRequest() && go(request.url())),
    );
    await page.click("#brand");
    await page.waitForURL(/brand/);
    await ready(page);
    await flush(page);
    const address = page.url();
    const there = await visitorOf(page, "domains");
    // The same link, sent at once to somebody with the same model of phone.
    const stranger = await open(await newVisitor(), await link);
    await flush(stranger);
    // A visitor who was known there already, and comes over a link for the first time.
    const known = await newVisitor();
    const first = await open(known, addressOf("domains", { options, host: BRAND }));
    await flush(first);
    const before = await visitorOf(first, "domains");
    const second = await open(known, addressOf("domains", { options }));
    const other = await visitorOf(second, "domains");
    for (let times = 0; times < 2; times++) {
      await second.goto(addressOf("domains", { options }));
      await ready(second);
      await second.click("#brand");
      await second.waitForURL(/brand/);
      await ready(second);
      await flush(second);
    }
    await drained(second);
    return {
      address,
      visitor,
      there,
      link: await link,
      stranger: await visitorOf(stranger, "domains"),
      known: [before, other, await visitorOf(first, "domains")],
      aliases: events().filter((event) => event.type == "alias").length,
    };
  },

  async lead() {
    const page = await open(await newVisitor(), addressOf("lead", { query: "&utm_source=auto-shanghai" }));
    await track(page, 0, 3);
    const form = (phone) => ({
      contact: { name: "李女士", phone },
      interest: { series: "X9" },
      consent: { purposes: ["sales_contact"], text_version: "2026-01" },
      shownAt: Date.now() - 60_000,
    });
    const refused = await page.evaluate(
      (given) => xunji.lead(given).catch((error) => ({ status: error.status, errors: error.errors })),
      form("12"),
    );
    const lead = await page.evaluate((given) => xunji.lead(given), form("13812345678"));
    return {
      lead,
      refused,
      stored: JSON.stringify(await page.evaluate(() => ({ ...localStorage }))).includes("13812345678"),
    };
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
  try {
    seen[name] = { ...(await scenario()), faults: [...faults] };
  } catch (error) {
    seen[name] = { failed: String(error.stack), faults: [...faults] };
  }
  for (const context of browser.contexts()) await context.close();
}
await browser.close();
console.log(JSON.stringify(seen));
process.exit(0);
