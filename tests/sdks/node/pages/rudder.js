import { RudderAnalytics } from "@rudderstack/analytics-js/bundled";

const analytics = new RudderAnalytics();

export function visit(url, key, way) {
  const beacons = { useBeacon: true, beaconQueueOptions: { flushQueueInterval: 500 } };
  analytics.load(key, url, { configUrl: url, ...(way === "beacon" ? beacons : {}) });
  analytics.page("车型", "X9");
  analytics.track("seat_viewed", { series: "X9", row: 2 });
}

export const login = (member) => analytics.identify(member, { name: "李女士", email: `${member}@example.com` });
export const book = () => analytics.track("test_drive_booked", { series: "X9", price: 299800 });
