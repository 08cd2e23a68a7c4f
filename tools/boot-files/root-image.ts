/** The root of the guest: a folder with what `/usr` and `/etc` have, and the read-only image of it. */
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  readFileSync,
  realpathSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { isElf, linkageOf, withoutUnloadedSections } from "./elf.ts";
import { withoutOtherLanguages } from "./icu-data.ts";
import { type KernelModules, moduleTables } from "./kernel-modules.ts";

/** What the agent reaches the host by; drivers of what the host may attach, and of the power button. Nothing in the guest looks for a device's driver when the device comes. */
export const modulesAtBoot = [
  "vmw_vsock_virtio_transport",
  "pvpanic_pci",
  "virtio_rng",
  "virtio_net",
  "virtio_balloon",
  "virtio_mem",
  "button",
  "evdev",
];
/** What the kernel loads when it is asked for: file systems, kinds of networks, and what crun and ip ask for. */
export const modulesOnDemand = [
  "9p",
  "9pnet_virtio",
  "9pnet_fd",
  "overlay",
  "dm_verity",
  "ext4",
  "loop",
  "vsock_diag",
  "veth",
  "bridge",
  "tun",
  "dummy",
  "nf_tables",
  "nft_compat",
];

/** Where the guest has what is ours. */
const ownFolder = join("usr", "lib", "uvm-shim");

/** Programs of the guest by their names in it, each with its path in the tree of packages. */
const programs: Readonly<Record<string, string>> = {
  "usr/bin/crun": "usr/bin/crun",
  "usr/bin/busybox": "usr/bin/busybox",
  "usr/sbin/mkfs.ext4": "usr/sbin/mke2fs",
  "usr/sbin/e2fsck": "usr/sbin/e2fsck",
  "usr/sbin/ip": "usr/sbin/ip",
};
/** Those of busybox that the guest's init, the kernel (modprobe) and whoever looks around in a guest use. */
const busyboxPrograms = {
  "usr/bin":
    "cat chmod cp cut df dmesg echo env find free grep head kill ln ls mkdir mount mv ps pwd rm sed sh sleep stty tail top true umount uname uptime vi wc".split(
      " ",
    ),
  "usr/sbin": "acpid insmod lsmod modprobe poweroff reboot".split(" "),
};

/** What busybox's acpid runs when the host presses the power button. */
const powerButton = "etc/acpi/PWRF/00000080";

const etc: Readonly<Record<string, string>> = {
  passwd: "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
  group: "root:x:0:\nnogroup:x:65534:\n",
};

/** What the image is made from. */
export interface RootParts {
  /** The unpacked packages, with everything below their `usr` and `etc`. */
  readonly tree: string;
  readonly modules: KernelModules;
  /** The runtime of the agent. */
  readonly node: string;
  /** A folder with the agent's bundle and koffi's addon, as `npm run build` makes it. */
  readonly agent: string;
}

/** Names of the agent's files in its folder, and in the guest. */
const agentFiles = { "guest-agent.program.cjs": "guest-agent.program.cjs", "initrd.img": "guest-agent.cjs" } as const;

/** Fills an empty folder. Throws an error that names what is missing. */
export function layOutRoot(folder: string, { tree, modules, node, agent }: RootParts): void {
  const files = new Map<string, Buffer>();
  const put = (place: string, content: Buffer | string, mode = 0o644): void => {
    const path = join(folder, place);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, content);
    chmodSync(path, mode);
  };
  for (const [place, path] of Object.entries(programs)) files.set(place, readFrom(tree, path));
  files.set("usr/bin/node", withoutOtherLanguages(withoutUnloadedSections(readFileSync(node))));
  for (const [place, content] of [...files, ...librariesOf(files, tree)]) put(place, content, 0o755);
  for (const [place, names] of Object.entries(busyboxPrograms)) {
    mkdirSync(join(folder, place), { recursive: true });
    for (const name of names)
      symlinkSync(place === "usr/bin" ? "busybox" : "../bin/busybox", join(folder, place, name));
  }
  put("usr/sbin/init", readFileSync(join(import.meta.dirname, "guest", "init.sh")), 0o755);
  for (const [name, place] of Object.entries(agentFiles)) put(join(ownFolder, place), readFileSync(join(agent, name)));
  cpSync(join(agent, "koffi"), join(folder, ownFolder, "koffi"), { recursive: true });
  putModules(folder, modules, put);
  put(powerButton, '#!/bin/sh\nexec kill -TERM "$(cat /run/agent.pid)"\n', 0o755);
  for (const [name, text] of Object.entries(etc)) put(join("etc", name), text);
  put("etc/mke2fs.conf", readFrom(tree, "etc/mke2fs.conf"));
}

function putModules(folder: string, modules: KernelModules, put: (place: string, text: string) => void): void {
  const chosen = modules.inLoadingOrder([...modulesAtBoot, ...modulesOnDemand]);
  const place = join("usr", "lib", "modules", modules.release);
  for (const { path } of chosen) {
    mkdirSync(dirname(join(folder, place, path)), { recursive: true });
    copyFileSync(join(modules.folder, path), join(folder, place, path));
  }
  const { dependencies, aliases } = moduleTables(chosen);
  put(join(place, "modules.dep"), dependencies);
  put(join(place, "modules.alias"), aliases);
  put(join(ownFolder, "modules-at-boot"), `${modulesAtBoot.join(" ")}\n`);
}

/** The libraries of programs and those of these, by their places in the guest, with the loaders. */
function librariesOf(programs: ReadonlyMap<string, Buffer>, tree: string): ReadonlyMap<string, Buffer> {
  const found = new Map<string, Buffer>();
  const visit = (name: string, file: Buffer): void => {
    if (!isElf(file)) return;
    const { loader, libraries } = linkageOf(file);
    if (loader !== undefined) add(join("usr", loader), name);
    for (const library of libraries.filter((each) => !isLoader(each))) add(placeOfLibrary(library, tree, name), name);
  };
  const add = (place: string, wantedBy: string): void => {
    if (found.has(place)) return;
    const file = readFrom(tree, place, wantedBy);
    found.set(place, file);
    visit(basename(place), file);
  };
  for (const [place, file] of programs) visit(basename(place), file);
  return found;
}

/** Libraries name the loader too, which is there by the path that programs have. */
function isLoader(library: string): boolean {
  return library.startsWith("ld-linux-");
}

/** Where the loader of Debian looks. */
function placeOfLibrary(name: string, tree: string, wantedBy: string): string {
  const folders = ["usr/lib/x86_64-linux-gnu", "usr/lib/aarch64-linux-gnu", "usr/lib"];
  const place = folders.map((folder) => join(folder, name)).find((each) => existsSync(join(tree, each)));
  if (place === undefined) throw new Error(`no package in ${tree} has the library ${name}, which ${wantedBy} needs`);
  return place;
}

function readFrom(tree: string, path: string, wantedBy = "the guest"): Buffer {
  const file = join(tree, path);
  if (!existsSync(file)) throw new Error(`no package in ${tree} has ${path}, which ${wantedBy} needs`);
  return readFileSync(realpathSync(file));
}

/** Whoever looks at the image finds the same; the kernel has no use for it. */
export const rootId = "7b1c5b0e-6e1b-4d51-9d4e-75766d2d7368";

/**
 * The arguments with which mkfs.erofs makes an image of a folder: the same bytes of the same files. Blocks of 128 KiB
 * compressed are as small as larger ones, and a page of the runtime is read with few others.
 */
export function erofsArguments(image: string, folder: string): readonly string[] {
  return ["--quiet", "-zlz4hc,9", "-C131072", "-T0", "-x-1", `-U${rootId}`, "--all-root", image, folder];
}
