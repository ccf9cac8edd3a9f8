/** What the address of a page tells about the advertisement that led to it; `collectors/campaign.py` reads the same. */

import type { Campaign } from "../core/ports";

const UTM = /^utm_(source|medium|campaign|term|content)$/;
const CLICK_ID =
  /^(\w+clid|msclkid|[gw]braid|gdt_vid|qz_gdt|bd_vid|(qh)?clickid|click_id|li_fat_id|epik|rdt_cid|sccid)$/;

export function campaignIn(query: string): Campaign | undefined {
  let found: Campaign | undefined;
  new URLSearchParams(query).forEach((value, name) => {
    const utm = UTM.exec(name);
    if (!value || !(utm || CLICK_ID.test(name))) return;
    found = found || {};
    if (utm) found[utm[1] == "campaign" ? "name" : (utm[1] as "source")] = value;
    else found.click_ids = { ...found.click_ids, [name]: value };
  });
  return found;
}
