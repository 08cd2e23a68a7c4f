import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { type AptSource, debianSource, parseDeb822, parseSourcesList } from "./sources.ts";

/** The mirror that this machine's apt has its Debian packages from, by a release that it serves: these, or a rolling one. */
export function machineSource(releases: readonly string[]): AptSource {
  const parts = "/etc/apt/sources.list.d";
  const read = (path: string): string => (existsSync(path) ? readFileSync(path, "utf8") : "");
  const names = existsSync(parts) ? readdirSync(parts) : [];
  const sources = [
    ...parseSourcesList(read("/etc/apt/sources.list")),
    ...names.filter((name) => name.endsWith(".sources")).flatMap((name) => parseDeb822(read(join(parts, name)))),
    ...names.filter((name) => name.endsWith(".list")).flatMap((name) => parseSourcesList(read(join(parts, name)))),
  ];
  const source = debianSource(sources, [...releases, "stable", "testing", "sid"]);
  if (source === undefined)
    throw new Error(`no Debian mirror found in /etc/apt: expected one to fetch Debian's packages from`);
  return source;
}
