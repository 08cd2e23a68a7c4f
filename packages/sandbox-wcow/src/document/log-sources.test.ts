import { describe, expect, it } from "vitest";
import { type LogProvider, type LogSource, logSources } from "./log-sources.ts";

const encoded = (document: unknown): string => Buffer.from(JSON.stringify(document)).toString("base64");
const wantedOf = (providers: readonly LogProvider[], type = "ETW"): string =>
  encoded({ LogConfig: { sources: [{ type, providers }] } });

function read(text: string): readonly LogSource[] {
  return JSON.parse(Buffer.from(text, "base64").toString("utf8")).LogConfig.sources;
}

const compute = "microsoft.windows.hyperv.compute";
const computeGuid = "80ce50de-d264-4581-950d-abadeee0d340";
const otherGuid = "11111111-2222-3333-4444-555555555555";

describe("log sources", () => {
  it("are the usual providers by default, with GUIDs in an ordinary guest and names in a confidential one", () => {
    const [ordinary] = read(logSources({ withDefaults: true, isConfidential: false }));
    expect(ordinary?.providers).toHaveLength(13);
    expect(ordinary?.providers[0]).toEqual({ providerName: compute, providerGuid: computeGuid, level: "Information" });
    const [confidential] = read(logSources({ withDefaults: true, isConfidential: true }));
    expect(confidential?.providers[0]).toEqual({ providerName: compute, level: "Information" });
  });

  it("have those wanted over the usual ones of the same name, and other types beside them", () => {
    const mine = { providerName: compute, level: "Error" };
    const [etw] = read(logSources({ wanted: wantedOf([mine]), withDefaults: true, isConfidential: false }));
    expect(etw?.providers).toHaveLength(13);
    expect(etw?.providers[0]).toEqual({ ...mine, providerGuid: computeGuid });
    const both = read(logSources({ wanted: wantedOf([], "Other"), withDefaults: true, isConfidential: false }));
    expect(both.map(({ type }) => type)).toEqual(["ETW", "Other"]);
  });

  it.each<[boolean, LogProvider, LogProvider]>([
    [
      false,
      { providerName: "Microsoft.Windows.HyperV.Compute" },
      { providerName: "Microsoft.Windows.HyperV.Compute", providerGuid: computeGuid },
    ],
    [false, { providerGuid: `{${otherGuid.toUpperCase()}}` }, { providerGuid: otherGuid }],
    [false, { providerName: "mine", keywords: "0x1" }, { providerName: "mine", keywords: "0x1" }],
    [true, { providerName: compute, providerGuid: computeGuid.toUpperCase() }, { providerName: compute }],
    [true, { providerName: compute, providerGuid: otherGuid }, { providerGuid: otherGuid }],
    [true, { providerName: compute }, { providerName: compute }],
  ])("name a provider as the guest wants it (confidential: %j): %j", (isConfidential, given, sent) => {
    const [source] = read(logSources({ wanted: wantedOf([given]), withDefaults: false, isConfidential }));
    expect(source?.providers).toEqual([sent]);
  });

  it("are the same for the next guest, whatever the last one wanted", () => {
    const options = { withDefaults: true, isConfidential: false };
    const before = logSources(options);
    logSources({ ...options, wanted: wantedOf([{ providerName: "mine" }]) });
    expect(logSources(options)).toBe(before);
  });

  it.each([
    ["not base64!", "forwardlogs.sources: got 11 characters, expected base64 of a JSON object"],
    [Buffer.from("{").toString("base64"), "got 4 characters, expected base64 of a JSON object"],
    [encoded({ LogConfig: { sources: 1 } }), "got 1 as LogConfig.sources, expected a list"],
    [encoded({ LogConfig: { sources: { a: "b" } } }), "got an object as LogConfig.sources, expected a list"],
    [
      wantedOf([{ providerName: ["a"] }] as object[] as never),
      "got a list as LogConfig.sources[0].providers[0].providerName",
    ],
    [wantedOf([{ providerName: "mine", providerGuid: "1" }]), 'got "1" as providerGuid of provider "mine"'],
  ])("are refused where they are wrong: %j", (wanted, message) => {
    expect(() => logSources({ wanted, withDefaults: true, isConfidential: false })).toThrow(message);
  });
});
