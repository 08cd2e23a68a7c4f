import {
  closeSync,
  existsSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { type ConfinedStart, type RunningQemu, startConfined } from "./confined.ts";
import type { ProgramInstallation } from "./installation.ts";

const user = 0x70000001;
const loader = "/lib64/ld-linux-x86-64.so.2";
const shell: ProgramInstallation = { program: "/usr/bin/sh", folders: ["/usr"], files: [loader] };

/** A shell in place of QEMU, which tells what it sees on its console. */
describeWith("root")("a confined program", () => {
  let folder: string;
  let running: RunningQemu | undefined;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), "confined-"));
  });
  afterEach(async () => {
    running?.kill();
    await running?.ended;
    running?.monitor.close();
    running = undefined;
    expect(readdirSync(folder)).not.toContain("root");
    rmSync(folder, { recursive: true });
  });

  async function run(script: string, more: Partial<ConfinedStart> = {}): Promise<RunningQemu> {
    running = await startConfined({
      installation: shell,
      parameters: ["-c", script],
      descriptors: [],
      entrances: [],
      mountPoint: join(folder, "root"),
      user,
      withKvm: false,
      signal: new AbortController().signal,
      ...more,
    });
    return running;
  }

  /** What a script prints on the console. */
  async function seen(script: string, more: Partial<ConfinedStart> = {}): Promise<string> {
    const { console, ended, diagnostics } = await run(`exec >&5; ${script}`, more);
    expect([(await ended).signal, diagnostics.text]).toEqual([null, ""]);
    return console.text;
  }

  it("sees its own files and devices, and nothing else of this machine", async () => {
    const script = "ls /; ls /lib64; ls /dev; ls /proc | grep -c '^[0-9]'; cat /proc/net/dev | wc -l";
    const before = readFileSync("/proc/self/mountinfo", "utf8");
    expect(await seen(script)).toMatch(/^dev\nlib64\nproc\nusr\nld-linux-x86-64.so.2\nnull\nurandom\n[1-9]\n3\n$/);
    expect(readFileSync("/proc/self/mountinfo", "utf8")).toBe(before);
    expect(await seen("test -e /dev/kvm && echo kvm", { withKvm: true })).toBe("kvm\n");
  });

  it("has no rights: neither user, groups nor capabilities, and cannot write", async () => {
    const fields = "^(Uid|Groups|CapPrm|CapBnd|NoNewPrivs)";
    const status = await seen(`grep -E '${fields}' /proc/self/status | tr -s '\\t ' ' '; (echo >/x) 2>&1`);
    expect(status).toContain(`Uid: ${user} ${user} ${user} ${user}`);
    expect(status).toContain("CapBnd: 0000000000000000");
    expect(status).toMatch(/NoNewPrivs: 1\n.*Read-only file system\n$/);
  });

  it("reads what it gets as descriptors, of files that it could not open itself", async () => {
    const secret = join(folder, "secret");
    writeFileSync(secret, "attached\n", { mode: 0o600 });
    const file = openSync(secret, "r");
    expect(await seen("cat <&6", { descriptors: [file] })).toBe("attached\n");
    closeSync(file);
    expect(await seen(`test -e ${secret} || echo hidden`)).toBe("hidden\n");
  });

  it("has its monitor as a socket, by which it gets more of them", async () => {
    const { monitor } = await run("echo hello >&4; cat >/dev/null <&4");
    const bytes = Buffer.alloc(100);
    let said = "";
    await vi.waitFor(() => {
      said += bytes.toString("utf8", 0, monitor.receive(bytes)?.length ?? 0);
      expect(said).toBe("hello\n");
    });
  });

  it("tells how it ended, and is killed with all that it has started", async () => {
    const failing = await run("echo why >&2; exit 3");
    expect(await failing.ended).toEqual({ code: 3, signal: null });
    expect(failing.diagnostics.text).toBe("why\n");
    const hanging = await run("sleep 1000 & wait");
    hanging.kill();
    hanging.kill();
    expect(await hanging.ended).toEqual({ code: null, signal: "SIGKILL" });
  });

  it("is not started any more once nobody wants it", async () => {
    const abort = new AbortController();
    const starting = run("true", { signal: abort.signal });
    abort.abort(new Error("the system was ended"));
    await expect(starting).rejects.toThrow("the system was ended");
    running = undefined;
  });

  it("cannot be started without its cgroup, and leaves nothing then", async () => {
    await expect(run("true", { entrances: [join(folder, "none", "cgroup.procs")] })).rejects.toThrow(
      /^\/usr\/bin\/sh could not be confined: .*cgroup\.procs/s,
    );
    running = undefined;
    expect(existsSync(join(folder, "root"))).toBe(false);
  });
});
