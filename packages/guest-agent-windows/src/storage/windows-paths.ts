/** Paths of a Windows guest, and where they are in the file system that stands for it. */
import { lstatSync, mkdirSync, readdirSync, type Stats } from "node:fs";
import { join } from "node:path";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import { guestFolders } from "@uvm-shim/host-protocol/guest";

/** What the host's paths name in a guest. */
export type GuestPath =
  /** A file or folder of drive C:. */
  | { readonly kind: "drive"; readonly names: readonly string[] }
  /** A share, and what is in it. */
  | { readonly kind: "share"; readonly share: string; readonly names: readonly string[] }
  /** A pipe of the host. */
  | { readonly kind: "hostPipe"; readonly name: string };

const vsmb = /^\\\\\?\\VMSMB\\VSMB-\{dcc079ae-60ba-4d07-847c-3493609c0870\}\\(.+)$/i;
const pipeShare = "IPC$";
const drivePath = /^(?:\\\\\?\\)?C:(?:\\(.*))?$/i;

/** Throws a GuestFault for a path that leads nowhere in a guest. `field` names it. */
export function readGuestPath(path: string, field: string): GuestPath {
  const given = path.replaceAll("/", "\\");
  const inShare = vsmb.exec(given)?.[1];
  if (inShare !== undefined) {
    const [share = "", ...names] = namesIn(inShare, path, field);
    if (share.toUpperCase() === pipeShare && names.length > 0) return { kind: "hostPipe", name: names.join("\\") };
    return { kind: "share", share, names };
  }
  const onDrive = drivePath.exec(given);
  if (onDrive !== null) return { kind: "drive", names: namesIn(onDrive[1] ?? "", path, field) };
  throw new GuestFault("ERROR_PATH_NOT_FOUND", `${field}: ${path} is not a path of drive C: or of a VSMB share`);
}

function namesIn(text: string, path: string, field: string): readonly string[] {
  const names = text.split("\\").filter((name) => name !== "");
  const wrong = names.find((name) => name === "." || name === ".." || /[:*?"<>|\0]/.test(name));
  if (wrong === undefined) return names;
  throw new GuestFault("E_INVALIDARG", `${field}: ${path} has the part ${JSON.stringify(wrong)}`);
}

/** Names that Windows would find in a folder, without regard to case, as they are spelled there. Links lead nowhere. */
function spelledIn(folder: string, name: string): string | undefined {
  const same = (other: string): boolean => other.toLowerCase() === name.toLowerCase();
  const entries = readdirSync(folder);
  return entries.includes(name) ? name : entries.find(same);
}

/** The place of names below a folder; undefined if something lacks, or is a link. */
export function findBelow(root: string, names: readonly string[]): { path: string; stats: Stats } | undefined {
  let path = root;
  let stats = lstatSync(root);
  for (const name of names) {
    if (!stats.isDirectory()) return undefined;
    const spelled = spelledIn(path, name);
    if (spelled === undefined) return undefined;
    path = join(path, spelled);
    stats = lstatSync(path);
    if (stats.isSymbolicLink()) return undefined;
  }
  return { path, stats };
}

/** As `findBelow`, but makes the folders that lack. */
export function folderBelow(root: string, names: readonly string[], field: string): string {
  let path = root;
  for (const name of names) {
    const found = findBelow(path, [name]);
    if (found === undefined) {
      path = join(path, spelledIn(path, name) ?? name);
      try {
        mkdirSync(path);
      } catch (cause) {
        throw new GuestFault("ERROR_ALREADY_EXISTS", `${field}: ${names.join("\\")} leads over a link`, { cause });
      }
      continue;
    }
    if (!found.stats.isDirectory()) throw new GuestFault("ERROR_ALREADY_EXISTS", `${field}: ${name} is a file`);
    path = found.path;
  }
  return path;
}

/** The file or folder that a host's path names. Throws a GuestFault if there is none. */
export function sourceOf(path: string, drive: string, field: string): { path: string; stats: Stats } {
  const read = readGuestPath(path, field);
  if (read.kind === "hostPipe") throw new GuestFault("E_INVALIDARG", `${field}: ${path} is a pipe`);
  const found =
    read.kind === "drive"
      ? findBelow(drive, read.names)
      : findBelow(guestFolders.vsmbShares, [read.share, ...read.names]);
  if (found !== undefined) return found;
  throw new GuestFault("ERROR_PATH_NOT_FOUND", `${field}: ${path} does not exist in the guest`);
}

/** The socket that stands for a pipe of the host. Throws a GuestFault for another path, and for a pipe that is not mapped. */
export function hostPipeOf(path: string, field: string): string {
  const read = readGuestPath(path, field);
  if (read.kind !== "hostPipe") throw new GuestFault("E_INVALIDARG", `${field}: ${path} is not a pipe`);
  const found = findBelow(guestFolders.pipes, [read.name]);
  if (found !== undefined) return found.path;
  throw new GuestFault("ERROR_FILE_NOT_FOUND", `${field}: pipe ${read.name} is not mapped`);
}
