import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { OciSpec } from "@uvm-shim/hcs-schema";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { hostsFile, withPodFiles } from "./pod-files.ts";

describe("the files of a pod", () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "pod-files-"));
    mkdirSync(join(folder, "root/etc"), { recursive: true });
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  const pod = { hostname: "pod", addresses: ["10.0.0.2", "fd00::2"] };
  const mounted = (spec: Partial<OciSpec>): OciSpec["mounts"] =>
    withPodFiles({ ociVersion: "1.0.2", root: { path: join(folder, "root") }, ...spec }, join(folder, "bundle"), pod)
      .mounts;

  it("are mounted where the specification has none of them", () => {
    const own = { destination: "/etc/hosts/", type: "bind", source: "/run/mounts/p9/0/hosts", options: ["rbind"] };
    expect(mounted({ mounts: [own] })).toEqual([
      own,
      { destination: "/etc/resolv.conf", type: "bind", source: "/etc/resolv.conf", options: ["bind"] },
      { destination: "/etc/hostname", type: "bind", source: join(folder, "bundle/hostname"), options: ["bind"] },
    ]);
    expect(readFileSync(join(folder, "bundle/hostname"), "utf8")).toBe("pod\n");
  });

  it("are read-only in a read-only root, and name the container as it is called", () => {
    const root = { path: join(folder, "root"), readonly: true };
    expect(mounted({ root, hostname: "box.test" })?.map(({ options }) => options)).toEqual(
      Array(3).fill(["bind", "ro"]),
    );
    expect(readFileSync(join(folder, "bundle/hosts"), "utf8")).toContain(
      "10.0.0.2 box.test box\nfd00::2 box.test box\n",
    );
  });

  it("are left out where they have no place", () => {
    const root = { path: join(folder, "missing") };
    expect(mounted({ root })).toEqual([]);
  });

  it("cannot be written into by a name", () => {
    expect(() => mounted({ hostname: "a\n6.6.6.6 bank.test" })).toThrow("OciSpecification.hostname is");
    expect(existsSync(join(folder, "bundle"))).toBe(false);
  });

  it("name a pod without addresses locally", () => {
    expect(hostsFile("pod", [])).toMatch(/\n127\.0\.0\.1 pod\n$/);
  });
});
