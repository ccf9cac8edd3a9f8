import { AnalyticsBrowser } from "@segment/analytics-next";

let analytics;

export async function visit(cdnURL, writeKey) {
  analytics = AnalyticsBrowser.load({ writeKey, cdnURL });
  await analytics.page("车型", "X9");
  await analytics.track("seat_viewed", { series: "X9", row: 2 });
}

export const login = (member) => analytics.identify(member, { name: "李女士", phone: "13651234569" });
export const book = () => analytics.track("test_drive_booked", { series: "X9", price: 299800 });
