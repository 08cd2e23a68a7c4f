/** A shim on the fake platform, which the tests of the executable run as a process. */
import { appendFileSync, readFile } from "node:fs";
import process from "node:process";
import { runShim } from "../index.ts";
import { FakeError, FakePlatform } from "./fake-platform.ts";

const record = (line: string): void => {
  if (process.env.FAKE_RECORD !== undefined) appendFileSync(process.env.FAKE_RECORD, `${line}\n`);
};

process.on("SIGUSR2", () => {
  throw new Error("nobody's bug");
});
if (process.env.FAKE_WARNS !== undefined) process.emitWarning("something is deprecated");
if (process.env.FAKE_DIES !== undefined && process.argv.includes("-socket")) {
  process.stderr.write("fake: the disk is on fire\n");
  process.exit(7);
}
if (process.env.FAKE_HANGS !== undefined && process.argv.includes("-socket")) {
  setInterval(() => {}, 1000);
} else {
  void runShim(
    {
      name: "containerd-shim-fake-v2",
      runtimeName: "io.containerd.fake.v2",
      version: "1.2.3",
      flavour: "lcow",
      revision: "abc123",
      features: { ociVersionMax: "1.2.0" },
      startMilliseconds: Number(process.env.FAKE_START_MILLISECONDS ?? 10_000),
      inputMilliseconds: 300,
      orphanMilliseconds: Number(process.env.FAKE_ORPHAN_MILLISECONDS ?? 60_000),
      cleanUpMilliseconds: 500,
      checkHost: async ({ UVM_SHIM_HOST: host }) => {
        if (host !== undefined) throw new Error(`fake host ${JSON.stringify(host)} is unknown`);
      },
      // Tests speak to a sandboxer by its control service.
      loadGrpc: async () => ({
        createGrpcServer: () => ({ accept: (connection) => void connection.destroy(), close: async () => {} }),
      }),
      loadPlatform: async ({ namespace }) => {
        record(`load ${namespace}`);
        if (process.env.FAKE_PLATFORM_FAILS !== undefined) throw new FakeError("Unavailable", "no host here");
        const platform = new FakePlatform();
        platform.onCreateSandbox = async (sandbox) => {
          record(`create ${sandbox.id} ${JSON.stringify(sandbox.request.runtimeOptions?.typeUrl ?? null)}`);
          sandbox.onStop = async () => {
            record(`stop ${sandbox.id}`);
            if (process.env.FAKE_STOP_HANGS !== undefined) await new Promise(() => {});
          };
          sandbox.onCreateContainer = async (container) => {
            const args = (container.request.spec as { process?: { args?: string[] } }).process?.args ?? [];
            const fail = (): never => {
              throw new Error("a bug in the shim");
            };
            if (args[0] === "crash") setImmediate(fail);
            if (args[0] === "reject") setImmediate(async () => fail());
            if (args[0] === "crash on data") readFile("/dev/null", fail);
            container.init.onStart = async () => container.init.finish(Number(args[0] ?? 0));
          };
        };
        platform.cleanUp = async ({ id }) => {
          record(`cleanUp ${id}`);
          if (process.env.FAKE_CLEAN_UP_HANGS !== undefined) await new Promise(() => {});
        };
        return platform;
      },
    },
    process,
  );
}
