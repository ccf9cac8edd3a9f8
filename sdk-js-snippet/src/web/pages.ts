/** Page views, also of pages that a script shows without loading them. */

/** What an address is without the part that only scrolls; `hash`: that part names pages too. */
const addressOf = (hash: boolean) => (hash ? location.href : location.href.split("#")[0]!);

export interface Pages {
  /** The page from which the present one was reached. */
  referrer(): string;
}

/** Calls `view` for the page that is shown now and for each later one. */
export function watchPages(hash: boolean, view: () => void): Pages {
  let address = addressOf(hash);
  let referrer = document.referrer;
  const changed = () => {
    const now = addressOf(hash);
    if (now == address) return;
    referrer = address;
    address = now;
    // Routers set the title after the address.
    setTimeout(view);
  };
  for (const name of ["pushState", "replaceState"] as const) {
    const original = history[name];
    history[name] = function (this: History, ...given: Parameters<History["pushState"]>) {
      original.apply(this, given);
      changed();
    };
  }
  addEventListener("popstate", changed);
  if (hash) addEventListener("hashchange", changed);
  // Back to a page that the browser kept alive.
  addEventListener("pageshow", (event) => event.persisted && view());
  // A page that is only prepared for a click that may come is not seen by anybody.
  if ((document as { prerendering?: boolean }).prerendering)
    document.addEventListener("prerenderingchange", view, { once: true });
  else view();
  return { referrer: () => referrer };
}
