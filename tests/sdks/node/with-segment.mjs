// A visitor looks, logs in and books, as @segment/analytics-node tells it: URL KEY VISITOR MEMBER.
import { Analytics } from "@segment/analytics-node";
import { pause } from "./pause.mjs";

const [host, writeKey, anonymousId, userId] = process.argv.slice(2);
const analytics = new Analytics({ writeKey, host, maxRetries: 10 });
analytics.on("error", (error) => {
  throw error;
});
const page = { url: "https://shop.example.test/x9?utm_source=baidu&utm_campaign=x9-launch", title: "X9" };
analytics.page({ anonymousId, category: "车型", name: "X9", properties: page, context: { page } });
analytics.track({ anonymousId, event: "seat_viewed", properties: { series: "X9", row: 2 } });
analytics.identify({ anonymousId, userId, traits: { name: "李女士", phone: "13651234568" } });
await analytics.flush();
await pause();
analytics.track({ userId, event: "test_drive_booked", properties: { series: "X9", price: 299800 } });
analytics.group({ userId, groupId: "dealer-7", traits: { city: "上海" } });
await analytics.closeAndFlush({ timeout: 60000 });
