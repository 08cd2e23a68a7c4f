import { closeSync, readSync, writeSync } from "node:fs";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { expect, it } from "vitest";
import { createNetworkNamespace, openTap, unixSocketPair } from "./index.ts";

describeWith("Linux")("a pair of sockets", () => {
  it("is connected both ways, and does not block", () => {
    const [one, other] = unixSocketPair();
    const bytes = Buffer.alloc(8);
    expect(() => readSync(other, bytes)).toThrow("EAGAIN");
    writeSync(one, "there");
    writeSync(other, "back");
    expect([readSync(other, bytes), readSync(one, bytes)]).toEqual([5, 4]);
    closeSync(one);
    expect(readSync(other, bytes)).toBe(0);
    closeSync(other);
  });
});

describeWith("root")("a tap", () => {
  it("is an interface of the namespace that it was made in, while somebody holds it", () => {
    const namespace = createNetworkNamespace();
    const tap = namespace.run(() => openTap("tap0"));
    // A name can be had once.
    expect(() => namespace.run(() => openTap("tap0"))).toThrow("EBUSY");
    closeSync(tap);
    closeSync(namespace.run(() => openTap("tap0")));
    namespace.close();
  });

  it.each(["", "a".repeat(16)])("has no name such as %j", (name) => {
    expect(() => openTap(name)).toThrow("expected 1 to 15 bytes");
  });
});
