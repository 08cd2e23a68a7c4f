import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, it } from "vitest";
import { withoutUnloadedSections } from "./elf.ts";
import { withoutOtherLanguages } from "./icu-data.ts";

const script = `
  const texts = [
    new Date(0).toLocaleString("en", { timeZone: "UTC" }), new Intl.NumberFormat("de").format(1234.5),
    "\\u00e4".normalize("NFD").length, "stra\\u00dfe".toUpperCase(), "a".localeCompare("b"), /\\p{L}/u.test("\\u00e4"),
    new URL("http://b\\u00fccher.example").host, new TextDecoder("utf-16le").decode(Buffer.from("a\\0")),
  ];
  process.stdout.write(JSON.stringify(texts));
`;

it("leaves a runtime that speaks the default language only, and is as large", () => {
  const folder = mkdtempSync(join(tmpdir(), "icu-data-"));
  const whole = withoutUnloadedSections(readFileSync(process.execPath));
  const cut = withoutOtherLanguages(whole);
  writeFileSync(join(folder, "node"), cut, { mode: 0o755 });
  const ended = spawnSync(join(folder, "node"), ["-e", script], { encoding: "utf8" });
  rmSync(folder, { recursive: true });
  expect([cut.length, ended.stderr, ended.status]).toEqual([whole.length, "", 0]);
  expect(JSON.parse(ended.stdout)).toEqual([
    "1/1/1970, 12:00:00 AM",
    "1,234.5",
    2,
    "STRASSE",
    -1,
    true,
    "xn--bcher-kva.example",
    "a",
  ]);
});

it("leaves what has no such data as it is", () => {
  expect(withoutOtherLanguages(Buffer.from("a program")).toString()).toBe("a program");
});
