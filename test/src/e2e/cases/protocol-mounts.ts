/** What of the host a container is given, and what of it stays outside the guest; spoken to the shim directly. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { linuxGuestPaths } from "@uvm-shim/hcs-schema";
import { runCommand } from "@uvm-shim/test-support/command";
import { makeExt4, withBlockDevice } from "@uvm-shim/test-support/disk";
import { layersMount, makeLayer } from "@uvm-shim/test-support/layers";
import type { Pod } from "../../shim-client/pod.ts";
import {
  assertRefused,
  directoryRootfs,
  type ProtocolCase,
  type ProtocolCaseContext,
  runToEnd,
  withPod,
} from "./protocol.ts";
import { bind, withMounts, withScripts, writableRoot } from "./protocol-containers.ts";

async function physicalDisks(context: ProtocolCaseContext): Promise<void> {
  const contents = join(context.directory, "contents");
  mkdirSync(contents);
  writeFileSync(join(contents, "file"), "on the disk\n");
  const image = join(context.directory, "image");
  await makeExt4(image, 16, contents);
  await withBlockDevice(image, async (source) => {
    const mount = (destination: string, ...options: readonly string[]) =>
      withMounts({ destination, type: "physical-disk", source, options });
    await withScripts(context, async (outputOf) => {
      const writable = await outputOf("cat /d/file; echo more >>/d/file", { change: mount("/d", "rw") });
      assert.equal(writable, "on the disk\n");
      const readOnly = await outputOf("cat /d/file; echo x >/d/file", { change: mount("/d", "ro") });
      assert.match(readOnly, /^on the disk\nmore\n.*Read-only file system/s);
      // The magic number of ext4 in its superblock.
      const script = "dd if=/dev/raw bs=1 skip=1080 count=2 2>/dev/null | od -An -tx1; (: >>/dev/raw) || echo kept";
      const device = await outputOf(script, { change: mount("blockdev:///dev/raw", "ro") });
      assert.match(device, /^ *53 ef\nkept\n.*not permitted/);
    });
  });
}

async function singleFiles(context: ProtocolCaseContext): Promise<void> {
  const folder = join(context.directory, "shared");
  mkdirSync(folder);
  for (const name of ["readable", "writable", "neighbour"]) writeFileSync(join(folder, name), `${name}\n`);
  const change = withMounts(
    bind("/etc/readable", join(folder, "readable"), "bind", "ro"),
    bind("/etc/writable", join(folder, "writable"), "bind"),
    bind("/guest", `uvm://${linuxGuestPaths.plan9Mounts}`, "rbind"),
  );
  await withScripts(context, async (outputOf) => {
    const script = "cat /etc/readable /etc/writable; echo more >>/etc/writable; echo x >/etc/readable";
    assert.match(await outputOf(script, { change }), /^readable\nwritable\n.*Read-only file system/s);
    assert.equal(readFileSync(join(folder, "writable"), "utf8"), "writable\nmore\n");
    const seen = (await outputOf("find /guest -type f | sort", { change })).trim().split("\n");
    const names = seen.map((path) => path.split("/").at(-1));
    assert.ok(names.includes("readable") && names.includes("writable"), `the guest sees ${seen.join(", ")}`);
    assert.ok(!names.includes("neighbour"), `the guest sees ${seen.join(", ")}`);
  });
}

async function withoutWritableShares(context: ProtocolCaseContext): Promise<void> {
  const { directory } = context;
  const annotations = { "io.microsoft.virtualmachine.fileshares.disablewritable": "true" };
  const { source, type, options } = layersMount("", [await makeLayer(join(directory, "layer"), context.images.rootfs)]);
  const work = async (pod: Pod): Promise<void> => {
    const create = (access: string) =>
      pod.createContainer({
        ...{ id: "c1", args: ["ls", "/etc"], rootfs: [{ source, type, options: [...options, "ro"] }] },
        change: withMounts(bind("/etc", directory, access)),
      });
    await assertRefused(create("rw"), "FailedPrecondition", directory, "expected option ro");
    assert.match((await runToEnd(await create("ro"))).stdout, /layer/);
  };
  await withPod(context, work, { annotations });
}

/** An image may have its folders on a volume, which is made where the link leads. */
async function danglingLinks(context: ProtocolCaseContext): Promise<void> {
  const shared = join(context.directory, "shared");
  mkdirSync(shared);
  writeFileSync(join(shared, "file"), "on the volume\n");
  const root = writableRoot(context);
  mkdirSync(join(root, "b"));
  symlinkSync("/var/lib/r/folder", join(root, "b", "folder"));
  symlinkSync("../../../../../outside/file", join(root, "b", "file"));
  await withScripts(context, async (outputOf) => {
    const mounts = withMounts(bind("/b/folder", shared, "rbind"), bind("/b/file", join(shared, "file"), "bind"), {
      destination: "/b/folder/deep/er",
      type: "tmpfs",
      source: "tmpfs",
    });
    const seen = await outputOf(
      "cat /b/folder/file /var/lib/r/folder/file /b/file /outside/file; touch /b/folder/deep/er/x; stat -c %a /var/lib/r",
      { rootfs: [], change: (specification) => ({ ...mounts(specification), root: { path: root } }) },
    );
    assert.equal(seen, `${"on the volume\n".repeat(4)}755\n`);
    assert.deepEqual(readdirSync(join(shared, "deep", "er")), []);
  });
}

const MARK = "stays-on-the-host";

/** The specification as the guest's own runtime has it, read in the guest. */
async function whatCrosses(context: ProtocolCaseContext): Promise<void> {
  const shared = join(context.directory, "shared");
  mkdirSync(shared);
  await withPod(context, async (pod) => {
    const rootfs = directoryRootfs(context);
    const first = await pod.createContainer({
      ...{ id: "first", args: ["sleep", "1000"], rootfs, environment: ["CROSSES=yes"] },
      change: ({ process, mounts, linux, ...specification }) => ({
        ...specification,
        hooks: { prestart: [{ path: `/${MARK}` }], poststop: [{ path: `/${MARK}` }] },
        annotations: {
          "com.example.operator": MARK,
          "io.microsoft.virtualmachine.computetopology.memory.sizeinmb": "512",
          "io.kubernetes.cri.container-type": "container",
          "io.microsoft.lcow.shm.size-kb": "4096",
        },
        process: { ...process, apparmorProfile: MARK, selinuxLabel: MARK, commandLine: MARK },
        mounts: [...mounts, bind("/shared", shared, "rbind")],
        linux: {
          ...linux,
          cgroupsPath: `/${MARK}`,
          mountLabel: MARK,
          intelRdt: { closID: MARK },
          resources: { hugepageLimits: [{ pageSize: MARK, limit: 1 }], network: { priorities: [{ name: MARK }] } },
        },
        windows: { servicing: true, credentialSpec: { mark: MARK }, layerFolders: [] },
        solaris: { milestone: MARK },
      }),
    });
    await first.start();
    const second = await pod.createContainer({
      ...{ id: "second", args: ["cat", "/guest/pod/first/config.json"], rootfs },
      change: withMounts(bind("/guest", `uvm://${linuxGuestPaths.containerRoot}`, "rbind", "ro")),
    });
    const { stdout } = await runToEnd(second);
    const crossed = JSON.parse(stdout);
    assert.ok(!stdout.includes(MARK), stdout);
    assert.ok(!stdout.includes(context.directory), stdout);
    for (const field of ["hooks", "windows", "solaris"]) assert.ok(!(field in crossed), `${field} has crossed`);
    assert.deepEqual(Object.keys(crossed.annotations).sort(), [
      "io.kubernetes.cri.container-type",
      "io.kubernetes.cri.sandbox-id",
      "io.microsoft.lcow.shm.size-kb",
    ]);
    assert.equal(crossed.annotations["io.kubernetes.cri.sandbox-id"], "pod");
    assert.ok(crossed.process.env.includes("CROSSES=yes"));
    await first.kill(9);
    await first.wait();
    await first.delete();
  });
}

/** Asked of the executable, as containerd does, in the form of `types.RuntimeInfo` (field 4: an Any with the features). */
async function mountOptionsOf(executable: string): Promise<readonly string[]> {
  const { stdout } = await runCommand(executable, ["-info"]);
  const text = stdout.toString("utf8");
  const [list] = /"mountOptions":\[[^\]]*\]/.exec(text) ?? assert.fail(`no mountOptions in -info: ${text}`);
  return (JSON.parse(`{${list}}`) as { readonly mountOptions: readonly string[] }).mountOptions;
}

async function everyMountOption(context: ProtocolCaseContext): Promise<void> {
  const folder = join(context.directory, "shared");
  mkdirSync(folder);
  const options = await mountOptionsOf(context.executable);
  assert.ok(options.includes("rro"), options.join(" "));
  const ofMemory = options.filter((option) => !["bind", "rbind"].includes(option));
  const change = withMounts(
    ...options.map((option) => bind(`/bind-${option}`, folder, option === "bind" ? "bind" : "rbind", option)),
    ...ofMemory.map((option) => ({
      ...{ destination: `/memory-${option}`, type: "tmpfs", source: "tmpfs" },
      options: [option],
    })),
  );
  await withScripts(context, async (outputOf) => {
    const lines = (await outputOf("grep -E ' /(bind|memory)-' /proc/self/mountinfo", { change })).trimEnd().split("\n");
    assert.equal(lines.length, options.length + ofMemory.length);
    for (const line of lines) {
      const [, , , , point = "", has = ""] = line.split(" ");
      const name = point.replace(/^\/(bind|memory)-r?/, "");
      if (["ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime"].includes(name)) {
        assert.ok(has.split(",").includes(name), line);
      }
      assert.ok(!has.includes("nosymfollow"), line);
    }
  });
}

export const protocolMountCases: readonly ProtocolCase[] = [
  { name: "physical disks as mounts: written, read-only, as devices", run: physicalDisks },
  { name: "single files of the host, read-only and writable, without their neighbours", run: singleFiles },
  { name: "mounts at links of the image that lead nowhere yet", run: danglingLinks },
  { name: "a pod without writable shares refuses them", run: withoutWritableShares },
  { name: "every mount option that -info names is accepted, and takes effect", run: everyMountOption },
  { name: "what stays on the host does not cross to the guest", run: whatCrosses },
];
