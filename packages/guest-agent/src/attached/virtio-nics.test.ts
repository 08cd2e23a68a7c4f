import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { LinuxNetworkAdapter } from "@uvm-shim/hcs-schema";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { nicsByAddress } from "./virtio-nics.ts";

describe("the NICs of a virtual machine", () => {
  const adapter = {
    NamespaceID: "",
    ID: "12345678-1234-1234-1234-123456789abc",
    MacAddress: "00-15-5D-00-00-01",
  };
  let folder: string;
  const interfaces = (name: string): string => join(folder, "class/net", name);
  const renamed: string[] = [];

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "virtio-nics-"));
    renamed.length = 0;
    addInterface("lo", "00:00:00:00:00:00");
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  function addInterface(name: string, address: string, isDevice = false): void {
    mkdirSync(interfaces(name), { recursive: true });
    writeFileSync(join(interfaces(name), "address"), `${address}\n`);
    if (isDevice) mkdirSync(join(interfaces(name), "device"));
  }

  function find(given: LinuxNetworkAdapter): string | undefined {
    return nicsByAddress(folder, (from, to) => {
      renamed.push(`${from} ${to}`);
      renameSync(interfaces(from), interfaces(to));
    })(given);
  }

  it("are found by their addresses, and named by their GUIDs", () => {
    addInterface("eth0", "00:15:5d:00:00:02", true);
    expect(find(adapter)).toBeUndefined();
    addInterface("bridge0", "00:15:5d:00:00:01");
    expect(find(adapter)).toBeUndefined();
    addInterface("eth1", "00:15:5d:00:00:01", true);
    expect(find(adapter)).toBe("nic123456781234");
    expect(find(adapter)).toBe("nic123456781234");
    expect(renamed).toEqual(["eth1 nic123456781234"]);
  });

  it("need an address", () => {
    const { MacAddress: _, ...without } = adapter;
    expect(() => find(without)).toThrow("expected Request.Settings.MacAddress");
  });
});
