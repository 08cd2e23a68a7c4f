import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, existsSync, mkdtempSync, openSync, readFileSync, readSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { umount } from "@uvm-shim/linux-calls";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { addShare, removeShare } from "./shares.ts";

vi.mock("@uvm-shim/linux-calls", { spy: true });

describeWith("root")("shares of a mount namespace", () => {
  let shared: string;
  let guest: ChildProcess;
  let pid: number;

  beforeEach(async () => {
    shared = mkdtempSync(join(tmpdir(), "shared-"));
    writeFileSync(join(shared, "file"), "content");
    const inside = "mount -t tmpfs tmpfs /run && echo ready && exec sleep 1000";
    guest = spawn("unshare", ["--mount", "--propagation", "private", "sh", "-c", inside], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    await once(guest.stdout as NodeJS.ReadableStream, "data");
    pid = guest.pid as number;
    vi.mocked(umount).mockClear();
  });
  afterEach(async () => {
    const exited = once(guest, "exit");
    guest.kill("SIGKILL");
    await exited;
    rmSync(shared, { recursive: true });
  });

  const inGuest = (name: string): string => `/proc/${pid}/root/run/host/plan9/${name}`;
  const mounts = (): readonly string[] =>
    readFileSync(`/proc/${pid}/mountinfo`, "utf8")
      .split("\n")
      .filter((line) => line.includes("/run/host/plan9/"));

  it("are removed without an unmount on this thread, which would wait for all processors", async () => {
    addShare(pid, { Name: "s", AccessName: "s", Path: shared, Port: 564, Flags: 0 });
    expect(readFileSync(join(inGuest("s"), "file"), "utf8")).toBe("content");
    await removeShare(pid, "s");
    expect([existsSync(inGuest("s")), mounts()]).toEqual([false, []]);
    expect(umount).not.toHaveBeenCalled();
  });

  it("are removed with all mounts in them, even while they are in use", async () => {
    addShare(pid, { Name: "s", AccessName: "s", Path: shared, Port: 564, Flags: 0, AllowedFiles: ["file"] });
    expect(mounts()).toHaveLength(2);
    const file = openSync(join(inGuest("s"), "file"), "r");
    try {
      await removeShare(pid, "s");
      expect(mounts()).toEqual([]);
      const buffer = Buffer.alloc(7);
      readSync(file, buffer, 0, 7, 0);
      expect(buffer.toString()).toBe("content");
    } finally {
      closeSync(file);
    }
    expect(readFileSync(join(shared, "file"), "utf8")).toBe("content");
  });

  it("leave other shares alone", async () => {
    addShare(pid, { Name: "s", AccessName: "s", Path: shared, Port: 564, Flags: 0 });
    await expect(removeShare(pid, "t")).rejects.toMatchObject({ code: "ENOENT" });
    expect(mounts()).toHaveLength(1);
  });
});
