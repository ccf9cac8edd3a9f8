/** Clicks and forms that the page's author marked with `data-xunji-…`, no others: no text, no field's value. */

import type { Properties } from "../core/tracker";

const MARK = "data-xunji-";

/** `data-xunji-car-model="X9"` is the property `car_model`. */
function propertiesOf(element: Element): Properties {
  const found: Properties = {};
  for (const { name, value } of Array.from(element.attributes))
    if (name.startsWith(MARK) && name != MARK + "event") found[name.slice(MARK.length).replace(/-/g, "_")] = value;
  return found;
}

export function watchElements(track: (event: string, properties: Properties) => void): void {
  const watch = (kind: string, mark: string, named?: string) =>
    document.addEventListener(
      kind,
      ({ target }) => {
        const element = target instanceof Element && target.closest(`[${MARK + mark}]`);
        if (element) track(named || element.getAttribute(MARK + mark)!, propertiesOf(element));
      },
      true,
    );
  watch("click", "event");
  watch("submit", "form", "form_submitted");
}
