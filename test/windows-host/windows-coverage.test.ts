import { join } from "node:path";
import { beforeAll, describe, expect, it } from "vitest";
import { type Declaration, declarationsIn, preprocessedHeaders } from "./header-declarations.ts";
import { coverageDocument, coveredDlls, mistakesIn } from "./windows-coverage.ts";
import { REPOSITORY } from "./wine-environment.ts";

describe("the functions that the driver calls", () => {
  const byHeader = new Map<string, readonly Declaration[]>();
  beforeAll(async () => {
    for (const [header, text] of await preprocessedHeaders()) byHeader.set(header, declarationsIn(text));
  });

  it.each(coveredDlls)("are declared, and the others of $dll left out for a reason", (covered) => {
    const declared = covered.headers.flatMap((header) => byHeader.get(header) ?? []);
    expect(declared.length).toBeGreaterThan(10);
    expect(mistakesIn(covered, declared)).toEqual([]);
  });

  it("are listed in docs/windows-coverage.md", async () => {
    await expect(coverageDocument(byHeader)).toMatchFileSnapshot(join(REPOSITORY, "docs/windows-coverage.md"));
  });
});
