// A visitor looks, logs in and books, as posthog-node tells it: URL KEY VISITOR MEMBER.
import { PostHog } from "posthog-node";
import { pause } from "./pause.mjs";

const [host, key, visitor, member] = process.argv.slice(2);
const client = new PostHog(key, { host, fetchRetryCount: 30, fetchRetryDelay: 1000 });
const address = "https://shop.example.test/x9?utm_source=baidu&utm_campaign=x9-launch";
client.capture({ distinctId: visitor, event: "$pageview", properties: { $current_url: address, $title: "X9" } });
client.capture({ distinctId: visitor, event: "seat_viewed", properties: { series: "X9", row: 2 } });
client.alias({ distinctId: member, alias: visitor });
client.identify({ distinctId: member, properties: { city: "杭州" } });
await client.flush();
await pause();
client.capture({ distinctId: member, event: "test_drive_booked", properties: { series: "X9", price: 299800 } });
client.groupIdentify({ groupType: "dealer", groupKey: "dealer-7", properties: { city: "上海" } });
await client.shutdown(60000);
