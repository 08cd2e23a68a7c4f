import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { beforeEach, describe, expect, it } from "vitest";
import { bootFiles, buildBootFiles } from "./build.ts";
import { elfFile } from "./elf-files.ts";
import { initialRoot, modulesOfRoot } from "./initial-root.ts";
import { KernelModules } from "./kernel-modules.ts";
import { layOutRoot, modulesAtBoot, modulesOnDemand, type RootParts } from "./root-image.ts";

const release = "6.1.0-50-amd64";
const libraries = "usr/lib/x86_64-linux-gnu";

let folder: string;
let parts: RootParts;

function put(path: string, content: string | Buffer): void {
  mkdirSync(dirname(join(folder, path)), { recursive: true });
  writeFileSync(join(folder, path), content);
}

/** The packages and the agent, with files that say only what the real ones say of themselves. */
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "root-image-"));
  const program = (...names: readonly string[]): Buffer => elfFile({ loader: "/lib64/ld.so", libraries: names });
  for (const name of ["bin/busybox", "sbin/mke2fs", "sbin/e2fsck", "sbin/ip"])
    put(`tree/usr/${name}`, program("libc.so.6"));
  put("tree/usr/bin/crun", program("libyajl.so.2", "libc.so.6"));
  put("tree/usr/lib64/ld.so", elfFile({}));
  put(`tree/${libraries}/libc.so.6`, elfFile({ libraries: ["ld-linux-x86-64.so.2"] }));
  put(`tree/${libraries}/libyajl.so.2`, elfFile({ libraries: ["libm.so.6"] }));
  put(`tree/${libraries}/libm.so.6`, elfFile({}));
  put("tree/etc/mke2fs.conf", "[defaults]\n");
  put(`tree/boot/vmlinuz-${release}`, "a kernel");
  const modules = `tree/usr/lib/modules/${release}`;
  put(`${modules}/modules.builtin`, "");
  for (const name of [...modulesOfRoot, ...modulesAtBoot, ...modulesOnDemand]) {
    const information = name === "ext4" ? ["depends=jbd2", "alias=fs-ext4"] : ["depends="];
    put(`${modules}/kernel/drivers/${name}.ko`, elfFile({ information }));
  }
  put(`${modules}/kernel/fs/jbd2.ko`, elfFile({ information: ["depends="] }));
  put("agent/guest-agent.program.cjs", "the agent");
  put("agent/initrd.img", "its start");
  put("agent/koffi/linux_x64/koffi.node", "an addon");
  put("node", program("libc.so.6"));
  parts = {
    tree: join(folder, "tree"),
    modules: new KernelModules(join(folder, modules)),
    node: join(folder, "node"),
    agent: join(folder, "agent"),
  };
});

function layOut(): readonly string[] {
  const root = join(folder, "root");
  rmSync(root, { recursive: true, force: true });
  mkdirSync(root);
  layOutRoot(root, parts);
  return readdirSync(root, { recursive: true, withFileTypes: true })
    .filter((entry) => !entry.isDirectory())
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1))
    .sort();
}

describe("the root of the guest", () => {
  it("has programs with the libraries of these and of those, the agent, and tables of its modules", () => {
    const files = layOut();
    expect(files.filter((path) => path.startsWith(libraries))).toEqual(
      ["libc.so.6", "libm.so.6", "libyajl.so.2"].map((name) => `${libraries}/${name}`),
    );
    expect(files).toEqual(
      expect.arrayContaining([
        ...["etc/group", "etc/mke2fs.conf", "etc/passwd", "usr/lib64/ld.so"],
        ...["usr/bin/crun", "usr/bin/node", "usr/bin/sh", "usr/sbin/init", "usr/sbin/mkfs.ext4", "usr/sbin/modprobe"],
        ...["guest-agent.cjs", "guest-agent.program.cjs", "koffi/linux_x64/koffi.node", "modules-at-boot"].map(
          (name) => `usr/lib/uvm-shim/${name}`,
        ),
      ]),
    );
    const text = (path: string): string => readFileSync(join(folder, "root", path), "utf8");
    expect(text(`usr/lib/modules/${release}/modules.dep`)).toContain("kernel/drivers/ext4.ko: kernel/fs/jbd2.ko\n");
    expect(text(`usr/lib/modules/${release}/modules.alias`)).toBe("alias fs-ext4 ext4\n");
    expect(text("usr/lib/uvm-shim/guest-agent.cjs")).toBe("its start");
    expect(readlinkSync(join(folder, "root/usr/sbin/poweroff"))).toBe("../bin/busybox");
    expect(statSync(join(folder, "root/usr/sbin/init")).mode & 0o777).toBe(0o755);
  });

  it.each([
    ["usr/bin/crun", "has usr/bin/crun, which the guest needs"],
    [`${libraries}/libm.so.6`, "has the library libm.so.6, which libyajl.so.2 needs"],
    ["usr/lib64/ld.so", "has usr/lib64/ld.so, which crun needs"],
    [`usr/lib/modules/${release}/kernel/fs/jbd2.ko`, `the kernel ${release} has no module jbd2, which ext4 needs`],
  ])("is not made without %s", (path, message) => {
    rmSync(join(parts.tree, path));
    parts = { ...parts, modules: new KernelModules(parts.modules.folder) };
    expect(layOut).toThrow(message);
  });
});

it("the initial root has a shell, a console, and the modules of the root in the order of their loading", () => {
  const entries = initialRoot(Buffer.from("busybox"), parts.modules);
  expect([...entries.keys()].filter((path) => path.startsWith("modules/"))).toEqual(
    modulesOfRoot.map((name, index) => `modules/0${index}-${name}.ko`),
  );
  expect(entries.get("dev/console")).toEqual({ kind: "device", major: 5, minor: 1 });
  expect(entries.get("init")).toMatchObject({ kind: "file", mode: 0o755 });
});

describe("the boot files", () => {
  const makeImage = async (args: readonly string[]): Promise<void> => {
    const [image = "", root = ""] = args.slice(-2);
    writeFileSync(image, readdirSync(root, { recursive: true }).sort().join("\n"));
  };

  it("replace those that are there, and leave nothing else", async () => {
    const output = join(folder, "boot-files");
    const { tree, node, agent } = parts;
    const first = await buildBootFiles(output, { tree, node, agent, makeImage });
    const bytes = Object.values(bootFiles).map((name) => readFileSync(join(output, name)));
    expect(await buildBootFiles(output, { tree, node, agent, makeImage })).toEqual(first);
    for (const [index, name] of Object.values(bootFiles).entries()) {
      expect(readFileSync(join(output, name)).equals(bytes[index] as Buffer)).toBe(true);
    }
    expect(readdirSync(output).sort()).toEqual(Object.values(bootFiles).sort());
    expect(first.kernel).toBe("a kernel".length);
  });

  it("are not made of packages without a kernel, and leave nothing", async () => {
    const output = join(folder, "boot-files");
    rmSync(join(parts.tree, "boot"), { recursive: true });
    const { tree, node, agent } = parts;
    await expect(buildBootFiles(output, { tree, node, agent, makeImage })).rejects.toThrow(`has the kernel ${release}`);
    expect(readdirSync(output)).toEqual([]);
  });
});
