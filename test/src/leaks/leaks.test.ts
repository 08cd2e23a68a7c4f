import { describe, expect, it } from "vitest";
import { compareHoldings, type Holdings } from "./compare.ts";
import { parseMountinfo } from "./mountinfo.ts";

const none: Holdings = {
  process: new Set(),
  mount: new Set(),
  namespace: new Set(),
  socket: new Set(),
  file: new Set(),
  "loop device": new Set(),
  cgroup: new Set(),
  "compute system": new Set(),
};

describe("parseMountinfo", () => {
  it("reads root, mount point, type and source, whatever the optional fields", () => {
    const text = [
      "22 1 254:0 / / rw,relatime - ext4 /dev/vda rw",
      "31 22 0:26 /a\\040b /mnt/with\\040space rw shared:5 master:1 - tmpfs none rw,size=1k",
      "",
    ].join("\n");
    expect(parseMountinfo(text)).toEqual([
      { point: "/", root: "/", type: "ext4", source: "/dev/vda" },
      { point: "/mnt/with space", root: "/a b", type: "tmpfs", source: "none" },
    ]);
  });
});

describe("compareHoldings", () => {
  it("says nothing when after equals before", () => {
    expect(compareHoldings(none, none)).toEqual([]);
  });

  it("names what is new, by kind", () => {
    const after = { ...none, process: new Set(["7 shim"]), cgroup: new Set(["/a"]) };
    expect(compareHoldings(none, after)).toEqual(["left over: process 7 shim", "left over: cgroup /a"]);
  });

  it("reports a mount of before that is gone, and lets processes go", () => {
    const before = { ...none, process: new Set(["7 shim"]), mount: new Set(["/mnt"]) };
    expect(compareHoldings(before, none)).toEqual(["lost: mount /mnt"]);
  });
});
