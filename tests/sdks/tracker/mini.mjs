/**
 * Two people with WeChat, and one of them at her computer too: what they do is printed as JSON in the last line.
 *
 * The first line of standard input tells {collectorPort, mini: key, web: key, app: app.js, snippet}. Prints `away` when the
 * collector should go and `back` when it should come again, and goes on with the next line each time.
 */

import http from "node:http";
import { createRequire } from "node:module";
import { createInterface } from "node:readline";
import { newNetwork } from "./network.mjs";
import { newPhone, opened } from "./phone.mjs";

const { chromium } = createRequire(new URL("../../../sdk-js-snippet/package.json", import.meta.url))("playwright-core");
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();
const heard = async () => (await lines.next()).value;
const say = async (word) => (console.log(word), heard());
const until = async (done) => {
  for (let tries = 0; !done(); tries++) {
    if (tries > 400) throw new Error("did not happen: " + done);
    await new Promise((go) => setTimeout(go, 50));
  }
};

const { collectorPort, mini, web, app, snippet } = JSON.parse(await heard());
const network = await newNetwork(collectorPort);
const place = (key) => ({ url: `http://127.0.0.1:${network.port}`, key });
const files = {
  app: app.replace("https://collect.example.com", place().url).replace("KEY", mini),
  "pages/s6/s6": `Page({ onShareAppMessage: () => ({ title: "S6", path: "/pages/s6/s6?trim=max" }) })`,
  // As most frameworks make their pages.
  "pages/drive/drive": `Component({ methods: { onLoad() {} } })`,
};
const APPID = "wx1234567890abcdef";
const S6 = "pages/s6/s6";
const found = {};

// Ms. Li scans the code on a stand, looks, signs in, and shares.
const hers = newPhone(APPID, files);
const li = hers.run();
const scanned = { scene: "utm_source%3Dauto-shanghai%26utm_campaign%3Ds6" };
li.launch({ path: S6, scene: 1047, query: scanned });
const page = li.open(S6, scanned);
li.tracker().track("seat_viewed", { row: 2, n: 0 });
li.tracker().wechat({ appid: APPID, openid: "oLi", unionid: "uLi" });
const card = await page.onShareAppMessage({ from: "menu" });
await until(() => !li.waiting());

// She hides the program while it sends: what arrived was never answered for.
network.state = "deaf";
for (let n = 1; n < 40; n++) li.tracker().track("seat_viewed", { row: 2, n });
await li.hide();
found.unanswered = li.waiting();
network.state = "up";
li.show({ path: S6, scene: 1089, query: scanned });
await until(() => !li.waiting());

// Her friend opens the card on another phone, and shares it on.
const friends = newPhone(APPID, files);
let friend = friends.run();
const launched = opened(card.path, 1007);
friend.launch(launched);
const further = await friend.open(S6, launched.query).onShareAppMessage({ from: "button" });
found.cards = [card.path, further.path];
friend.tracker().wechat({ appid: APPID, openid: "oFriend", unionid: "uFriend" });
await friend.tracker().flush();

// The collector is away, and the friend's program is thrown out of memory meanwhile.
await say("away");
for (let n = 0; n < 60; n++) friend.tracker().track("colour_chosen", { n });
await friend.tracker().flush();
friend.kill();
friend = friends.run();
friend.launch({ path: S6, scene: 1089, query: {} });
friend.open(S6, {});
for (let n = 60; n < 70; n++) friend.tracker().track("colour_chosen", { n });
await friend.tracker().flush();
found.kept = friend.waiting();
await say("back");
await until(() => !friend.waiting());

// Ms. Li asks for a test drive.
li.open("pages/drive/drive", { series: "S6" });
li.tracker().identify("YQ-LI");
found.lead = await li.tracker().lead({
  contact: { name: "李女士", phone: "13812345678" },
  interest: { series: "S6" },
  consent: { purposes: ["sales_contact"], text_version: "2026-01" },
});
await until(() => !li.waiting());

// And on the web: at home, where the team's server learns who she is by the code that she scans with WeChat, and in her
// office, where she signs in as a member.
const body = `<!doctype html><title>S6</title>${snippet.replace(/\{url:.*?\}/, JSON.stringify({ ...place(web), bots: "send" }))}`;
const server = http.createServer((_, response) => response.setHeader("Content-Type", "text/html; charset=utf-8").end(body));
await new Promise((go) => server.listen(0, "127.0.0.1", go));
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: ["--no-sandbox", "--disable-gpu", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"],
});
async function visit() {
  const page = await (await browser.newContext()).newPage();
  await page.goto(`http://127.0.0.1:${server.address().port}/`);
  await page.waitForFunction(() => window.xunji.o === null);
  return page;
}
const visitorOf = (page) => page.evaluate((key) => JSON.parse(localStorage.getItem(`xunji.${key}.v`)).anonymousId, web);
const [home, office] = [await visit(), await visit()];
await office.evaluate(() => xunji.identify("YQ-LI"));
for (const each of [home, office]) await each.evaluate(() => xunji.flush());
found.visitors = {
  phone: JSON.parse(hers.storage.get(`xunji.${mini}.v`)).anonymousId,
  friend: JSON.parse(friends.storage.get(`xunji.${mini}.v`)).anonymousId,
  home: await visitorOf(home),
  office: await visitorOf(office),
};
await browser.close();

found.faults = [...li.faults, ...friend.faults];
found.stored = [...hers.storage.values()].join();
console.log(JSON.stringify(found));
process.exit(0);
