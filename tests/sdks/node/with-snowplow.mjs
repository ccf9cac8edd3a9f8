// A visitor looks, logs in and books, as @snowplow/node-tracker tells it: URL KEY VISITOR MEMBER.
import { setTimeout } from "node:timers/promises";
import { buildPageView, buildSelfDescribingEvent, buildStructEvent, newTracker } from "@snowplow/node-tracker";
import { pause } from "./pause.mjs";

const [endpoint, appId, visitor, member] = process.argv.slice(2);
let sent = 0;
const onRequestSuccess = (events) => (sent += events.length);
const tracker = newTracker({ namespace: "shop", appId }, { endpoint, onRequestSuccess });
tracker.setPlatform("web");
tracker.setDomainUserId(visitor);
const pageUrl = "https://shop.example.test/x9?utm_source=baidu&utm_campaign=x9-launch";
tracker.track(buildPageView({ pageUrl, pageTitle: "X9" }));
const schema = "iglu:com.example/seat_viewed/jsonschema/1-0-0";
tracker.track(buildSelfDescribingEvent({ event: { schema, data: { series: "X9", row: 2 } } }));
await tracker.flush();
await pause();
tracker.setUserId(member);
tracker.track(buildStructEvent({ category: "shop", action: "test_drive_booked", label: "X9", value: 299800 }));
// What failed is tried again by the next flush, and by nothing else.
while (sent < 3) {
  await tracker.flush();
  await setTimeout(200);
}
