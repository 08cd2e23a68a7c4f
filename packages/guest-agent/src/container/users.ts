/** Users and groups by name, looked up in the container's own files. */
import { readSync } from "node:fs";
import { GuestFault } from "@uvm-shim/gcs-bridge";
import type { OciProcess, OciUser } from "@uvm-shim/hcs-schema";
import { readInRoot } from "./path-in-root.ts";

const field = "OciSpecification.process.user.username";
const greatestId = 0xffffffff;
/** A container's files are not trusted, and no image has larger ones. */
const largestFile = 1024 * 1024;
const fieldsRead = 4;

interface UserEntry {
  readonly name: string;
  readonly uid: number;
  readonly gid: number;
}

interface GroupEntry {
  readonly name: string;
  readonly gid: number;
}

/**
 * Replaces `user.username` by numbers. Hosts that cannot read the root file system set it to `user`, `uid`, `user:group`,
 * `uid:group` and so on. No supplementary groups are added to the given ones. Throws a GuestFault naming an unknown user
 * or group.
 */
export function withUserOf(root: string, process: OciProcess): OciProcess {
  const { username, ...given } = process.user ?? { uid: 0, gid: 0 };
  if (username === undefined || username === "") {
    return process.user === undefined ? process : { ...process, user: given };
  }
  const [userPart = "", groupPart, ...more] = username.split(":");
  if (userPart === "" || groupPart === "" || more.length > 0) {
    throw new GuestFault(
      "E_INVALIDARG",
      `invalid ${field} ${JSON.stringify(username)}: expected <user> or <user>:<group>`,
    );
  }
  return { ...process, user: { ...given, ...findUser(root, userPart, groupPart) } };
}

function findUser(root: string, userPart: string, groupPart: string | undefined): Pick<OciUser, "uid" | "gid"> {
  const users = readUsers(root);
  const uid = numberOf(userPart, "a user id");
  const user = firstOf(users, (entry) => (uid === undefined ? entry.name === userPart : entry.uid === uid));
  if (uid === undefined && user === undefined) throw unknown("user", userPart, "/etc/passwd");
  const gid = groupPart === undefined ? (user?.gid ?? 0) : findGroup(readGroups(root), groupPart);
  return { uid: uid ?? user?.uid ?? 0, gid };
}

function findGroup(groups: Iterable<GroupEntry>, name: string): number {
  const gid = numberOf(name, "a group id");
  if (gid !== undefined) return gid;
  const group = firstOf(groups, (entry) => entry.name === name);
  if (group === undefined) throw unknown("group", name, "/etc/group");
  return group.gid;
}

function firstOf<Entry>(entries: Iterable<Entry>, isMeant: (entry: Entry) => boolean): Entry | undefined {
  for (const entry of entries) if (isMeant(entry)) return entry;
  return undefined;
}

function numberOf(text: string, what: string): number | undefined {
  if (!/^\d+$/.test(text)) return undefined;
  const number = Number(text);
  if (number <= greatestId) return number;
  throw new GuestFault("E_INVALIDARG", `${field}: ${text} is not ${what}, expected 0 to ${greatestId}`);
}

function unknown(what: string, name: string, file: string): GuestFault {
  return new GuestFault("E_INVALIDARG", `${field}: the container's ${file} has no ${what} ${JSON.stringify(name)}`);
}

/** passwd(5): name, password, uid, gid and more. */
function* readUsers(root: string): Iterable<UserEntry> {
  for (const [name = "", , uid = "", gid = ""] of readRows(root, "/etc/passwd")) {
    if (isId(uid) && isId(gid)) yield { name, uid: Number(uid), gid: Number(gid) };
  }
}

/** group(5): name, password, gid, members. */
function* readGroups(root: string): Iterable<GroupEntry> {
  for (const [name = "", , gid = ""] of readRows(root, "/etc/group")) {
    if (isId(gid)) yield { name, gid: Number(gid) };
  }
}

function isId(text: string): boolean {
  return /^\d{1,10}$/.test(text) && Number(text) <= greatestId;
}

/** The first fields of each line; nothing if the container has no such file. */
function* readRows(root: string, path: string): Iterable<readonly string[]> {
  for (const line of textInRoot(root, path).split("\n")) {
    if (line.includes(":") && !line.startsWith("#")) yield line.trim().split(":", fieldsRead);
  }
}

function textInRoot(root: string, path: string): string {
  try {
    return readInRoot(root, path, (file, { size }) => (size > largestFile ? "" : textOf(file, size))) ?? "";
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}

/** Reads no more than the size at the check: a container may go on writing to the file. */
function textOf(file: number, size: number): string {
  const bytes = Buffer.alloc(size);
  return bytes.toString("utf8", 0, readSync(file, bytes, 0, size, 0));
}
