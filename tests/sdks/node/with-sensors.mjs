// A visitor looks, logs in and books, as sa-sdk-node tells it: URL KEY VISITOR MEMBER.
import SensorsAnalytics from "sa-sdk-node";
import { pause } from "./pause.mjs";

const [url, key, visitor, member] = process.argv.slice(2);
const client = new SensorsAnalytics();
client.submitTo(`${url}/sa?project=${key}`, { gzip: true });
client.track(visitor, "seat_viewed", { series: "X9", row: 2, $utm_source: "baidu", $utm_campaign: "x9-launch" });
client.trackSignup(member, visitor);
client.profileSet(member, { city: "杭州", $is_login_id: true });
await pause();
client.track(member, "test_drive_booked", { series: "X9", price: 299800, $is_login_id: true });
