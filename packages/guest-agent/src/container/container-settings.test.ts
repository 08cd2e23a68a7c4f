import { execFileSync } from "node:child_process";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { OciProcess, OciSpec } from "@uvm-shim/hcs-schema";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { describe, expect, it } from "vitest";
import type { Machine } from "../testing/machine.ts";
import { namespacesOf, specificationFor } from "../testing/specifications.ts";
import { machineForSuite } from "../testing/suite-machine.ts";

const hostNetworkKey = "io.microsoft.virtualmachine.lcow.hostnetwork";

const bind = (destination: string, source: string, ...options: readonly string[]) => ({
  destination,
  type: "bind",
  source,
  options: ["rbind", ...options],
});
const standardMounts = specificationFor("/", {}).mounts ?? [];

describeWith("root", "crun", "runc", "busybox", "mkfs.ext4").each(["crun", "runc"] as const)(
  "settings of a container, with %s",
  (runtime) => {
    let machine: Machine;
    let containers = 0;

    machineForSuite(
      runtime,
      (booted) => {
        machine = booted;
      },
      (fixtures) => {
        writeFileSync(join(fixtures.rootfs, "etc/passwd"), "root:x:0:0::/:/bin/sh\napp:x:1001:1002::/:/bin/sh\n");
        writeFileSync(join(fixtures.rootfs, "etc/group"), "root:x:0:\nstaff:x:50:app\nwheel:x:10:root,app\n");
      },
    );

    /** Output of a script that runs in a new container. */
    async function outputOf(
      script: string,
      process: Partial<OciProcess> = {},
      more: Partial<OciSpec> = {},
      linux: OciSpec["linux"] = {},
    ): Promise<string> {
      const id = `settings-${containers++}`;
      await machine.createContainer(id, { args: ["sh", "-c", script], ...process }, linux, {
        ...more,
        mounts: [...standardMounts, ...(more.mounts ?? [])],
      });
      const { stdout, stderr, exit } = await machine.execute(id);
      const [output, errors] = await Promise.all([stdout.all, stderr?.all]);
      await exit;
      await machine.deleteContainer(id);
      return `${output}${errors}`;
    }

    describe("mounts", () => {
      it.each(["sandbox", "sandbox-tmp"])("from %s:// are shared by the containers of the pod", async (prefix) => {
        const mounts = [bind("/shared", `${prefix}:///one/two`)];
        await outputOf("echo from the first >/shared/file; ls -ld /shared", {}, { mounts });
        expect(await outputOf("cat /shared/file", {}, { mounts })).toBe("from the first\n");
        const readOnly = [bind("/shared", `${prefix}://one/two`, "ro")];
        expect(await outputOf("cat /shared/file; echo x >/shared/file", {}, { mounts: readOnly })).toMatch(
          /^from the first\n.*Read-only file system/s,
        );
        const user = { user: { uid: 5, gid: 5 } };
        expect(await outputOf("echo >/shared/other && echo written", user, { mounts })).toBe("written\n");
      });

      it("from sandbox-tmp:// are in memory", async () => {
        const mounts = [bind("/shared", "sandbox-tmp://x")];
        expect(await outputOf("stat -f -c %T /shared", {}, { mounts })).toBe("tmpfs\n");
      });

      it("of type tmpfs have the requested mode where the image has no folder for them", async () => {
        const held = { destination: "/nowhere/held", type: "tmpfs", source: "tmpfs", options: ["mode=1730"] };
        expect(await outputOf("stat -c %a /nowhere /nowhere/held", {}, { mounts: [held] })).toBe("755\n1730\n");
      });

      it("from uvm:// do not show the folder with the guest's hvsockets", async () => {
        const mounts = [bind("/guest", "uvm:///run", "rbind")];
        expect(
          await outputOf("find /guest -xdev -name 'hv.vsock*'; find /guest -type s; echo end", {}, { mounts }),
        ).toBe("end\n");
      });

      it("from uvm:// show the guest's files", async () => {
        const mounts = [bind("/guest", "uvm:///etc", "ro")];
        expect(await outputOf("cat /guest/passwd", {}, { mounts })).toBe("root:x:0:0:root:/root:/bin/sh\n");
      });

      it.each([
        ["ro", "rw", "rw"],
        ["rw", "ro", "ro"],
        ["noexec", "exec", "exec"],
      ])("with contradicting options follow the last one: %s, %s", async (first, last, holds) => {
        const mounts = [
          { destination: "/memory", type: "tmpfs", source: "tmpfs", options: [first, last] },
          bind("/guest", "uvm:///etc", first, last),
        ];
        const output = await outputOf("grep -E ' /(memory|guest) ' /proc/self/mountinfo", {}, { mounts });
        const ofMounts = output.trimEnd().split("\n");
        expect(ofMounts).toHaveLength(2);
        for (const line of ofMounts) {
          const has = (line.split(" ")[5] ?? "").split(",");
          if (holds === "exec") expect(has).not.toContain("noexec");
          else expect(has).toContain(holds);
        }
      });

      it("from hugepages:// use huge pages", async () => {
        const mounts = [bind("/huge", "hugepages://2M/one")];
        const line = await outputOf("grep ' /huge ' /proc/self/mountinfo", {}, { mounts });
        expect(line).toMatch(/ - hugetlbfs none .*pagesize=2M/);
        expect(await outputOf("grep -c ' /huge ' /proc/self/mountinfo", {}, { mounts })).toBe("1\n");
      });

      it.each([
        [bind("/x", "uvm:///nowhere"), "mounts[6].source: uvm:///nowhere does not exist in the guest"],
        [bind("/x", "hugepages://1G/x"), "mounts[6].source: invalid huge page size 1G: expected 2M"],
        [bind("/x", "sandbox://../x"), `mounts[6].source: "../x" leads out of the pod's shared folders`],
        [bind("blockdev:///dev/x", "/etc/passwd"), "mounts[6].source: /etc/passwd is not a disk of the guest"],
      ])("that are impossible are refused: %j", async (mount, message) => {
        await expect(outputOf("true", {}, { mounts: [mount] })).rejects.toThrow(message);
      });

      it.each(["the pod's", "the VM's"])("of /sys are writable if requested, in %s network", async (network) => {
        const pod = `sysfs-${containers++}`;
        const annotations = network === "the VM's" ? { [hostNetworkKey]: "true" } : {};
        // The first mount in a network namespace decides for all of them: the shim's own sandbox container has none.
        const withoutSys = standardMounts.filter(({ destination }) => !destination.startsWith("/sys"));
        const { pid } = await machine.createPod(pod, {
          annotations,
          mounts: withoutSys,
          linux: { ...specificationFor("/", {}).linux, sysctl: {} },
        });
        const mounts = standardMounts
          .filter(({ destination }) => destination !== "/sys/fs/cgroup")
          .map((mount) => (mount.type === "sysfs" ? { ...mount, options: ["rw"] } : mount));
        const script = "grep ' /sys ' /proc/self/mountinfo";
        await machine.createWorkload(
          pod,
          `${pod}-c`,
          { args: ["sh", "-c", script] },
          { namespaces: namespacesOf(pid), sysctl: {} },
          { mounts },
        );
        const { stdout, stderr } = await machine.execute(`${pod}-c`);
        const [output, errors] = await Promise.all([stdout.all, stderr?.all]);
        expect(`${output}${errors}`).toMatch(/ \/sys rw,\S+ - sysfs sysfs rw\n/);
      });

      it("are read-only with ro, and below with rro", async () => {
        const folder = join(machine.fixtures.folder, `nested-${runtime}`);
        mkdirSync(join(folder, "below"), { recursive: true });
        execFileSync("mount", ["-t", "tmpfs", "below", join(folder, "below")]);
        try {
          await machine.share("nested", folder, "/run/mounts/p9/nested");
        } finally {
          execFileSync("umount", ["-l", join(folder, "below")]);
        }
        const script = "touch /top/x /top/below/x; touch /whole/x /whole/below/y";
        const mounts = [bind("/top", "/run/mounts/p9/nested", "ro"), bind("/whole", "/run/mounts/p9/nested", "rro")];
        const told = (place: string) => `touch: ${place}: Read-only file system\n`;
        expect(await outputOf(script, {}, { mounts })).toBe(
          ["/top/x", "/whole/x", "/whole/below/y"].map(told).join(""),
        );
        await machine.modify("Remove", "MappedDirectory", { MountPath: "/run/mounts/p9/nested", ShareName: "nested" });
      });

      it("get missing folders made with the usual mode", async () => {
        const mounts = [bind("/aa/bb/cc", "sandbox://volume"), bind("/aa/bb/cc/dd/ee", "sandbox://inner")];
        const script = "stat -c '%a %n' /aa /aa/bb /aa/bb/cc/dd";
        expect(await outputOf(script, {}, { mounts })).toBe("755 /aa\n755 /aa/bb\n755 /aa/bb/cc/dd\n");
      });

      it("follow links of the image, to missing targets too", async () => {
        symlinkSync("/var/lib/r/volume", join(machine.fixtures.rootfs, "link-to-folder"));
        symlinkSync("../../../var/lib/f/file", join(machine.fixtures.rootfs, "link-to-file"));
        const mounts = [bind("/link-to-folder", "sandbox://led"), bind("/link-to-file", "uvm:///etc/passwd", "ro")];
        const script = "touch /link-to-folder/x; ls /var/lib/r/volume; cat /var/lib/f/file";
        expect(await outputOf(script, {}, { mounts })).toBe("x\nroot:x:0:0:root:/root:/bin/sh\n");
      });

      it("do not follow a link that another container made in the shared folder", async () => {
        await outputOf("ln -s /etc /shared/link", {}, { mounts: [bind("/shared", "sandbox://links")] });
        const mounts = [bind("/shared", "sandbox://links/link")];
        await expect(outputOf("ls /shared", {}, { mounts })).rejects.toThrow('"links/link" leads out of');
      });

      it("from blockdev:// give a container a disk as a device", async () => {
        const disk = join(machine.fixtures.folder, `disk-${runtime}`);
        writeFileSync(disk, Buffer.concat([Buffer.from("first bytes"), Buffer.alloc(1024 * 1024)]));
        machine.attachDisk(disk, 3);
        const settings = { Controller: 0, Lun: 3, MountPath: "/run/mounts/scsi/0_3_0", BlockDev: true };
        await machine.modify("Add", "MappedVirtualDisk", { ...settings, Partition: 0, ReadOnly: false });
        const mounts = [bind("blockdev:///dev/data", settings.MountPath)];
        expect(await outputOf("head -c 11 /dev/data", {}, { mounts })).toBe("first bytes");
        const written = await outputOf("echo FIRST >/dev/data && head -c 5 /dev/data", {}, { mounts });
        expect(written).toBe("FIRST");
        const readOnly = [bind("blockdev:///dev/data", settings.MountPath, "ro")];
        expect(await outputOf("head -c 5 /dev/data; echo x >/dev/data", {}, { mounts: readOnly })).toMatch(
          /^FIRST.*(not permitted|Read-only)/s,
        );
        // The real guest only looks for the word, and does not accept a node in place of the link that it made.
        const contrary = [bind("blockdev:///dev/data", settings.MountPath, "ro", "rw")];
        expect(await outputOf("echo x >/dev/data", {}, { mounts: contrary })).toMatch(/not permitted/);
        const node = "/dev/scsi/0/3";
        const direct = outputOf("true", {}, { mounts: [bind("blockdev:///dev/data", node)] });
        await expect(direct).rejects.toThrow(`source: ${node} is not a disk of the guest`);
        await machine.modify("Remove", "MappedVirtualDisk", { ...settings, Partition: 0, ReadOnly: false });
      });
    });

    describe("annotations", () => {
      it("set the size of /dev/shm", async () => {
        const annotations = { "io.microsoft.lcow.shm.size-kb": "8192" };
        const mounts = [{ destination: "/dev/shm", type: "tmpfs", source: "shm", options: ["size=65536k"] }];
        const lines = await outputOf("grep ' /dev/shm ' /proc/self/mountinfo", {}, { annotations, mounts });
        expect(lines.trimEnd().split("\n")).toHaveLength(1);
        expect(lines).toContain("size=8192k");
      });

      it("set the limit of core files", async () => {
        const annotations = { "io.microsoft.lcow.rlimitcore": "1024;2048" };
        expect(await outputOf("grep 'Max core' /proc/self/limits", {}, { annotations })).toMatch(/1024 +2048/);
      });

      it("copy the output to a file in the pod's log folder, which the container sees", async () => {
        const annotations = {
          "io.microsoft.container.lcow.tee-log-path": "app/out.log",
          "io.microsoft.container.lcow.tee-log-dir-mount": "/logs",
        };
        expect(await outputOf("echo out; echo err >&2", {}, { annotations })).toBe("out\nerr\n");
        const seen = await outputOf(
          "sort /logs/app/out.log",
          {},
          {
            annotations: { "io.microsoft.container.lcow.tee-log-dir-mount": "/logs" },
          },
        );
        expect(seen).toBe("err\nout\n");
      });

      it("copy no output to a FIFO that a container put in the file's place", async () => {
        const folder = { annotations: { "io.microsoft.container.lcow.tee-log-dir-mount": "/logs" } };
        expect(await outputOf("mkfifo /logs/fifo && echo made", {}, folder)).toBe("made\n");
        const annotations = { "io.microsoft.container.lcow.tee-log-path": "fifo" };
        await expect(outputOf("echo out", {}, { annotations })).rejects.toThrow("logs/fifo: ENXIO");
        expect(await outputOf("echo the guest answers")).toBe("the guest answers\n");
      });

      it.each([
        [{ "io.microsoft.lcow.shm.size-kb": "x" }, 'shm.size-kb "x": expected a positive number of KiB'],
        [{ "io.microsoft.lcow.rlimitcore": "1" }, 'rlimitcore "1": expected <soft>;<hard> in bytes'],
        [{ "io.microsoft.container.lcow.tee-log-path": "../x" }, 'tee-log-path "../x": expected a relative'],
        [
          { "io.microsoft.container.lcow.tee-log-path": `${"a".repeat(256)}/out.log` },
          /tee-log-path: cannot use "a+…": ENAMETOOLONG/,
        ],
        [{ "io.microsoft.container.lcow.tee-log-path": "a".repeat(256) }, /cannot copy the output to .*ENAMETOOLONG/],
        [{ "io.microsoft.container.lcow.tee-log-dir-mount": "x" }, 'tee-log-dir-mount "x": expected an abs'],
      ])("with invalid values are refused: %j", async (annotations, message) => {
        await expect(outputOf("true", {}, { annotations })).rejects.toThrow(message);
      });
    });

    describe("the process", () => {
      it.each([
        ["app", "1001 1002"],
        ["1001", "1001 1002"],
        ["app:staff", "1001 50"],
        ["app:7", "1001 7"],
        ["4242", "4242 0"],
        ["4242:50", "4242 50"],
      ])("runs as user %s", async (username, ids) => {
        const [uid, ...gids] = ids.split(" ");
        const script = "grep -E '^(Uid|Gid|Groups):' /proc/self/status";
        const output = await outputOf(script, { user: { uid: 0, gid: 0, username } });
        const [, found, gid, groups = ""] = /Uid:\s+(\d+).*Gid:\s+(\d+).*Groups:\s*([\d ]*)/s.exec(output) ?? [];
        expect(found).toBe(uid);
        expect(gid).toBe(gids[0]);
        expect(
          groups
            .trim()
            .split(" ")
            .filter((group) => group !== "" && group !== gid)
            .sort(),
        ).toEqual(gids.slice(1).sort());
      });

      it.each([
        ["nobody-here", 'user.username: the container\'s /etc/passwd has no user "nobody-here"'],
        ["app:nothing", 'user.username: the container\'s /etc/group has no group "nothing"'],
        ["a:b:c", 'user.username "a:b:c": expected <user> or <user>:<group>'],
        ["4294967296", "4294967296 is not a user id, expected 0 to 4294967295"],
      ])("cannot run as user %s", async (username, message) => {
        await expect(outputOf("true", { user: { uid: 0, gid: 0, username } })).rejects.toThrow(message);
      });

      it("of an exec runs as a user given by name, too", async () => {
        await machine.createContainer("named", { args: ["sleep", "1000"] });
        const init = await machine.execute("named");
        const process = { args: ["sh", "-c", "grep Uid /proc/self/status"], cwd: "/", env: ["PATH=/bin"] };
        const added = await machine.execute("named", {
          OCIProcess: { ...process, user: { uid: 0, gid: 0, username: "app" } },
        });
        expect((await added.stdout.all).toString()).toContain("1001");
        await machine.client.request("shutdownForced", "named", {});
        await init.exit;
        await machine.deleteContainer("named");
      });

      it("has additional groups, a umask, and a working directory that is made if missing", async () => {
        const user = { uid: 1001, gid: 1002, additionalGids: [7, 8], umask: 0o27 };
        const script = "pwd; umask; grep Groups /proc/self/status";
        expect(await outputOf(script, { user, cwd: "/work/deep" })).toMatch(/^\/work\/deep\n0?027\nGroups:\s+7 8/);
      });

      it("that only the kernel refuses is explained in the container's output", async () => {
        const script = "printf '#!/bin/sh\\r\\n' >/shared/crlf; chmod 755 /shared/crlf; echo made";
        const mounts = [bind("/shared", "sandbox:///programs")];
        expect(await outputOf(script, {}, { mounts })).toBe("made\n");
        expect(await outputOf("", { args: ["/shared/crlf"] }, { mounts })).toMatch(
          /^[^{]*\/shared\/crlf.*no such file/i,
        );
        const many = Array.from({ length: 30 }, () => "x".repeat(100_000));
        expect(await outputOf("", { args: ["true", ...many] })).toMatch(/^[^{]*true.*argument list too long/i);
      });

      it("has the given capabilities, rlimits and out-of-memory score", async () => {
        const capabilities = { bounding: ["CAP_KILL"], effective: ["CAP_KILL"], permitted: ["CAP_KILL"] };
        const rlimits = [{ type: "RLIMIT_NOFILE", hard: 77, soft: 66 }];
        const output = await outputOf(
          "grep -E 'CapEff|NoNewPrivs' /proc/self/status; grep 'open files' /proc/self/limits; cat /proc/self/oom_score_adj",
          { capabilities, rlimits, oomScoreAdj: 300, noNewPrivileges: true },
        );
        expect(output).toMatch(/CapEff:\s+0000000000000020\n.*NoNewPrivs:\s+1\n.*66\s+77.*\n300\n/s);
      });
    });

    describe("kernel settings", () => {
      it("apply sysctls to the container's namespaces", async () => {
        const sysctl = { "kernel.shm_rmid_forced": "1", "net.ipv4.ip_unprivileged_port_start": "77" };
        const script = "cat /proc/sys/kernel/shm_rmid_forced /proc/sys/net/ipv4/ip_unprivileged_port_start";
        expect(await outputOf(script, {}, {}, { sysctl })).toBe("1\n77\n");
      });

      it("make the root read-only, and paths masked or read-only", async () => {
        const root = { path: `/run/gcs/pods/pod/settings-${containers}/rootfs`, readonly: true };
        const script = "echo x >/file; cat /proc/kcore | head -c 1; echo 1 >/proc/sys/kernel/shm_rmid_forced";
        const output = await outputOf(script, {}, { root });
        expect(output).toMatch(/\/file: Read-only file system.*shm_rmid_forced: Read-only file system/s);
      });

      it("limit memory and processes", async () => {
        const resources = { memory: { limit: 32 * 1024 * 1024 }, pids: { limit: 4 } };
        const script = "for i in 1 2 3 4 5 6; do sleep 2 & done; wait";
        expect(await outputOf(script, {}, {}, { resources })).toMatch(/can't fork|Resource temporarily unavailable/);
        const memory = "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null";
        expect(await outputOf(memory, {}, {}, { resources })).toBe("33554432\n");
      });

      it("filter system calls", async () => {
        const seccomp = {
          defaultAction: "SCMP_ACT_ALLOW",
          syscalls: [{ names: ["mkdir", "mkdirat"], action: "SCMP_ACT_ERRNO", errnoRet: 1 }],
        };
        expect(await outputOf("mkdir /made; echo on", {}, {}, { seccomp })).toMatch(
          /not permitted.*on\n|on\n.*not perm/s,
        );
      });
    });
  },
);
