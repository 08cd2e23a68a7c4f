import { spawn } from "node:child_process";
import { closeSync, existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { hresults } from "@uvm-shim/hcs-schema";
import { unixSocketPair } from "@uvm-shim/linux-calls";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { GuestMachine } from "../guest-machine.ts";
import { VmCgroups } from "../process-guest/cgroups.ts";
import type { VsockDevice } from "./parts.ts";
import { QemuGuestKind } from "./qemu-guest-kind.ts";

/** A shell in place of QEMU: it cannot be asked, but it is started as QEMU is. */
describeWith("root")("the kind of virtual machines", () => {
  let folder: string;
  let kernel: string;
  let kind: QemuGuestKind;
  let reports: string[];
  const name = `70${process.pid.toString(16).padStart(10, "0")}`;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "qemu-kind-"));
    kernel = join(folder, "kernel");
    const image = Buffer.alloc(1024);
    image.writeUInt16LE(0xaa55, 0x1fe);
    image.write("HdrS", 0x202);
    writeFileSync(kernel, image, { mode: 0o600 });
    reports = [];
    kind = new QemuGuestKind({
      installation: async () => ({
        program: "/usr/bin/sh",
        folders: ["/usr"],
        files: ["/lib64/ld-linux-x86-64.so.2"],
      }),
      accelerator: async () => "tcg",
      openVsock: async () => vsock(),
      bootTimeoutMs: 5_000,
      report: (message) => reports.push(message),
    });
  });
  afterEach(() => {
    kind.close();
    rmSync(folder, { recursive: true });
    expect(new VmCgroups(name).entrances.filter((path) => existsSync(dirname(path)))).toEqual([]);
  });

  function vsock(): VsockDevice {
    const [descriptor, other] = unixSocketPair();
    closeSync(other);
    const failed = new Promise<Error>(() => {});
    return { descriptor, release: () => closeSync(descriptor), failed, close: async () => {} };
  }

  const boot = () => ({ kind: "Linux", kernel: { KernelFilePath: kernel } }) as const;
  const create = (): GuestMachine =>
    kind.create({
      name,
      directory: folder,
      boot: boot(),
      memoryMb: 256,
      processors: 1,
      limits: {},
      cpus: undefined,
      podGroup: undefined,
      serialSocket: undefined,
    });

  it("is for documents with a kernel image", () => {
    expect(kind.recognises(boot())).toBe(true);
    expect(kind.recognises({ kind: "Linux", kernel: { KernelFilePath: import.meta.filename } })).toBe(false);
    expect(kind.recognises({ kind: "Windows", share: "os", os: "/", manager: kernel })).toBe(false);
  });

  it("says why a QEMU that does not start has ended, and leaves nothing of it", async () => {
    const machine = create();
    const [boot] = await Promise.allSettled([machine.boot()]);
    expect(await machine.ended).toMatchObject({ orderly: false });
    // The shell takes a value among the arguments for its script.
    expect(boot).toMatchObject({
      reason: {
        hresult: hresults.HCS_E_UNEXPECTED_EXIT,
        message: expect.stringMatching(/^QEMU ended with exit code 2: .*guest=uvm-/),
      },
    });
    expect(reports).toEqual([]);
  });

  it("ends and removes a machine that a killed host has left", async () => {
    const groups = new VmCgroups(name);
    groups.create({ memoryMb: 256, processors: 1, share: {}, cpus: undefined });
    const script = 'for group; do echo $$ >"$group"; done; exec sleep 1000';
    const child = spawn("/bin/sh", ["-c", script, "sh", ...groups.entrances], { stdio: "ignore" });
    const ended = new Promise((resolve) => child.once("exit", (_, signal) => resolve(signal)));
    await vi.waitFor(() => expect(groups.processes()).toContain(child.pid));
    await vi.waitFor(() => expect(readFileSync(`/proc/${child.pid}/cmdline`, "utf8")).toContain("1000"));
    await kind.removeLeftovers(name);
    expect(await ended).toBe("SIGKILL");
    await kind.removeLeftovers(name);
  });
});
