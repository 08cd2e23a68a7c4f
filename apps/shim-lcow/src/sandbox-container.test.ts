import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { itWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeSandboxContainer, podSettings } from "./sandbox-container.ts";

let bundle: string;

beforeEach(() => {
  bundle = mkdtempSync(path.join(tmpdir(), "sandbox-container-"));
});

afterEach(() => {
  rmSync(bundle, { recursive: true, force: true });
});

const request = (more: object = {}) => ({
  ...{ id: "s1", namespace: "ns", bundle, annotations: { a: "b" }, makesContainer: true },
  ...more,
});
const settings = (architecture: "x64" | "arm64" = "x64", more: object = {}) => ({
  document: { Owner: "test", VirtualMachine: { Devices: { Plan9: {} } } } as never,
  ...{ architecture, host: "posix" as const, hasPolicy: false, defaultAnnotations: {} },
  ...more,
});
const withoutShares = { document: { Owner: "test", VirtualMachine: { Devices: {} } } as never };

describe("the sandbox container that the shim makes", () => {
  it("has its own root file system in the bundle, readable by every user", async () => {
    const container = await makeSandboxContainer(request(), settings("arm64"));
    const root = path.join(bundle, "sandbox-root");
    expect(container).toMatchObject({ id: "s1", bundle, rootfs: [], spec: { root: { path: root, readonly: true } } });
    expect(readdirSync(root, { recursive: true }).toSorted()).toEqual(
      ["dev", "etc", "etc/hostname", "etc/hosts", "etc/resolv.conf", "proc", "sandbox", "sys"].toSorted(),
    );
    for (const place of ["", "etc", "sandbox"]) expect(statSync(path.join(root, place)).mode & 0o777).toBe(0o755);
    expect(statSync(path.join(root, "etc/hosts")).mode & 0o777).toBe(0o644);
  });

  itWith("has a program that runs", "Linux on x64")("has a program that runs", async () => {
    await makeSandboxContainer(request(), settings());
    const program = spawn(path.join(bundle, "sandbox-root", "sandbox"), { stdio: "ignore" });
    await once(program, "spawn");
    program.kill("SIGKILL");
    expect(await once(program, "exit")).toEqual([null, "SIGKILL"]);
  });

  it("follows the pod's configuration, or else the bundle's", async () => {
    const spec = { hostname: "bundle" };
    expect((await makeSandboxContainer(request({ spec }), settings()))?.spec).toMatchObject({ hostname: "bundle" });
    const pod = { specification: { hostname: "pod" } };
    expect((await makeSandboxContainer(request({ spec, pod }), settings()))?.spec).toMatchObject({
      hostname: "pod",
      annotations: { a: "b", "io.kubernetes.cri.container-type": "sandbox" },
    });
  });

  it("is refused at once if no directory can be created in the bundle", async () => {
    const refused = makeSandboxContainer(request({ bundle: "/proc/x" }), settings());
    await expect(refused).rejects.toMatchObject({
      code: "ENOENT",
      message: expect.stringContaining("mkdir '/proc/x'"),
    });
  });

  it("is refused with the reason if the VM has no Plan9 shares", async () => {
    await expect(makeSandboxContainer(request(), settings("x64", withoutShares))).rejects.toMatchObject({
      code: "FailedPrecondition",
      message: expect.stringContaining("no Plan9 shares"),
    });
    expect(readdirSync(bundle)).toEqual([]);
  });
});

describe("the sandbox container of a standalone task", () => {
  const bare = { makesContainer: false };
  const device = { windows: { devices: [{ id: "A", idType: "vpci" }] }, hostname: "box" };

  it("is made if the task asks for something that guests offer only to pods", async () => {
    const made = await makeSandboxContainer(request({ ...bare, spec: device }), settings());
    expect(made).toMatchObject({ id: "s1-pod", spec: { hostname: "box" } });
    expect(readdirSync(bundle)).toEqual(["sandbox-root"]);
    const defaultAnnotations = { "io.microsoft.lcow.shm.size-kb": "64" };
    const byDefault = settings("x64", { defaultAnnotations });
    expect((await makeSandboxContainer(request({ ...bare, spec: {} }), byDefault))?.id).toBe("s1-pod");
  });

  it("is not made if it does not, or if a policy lists the containers", async () => {
    expect(await makeSandboxContainer(request({ ...bare, spec: { hostname: "box" } }), settings())).toBeUndefined();
    const policed = settings("x64", { hasPolicy: true });
    expect(await makeSandboxContainer(request({ ...bare, spec: device }), policed)).toBeUndefined();
    expect(readdirSync(bundle)).toEqual([]);
  });
});

describe("what containers get from their pod", () => {
  it("is its /dev/shm, with or without a pod configuration", async () => {
    expect(await podSettings(request(), false)).toEqual({ sharesMemory: true });
    expect(await podSettings(request({ pod: {} }), false)).toEqual({ sharesMemory: true });
    expect(await podSettings(request(), true)).toEqual({ sharesMemory: false });
  });

  it("is its resolv.conf, which lies in the bundle", async () => {
    const resolvConfPath = path.join(bundle, "resolv.conf");
    const settingsOfPod = await podSettings(request({ pod: { resolvConf: "search x\n" } }), false);
    expect(settingsOfPod).toEqual({ sharesMemory: true, resolvConfPath });
    expect(readFileSync(resolvConfPath, "utf8")).toBe("search x\n");
  });

  it("is nothing if a client brings the sandbox container, whose mounts decide", async () => {
    expect(await podSettings(request({ makesContainer: false }), false)).toBeUndefined();
  });
});
