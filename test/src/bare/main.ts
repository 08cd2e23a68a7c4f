/**
 * `npm run bare [-- --demo]`: the two commands of the README on a fresh Debian 12 with Node 20, npm and nothing else, from a
 * clean clone of what is committed. With `--demo`, the demo alone. Prints what each run downloads and how long it takes, and
 * last how many cases passed.
 */
import { parseArgs } from "node:util";
import { messageOf } from "@uvm-shim/lifecycle";
import type { CommandResult } from "@uvm-shim/test-support/command";
import { describeCounts } from "../../../tools/counts.ts";
import { BareMachine, hasProxy } from "./bare-machine.ts";
import { DownloadMeter } from "./download-meter.ts";

const DEMO_MS = 600_000;
const TEST_MS = 3_600_000;
/** What the first demo may download. */
const MOST_BYTES = 120e6;

interface Measured extends CommandResult {
  readonly seconds: number;
  /** Undefined where it cannot be known, since this machine has a proxy of its own. */
  readonly downloaded: number | undefined;
}

interface Case {
  readonly name: string;
  /** Says what is wrong; undefined when nothing is. */
  run(machine: BareMachine, measure: Measure): Promise<string | undefined>;
}

type Measure = (machine: BareMachine, command: readonly string[], timeoutMs: number) => Promise<Measured>;

/** /dev/null in its place: nothing that can be run. */
const WITHOUT_APT = "mount --bind /dev/null /usr/bin/apt-get; exec npm run demo";
/** The folder of the chroot is a mount, as it usually is; the namespace's own root is another one. */
const IN_CHROOT = [
  "mount -t tmpfs tmpfs /mnt",
  "mkdir /mnt/root",
  "mount --rbind / /mnt/root",
  "exec chroot /mnt/root sh -c 'cd /work && npm run demo'",
].join(" && ");
/** As where another program holds the database of packages, or the system is read-only. */
const WITHOUT_INSTALLING =
  "mount --bind /var/lib/dpkg /var/lib/dpkg; mount -o remount,bind,ro /var/lib/dpkg; exec npm run demo";

const demo: readonly Case[] = [
  {
    name: "a demo that cannot get what it needs names all of it before it downloads anything",
    async run(machine, measure) {
      const { status, stderr, downloaded } = await measure(machine, ["sh", "-c", WITHOUT_APT], DEMO_MS);
      if (status !== 1) return `exit code ${status}`;
      if (
        !/^npm run demo needs libatomic\.so\.1 and an OCI runtime, crun or runc, which this machine lacks: /m.test(
          stderr,
        )
      ) {
        return `it said ${stderr}`;
      }
      return downloaded !== undefined && downloaded > 1e6 ? `it downloaded ${megabytes(downloaded)}` : undefined;
    },
  },
  {
    name: "the first demo runs",
    async run(machine, measure) {
      const { status, downloaded } = await measure(machine, ["npm", "run", "demo"], DEMO_MS);
      if (status !== 0) return `exit code ${status}`;
      return downloaded !== undefined && downloaded > MOST_BYTES ? `it downloaded ${megabytes(downloaded)}` : undefined;
    },
  },
  {
    name: "a demo in a chroot is refused in a sentence",
    async run(machine, measure) {
      const { status, stderr } = await measure(machine, ["sh", "-c", IN_CHROOT], DEMO_MS);
      if (status !== 1) return `exit code ${status}`;
      return /^demo: this is a chroot, /m.test(stderr) ? undefined : `it said ${stderr}`;
    },
  },
  {
    name: "the second demo runs, and downloads nothing",
    async run(machine, measure) {
      const { status, downloaded } = await measure(machine, ["npm", "run", "demo"], DEMO_MS);
      if (status !== 0) return `exit code ${status}`;
      return downloaded !== undefined && downloaded > 0 ? `it downloaded ${megabytes(downloaded)}` : undefined;
    },
  },
];

const tests: Case = {
  name: "npm test passes",
  async run(machine, measure) {
    const { status } = await measure(machine, ["npm", "test"], TEST_MS);
    return status === 0 ? undefined : `exit code ${status}`;
  },
};

/** On a machine of its own, since the others have what they need installed. */
const unpacking: Case = {
  name: "a demo that cannot install packages unpacks them beside the system",
  async run(machine, measure) {
    const { status, stderr } = await measure(machine, ["sh", "-c", WITHOUT_INSTALLING], DEMO_MS);
    if (status !== 0) return `exit code ${status}`;
    return stderr.includes("/root/.cache/uvm-shim/tools/") ? undefined : `it did not say where: ${stderr}`;
  },
};

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}

async function runCases(cases: readonly Case[], measure: Measure): Promise<number> {
  using machine = await BareMachine.make(print);
  let passed = 0;
  for (const each of cases) {
    print(`== ${each.name}`);
    const wrong = await each.run(machine, measure).catch((error: unknown) => messageOf(error));
    print(wrong === undefined ? `ok: ${each.name}` : `FAILED: ${each.name}: ${wrong}`);
    if (wrong === undefined) passed += 1;
  }
  return passed;
}

async function main(): Promise<number> {
  const { values } = parseArgs({ options: { demo: { type: "boolean", default: false } } });
  await using meter = await DownloadMeter.start();
  const measured = !hasProxy();
  const measure: Measure = async (machine, command, timeoutMs) => {
    meter.take();
    const started = performance.now();
    const result = await machine.run(command, { environment: measured ? meter.environment : {}, timeoutMs });
    const seconds = (performance.now() - started) / 1000;
    const downloaded = measured ? meter.take() : undefined;
    const amount = downloaded === undefined ? "downloads not measured" : `${megabytes(downloaded)} downloaded`;
    print(`   exit code ${result.status}, ${seconds.toFixed(1)} s, ${amount}`);
    return { ...result, seconds, downloaded };
  };
  const machines: readonly (readonly Case[])[] = values.demo ? [demo] : [[...demo, tests], [unpacking]];
  let passed = 0;
  for (const cases of machines) passed += await runCases(cases, measure);
  const failed = machines.flat().length - passed;
  print(describeCounts({ passed, failed }));
  return failed === 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  print(`bare: ${messageOf(error)}`);
  print(describeCounts({ passed: 0, failed: 1 }));
  process.exitCode = 1;
}
