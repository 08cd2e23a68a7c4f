import { describe, expect, it } from "vitest";
import { isMistyped } from "./mistyped.ts";

describe("a caller's text", () => {
  it.each([
    "",
    "-1",
    "12x",
    "4 GB".replace(" ", ""),
    "0,1,2",
    "1;2",
    "0.5",
    " true",
    "false\n",
    "maybe",
    "windows/amd64",
    "/a",
    "a b",
  ])("may be a mistyped number or word: %j", (text) => expect(isMistyped(text)).toBe(true));

  it.each([
    ...["tok-7f3a", "hunter2", "s3cr", "0x7f3a5c", "1,tok7f3a", "a/bc1", "/etc/x", "user:pw", "4 GiB!"],
    ...[
      "11111111-2222-3333-4444-555555555555",
      "12345678123456781234567812345678abcd",
      "letters".repeat(2),
      "1,".repeat(30),
    ],
  ])("may be a secret: %j", (text) => expect(isMistyped(text)).toBe(false));
});
