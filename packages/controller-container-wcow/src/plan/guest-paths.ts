/** Paths in a Windows guest, and in a container of it. */

/** Where pods have folders of their own in the guest. */
const sandboxMounts = "C:\\SandboxMounts";
/** Folders of the guest that are no place for a container's root. */
const folders = ["C:\\Windows", "C:\\mounts", "C:\\EFI", sandboxMounts];

/** What Windows forbids in names, and what the command interpreter, which makes the folder, would read otherwise. */
const unfit = /[<>:"|?*%&^!\p{Cc}]/u;

/** The folder of the guest that `sandbox://<path>` names; undefined if it cannot be one. */
export function sandboxFolder(path: string): string | undefined {
  const names: string[] = [];
  for (const name of path.split(/[\\/]+/)) {
    if (name === "" || name === ".") continue;
    if (unfit.test(name)) return undefined;
    // It must not lead out of the folder.
    if (name !== "..") names.push(name);
    else if (names.pop() === undefined) return undefined;
  }
  return [sandboxMounts, ...names].join("\\");
}

/** The cleaned path of a container's root in the guest; undefined if it cannot be there. */
export function privilegedRoot(path: string): string | undefined {
  const cleaned = cleanedDrivePath(path);
  if (cleaned === undefined) return undefined;
  const isIn = (folder: string) =>
    cleaned.toLowerCase() === folder.toLowerCase() || cleaned.toLowerCase().startsWith(`${folder.toLowerCase()}\\`);
  return folders.some(isIn) ? undefined : cleaned;
}

function cleanedDrivePath(path: string): string | undefined {
  const [, drive, rest = ""] = /^([A-Za-z]:)[\\/](.*)$/s.exec(path) ?? [];
  if (drive === undefined) return undefined;
  const names: string[] = [];
  for (const name of rest.split(/[\\/]+/)) {
    if (name === "" || name === ".") continue;
    if (name === "..") names.pop();
    else names.push(name);
  }
  return `${drive}\\${names.join("\\")}`;
}

/** Whether a container can see a directory, a file or a disk there: a drive, or a path of one. */
export function isContainerPath(path: string): boolean {
  return /^([A-Za-z]:$|[A-Za-z]:[\\/]|[\\/](?![\\/]))/.test(path) && !path.includes("\0");
}

/** The name of a named pipe: what follows `\\.\pipe\` or `\\?\pipe\`; undefined for any other path. */
export function pipeName(path: string): string | undefined {
  if (path.includes("\0")) return undefined;
  return /^[\\/]{2}[.?][\\/]pipe[\\/](?![\\/])(.+)$/is.exec(path)?.[1];
}

/** A pipe of the VM, which belongs to the pod. */
export function podPipe(podId: string, name: string): string {
  return `\\\\.\\pipe\\${podId}\\${name}`;
}
