import { describe, expect, it } from "vitest";
import { readHierarchies } from "./cgroups.ts";

describe("cgroup hierarchies", () => {
  it("are none where version 2 stands alone", () => {
    expect(readHierarchies("0::/\n")).toEqual([]);
  });

  it("are those of version 1 otherwise, named ones among them", () => {
    expect(readHierarchies("3:name=systemd:/\n2:cpu,cpuacct:/\n1:memory:/a:b\n0::/\n")).toEqual([
      { folder: "systemd", data: "none,name=systemd", aliases: [] },
      { folder: "cpu,cpuacct", data: "cpu,cpuacct", aliases: ["cpu", "cpuacct"] },
      { folder: "memory", data: "memory", aliases: [] },
    ]);
  });
});
