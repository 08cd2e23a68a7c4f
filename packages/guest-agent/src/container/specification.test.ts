import type { OciSpec } from "@uvm-shim/hcs-schema";
import { describe, expect, it } from "vitest";
import type { GuestFacts } from "../boot/facts.ts";
import { rewriteProcess, rewriteSpecification, specificationText } from "./specification.ts";

const poor: GuestFacts = {
  capabilities: new Set(["CAP_CHOWN", "CAP_KILL"]),
  hardLimits: new Map([["RLIMIT_NOFILE", 1000]]),
  oomScoreAdj: 0,
  hasAppArmor: false,
  hasSelinux: false,
};
const rich: GuestFacts = {
  ...poor,
  capabilities: new Set(["CAP_CHOWN", "CAP_KILL", "CAP_SYS_RESOURCE"]),
  hasAppArmor: true,
  hasSelinux: true,
};

const given: OciSpec = {
  ociVersion: "1.0.2",
  root: { path: "/run/rootfs" },
  process: {
    args: ["true"],
    cwd: "/",
    capabilities: { bounding: ["CAP_CHOWN", "CAP_SYS_RESOURCE", "CAP_BPF"], ambient: [] },
    rlimits: [
      { type: "RLIMIT_NOFILE", hard: 5000, soft: 10 },
      { type: "RLIMIT_NPROC", hard: 2 ** 64, soft: 2 ** 64 },
    ],
    oomScoreAdj: -500,
    apparmorProfile: "profile",
    selinuxLabel: "label",
    noNewPrivileges: true,
  },
  linux: {
    cgroupsPath: "/k8s/pod/x",
    namespaces: [
      { type: "pid" },
      { type: "ipc" },
      { type: "network", path: "/proc/7/ns/net" },
      { type: "mount", path: "" },
    ],
    sysctl: { "net.ipv4.ping_group_range": "0 1", "kernel.shm_rmid_forced": "1" },
    mountLabel: "label",
    seccomp: { defaultAction: "SCMP_ACT_ERRNO" },
    maskedPaths: ["/proc/kcore"],
  },
  windows: { layerFolders: ["C:\\layer"] },
};

describe("a specification for the guest", () => {
  it("has a version that every runtime accepts, whatever version was given", () => {
    const spec = rewriteSpecification("box", { ...given, ociVersion: "1.2.1" }, poor);
    expect(spec.ociVersion).toBe("1.0.2");
  });

  it("makes kernel-wide files read-only in every /proc, beside the given paths", () => {
    const proc = (destination: string) => ({ destination, type: "proc", source: "proc" });
    const spec = rewriteSpecification(
      "box",
      { ...given, linux: { readonlyPaths: ["/proc/sys", "/proc/irq"] }, mounts: [proc("/proc"), proc("/other/")] },
      poor,
    );
    const paths = spec.linux?.readonlyPaths ?? [];
    expect(paths.slice(0, 2)).toEqual(["/proc/sys", "/proc/irq"]);
    expect(paths).toEqual(expect.arrayContaining(["/proc/sysrq-trigger", "/other/irq", "/other/sysrq-trigger"]));
    expect(new Set(paths).size).toBe(paths.length);
    expect(rewriteSpecification("box", given, poor).linux).not.toHaveProperty("readonlyPaths");
  });

  it("receives later mounts from outside by default, as with runc", () => {
    expect(rewriteSpecification("box", { ...given, linux: {} }, poor).linux?.rootfsPropagation).toBe("rslave");
    const linux = { rootfsPropagation: "private" };
    expect(rewriteSpecification("box", { ...given, linux }, poor).linux?.rootfsPropagation).toBe("private");
  });

  it("puts the container in the containers' cgroup, and keeps name, namespaces, sysctls and the rest", () => {
    const spec = rewriteSpecification("box", { ...given, hostname: "box" }, poor);
    expect(spec.linux).toEqual({
      cgroupsPath: "/containers/box",
      rootfsPropagation: "rslave",
      namespaces: given.linux?.namespaces,
      sysctl: given.linux?.sysctl,
      seccomp: { defaultAction: "SCMP_ACT_ERRNO" },
      maskedPaths: ["/proc/kcore"],
    });
    expect(spec.hostname).toBe("box");
    expect(spec.root).toEqual(given.root);
    expect(spec).not.toHaveProperty("windows");
  });

  it("drops what a guest without CAP_SYS_RESOURCE and security modules cannot grant", () => {
    const spec = rewriteSpecification("box", given, poor);
    expect(spec.process).toEqual({
      args: ["true"],
      cwd: "/",
      capabilities: { bounding: ["CAP_CHOWN"], ambient: [] },
      rlimits: [
        { type: "RLIMIT_NOFILE", hard: 1000, soft: 10 },
        { type: "RLIMIT_NPROC", hard: 2 ** 64, soft: 2 ** 64 },
      ],
      noNewPrivileges: true,
    });
  });

  it("keeps everything that the guest can grant", () => {
    const spec = rewriteSpecification("box", given, rich);
    expect(spec.process).toEqual({
      ...given.process,
      capabilities: { bounding: ["CAP_CHOWN", "CAP_SYS_RESOURCE"], ambient: [] },
    });
    expect(spec.linux?.mountLabel).toBe("label");
  });

  it("may raise the out-of-memory score", () => {
    expect(rewriteProcess({ cwd: "/", oomScoreAdj: 500 }, poor).oomScoreAdj).toBe(500);
  });

  it("keeps numbers at the limits of the kernel's range as written", () => {
    const text = '{"process":{"cwd":"/","rlimits":[{"hard":18446744073709551615,"soft":9223372036854775807}]}}';
    expect(specificationText(JSON.parse(text) as OciSpec)).toBe(text);
  });
});
