/** Paths below a container's root, followed as its own processes would: no link and no ".." leads out of it. */
import { lstatSync, mkdirSync, readlinkSync } from "node:fs";

const mostLinks = 40;

/** Where the path leads, as a path of the guest; undefined when links lead in a circle. Throws when it leads nowhere. */
export function resolveBelow(root: string, path: string): string | undefined {
  const pending = path.split("/").reverse();
  const resolved: string[] = [];
  let links = 0;
  while (pending.length > 0) {
    const part = pending.pop();
    if (part === undefined || part === "" || part === ".") continue;
    if (part === "..") {
      resolved.pop();
      continue;
    }
    const place = [root, ...resolved, part].join("/");
    if (lstatSync(place).isSymbolicLink()) {
      if (++links > mostLinks) return undefined;
      const target = readlinkSync(place);
      if (target.startsWith("/")) resolved.length = 0;
      pending.push(...target.split("/").reverse());
    } else resolved.push(part);
  }
  return [root, ...resolved].join("/");
}

/** Makes the folders of the path that are missing. What cannot be made is left to whoever uses the path. */
export function makeFoldersBelow(root: string, path: string): void {
  let parent: string | undefined = root;
  let made = "";
  for (const part of path.split("/")) {
    made = `${made}/${part}`;
    const place = placeOf(root, made);
    if (place !== undefined) {
      parent = place;
      continue;
    }
    if (parent === undefined) return;
    parent = `${parent}/${part}`;
    try {
      mkdirSync(parent, { mode: 0o755 });
    } catch {
      return;
    }
  }
}

function placeOf(root: string, path: string): string | undefined {
  try {
    return resolveBelow(root, path);
  } catch {
    return undefined;
  }
}
