/**
 * A visitor of the demo shop, in a real Chromium: looks around on both of its hosts, agrees, and asks for a test drive.
 *
 *     node tests/sdks/tracker/demo.mjs PORT [FOLDER for screenshots]
 *
 * Prints {lead, wrong, storedBefore, faults}.
 */

import { createRequire } from "node:module";

const require = createRequire(new URL("../../../sdk-js-snippet/package.json", import.meta.url));
const { chromium } = require("playwright-core");

const [port, folder] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath: "/usr/bin/chromium",
  args: [
    ...["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"],
    ...["--disable-component-update", "--disable-sync"],
    "--host-resolver-rules=MAP localhost 127.0.0.1, MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
  ],
});
const context = await browser.newContext({
  userAgent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36",
  locale: "zh-CN",
  viewport: { width: 1200, height: 820 },
});
await context.addInitScript(() => Object.defineProperty(Navigator.prototype, "webdriver", { get: () => false }));
const page = await context.newPage();
const faults = [];
page.on("pageerror", (error) => faults.push(String(error)));
page.on("requestfailed", (request) => {
  // What a page was about when it was left is told so too, and is sent again by the next.
  const { errorText } = request.failure();
  if (errorText != "net::ERR_ABORTED") faults.push(`${request.url()}: ${errorText}`);
});
const picture = (name) => (folder ? page.screenshot({ path: `${folder}/${name}.png` }) : undefined);
const agree = () => page.click("text=同意 Yes");

await page.goto(`http://127.0.0.1:${port}/demo/?utm_source=xiaohongshu&utm_medium=social&utm_campaign=s6-debut`);
await page.waitForFunction(() => window.xunji.o === null);
const storedBefore = await page.evaluate(() => Object.keys(localStorage));
await picture("shop");
await agree();
await page.click("header >> text=S6");
await page.click("text=S6 Max");

await page.click("header >> text=车友社区");
await page.waitForURL(/\/\/localhost:.*\/club\.html$/);
await agree();
await page.click("text=喜欢");

await page.click("text=回到商城");
await page.waitForURL(/\/\/127\.0\.0\.1:.*\/space\.html$/);
await page.click("text=二排座椅");
await page.click("text=第三排实拍");

await page.click("header >> text=预约试驾");
await page.fill("[name=name]", "王女士");
await page.fill("[name=phone]", "139");
await page.check("[name=consent]");
await page.click("text=提交 Send");
await page.waitForSelector("#wrong:not([hidden])");
const wrong = await page.textContent("#wrong");
await page.fill("[name=phone]", "139 1234 5678");
await picture("form");
await page.click("text=提交 Send");
await page.waitForSelector("#done:not([hidden])");
await picture("thanks");
const lead = (await page.textContent("#done code")).split(" ").pop();
await browser.close();
console.log(JSON.stringify({ lead, wrong, storedBefore, faults }));
