// A visitor looks, logs in and books, as @rudderstack/rudder-sdk-node tells it: URL KEY VISITOR MEMBER.
import Analytics from "@rudderstack/rudder-sdk-node";
import { pause } from "./pause.mjs";

const [dataPlaneUrl, key, anonymousId, userId] = process.argv.slice(2);
const client = new Analytics(key, { dataPlaneUrl, retryCount: 10, flushInterval: 200 });
const url = "https://shop.example.test/x9?utm_source=baidu&utm_campaign=x9-launch";
client.page({ anonymousId, name: "X9", properties: { url, title: "X9" }, context: { page: { url } } });
client.track({ anonymousId, event: "seat_viewed", properties: { series: "X9", row: 2 } });
client.identify({ anonymousId, userId, traits: { name: "李女士", email: "li.node@example.com" } });
await client.flush();
await pause();
client.track({ userId, event: "test_drive_booked", properties: { series: "X9", price: 299800 } });
client.alias({ userId, previousId: `${anonymousId}-tablet` });
await client.flush();
process.exit(0);
