import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, it } from "vitest";
import { checkHostname, hostnameFile, hostsFile, podFileMounts, resolvConfFile, writePodFile } from "./pod-files.ts";

const folder = "/run/gcs/pods/pod/pod";
const spec = { ociVersion: "1.0.2", root: { path: "/root" } };

describe("the files of a pod", () => {
  it("are mounted unless the specification mounts that very path", () => {
    const own = { destination: "/etc/hosts", type: "bind", source: "/run/hosts", options: ["rbind"] };
    const other = { ...own, destination: "/etc/hostname/" };
    expect(podFileMounts({ ...spec, mounts: [own, other] }, folder)).toEqual([
      { destination: "/etc/hostname", type: "bind", source: `${folder}/hostname`, options: ["bind"] },
      { destination: "/etc/resolv.conf", type: "bind", source: `${folder}/resolv.conf`, options: ["bind"] },
    ]);
  });

  it("are read-only in a read-only root, with or without mount points", () => {
    const mounts = podFileMounts({ ...spec, root: { path: "/nowhere", readonly: true } }, folder);
    expect(mounts.map(({ options }) => options)).toEqual(Array(3).fill(["bind", "ro"]));
  });

  it("are written to the sandbox's folder, which is made if missing", () => {
    const base = mkdtempSync(join(tmpdir(), "pod-files-"));
    try {
      writePodFile(join(base, "a/b"), "hostname", hostnameFile("pod"));
      expect(readFileSync(join(base, "a/b/hostname"), "utf8")).toBe("pod\n");
    } finally {
      rmSync(base, { recursive: true });
    }
  });

  it("map the pod's host name to 127.0.0.1", () => {
    expect(hostsFile("pod")).toContain("127.0.0.1 localhost\n127.0.0.1 pod\n");
    expect(hostsFile("pod.example.test")).toContain("127.0.0.1 pod.example.test pod\n");
  });

  it("cannot be broken by a host name", () => {
    checkHostname("");
    checkHostname("a-B_9.test");
    for (const name of ["a\n6.6.6.6 bank.test", "a b", "x".repeat(256)]) {
      expect(() => checkHostname(name)).toThrow("invalid OciSpecification.hostname");
    }
  });

  it("take name resolution from the NICs, with at most six search domains", () => {
    expect(resolvConfFile({ searches: ["a.test", "b.test"], servers: ["10.0.0.1", "fd00::1"] })).toBe(
      "search a.test b.test\nnameserver 10.0.0.1\nnameserver fd00::1\n",
    );
    expect(resolvConfFile({ searches: [], servers: [] })).toBe("");
    const searches = [..."abcdefg"].map((name) => `${name}.test`);
    expect(() => resolvConfFile({ searches, servers: [] })).toThrow(
      "the NICs have 7 search domains: resolv.conf allows at most 6",
    );
  });
});
