/**
 * One visitor over several domains: links to them carry the visitor's id for two minutes.
 *
 * A link is copied and sent to others. So the value ends in a check of the time and of this browser's looks, and counts
 * only where the browser says that it comes from a page of ours: whoever opens it from a chat is somebody else, and
 * stays that, on the same model of phone too.
 */

const NAME = "xunji_id";
const VALID = 120_000;
const PARAMETER = new RegExp(`([?&])${NAME}=([^&#]*)&?`);

const without = (query: string) => query.replace(PARAMETER, "$1").replace(/[?&]$/, "");

/** FNV-1a, 32 bits. */
function check(text: string): string {
  const { language, userAgent } = navigator;
  let sum = 2166136261;
  for (const letter of [text, language, userAgent, screen.width, screen.height].join())
    sum = Math.imul(sum ^ letter.charCodeAt(0), 16777619);
  return (sum >>> 0).toString(36);
}

const within = (domains: string[], host = "") => domains.some((domain) => ("." + host).endsWith("." + domain));

/** Puts the id into links to `domains` (and what is under them) at the moment when they are used. */
export function decorateLinks(domains: string[], id: () => string | undefined): void {
  const decorate = ({ target }: Event) => {
    const link = target instanceof Element && target.closest<HTMLAnchorElement>("a[href]");
    const visitor = id();
    if (!link || !visitor || link.hostname == location.hostname) return;
    if (!within(domains, link.hostname)) return;
    const text = `${visitor}.${Date.now().toString(36)}`;
    const bare = without(link.search);
    link.search = `${bare ? bare + "&" : "?"}${NAME}=${text}.${check(text)}`;
  };
  for (const kind of ["click", "auxclick", "contextmenu"]) document.addEventListener(kind, decorate, true);
}

/** The id with which a link brought this visitor here, once: it is taken out of the address bar. */
export function readLink(domains: string[]): string | undefined {
  const [, , value = ""] = PARAMETER.exec(location.search) || [];
  if (!value) return undefined;
  const { pathname, search, hash } = location;
  history.replaceState(history.state, "", pathname + without(search) + hash);
  const [id, time, sum] = value.split(".");
  const age = Date.now() - parseInt(time || "", 36);
  const [, from] = /\/\/([^/:]+)/.exec(document.referrer) || [];
  return within(domains, from) && age >= 0 && age < VALID && check(`${id}.${time}`) == sum ? id : undefined;
}
