import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mustRun, runCommand } from "@uvm-shim/test-support/command";
import { describeWith, itWith } from "@uvm-shim/test-support/machine-needs";
import { makeRootfs } from "@uvm-shim/test-support/rootfs";
import { expect, it } from "vitest";

const scripts = ["init.sh", "initial-root.sh"].map((name) => join(import.meta.dirname, name));
const mostMs = 30_000;

itWith("are shell scripts", "shellcheck")("are shell scripts without a fault that shellcheck finds", async () => {
  await mustRun("shellcheck", ["--shell=busybox", ...scripts]).catch(() =>
    mustRun("shellcheck", ["--shell=dash", ...scripts]),
  );
});

/** What stands for the agent, and for programs that would concern this machine. */
async function makeGuest(agent: string): Promise<string> {
  const root = mkdtempSync(join(tmpdir(), "guest-root-"));
  await makeRootfs(root);
  const write = (path: string, text: string): void => {
    rmSync(join(root, path), { force: true });
    writeFileSync(join(root, path), text);
    chmodSync(join(root, path), 0o755);
  };
  for (const name of ["mnt", "run", "usr", "usr/lib", "usr/lib/uvm-shim"]) mkdirSync(join(root, name));
  for (const name of ["bin", "sbin"]) symlinkSync("../bin", join(root, "usr", name));
  write("bin/modprobe", '#!/bin/sh\necho "loads $*"\n[ "$1" != unknown ]\n');
  write("bin/acpid", '#!/bin/sh\necho "watches the power button of $(cat /run/agent.pid)"\n');
  write("bin/poweroff", '#!/bin/sh\necho "turns the power off: $*"\n');
  write("bin/node", `#!/bin/sh\n${agent}\n`);
  write("usr/lib/uvm-shim/modules-at-boot", "unknown virtio_net virtio_mem\n");
  write("init", `#!/bin/sh\nexec /bin/sh /usr/lib/uvm-shim/init\n`);
  await mustRun("cp", [join(import.meta.dirname, "init.sh"), join(root, "usr/lib/uvm-shim/init")]);
  return root;
}

/** Runs the guest's init as process 1 of namespaces, in a root as the initial one leaves it. */
async function boot(agent: string): Promise<{ readonly status: number; readonly lines: readonly string[] }> {
  const root = await makeGuest(agent);
  const kernelsPart = [
    'cd "$0"',
    "mount -t proc proc proc",
    "mount -t sysfs sysfs sys",
    "mount -t tmpfs dev dev",
    "mknod -m 666 dev/null c 1 3",
    'exec chroot "$0" /init',
  ].join(" && ");
  const namespaces = ["--mount", "--pid", "--fork", "--ipc", "--uts", "--net", "--kill-child"];
  const ended = await runCommand("unshare", [...namespaces, "sh", "-c", kernelsPart, root], { timeoutMs: mostMs });
  return { status: ended.status, lines: `${ended.stdout}${ended.stderr}`.trimEnd().split("\n") };
}

describeWith(
  "root",
  "busybox",
  "Linux",
)("the init of a virtual machine", () => {
  it("mounts what the agent needs, loads drivers, and turns the power off when the agent ends", async () => {
    const mounted = ["/proc", "/sys", "/dev/pts", "/dev/shm", "/dev/mqueue", "/run", "/tmp", "/sys/fs/cgroup"];
    const agent = [
      "sleep 0.5",
      'echo "agent $UVM_SHIM_VM_GUEST $*, parent $PPID"',
      `for place in ${mounted.join(" ")}; do grep -q " $place " /proc/mounts || echo "lacks $place"; done`,
      "[ -d /run/agent ] && [ -e /dev/ptmx ] && [ /proc/self/fd -ef /dev/fd ] && echo has all",
    ].join("\n");
    const { status, lines } = await boot(agent);
    expect(lines.map((line) => line.replace(/ \d+\.\d+ s:/, ""))).toEqual([
      "uvm-shim: file systems are mounted",
      "loads unknown",
      "uvm-shim: the first driver is loaded",
      "uvm-shim: the agent is started",
      "loads -a virtio_net virtio_mem",
      "uvm-shim: drivers are loaded",
      expect.stringMatching(/^watches the power button of \d+$/),
      "agent 1 --disable-sigusr1 --max-semi-space-size=2 /usr/lib/uvm-shim/guest-agent.cjs, parent 1",
      "has all",
      "uvm-shim: the agent has ended with code 0",
      "turns the power off: -f",
    ]);
    expect(status).toBe(0);
  });

  it("ends itself when the agent fails, by which the kernel panics, and collects orphans until then", async () => {
    const agent = 'sh -c "sleep 0.1 & exit 0"; sleep 0.5; ps | grep -c "[s]leep"; exit 3';
    const { status, lines } = await boot(agent);
    expect(status).toBe(3);
    expect(lines.at(-1)).toMatch(/^uvm-shim: \d+\.\d+ s: the agent has ended with code 3$/);
    expect(lines.at(-2)).toBe("0");
  });
});
