/**
 * `npm run systemd [-- --only kill]`: the units of packaging/systemd under a real systemd, with the newest containerd of
 * the containerd suite. systemd is process 1 of namespaces of its own, and the suite is one of its units.
 */
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { messageOf } from "@uvm-shim/lifecycle";
import { mustRun } from "@uvm-shim/test-support/command";
import { describeCounts } from "../../../tools/counts.ts";
import { CriClient } from "../cri/client.ts";
import { findContainerds, WANTED } from "../debian/containerds.ts";
import { handlerName } from "../e2e/cri-case.ts";
import { makeImages, PAUSE_IMAGE } from "../e2e/images.ts";
import { checkMachine } from "../e2e/machine.ts";
import { print, runCases, withContainerd } from "../e2e/round.ts";
import { SANDBOXER_PLUGIN, USUAL_SOCKET } from "../e2e/sandboxer.ts";
import type { Selection } from "../e2e/selection.ts";
import { Report, RUNTIMES } from "../e2e/suite.ts";
import { runSuite } from "../support/isolate.ts";
import { HOST_ENVIRONMENT } from "../support/programs.ts";
import { canRaiseLimits, systemdCases } from "./cases.ts";
import { managerFolder, runUnderSystemd, SERVICE, SOCKETS, systemctl, UNDER_SYSTEMD } from "./manager.ts";

const { values: flags } = parseArgs({ options: { only: { type: "string", default: "" } } });
/** systemd gives its units files to print to, and nothing that could be read as a stream. */
const SHOWN_EVERY_MS = 200;
const newest = WANTED.slice(-1);

async function underSystemd(directory: string): Promise<number> {
  const folder = managerFolder(directory);
  const interruption = new AbortController();
  process.once("SIGTERM", () => interruption.abort(new Error("interrupted")));
  const { signal } = interruption;
  const report = new Report(print, signal);
  const [build] = await findContainerds(newest, () => undefined);
  if (build === undefined) throw new Error("no containerd of the suite was found");
  const images = await makeImages(join(directory, "images"));
  const only = new RegExp(flags.only);
  const selection: Selection = {
    ...{ runtime: RUNTIMES.lcow, kind: "process", extent: "all", builds: [build], form: undefined },
    takes: (name) => only.test(name),
    takesInOneVm: () => false,
  };
  const round = {
    build,
    selection,
    images,
    blockfileScratch: "",
    report,
    directory,
    environment: HOST_ENVIRONMENT,
    signal,
  };
  await mustRun("busybox", ["ip", "link", "set", "dev", "lo", "up"]);
  const { name } = selection.runtime;
  const handler = {
    name: handlerName(name, "sandboxer"),
    runtime: name,
    form: "sandboxer",
    hasPluginNetworks: false,
  } as const;
  const options = {
    cri: { sandboxImage: PAUSE_IMAGE, handlers: [handler], restrictsOomScores: false },
    sandboxer: { name: SANDBOXER_PLUGIN, socket: USUAL_SOCKET },
  };
  const { version } = build;
  writeFileSync(folder.settings, `containerd = ${JSON.stringify(join(directory, version, "c.sock"))}\n`);
  if (!canRaiseLimits()) {
    print("left out: the case of the unit's limits: even root of this machine may not raise them (CAP_SYS_RESOURCE)");
  }
  await systemctl("start", SOCKETS, SERVICE);
  await withContainerd(round, version, options, async (containerd, context) => {
    const cri = new CriClient(containerd.address);
    try {
      await containerd.mustCtr(["image", "import", images.archive]);
      const { settings, log } = folder;
      await runCases(round, systemdCases, { ...context, cri, forms: ["sandboxer"], settings, log });
    } finally {
      cri.close();
    }
  });
  if (report.failures.length > 0) print(`the sandboxer's log ends:\n${readFileSync(folder.log, "utf8").slice(-6000)}`);
  print(describeCounts({ passed: report.passed, failed: report.failures.length }));
  return report.failures.length === 0 && report.passed > 0 ? 0 : 1;
}

async function outside(): Promise<never> {
  return await runSuite(
    "systemd",
    import.meta.url,
    async ({ directory }) => {
      const folder = managerFolder(join(directory, "systemd"));
      mkdirSync(folder.directory);
      writeFileSync(folder.output, "");
      let shown = 0;
      const show = (): void => {
        const text = readFileSync(folder.output);
        process.stdout.write(text.subarray(shown));
        shown = text.length;
      };
      const showing = setInterval(show, SHOWN_EVERY_MS);
      const status = await runUnderSystemd(folder, import.meta.url, process.argv.slice(2));
      clearInterval(showing);
      show();
      return status;
    },
    async () => {
      checkMachine(RUNTIMES.lcow);
      await findContainerds(newest, print);
    },
  );
}

const directory = process.env[UNDER_SYSTEMD];
if (directory === undefined) await outside();
else {
  try {
    process.exitCode = await underSystemd(directory);
  } catch (error) {
    process.stderr.write(`systemd: ${messageOf(error)}\n`);
    process.exitCode = 1;
  }
  process.exit();
}
