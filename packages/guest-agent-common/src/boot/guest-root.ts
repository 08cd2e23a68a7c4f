/**
 * Boot: the namespaces that the emulated host made still show the host's files; the guest enters a root file system of
 * its own. Everything is done by system calls of this process, since a single fork would cost more.
 */
import { closeSync, cpSync, existsSync, mkdirSync, rmdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { BootParameters } from "@uvm-shim/host-protocol/guest";
import {
  bringLoopbackUp,
  MNT_DETACH,
  makeCharNode,
  mount,
  mountFlags,
  moveMount,
  openTree,
  pivotRoot,
  setHostName,
  setMountReadOnly,
  umount,
} from "@uvm-shim/linux-calls";
import { mountCgroups } from "../cgroups/cgroups.ts";
import { agentFolders } from "./guest-folders.ts";

const { MS_BIND, MS_NODEV, MS_NOEXEC, MS_NOSUID, MS_PRIVATE, MS_REC } = mountFlags;
const inert = MS_NOSUID | MS_NODEV | MS_NOEXEC;

const characterDevices = [
  ["null", 1, 3],
  ["zero", 1, 5],
  ["full", 1, 7],
  ["random", 1, 8],
  ["urandom", 1, 9],
  ["tty", 5, 0],
] as const;

/** What a guest's root has beside its system. */
export interface GuestRootParts {
  /** Folders for what the host attaches later. */
  readonly folders: readonly string[];
  /** Folders of the host, by where the guest sees them, read-only. */
  readonly attached?: { readonly [place: string]: string };
}

/**
 * Makes the guest's root the root of this process and of its mount namespace, with no other files of the host than those
 * named. Returns the folder of the VM's hvsockets, which is mounted nowhere, so that no container can be given it.
 */
export function enterGuestRoot(parameters: BootParameters, { folders, attached = {} }: GuestRootParts): string {
  const umask = process.umask(0);
  try {
    mount("none", "/", "", MS_REC | MS_PRIVATE);
    const root = parameters.image;
    const image = openTree(parameters.image, { recursive: true });
    const sockets = openTree(parameters.vsockDirectory);
    const trees = Object.entries(attached).map(([place, path]) => [place, openTree(path)] as const);
    const size = `size=${Math.ceil(parameters.memoryMb / 2)}m`;
    mount("guest", root, "tmpfs", 0, `mode=755,${size}`);
    attachImage(root, image);
    mountKernelFileSystems(root);
    mountDevices(root);
    mountRun(root, size, folders);
    for (const [place, tree] of trees) attachReadOnly(folder(root, place), tree);
    mount("tmp", folder(root, "tmp"), "tmpfs", MS_NOSUID | MS_NODEV, `mode=1777,${size}`);
    process.chdir(root);
    pivotRoot(".", ".");
    umount(".", MNT_DETACH);
    process.chdir("/");
    mountCgroups();
    writeFileSync("/run/cmdline", `${parameters.kernelCommandLine}\n`);
    mount("/run/cmdline", "/proc/cmdline", "", MS_BIND);
    setHostName(parameters.hostname);
    bringLoopbackUp();
    return `/proc/self/fd/${sockets}`;
  } finally {
    process.umask(umask);
  }
}

function folder(root: string, name: string): string {
  const path = join(root, name);
  mkdirSync(path, { recursive: true, mode: 0o755 });
  return path;
}

function attachImage(root: string, image: number): void {
  const staging = folder(root, ".image");
  moveMount(image, staging);
  closeSync(image);
  mount(`${staging}/usr`, folder(root, "usr"), "", MS_BIND | MS_REC);
  setMountReadOnly(`${root}/usr`, true);
  for (const name of ["bin", "sbin", "lib", "lib64"]) {
    if (existsSync(`${root}/usr/${name}`)) symlinkSync(`usr/${name}`, `${root}/${name}`);
  }
  if (existsSync(`${staging}/etc`))
    cpSync(`${staging}/etc`, `${root}/etc`, { recursive: true, verbatimSymlinks: true });
  else folder(root, "etc");
  umount(staging, MNT_DETACH);
  rmdirSync(staging);
}

function mountKernelFileSystems(root: string): void {
  mount("proc", folder(root, "proc"), "proc", inert);
  // Only this mount is read-only: containers in the VM's network share the file system, and may write to it.
  mount("sysfs", folder(root, "sys"), "sysfs", inert);
  setMountReadOnly(`${root}/sys`, true);
}

function mountDevices(root: string): void {
  const dev = folder(root, "dev");
  mount("dev", dev, "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755");
  for (const [name, major, minor] of characterDevices) makeCharNode(`${dev}/${name}`, major, minor, 0o666);
  mount("devpts", folder(dev, "pts"), "devpts", MS_NOSUID | MS_NOEXEC, "newinstance,ptmxmode=0666,mode=0620");
  symlinkSync("pts/ptmx", `${dev}/ptmx`);
  mount("shm", folder(dev, "shm"), "tmpfs", inert, "mode=1777");
  mount("mqueue", folder(dev, "mqueue"), "mqueue", inert);
  symlinkSync("/proc/self/fd", `${dev}/fd`);
  for (const [descriptor, name] of ["stdin", "stdout", "stderr"].entries()) {
    symlinkSync(`/proc/self/fd/${descriptor}`, `${dev}/${name}`);
  }
}

function attachReadOnly(place: string, tree: number): void {
  setMountReadOnly(tree);
  moveMount(tree, place);
  closeSync(tree);
}

function mountRun(root: string, size: string, folders: readonly string[]): void {
  mount("run", folder(root, "run"), "tmpfs", MS_NOSUID | MS_NODEV, `mode=755,${size}`);
  for (const name of [...folders, agentFolders.runtimeState, agentFolders.scratch]) folder(root, name);
}
