import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { makeSandboxContainer } from "./sandbox-container.ts";

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
const documentWith = (Devices: object) => ({ Owner: "test", VirtualMachine: { Devices } }) as never;

describe("the container of a sandbox to which nobody brings one", () => {
  it("has a root file system of its own in the bundle, for every user to read", () => {
    const container = makeSandboxContainer(request(), documentWith({ Plan9: {} }), "arm64");
    const root = path.join(bundle, "sandbox-root");
    expect(container).toMatchObject({ id: "s1", bundle, rootfs: [], spec: { root: { path: root, readonly: true } } });
    expect(readdirSync(root, { recursive: true }).toSorted()).toEqual(
      ["dev", "etc", "etc/hostname", "etc/hosts", "etc/resolv.conf", "proc", "sandbox", "sys"].toSorted(),
    );
    for (const place of ["", "etc", "sandbox"]) expect(statSync(path.join(root, place)).mode & 0o777).toBe(0o755);
    expect(statSync(path.join(root, "etc/hosts")).mode & 0o777).toBe(0o644);
  });

  it.runIf(process.platform === "linux" && process.arch === "x64")("has a program that runs", async () => {
    makeSandboxContainer(request(), documentWith({ Plan9: {} }), "x64");
    const program = spawn(path.join(bundle, "sandbox-root", "sandbox"), { stdio: "ignore" });
    await once(program, "spawn");
    program.kill("SIGKILL");
    expect(await once(program, "exit")).toEqual([null, "SIGKILL"]);
  });

  it("is what the pod's configuration says, or else the bundle's", () => {
    const document = documentWith({ Plan9: {} });
    const spec = { hostname: "bundle" };
    expect(makeSandboxContainer(request({ spec }), document, "x64").spec).toMatchObject({ hostname: "bundle" });
    const pod = { specification: { hostname: "pod" } };
    expect(makeSandboxContainer(request({ spec, pod }), document, "x64").spec).toMatchObject({
      hostname: "pod",
      annotations: { a: "b", "io.kubernetes.cri.container-type": "sandbox" },
    });
  });

  it("cannot be where the VM takes no shares, which is said", () => {
    expect(() => makeSandboxContainer(request(), documentWith({}), "x64")).toThrow(
      expect.objectContaining({ code: "FailedPrecondition", message: expect.stringContaining("no Plan9 shares") }),
    );
    expect(readdirSync(bundle)).toEqual([]);
  });
});
