/**
 * How the real guest treats pods, case by case, by its source (internal/guest of
 * microsoft/hcsshim). A more lenient agent would hide omissions of a host.
 */
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { OciMount, OciSpec } from "@uvm-shim/hcs-schema";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import type { Machine } from "../testing/machine.ts";
import { makePlugs, nicId, type Plugs } from "../testing/nics.ts";
import { bundleOf, containerTypeKey, namespacesOf, sandboxIdKey, specificationFor } from "../testing/specifications.ts";
import { machineForSuite } from "../testing/suite-machine.ts";

const forever = ["sleep", "1000000"];
const emptyResources = { sysctl: {}, resources: {} };

describeWith("root", "crun", "runc", "busybox", "mkfs.ext4", "ip").each(["crun", "runc"] as const)(
  "pods as in the real guest, with %s",
  (runtime) => {
    let machine: Machine;
    let plugs: Plugs;
    let ids = 0;

    machineForSuite(runtime, (booted) => {
      machine = booted;
      plugs = makePlugs();
    });
    afterAll(() => plugs?.close());

    const newId = (): string => `container-${++ids}`;
    const remove = (id: string) => machine.client.request("deleteContainerState", id, {});
    const failed = (...words: readonly string[]) => ({
      hresultName: "E_FAIL",
      message: expect.stringMatching(words.join(".*")),
    });
    const notFound = { hresultName: "HCS_E_SYSTEM_NOT_FOUND" };

    /** A standalone container. */
    async function createStandalone(id: string, more: Partial<OciSpec> = {}, args: readonly string[] = forever) {
      const rootfs = await machine.shareRoot(id);
      await machine.create(id, { ...specificationFor(rootfs, { args }, { sysctl: {} }), ...more });
    }

    async function outputOf(id: string): Promise<string> {
      const { stdout, stderr, exit } = await machine.execute(id);
      const [output, errors] = await Promise.all([stdout.all, stderr?.all]);
      await exit;
      return `${output}${errors}`;
    }

    async function inGuest(script: string): Promise<string> {
      return (await machine.inGuest(["sh", "-c", script])).stdout;
    }

    describe("kinds of containers", () => {
      it.each([
        [{ [containerTypeKey]: "pause" }, `${containerTypeKey} "pause": expected sandbox or container`],
        [{ [containerTypeKey]: "" }, `${containerTypeKey} "": expected sandbox or container`],
        [{ [containerTypeKey]: "container" }, `${sandboxIdKey} is empty`],
        [{ [containerTypeKey]: "container", [sandboxIdKey]: "nobody" }, "pod nobody: the pod has no sandbox container"],
      ])("follow from annotations: %j is refused", async (annotations, message) => {
        const id = newId();
        await expect(createStandalone(id, { annotations })).rejects.toMatchObject(failed(message));
        await expect(remove(id)).rejects.toMatchObject(notFound);
      });

      it("include sandboxes with the id of their virtual pod, which has a folder of its own", async () => {
        const id = newId();
        const virtual = { "io.microsoft.cri.virtual-pod-id": id };
        await machine.createPod(id, { annotations: { ...virtual, [containerTypeKey]: "container" } });
        expect(await inGuest(`cat /run/gcs/pods/pod/virtual-pods/${id}/hostname`)).toBe("box\n");
        const workload = newId();
        const annotations = { ...virtual, [sandboxIdKey]: "another" };
        await machine.createWorkload("another", workload, { args: ["cat", "/etc/hostname"] }, {}, { annotations });
        expect(await outputOf(workload)).toBe("box\n");
      });

      it("include workloads of a sandbox that has ended, until its state is deleted", async () => {
        const pod = newId();
        const { exit } = await machine.createPod(pod);
        await machine.client.request("shutdownForced", pod, {});
        expect(await exit).toBe(137);
        const workload = newId();
        await machine.createWorkload(pod, workload, { args: ["echo", "left"] }, emptyResources);
        expect(await outputOf(workload)).toBe("left\n");
        await machine.deleteContainer(pod);
        expect(await inGuest(`grep -c ${bundleOf(pod)} /proc/self/mounts; ls -d ${bundleOf(pod)}`)).toBe("0\n");
        await expect(machine.createWorkload(pod, newId(), { args: ["true"] })).rejects.toMatchObject(
          failed("the pod has no sandbox container"),
        );
      });
    });

    describe("a sandbox container", () => {
      it("has hostname, hosts and resolv.conf in its folder, and mounts none of them itself", async () => {
        const pod = newId();
        const { pid } = await machine.createPod(pod, { hostname: "box.example.test" });
        const files = await inGuest(`cd ${bundleOf(pod)} && cat hostname hosts resolv.conf`);
        expect(files).toMatch(/^box\.example\.test\n127\.0\.0\.1 localhost\n127\.0\.0\.1 box\.example\.test box\n/);
        expect(await inGuest(`cat /proc/${pid}/mountinfo`)).not.toMatch(/ \/etc\//);
        expect(await inGuest("cat /proc/sys/kernel/hostname")).toBe("uvm-test\n");
      });

      it("has the guest's host name if it gives none", async () => {
        const pod = newId();
        await machine.createPod(pod, { hostname: "" });
        expect(await inGuest(`cat ${bundleOf(pod)}/hostname`)).toBe("uvm-test\n");
      });

      it("needs a known network namespace, unless its annotation skips networking", async () => {
        const pod = newId();
        const windows = { network: { networkNamespace: `unknown-${pod}` } };
        const annotations = { "io.microsoft.cri.skip-pod-networking": "1" };
        await expect(machine.createPod(pod, { windows, annotations })).rejects.toMatchObject({
          hresultName: "ERROR_NOT_FOUND",
          message: expect.stringContaining(`network namespace "unknown-${pod}" does not exist`),
        });
        const { pid } = await machine.createPod(newId(), { windows });
        expect(pid).toBeGreaterThan(1);
      });

      it("cannot have a host name that breaks the hosts file", async () => {
        await expect(machine.createPod(newId(), { hostname: "a\n6.6.6.6 bank" })).rejects.toMatchObject(
          failed("invalid OciSpecification.hostname"),
        );
      });

      it("gets no devices, but the user that it names", async () => {
        const pod = newId();
        const rootfs = await machine.shareRoot(pod);
        const spec = specificationFor(rootfs, { args: ["sh", "-c", "grep Uid /proc/self/status; ls /dev"] });
        const process = { ...spec.process, cwd: "/", user: { uid: 0, gid: 0, username: "4711" } };
        const annotations = {
          [containerTypeKey]: "sandbox",
          "io.microsoft.cri.skip-pod-networking": "true",
          "io.microsoft.virtualmachine.lcow.privileged": "true",
          "io.microsoft.lcow.shm.size-kb": "no number",
        };
        const windows = {
          devices: [{ id: "6f9619ff-8b86-d011-b42d-00c04fc964ff", idType: "vpci" }],
          network: { networkNamespace: pod },
        };
        await machine.create(pod, { ...spec, process, annotations, windows });
        const output = await outputOf(pod);
        expect(output).toMatch(/Uid:\s+4711/);
        expect(output).not.toContain("vpci");
      });

      it("propagates its mounts to the pod's folders in memory, if they are shared", async () => {
        const pod = newId();
        const bundle = bundleOf(pod);
        const among = (propagation: string): readonly OciMount[] => [
          ...(specificationFor("/", {}).mounts ?? []),
          ...[
            ["/dev/pod", "bind", `${bundle}/sandboxTmpfsMounts`, "rbind", propagation],
            ["/dev/pod/shm", "tmpfs", "shm", "nosuid", "mode=1777", "size=1024k"],
          ].map(([destination = "", type = "", source = "", ...options]) => ({ destination, type, source, options })),
        ];
        const sizeOf = async (sandbox: string): Promise<string> => {
          const id = newId();
          const mount = { destination: "/shared", type: "bind", source: "sandbox-tmp:///shm", options: ["rbind"] };
          const mounts = [...(specificationFor("/", {}).mounts ?? []), mount];
          const script = "df -k /shared | tail -n 1 | awk '{ print $2 }'; stat -c %a /shared";
          await machine.createWorkload(sandbox, id, { args: ["sh", "-c", script] }, emptyResources, { mounts });
          return await outputOf(id);
        };
        const { linux } = specificationFor("/", {});
        await machine.createPod(pod, { mounts: among("rshared"), linux: { ...linux, rootfsPropagation: "rshared" } });
        expect(await sizeOf(pod)).toBe("1024\n1777\n");
        await remove(pod).catch(() => {});
        const other = newId();
        const kept = among("rprivate").map((mount) => ({
          ...mount,
          source: mount.source?.replace(bundle, bundleOf(other)) ?? "",
        }));
        await machine.createPod(other, { mounts: kept });
        expect(await sizeOf(other)).not.toMatch(/^1024\n/);
      });

      it("runs from a read-only share that contains only its program", async () => {
        const pod = newId();
        const folder = join(machine.fixtures.folder, `tiny-${pod}`);
        for (const name of ["bin", "proc", "dev", "sys"]) mkdirSync(join(folder, name), { recursive: true });
        copyFileSync("/bin/busybox", join(folder, "bin/sleep"));
        await machine.share(`tiny-${pod}`, folder, `${bundleOf(pod)}/rootfs`, true);
        const spec = specificationFor(`${bundleOf(pod)}/rootfs`, { args: forever, env: ["PATH=/bin"] });
        const annotations = { [containerTypeKey]: "sandbox", "io.microsoft.cri.skip-pod-networking": "true" };
        const windows = { network: { networkNamespace: pod } };
        await machine.create(pod, { ...spec, windows, annotations });
        const { pid } = await machine.execute(pod);
        expect(await inGuest(`grep NSpid /proc/${pid}/status`)).toMatch(new RegExp(`NSpid:\\s+${pid}\\s+1\\n`));
      });
    });

    describe("a workload", () => {
      let pod: string;
      let podPid: number;

      beforeAll(async () => {
        pod = newId();
        plugs.plug(machine, 1);
        await machine.modify("Add", "Network", {
          NamespaceID: `namespace-of-${pod}`,
          ID: nicId(1),
          IPConfigs: [{ IPAddress: "10.1.0.2", PrefixLength: 24 }],
          DNSServerList: "10.1.0.1",
        });
        const windows = { network: { networkNamespace: `Namespace-of-${pod}` } };
        const annotations = { "io.microsoft.cri.skip-pod-networking": "" };
        podPid = (await machine.createPod(pod, { windows, annotations })).pid;
      });

      const run = async (
        script: string,
        linux: OciSpec["linux"] = {},
        more: Partial<OciSpec> = {},
      ): Promise<string> => {
        const id = newId();
        await machine.createWorkload(pod, id, { args: ["sh", "-c", script] }, { ...emptyResources, ...linux }, more);
        return await outputOf(id);
      };

      it("has the NICs of its pod if it joins the sandbox's network namespace, and otherwise none", async () => {
        const namespaces = namespacesOf(podPid);
        expect(await run("ls /sys/class/net; cat /etc/resolv.conf", { namespaces })).toMatch(
          /eth0\n[\s\S]*nameserver 10\.1\.0\.1\n/,
        );
        expect(await inGuest("ls /sys/class/net")).not.toMatch(/eth0|nic/);
        expect(await run("ls /sys/class/net")).not.toContain("eth0");
        const own = namespaces.filter(({ type }) => type !== "network");
        expect(await run("ls /sys/class/net", { namespaces: own })).not.toContain("eth0");
      });

      it("shares host name, IPC and processes with the sandbox only if it joins its namespaces", async () => {
        const joined = ["uts", "ipc", "pid"].map((type) => ({ type, path: `/proc/${podPid}/ns/${type}` }));
        const namespaces = [{ type: "mount" }, { type: "network" }, ...joined];
        const script =
          "hostname; cat /proc/1/cmdline | head -c 5; echo; ls /proc | grep -c '^[0-9]'; kill -0 1 && echo 1";
        expect(await run(script, { namespaces })).toMatch(/^box\nsleep\n[3-6]\n1\n$/);
        const links = "ls -l /proc/self/ns";
        const theirs = await inGuest(`ls -l /proc/${podPid}/ns`);
        const shared = (await run(links, { namespaces })).match(/(uts|ipc|pid):\[\d+\]/g) ?? [];
        for (const link of new Set(shared)) expect(theirs).toContain(link);
        const apart = (await run(links)).match(/(uts|ipc|pid|net):\[\d+\]/g) ?? [];
        expect(apart.length).toBeGreaterThan(3);
        for (const link of apart) expect(theirs).not.toContain(link);
      });

      it("is in the VM's namespaces for the types that it does not name", async () => {
        const namespaces = [{ type: "mount" }, { type: "cgroup" }];
        expect(await run("hostname", { namespaces })).toBe("uvm-test\n");
      });

      it.each([
        ["/proc/99999999/ns/net", "does not exist in the guest"],
        ["/proc/1/ns/uts", "is a namespace of type uts, expected net"],
      ])("cannot join %s as its network", async (path, message) => {
        const namespaces = [{ type: "pid" }, { type: "mount" }, { type: "network", path }];
        await expect(run("true", { namespaces })).rejects.toMatchObject(
          failed(`namespaces\\[2\\]\\.path: ${path} ${message}`),
        );
      });

      it("must not have a host name of its own", async () => {
        await expect(run("true", {}, { hostname: "other" })).rejects.toMatchObject(
          failed('OciSpecification.hostname "other"', 'expected ""'),
        );
      });

      it("has the pod's files, unless it mounts its own over them", async () => {
        const { mounts = [] } = specificationFor("/", {});
        const own = { destination: "/etc/hosts", type: "bind", source: "/etc/passwd", options: ["bind", "ro"] };
        const output = await run("cat /etc/hosts /etc/hostname", {}, { mounts: [...mounts, own] });
        expect(output).toBe("root:x:0:0:root:/root:/bin/sh\nbox\n");
      });

      it("cannot have a bind mount without the option bind or rbind, whatever its type", async () => {
        const { mounts = [] } = specificationFor("/", {});
        const mount = { destination: "/guest", type: "bind", source: "uvm:///etc", options: ["ro"] };
        await expect(run("true", {}, { mounts: [...mounts, mount] })).rejects.toThrow(/no such device/i);
      });

      it("is refused if its read-only root has no mount points for the pod's files", async () => {
        const bare = newId();
        const root = { path: await machine.shareRoot(bare, bundleOf(bare), true), readonly: true };
        const annotations = { [containerTypeKey]: "container", [sandboxIdKey]: pod };
        const spec = {
          ...specificationFor(root.path, { args: ["true"] }, emptyResources),
          hostname: "",
          root,
          annotations,
        };
        await expect(machine.create(bare, spec)).rejects.toThrow(/\/etc\/(hostname|hosts|resolv\.conf)|read-only/i);
        await expect(remove(bare)).rejects.toMatchObject(notFound);

        const furnished = newId();
        const etc = join(machine.fixtures.rootfs, "etc");
        const names = ["hostname", "hosts", "resolv.conf"].map((name) => join(etc, name));
        for (const name of names) writeFileSync(name, "");
        const path = await machine.shareRoot(furnished, bundleOf(furnished), true);
        for (const name of names) rmSync(name);
        const args = ["cat", "/etc/hostname"];
        const complete = { ...specificationFor(path, { args }, emptyResources), hostname: "", annotations };
        await machine.create(furnished, { ...complete, root: { path, readonly: true } });
        expect(await outputOf(furnished)).toBe("box\n");
      });

      it("is refused at its creation if its program does not exist", async () => {
        const id = newId();
        await expect(machine.createWorkload(pod, id, { args: ["no-such-program"] }, emptyResources)).rejects.toThrow(
          "no-such-program",
        );
        await expect(machine.execute(id)).rejects.toMatchObject(notFound);
      });
    });

    describe("a standalone container", () => {
      it("keeps its network namespace for ever, even the unnamed one", async () => {
        const first = newId();
        const network = { network: { networkNamespace: `held-by-${first}` } };
        await createStandalone(first, { windows: network });
        await expect(createStandalone(newId(), { windows: network })).rejects.toMatchObject(
          failed(`network namespace "held-by-${first}" is already assigned to the container of process`),
        );
        await machine.deleteContainer(first);
        const again = newId();
        await expect(createStandalone(again, { windows: network })).rejects.toMatchObject(
          failed("already assigned to the container"),
        );
        await expect(remove(again)).rejects.toMatchObject(notFound);

        const unnamed = newId();
        await createStandalone(unnamed);
        await machine.deleteContainer(unnamed);
        await expect(createStandalone(newId())).rejects.toMatchObject(
          failed('network namespace "" is already assigned'),
        );
      });

      it("has a host name and pod files of its own, and the NICs of its namespace", async () => {
        const id = newId();
        plugs.plug(machine, 2);
        await machine.modify("Add", "Network", {
          ...{ NamespaceID: id, ID: nicId(2), DNSSuffix: "alone.test" },
          IPConfigs: [{ IPAddress: "10.2.0.2", PrefixLength: 24 }],
        });
        const script = "hostname; cat /etc/hostname /etc/resolv.conf; ls /sys/class/net | grep eth";
        await createStandalone(id, { windows: { network: { networkNamespace: id } } }, ["sh", "-c", script]);
        expect(await outputOf(id)).toBe("box\nbox\nsearch alone.test\neth0\n");
      });

      it("gets no user by name, shared folders, devices or size of /dev/shm", async () => {
        const id = newId();
        const rootfs = await machine.shareRoot(id);
        const args = ["sh", "-c", "grep Uid: /proc/self/status; ls /dev"];
        const spec = specificationFor(rootfs, { args }, { sysctl: {}, resources: {} });
        const process = { ...spec.process, cwd: "/", user: { uid: 12, gid: 0, username: "nobody-of-that-name" } };
        const annotations = {
          "io.microsoft.virtualmachine.lcow.privileged": "true",
          "io.microsoft.lcow.shm.size-kb": "no number",
          "io.microsoft.lcow.rlimitcore": "no limits",
        };
        const windows = {
          devices: [{ id: "6f9619ff-8b86-d011-b42d-00c04fc964ff", idType: "vpci" }],
          network: { networkNamespace: id },
        };
        await machine.create(id, { ...spec, process, annotations, windows });
        const output = await outputOf(id);
        expect(output).toMatch(/Uid:\s+12\s/);
        expect(output).not.toMatch(/vpci|scsi/);

        const other = newId();
        const source = "sandbox://files";
        const mounts = [...(spec.mounts ?? []), { destination: "/files", type: "bind", source, options: ["rbind"] }];
        const more = { mounts, windows: { network: { networkNamespace: other } } };
        await expect(createStandalone(other, more)).rejects.toThrow(/sandbox:/);
      });
    });
  },
);
