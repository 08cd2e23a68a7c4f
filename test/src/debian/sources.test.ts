import { describe, expect, it } from "vitest";
import { debianSource, parseDeb822, parseSourcesList, upstreamVersion } from "./sources.ts";

describe("the machine's apt sources", () => {
  it("are read from the one-line form, with and without options", () => {
    const text =
      "# deb http://no.test/ x main\ndeb http://a.test/debian bookworm main contrib # why\n" +
      "deb-src http://a.test/debian bookworm main\ndeb [arch=amd64 signed-by=/k.gpg] http://b.test stable main\n";
    expect(parseSourcesList(text)).toEqual([
      { uri: "http://a.test/debian", suites: ["bookworm"], components: ["main", "contrib"] },
      { uri: "http://b.test", suites: ["stable"], components: ["main"], signedBy: "/k.gpg" },
    ]);
  });

  it("are read from the deb822 form, but for disabled ones", () => {
    const text =
      "Types: deb deb-src\n# a comment\nURIs: http://a.test/debian\nSuites: bookworm\n bookworm-updates\n" +
      "Components: main\nSigned-By: /k.gpg\n\nTypes: deb\nURIs: http://off.test\nSuites: x\nEnabled: no\n";
    expect(parseDeb822(text)).toEqual([
      {
        uri: "http://a.test/debian",
        suites: ["bookworm", "bookworm-updates"],
        components: ["main"],
        signedBy: "/k.gpg",
      },
    ]);
  });

  it("name Debian's own mirror by the release that it serves", () => {
    const other = { uri: "http://vendor.test", suites: ["any"], components: ["main"] };
    const security = { uri: "http://s.test", suites: ["bookworm-security"], components: ["main"] };
    const debian = { uri: "http://a.test", suites: ["bookworm", "bookworm-updates"], components: ["main"] };
    expect(debianSource([other, security, debian], ["bookworm", "trixie"])).toBe(debian);
    expect(debianSource([other, security], ["bookworm"])).toBeUndefined();
  });
});

describe("upstreamVersion", () => {
  it.each([
    ["1.6.20~ds1-1+deb12u3", "1.6.20"],
    ["2.1.9+ds1-5", "2.1.9"],
    ["1:3.0-2", "3.0"],
  ])("of %s is %s", (version, upstream) => {
    expect(upstreamVersion(version)).toBe(upstream);
  });
});
