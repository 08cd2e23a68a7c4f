import { closeSync, existsSync } from "node:fs";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { expect, it } from "vitest";
import { createNetworkNamespace, openTap, renameInterface } from "./index.ts";

describeWith("root")("an interface", () => {
  it("gets another name, of its own namespace alone", () => {
    const namespace = createNetworkNamespace();
    const tap = namespace.run(() => openTap("tap0"));
    namespace.run(() => renameInterface("tap0", "nic123456781234"));
    expect(() => namespace.run(() => renameInterface("tap0", "other"))).toThrow("SIOCSIFNAME tap0 to other: ENODEV");
    // The longest that the kernel has.
    expect(() => namespace.run(() => openTap("nic123456781234"))).toThrow("EBUSY");
    expect(existsSync("/sys/class/net/nic123456781234")).toBe(false);
    closeSync(tap);
    namespace.close();
  });
});
