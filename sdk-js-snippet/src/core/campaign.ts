/** What an address's parameters tell of the advertisement that led to it; `collectors/campaign.py` reads the same. */

import type { Campaign } from "./ports";

const UTM = /^utm_(source|medium|campaign|term|content)$/;
const CLICK_ID = /^(\w*(clid|clkid|click_?id)|[gw]braid|gdt_vid|qz_gdt|bd_vid|li_fat_id|epik|rdt_cid|sccid)$/;

/** undefined where they tell of none. */
export function campaignOf(parameters: [name: string, value: string][]): Campaign | undefined {
  let found: Campaign | undefined;
  for (const [name, value] of parameters) {
    const utm = UTM.exec(name);
    if (!value || !(utm || CLICK_ID.test(name))) continue;
    found = found || {};
    if (utm) found[utm[1] == "campaign" ? "name" : (utm[1] as "source")] = value;
    else found.click_ids = { ...found.click_ids, [name]: value };
  }
  return found;
}
