/** A module of its own, so that who only asks for descriptors does not load what starts programs. */
import { closeSync, openSync } from "node:fs";
import { devNull } from "node:os";

/** Throws the system's error if `count` descriptors cannot be opened now. */
export function requireDescriptors(count: number, subject: string): void {
  const open: number[] = [];
  try {
    while (open.length < count) open.push(openSync(devNull, "r"));
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    throw Object.assign(new Error(`${subject} ${code}`, { cause }), { code });
  } finally {
    for (const descriptor of open) closeSync(descriptor);
  }
}
