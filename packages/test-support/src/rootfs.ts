/** Root file systems made from the machine's programs, so that no image has to be fetched. */
import { copyFileSync, mkdirSync, realpathSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { findProgram, mustRun, runCommand } from "./command.ts";

const FOLDERS = ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "data"];
/** The programs that containers of the demo and the tests run, for machines without busybox. */
const PROGRAMS = ["sh", "cat", "echo", "env", "head", "hostname", "id", "ls", "ps", "sleep", "stty", "true", "uname"];

/** Makes a small root file system in an empty directory; returns what it is made of. */
export async function makeRootfs(directory: string): Promise<string> {
  for (const folder of FOLDERS) mkdirSync(join(directory, folder), { recursive: true });
  writeFileSync(join(directory, "etc", "passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  writeFileSync(join(directory, "etc", "group"), "root:x:0:\n");
  const busybox = findProgram("busybox");
  if (busybox !== undefined) {
    await copyProgram(busybox, "busybox", directory);
    const applets = (await mustRun(busybox, ["--list"]))
      .split("\n")
      .filter((name) => name !== "" && name !== "busybox");
    for (const applet of applets) symlinkSync("busybox", join(directory, "bin", applet));
    return `busybox with ${applets.length} programs`;
  }
  const found: string[] = [];
  for (const name of PROGRAMS) {
    const program = findProgram(name);
    if (program === undefined) continue;
    await copyProgram(realpathSync(program), name, directory);
    found.push(name);
  }
  if (!found.includes("sh"))
    throw new Error("no shell on this machine to make a root file system of: apt-get install busybox-static");
  return found.join(", ");
}

/** Copies a program to /bin, and its shared libraries to their paths. */
async function copyProgram(program: string, name: string, directory: string): Promise<void> {
  copyFileSync(program, join(directory, "bin", name));
  const linked = await runCommand("ldd", [program]);
  // ldd fails for a static program: there is nothing to copy then.
  if (linked.status !== 0) return;
  for (const match of linked.stdout.toString("utf8").matchAll(/(?:=>\s+)?(\/\S+)\s+\(0x/g)) {
    const library = match[1] as string;
    mkdirSync(join(directory, dirname(library)), { recursive: true });
    copyFileSync(library, join(directory, library));
  }
}
