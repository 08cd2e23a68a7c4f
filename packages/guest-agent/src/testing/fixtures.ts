/** Files for machines under test: the bundled agent, a small image, and a root file system for containers. */
import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, mkdtempSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { lackOf } from "@uvm-shim/test-support/machine-needs";
import { build } from "esbuild";

/** The folder of all packages. */
export const packages = join(dirname(fileURLToPath(import.meta.url)), "../../..");

/** Files that all machines of a test file share. */
export interface Fixtures {
  readonly folder: string;
  readonly agent: string;
  readonly image: string;
  /** A root file system with busybox. */
  readonly rootfs: string;
}

/** Makes the agent's bundle and an image for it, once for many machines. */
export async function makeFixtures(runtime: "crun" | "runc"): Promise<Fixtures> {
  const folder = mkdtempSync(join(tmpdir(), "guest-agent-"));
  const agent = join(folder, "agent.cjs");
  await build({
    entryPoints: [join(packages, "guest-agent/src/main.ts")],
    bundle: true,
    platform: "node",
    format: "cjs",
    external: ["koffi"],
    outfile: agent,
    logLevel: "silent",
  });
  const image = join(folder, "image");
  const programs = [runtime, "mkfs.ext4", ...(lackOf("ip") === undefined ? ["ip"] : [])].map(findProgram);
  for (const file of [...programs, ...librariesOf(programs)]) copyInto(image, file);
  copyInto(image, "/bin/busybox");
  for (const name of ["cat", "find", "grep", "ls", "sh", "stat", "touch"]) {
    symlinkSync("busybox", join(image, "usr/bin", name));
  }
  mkdirSync(join(image, "etc"));
  writeFileSync(join(image, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  const rootfs = join(folder, "rootfs");
  for (const name of ["bin", "proc", "sys", "dev", "tmp", "etc"]) mkdirSync(join(rootfs, name), { recursive: true });
  copyFileSync("/bin/busybox", join(rootfs, "bin/busybox"));
  for (const name of "cat echo grep head hostname ln ls mkdir sh sleep sort stat stty touch true tty yes".split(" ")) {
    symlinkSync("busybox", join(rootfs, "bin", name));
  }
  return { folder, agent, image, rootfs };
}

function findProgram(name: string): string {
  const found = ["/usr/bin", "/usr/sbin", "/bin", "/sbin"]
    .map((path) => join(path, name))
    .find((path) => existsSync(path));
  if (found === undefined) throw new Error(`these tests need ${name}`);
  return found;
}

function librariesOf(programs: readonly string[]): readonly string[] {
  const output = execFileSync("ldd", [...programs], { encoding: "utf8" });
  return [...new Set([...output.matchAll(/(\/\S+) \(0x/g)].map((match) => match[1] as string))];
}

function copyInto(image: string, file: string): void {
  const target = join(image, file.startsWith("/usr/") ? file : `/usr${file}`);
  mkdirSync(dirname(target), { recursive: true });
  copyFileSync(file, target);
}
