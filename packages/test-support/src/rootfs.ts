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
    await copyPrograms(new Map([["busybox", busybox]]), directory);
    const applets = (await mustRun(busybox, ["--list"]))
      .split("\n")
      .filter((name) => name !== "" && name !== "busybox");
    for (const applet of applets) symlinkSync("busybox", join(directory, "bin", applet));
    return `busybox with ${applets.length} programs`;
  }
  const found = new Map(
    PROGRAMS.flatMap((name) => [findProgram(name)].flatMap((path) => (path ? [[name, path]] : []))),
  );
  if (!found.has("sh")) {
    throw new Error("no shell on this machine to make a root file system of: apt-get install busybox-static");
  }
  await copyPrograms(found, directory);
  return [...found.keys()].join(", ");
}

/** Copies programs to /bin under their names, and their shared libraries to their paths. */
async function copyPrograms(programs: ReadonlyMap<string, string>, directory: string): Promise<void> {
  for (const [name, program] of programs) copyFileSync(realpathSync(program), join(directory, "bin", name));
  // ldd fails if one is static, for which there is nothing to copy, and still lists the libraries of the others.
  const linked = await runCommand("ldd", [...programs.values()]);
  const listed = linked.stdout.toString("utf8").matchAll(/(?:=>\s+)?(\/\S+)\s+\(0x/g);
  for (const library of new Set([...listed].map((match) => match[1] as string))) {
    mkdirSync(join(directory, dirname(library)), { recursive: true });
    copyFileSync(library, join(directory, library));
  }
}
