import { readFileSync } from "node:fs";
import { describe, expect, it } from "vitest";
import { exportedAttributes } from "./attributes.ts";
import { counters, gauges, histograms } from "./metrics.ts";

const page = readFileSync(new URL("../../../docs/telemetry.md", import.meta.url), "utf8");

/** Of the tables of the page, the rows whose first cell is code. */
const rows = [...page.matchAll(/^\| `([^`|]+)` *\|(.*)\|$/gm)].map(([, name = "", rest = ""]) => ({ name, rest }));

describe("docs/telemetry.md", () => {
  it("lists every metric with its unit, and no other", () => {
    const metrics = [...Object.values(histograms), ...Object.values(counters), ...gauges];
    const expected = metrics.map(({ name, unit }) => `${name} ${unit}`);
    const listed = rows
      .filter(({ name }) => /^(rpc|uvm_shim|nodejs|process|v8js)\./.test(name))
      .map(({ name, rest }) => `${name} ${rest.split("|")[0]?.trim().replaceAll("`", "")}`);
    expect(listed.toSorted()).toEqual(expected.toSorted());
  });

  it("names every attribute of spans and their events", () => {
    for (const attribute of Object.values(exportedAttributes)) expect(page).toContain(`\`${attribute}\``);
  });
});
