/** Where the machine gets its Debian packages from, so that other releases can be had from the same mirror. */
export interface AptSource {
  readonly uri: string;
  readonly suites: readonly string[];
  readonly components: readonly string[];
  readonly signedBy?: string;
}

/** Reads a sources.list: one source to a line. */
export function parseSourcesList(text: string): AptSource[] {
  return text.split("\n").flatMap((line) => {
    const match = line.match(/^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s*(.*)$/);
    if (match === null) return [];
    const [, options = "", uri = "", suite = "", components = ""] = match;
    const signedBy = options.match(/signed-by=(\S+)/)?.[1];
    return [
      {
        uri,
        suites: [suite],
        components: words(components.replace(/#.*/, "")),
        ...(signedBy === undefined ? {} : { signedBy }),
      },
    ];
  });
}

/** Reads a file of the deb822 form, as in sources.list.d/debian.sources. */
export function parseDeb822(text: string): AptSource[] {
  const stanzas = text
    .split("\n")
    .filter((line) => !line.startsWith("#"))
    .join("\n")
    .split(/\n\s*\n/);
  return stanzas.flatMap((stanza) => {
    const fields = new Map<string, string>();
    for (const match of stanza.matchAll(/^([A-Za-z-]+):[ \t]*(.*(?:\n[ \t].*)*)/gm)) {
      fields.set((match[1] as string).toLowerCase(), (match[2] as string).trim());
    }
    if (fields.get("enabled") === "no" || !words(fields.get("types")).includes("deb")) return [];
    const signedBy = fields.get("signed-by");
    return words(fields.get("uris")).map((uri) => ({
      uri,
      suites: words(fields.get("suites")),
      components: words(fields.get("components")),
      // A key written out in the file cannot be repeated on one line; apt's trusted keys then have to do.
      ...(signedBy?.startsWith("/") && !signedBy.includes("\n") ? { signedBy } : {}),
    }));
  });
}

/** The source of a Debian release itself: not of its updates, and not of somebody else's packages. */
export function debianSource(sources: readonly AptSource[], releases: readonly string[]): AptSource | undefined {
  return sources.find(
    (source) => source.components.includes("main") && source.suites.some((suite) => releases.includes(suite)),
  );
}

/** The version that upstream gave, out of a Debian version: `1.6.20~ds1-1+deb12u3` is `1.6.20`. */
export function upstreamVersion(version: string): string {
  return version.replace(/^\d+:/, "").replace(/[~+-].*$/, "");
}

function words(text: string | undefined): string[] {
  return (text ?? "").split(/\s+/).filter((word) => word !== "");
}
