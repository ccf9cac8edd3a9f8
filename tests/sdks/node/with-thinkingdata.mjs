// A visitor looks, logs in and books, as thinkingdata-node tells it: URL KEY VISITOR MEMBER.
import ThinkingData from "thinkingdata-node";
import { pause } from "./pause.mjs";

const [url, key, distinctId, accountId] = process.argv.slice(2);
const client = ThinkingData.initWithAsyncBatchMode(key, url, { batchSize: 1 });
client.track({ distinctId, event: "seat_viewed", properties: { series: "X9", row: 2 } });
client.track({ distinctId, accountId, event: "logged_in" });
client.userSet({ accountId, distinctId, properties: { city: "杭州" } });
await pause();
client.track({ accountId, event: "test_drive_booked", properties: { series: "X9", price: 299800 } });
client.userAdd({ accountId, properties: { drives: 1 } });
await client.close();
