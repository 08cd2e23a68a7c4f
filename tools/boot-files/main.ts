/** `npm run boot-files`: the boot files of virtual machines, in the cache, and a link to them beside the executables. */
import { globSync, rmSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import { mustRun } from "@uvm-shim/test-support/command";
import { cacheFolder } from "../../test/src/support/cache.ts";
import { Stamps } from "../bootstrap/stamps.mjs";
import { distributionOf, linuxHost, machineFolder } from "../targets.ts";
import { bootFiles, buildBootFiles, digestOf, runFromTree } from "./build.ts";
import { debianTree } from "./debian-tree.ts";
import { guestPackages, hostPackages, imagePackages } from "./packages.ts";

const makingMs = 180_000;

const print = (line: string): unknown => process.stdout.write(`${line}\n`);

const target = linuxHost();
if (target !== "linux-x64") throw new Error(`boot files of virtual machines are made on x64, and this is ${target}`);
const guest = await debianTree(guestPackages, { report: print });
const host = await debianTree(hostPackages, { report: print });
const image = await debianTree(imagePackages, { report: print });
const folder = join(cacheFolder("boot-files"), target);
const agent = join(distributionOf(target), "LinuxBootFiles");
const ours = globSync(["*.ts", "guest/*"], { cwd: import.meta.dirname }).sort();
const sources = [
  ...ours.map((name) => join(import.meta.dirname, name)),
  ...["guest-agent.program.cjs", "initrd.img"].map((name) => join(agent, name)),
];
const key = `${process.version} ${digestOf([...guest.packages, ...image.packages], sources)}`;
const names = Object.values(bootFiles);
const stamps = new Stamps(folder);
let sizes: Readonly<Record<string, number>> | undefined;
await stamps.ensure({ name: "boot-files", key, outcomes: names.map((name) => join(folder, name)) }, async () => {
  const runWithin = (command: string, args: readonly string[]): Promise<string> =>
    mustRun(command, args, { timeoutMs: makingMs });
  sizes = await buildBootFiles(folder, {
    tree: guest.folder,
    node: process.execPath,
    agent,
    makeImage: runFromTree(image.folder, "mkfs.erofs", runWithin),
  });
});
const link = (place: string, to: string): void => {
  rmSync(place, { recursive: true, force: true });
  symlinkSync(to, place);
};
const qemu = join(folder, "qemu");
link(qemu, host.folder);
link(join(distributionOf(target), machineFolder), folder);
if (sizes === undefined) print(`${folder} is up to date`);
else {
  const megabytes = (bytes: number): string => `${(bytes / 1e6).toFixed(1)} MB`;
  for (const [name, size] of Object.entries(sizes)) print(`${join(folder, name)}: ${megabytes(size)}`);
  print(`together: ${megabytes(Object.values(sizes).reduce((sum, size) => sum + size, 0))}`);
}
if (process.argv.includes("--try")) {
  const { tryBoot } = await import("./try.ts");
  for (const { what, afterMs, guestSeconds } of await tryBoot(folder, qemu)) {
    print(`${afterMs} ms${guestSeconds === undefined ? "" : `, ${guestSeconds} s in the guest`}: ${what}`);
  }
}
