import { jitsuAnalytics } from "@jitsu/js";

let jitsu;

export async function visit(host, writeKey) {
  jitsu = jitsuAnalytics({ host, writeKey });
  await jitsu.page({ name: "X9" });
  await jitsu.track("seat_viewed", { series: "X9", row: 2 });
}

export const login = (member) => jitsu.identify(member, { city: "杭州" });
export const book = () => jitsu.track("test_drive_booked", { series: "X9", price: 299800 });
