import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { escaped, printable, quoted } from "./plain-text.ts";

/** Each would end a line, move the cursor, ring, change colour or writing direction, be invisible or be no character. */
const hostileCharacters = [
  ...["\n", "\r", "\t", "\0", "\u001b", "\u0007", "\u007f", "\u0085", "\u009b", "\u2028", "\u2029"],
  ...["\u061c", "\u200e", "\u200f", "\u202a", "\u202e", "\u2066", "\u2069", "\ufeff", "\ud800", "\udfff"],
];
/** fast-check's own arbitrary strings take seconds to prepare. */
const anything = fc
  .array(fc.integer({ min: 0, max: 0x10ffff }), { maxLength: 600 })
  .map((points) => String.fromCodePoint(...points));
const plain = /^[^\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]*$/u;

describe("foreign texts", () => {
  it.each(hostileCharacters.map((character) => [JSON.stringify(character), character]))("have no %s", (_name, bad) => {
    expect(escaped(`a${bad}b`)).toMatch(/^a\\(n|r|t|u[0-9a-f]{4})b$/);
    expect(quoted(`a${bad}b`, 100)).toMatch(/^"a\\(n|r|t|u[0-9a-f]{4})b"$/);
  });

  it("keep printable characters", () => {
    const text = 'C:\\disks\\a.vhdx: "größer" 容器 😀';
    expect([escaped(text), printable(text, 100)]).toEqual([text, text]);
  });

  it("become plain and bounded, whatever they contain", () => {
    fc.assert(
      fc.property(anything, fc.integer({ min: 256, max: 512 }), (text, most) => {
        const [error, value] = [printable(text, most), quoted(text, most)];
        expect(error).toMatch(plain);
        expect(value).toMatch(plain);
        expect(error.length).toBeLessThanOrEqual(most);
        expect(Buffer.byteLength(value)).toBeLessThanOrEqual(most);
        expect(value).toMatch(/^".*"$/);
      }),
    );
  });

  it("are truncated with their full length stated, and keep their end", () => {
    const text = `the guest says ${"\n".repeat(64 * 1024)}: 0x80004005`;
    expect(printable(text, 8192)).toMatch(
      /^the guest says (\\n)+.* … \(cut: 65563 characters in all\) … .*: 0x80004005$/,
    );
    expect(quoted("é".repeat(1000), 200)).toMatch(/^"é+… \(cut: 1000 characters in all\)"$/);
  });
});
