import { createHash } from "node:crypto";
import { expect, it } from "vitest";
import { sha256 } from "./sha256.ts";

it.each([0, 1, 31, 54, 55, 56, 57, 63, 64, 65, 119, 120, 127, 128, 1000])(
  "gives the digest that node:crypto gives of %i bytes",
  (length) => {
    const text = Array.from({ length }, (_, index) => String.fromCharCode(index % 128)).join("");
    expect(sha256(text)).toBe(createHash("sha256").update(text).digest("hex"));
  },
);

it("takes a text as UTF-8", () => {
  const text = "/run/containerd/containerd.sock\0naïve\0🐳";
  expect(sha256(text)).toBe(createHash("sha256").update(text).digest("hex"));
});
