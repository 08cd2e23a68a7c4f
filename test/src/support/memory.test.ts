import { describe, expect, it } from "vitest";
import { togetherOf } from "./memory.ts";

function mapping(name: string, counts: { readonly [name: string]: number }): string {
  const lines = Object.entries({ Size: 900, ...counts }).map(([key, value]) => `${key}:   ${value} kB\n`);
  return `00400000-00800000 r-xp 00001000 fe:00 17      ${name}\n${lines.join("")}VmFlags: rd ex mr mw me sd\n`;
}

describe("togetherOf", () => {
  it("counts what processes share once, and what each has alone", () => {
    const first = mapping("/bin/node", { Shared_Clean: 500, Private_Clean: 20 });
    const second = mapping("/bin/node", { Shared_Clean: 480, Private_Dirty: 7 });
    expect(togetherOf([first, second])).toBe(527);
  });

  it("counts pages that others share whole", () => {
    expect(togetherOf([mapping("/bin/node", { Rss: 500, Pss: 10, Shared_Clean: 500 })])).toBe(500);
  });

  it("keeps files and parts of them apart", () => {
    const other = mapping("/lib/other.so", { Shared_Dirty: 3 });
    expect(togetherOf([mapping("/bin/node", { Shared_Clean: 5 }) + other])).toBe(8);
  });
});
