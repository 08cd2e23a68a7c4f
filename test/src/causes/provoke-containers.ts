/** Containers that are not created, do not start or do not end as they should. */
import { closeSync, constants, copyFileSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { mustRun } from "@uvm-shim/test-support/command";
import { appendVhdFooter, makeExt4 } from "@uvm-shim/test-support/disk";
import { layersMount, makeScratch } from "@uvm-shim/test-support/layers";
import { Task } from "../shim-client/shim.ts";
import type { Specification } from "../shim-client/spec.ts";
import { type Bench, bound } from "./bench.ts";
import type { Provocation } from "./provocation.ts";

const mostDisks = 256;

type Change = (specification: Specification) => object;

const mounting =
  (mount: object): Change =>
  (specification) => ({ ...specification, mounts: [...specification.mounts, mount] });
const limited =
  (resources: object): Change =>
  (specification) => ({ ...specification, linux: { ...specification.linux, resources } });

async function layered(bench: Bench, layer: string) {
  return [layersMount(await makeScratch(join(bench.directory, "scratch")), [layer])];
}

/** Of busybox, for a machine that there is not here. */
function foreignRoot(bench: Bench): string {
  const machineField = 18;
  const s390 = 0x16;
  const bytes = readFileSync(join(bench.images.rootfs, "bin", "busybox"));
  bytes.writeUInt16LE(s390, machineField);
  writeFileSync(join(bench.folder("foreign/bin"), "sh"), bytes, { mode: 0o755 });
  return join(bench.directory, "foreign");
}

/** A root file system with a program, executable, of this text. */
function rootWith(bench: Bench, text: string): string {
  writeFileSync(join(bench.folder("made/bin"), "made"), text, { mode: 0o755 });
  for (const name of ["proc", "dev", "sys"]) bench.folder(`made/${name}`);
  return join(bench.directory, "made");
}

export const containerEnds: readonly Provocation[] = [
  {
    cause: "rootfs-missing",
    name: "a root file system that does not exist",
    says: /^Container c1 was not created: its root file system \S+\/none does not exist\.$/,
    run: (bench) => bench.failingContainer({ rootfs: [], change: (all) => ({ ...all, root: { path: "none" } }) }),
  },
  {
    cause: "rootfs-missing",
    name: "a mount of the snapshot whose source does not exist",
    says: /^Container c1 was not created: its root file system cannot be mounted \(bind of \/no\/such: \/no\/such does not exist\)\.$/,
    run: (bench) => bench.failingContainer({ rootfs: bound("/no/such") }),
  },
  {
    cause: "disk-missing",
    name: "no scratch disk in the snapshot",
    says: /^Container c1 was not created: scratch disk \S+\/sandbox\.vhdx does not exist\.$/,
    run: (bench) => bench.failingContainer({ rootfs: [layersMount(bench.folder("none"), [bench.images.layer])] }),
  },
  {
    cause: "disk-missing",
    name: "no layer",
    says: /^Container c1 was not created: layer \S+\/gone\/layer\.vhd does not exist\.$/,
    run: async (bench) => bench.failingContainer({ rootfs: await layered(bench, join(bench.directory, "gone")) }),
  },
  {
    cause: "disk-without-file-system",
    name: "a layer that is a text",
    says: /^Container c1 was not created: a disk of it is no virtual disk with ext4 \(\S+\/layer\.vhd\)\.$/,
    proof: /modifySettings failed .*holds no file system/,
    run: async (bench) => {
      writeFileSync(join(bench.folder("text"), "layer.vhd"), "no disk\n".repeat(1000));
      await bench.failingContainer({ rootfs: await layered(bench, join(bench.directory, "text")) });
    },
  },
  {
    cause: "disk-forbidden",
    name: "a scratch disk on a file system that is mounted read-only",
    says: /^Container c1 was not created: the host may not open \S+\/sandbox\.vhd for the VM \(/,
    run: async (bench) => {
      const folder = bench.folder("ro");
      await mustRun("mount", ["-t", "tmpfs", "tmpfs", folder]);
      bench.atEnd(() => mustRun("umount", ["--lazy", folder]));
      const scratch = await makeScratch(join(folder, "scratch"));
      await mustRun("mount", ["-o", "remount,ro", folder]);
      await bench.failingContainer({ rootfs: [layersMount(scratch, [bench.images.layer])] });
    },
  },
  {
    cause: "scratch-full",
    name: "a container fills the disk that the next one shares",
    says: /^Container c2 was not created: its scratch disk is full/,
    run: async (bench) => {
      const scratch = await makeScratch(join(bench.directory, "scratch"), 4);
      const rootfs = [layersMount(scratch, [bench.images.layer])];
      const pod = await bench.pod();
      const args = ["sh", "-c", "cat /dev/zero > /x; while mkdir /d$((n=n+1)); do :; done; echo full; sleep 1000"];
      const first = await bench.container(pod, { rootfs, args });
      await first.start();
      await bench.output(first, "full");
      await bench.container(pod, { id: "c2", rootfs }).catch(() => {});
    },
  },
  {
    cause: "disk-slots-exhausted",
    name: "more disks than four SCSI controllers have slots",
    says: /^Container c1 was not created: its VM has no place for a further disk/,
    run: async (bench) => {
      const first = join(bench.directory, "disk-0.vhd");
      await makeExt4(first, 1);
      appendVhdFooter(first);
      const mounts = Array.from({ length: mostDisks + 1 }, (_, index) => {
        const source = join(bench.directory, `disk-${index}.vhd`);
        if (index > 0) copyFileSync(first, source);
        return { destination: `/disk-${index}`, type: "virtual-disk", source, options: [] };
      });
      await bench.failingContainer({ change: (all) => ({ ...all, mounts: [...all.mounts, ...mounts] }) });
    },
  },
  {
    cause: "mount-source-missing",
    name: "a bind mount of nothing",
    says: /^Container c1 was not created: \/no\/such, which it mounts, does not exist on the host\.$/,
    run: (bench) =>
      bench.failingContainer({
        change: mounting({ destination: "/x", type: "bind", source: "/no/such", options: ["rbind"] }),
      }),
  },
  {
    cause: "foreign-architecture",
    name: "a program for S390",
    says: /^Container c1 was not created: \/bin\/sh was built for S390, and this is x86-64\.$/,
    proof: /HCS_E_IMAGE_MISMATCH/,
    run: (bench) => bench.failingContainer({ args: ["/bin/sh"], rootfs: bound(foreignRoot(bench)) }),
  },
  {
    cause: "program-not-found",
    name: "a command that is not in the image",
    says: /^Container c1 was not created: the program "\/usr\/bin\/nothing" is not in its image\.$/,
    proof: /^create failed with InvalidArgument/,
    run: (bench) => bench.failingContainer({ args: ["/usr/bin/nothing"] }),
  },
  {
    cause: "program-not-found",
    name: "an exec that is not in the image",
    says: /^Exec e1 in container c1 did not start: the program "nothing" is not in its image\.$/,
    run: async (bench) => {
      const { container } = await bench.running();
      await container.exec("e1", { args: ["nothing"] }).catch(() => {});
    },
  },
  {
    cause: "program-not-executable",
    name: "a text as a program",
    says: /^Container c1 was not created: \/etc\/passwd in its image is no executable program\.$/,
    run: (bench) => bench.failingContainer({ args: ["/etc/passwd"] }),
  },
  {
    cause: "program-not-executable",
    name: "an executable file that is no program",
    says: /^Container c1 was not created: "?\/bin\/made"? is no program that this machine can execute \(exec format error\)\.$/,
    run: (bench) => bench.failingContainer({ args: ["/bin/made"], rootfs: bound(rootWith(bench, "no program\n")) }),
  },
  {
    cause: "interpreter-missing",
    name: "a script for an interpreter that is not in the image",
    says: /^Container c1 was not created: its image lacks \/no\/such, which has to run "?\/bin\/made"?\.$/,
    run: (bench) => bench.failingContainer({ args: ["/bin/made"], rootfs: bound(rootWith(bench, "#!/no/such\n")) }),
  },
  {
    cause: "working-directory",
    name: "a file as a working directory",
    says: /^Container c1 was not created: it cannot work in \/etc\/passwd \(Not a directory\)\.$/,
    run: (bench) => bench.failingContainer({ fields: { cwd: "/etc/passwd" } }),
  },
  {
    cause: "user-not-in-image",
    name: "a user that nobody made",
    says: /^Container c1 was not created: its image has no user "nobody-here" \(\/etc\/passwd\)\.$/,
    run: (bench) => bench.failingContainer({ fields: { user: { uid: 0, gid: 0, username: "nobody-here" } } }),
  },
  {
    cause: "machine-limits",
    name: "a processor that the VM has not",
    says: /^Container c1 was not created: cpu\.cpus "99" cannot be applied \(.*out of range\)\.$/,
    run: (bench) => bench.failingContainer({ change: limited({ cpu: { cpus: "99" } }) }),
  },
  {
    cause: "vm-too-small",
    name: "a limit above the memory that an annotation gives the VM",
    says: /^Container c1 was not created: its memory limit is 1024 MiB/,
    run: (bench) =>
      bench.failingContainer(
        { change: limited({ memory: { limit: 2 ** 30 } }) },
        { annotations: { "io.microsoft.virtualmachine.computetopology.memory.sizeinmb": "256" } },
      ),
  },
  {
    cause: "configuration-unreadable",
    name: "half a config.json",
    says: /^Container c1 was not created: \S+\/config\.json is not JSON/,
    run: async (bench) => {
      const pod = await bench.pod();
      const bundle = bench.folder("p/c1");
      writeFileSync(join(bundle, "config.json"), '{"process": {');
      await pod.shim.call(Task, "Create", { id: "c1", bundle, rootfs: bench.root }).catch(() => {});
    },
  },
  {
    cause: "sandbox-unknown",
    name: "a container that names another sandbox",
    says: /^Container c1 was not created: this shim has no pod other\.$/,
    run: (bench) =>
      bench.failingContainer({
        change: (all) => ({ ...all, annotations: { "io.kubernetes.cri.sandbox-id": "other" } }),
      }),
  },
  {
    cause: "id-in-use",
    name: "a container with the id of another one",
    says: /^Container c1 was not created: another one with this id has not been deleted\.$/,
    run: async (bench) => {
      const pod = await bench.pod();
      const { bundle } = await bench.container(pod);
      await pod.shim.call(Task, "Create", { id: "c1", bundle, rootfs: bench.root }).catch(() => {});
    },
  },
  {
    cause: "container-not-running",
    name: "an exec in a container that has ended",
    says: /^Exec e1 in container c1 (?:was refused|did not start): the container is \w+\.$/,
    run: async (bench) => {
      const { container } = await bench.running({ args: ["true"] });
      await container.wait();
      await container.exec("e1", { args: ["true"] }).catch(() => {});
    },
  },
  {
    cause: "specification-invalid",
    name: "no command",
    says: /^Container c1 was not created: its specification cannot be carried out: process\.args: expected a command/,
    run: (bench) => bench.failingContainer({ change: (all) => ({ ...all, process: { ...all.process, args: [] } }) }),
  },
  {
    cause: "device-unassignable",
    name: "a device for a VM without PCI",
    says: /^Container c1 was not created: a device cannot be assigned \(the kernel command line has pci=off\)\.$/,
    run: (bench) => {
      const devices = [{ id: "PCIP\\VEN_1234", idType: "vpci-instance-id" }];
      return bench.failingContainer({ change: (all) => ({ ...all, windows: { devices } }) });
    },
  },
  {
    cause: "client-stdio",
    name: "a FIFO that does not exist",
    says: /^Container c1 was not created: its stdout \/no\/such\/fifo cannot be opened \(ENOENT\)\.$/,
    run: (bench) => bench.failingContainer({ stdout: "/no/such/fifo" }),
  },
  {
    cause: "out-of-memory",
    name: "a program that takes all it gets",
    says: /^Container c1 ran out of memory, and the guest's kernel killed a process of it\.$/,
    proof: /process exited \(id c1, status 137\)/,
    run: async (bench) => {
      const change = limited({ memory: { limit: 16 * 2 ** 20, swap: 16 * 2 ** 20 } });
      const { container } = await bench.running({ args: ["tail", "/dev/zero"], change });
      await container.wait();
    },
  },
  {
    cause: "program-failed",
    name: "exit 3",
    says: /^The program of container c1 ended by itself, with exit code 3\.$/,
    run: async (bench) => {
      const { container } = await bench.running({ args: ["sh", "-c", "exit 3"] });
      await container.wait();
    },
  },
  {
    cause: "not-deleted",
    name: "a container that has ended well, an hour ago",
    says: /^Container c1 ended 36\d\d s ago, and its client has not deleted it\.$/,
    later: 3600,
    run: async (bench) => {
      const { container } = await bench.running({ args: ["true"] });
      await container.wait();
    },
  },
  {
    cause: "output-unread",
    name: "a client that reads nothing",
    says: /^A process of container c1 ended \d+ s ago, and its exit waits for the client, which does not read its output\.$/,
    later: 60,
    run: async (bench) => {
      const stdout = join(bench.directory, "unread");
      await mustRun("mkfifo", [stdout]);
      const reader = openSync(stdout, constants.O_RDONLY | constants.O_NONBLOCK);
      bench.atEnd(() => closeSync(reader));
      await bench.running({ args: ["head", "-c", "150000", "/dev/zero"], stdout });
    },
  },
];
