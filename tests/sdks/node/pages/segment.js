import { AnalyticsBrowser } from "@segment/analytics-next";

let analytics;

const BATCHES = { "Segment.io": { deliveryStrategy: { strategy: "batching", config: { size: 10, timeout: 1000 } } } };

export function visit(cdnURL, writeKey, way) {
  analytics = AnalyticsBrowser.load({ writeKey, cdnURL }, way === "batching" ? { integrations: BATCHES } : {});
  analytics.page("车型", "X9");
  analytics.track("seat_viewed", { series: "X9", row: 2 });
}

export const login = (member) => analytics.identify(member, { name: "李女士", email: `${member}@example.com` });
export const book = () => analytics.track("test_drive_booked", { series: "X9", price: 299800 });
