/**
 * An agent without descriptors, processes or memory: each call that opens or starts something fails in turn. The request
 * succeeds or is refused with the system's error, what existed before lives on, and nothing leaks.
 */
import { once } from "node:events";
import { readdirSync, truncateSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { GcsError } from "@uvm-shim/gcs-bridge";
import { failingCallsModule, failingCallsSocketVariable } from "@uvm-shim/test-support/failing-calls";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { expect, it } from "vitest";
import { type Machine, podId } from "./testing/machine.ts";
import { finish } from "./testing/running-process.ts";
import { machineForSuite } from "./testing/suite-machine.ts";

const codes = ["EMFILE", "ENFILE", "ENOMEM"] as const;
const ofProcesses = [...codes, "EAGAIN"] as const;
const shortage = /EMFILE|ENFILE|ENOMEM|EAGAIN|[Tt]oo many open files/;

/** The connection by which the calls that fail in the agent are chosen. */
class FailingAgent {
  readonly #connection: Socket;

  private constructor(connection: Socket) {
    this.#connection = connection;
  }

  static async connect(socket: string): Promise<FailingAgent> {
    const connection = connect(socket).setEncoding("utf8");
    await once(connection, "connect");
    return new FailingAgent(connection);
  }

  async count(): Promise<void> {
    await this.#ask("count");
  }

  async fail(call: number, code: string): Promise<void> {
    await this.#ask(`fail ${call} ${code}`);
  }

  async report(): Promise<{ readonly calls: readonly string[]; readonly struck?: string }> {
    return (await this.#ask("report")) as { calls: string[]; struck?: string };
  }

  close(): void {
    this.#connection.destroy();
  }

  async #ask(line: string): Promise<object> {
    const answered = once(this.#connection, "data");
    this.#connection.write(`${line}\n`);
    return JSON.parse(String((await answered)[0]));
  }
}

describeWith(
  "root",
  "crun",
  "busybox",
  "mkfs.ext4",
)("an agent whose calls fail in turn", () => {
  let machine: Machine;
  let agent: FailingAgent;
  let made = 0;
  const kinds = new Set<string>();

  machineForSuite(
    "crun",
    async (booted) => {
      machine = booted;
      agent = await FailingAgent.connect(join(machine.fixtures.folder, "failing.sock"));
      await machine.createContainer("lasting", { args: ["sleep", "1000000"] });
      await machine.execute("lasting");
      const path = join(machine.fixtures.folder, "disk.img");
      writeFileSync(path, "");
      truncateSync(path, 16 * 1024 * 1024);
      machine.attachDisk(path, 3);
    },
    (fixtures) => {
      const entry = join(fixtures.folder, "failing-agent.cjs");
      const socket = join(fixtures.folder, "failing.sock");
      const lines = [
        `process.env.${failingCallsSocketVariable} = ${JSON.stringify(socket)};`,
        ...[failingCallsModule, fixtures.agent].map((path) => `require(${JSON.stringify(path)});`),
      ];
      writeFileSync(entry, lines.join("\n"));
      Object.assign(fixtures, { agent: entry });
    },
  );

  /** Requests of a host; each releases what it acquired, after a failure too. */
  const work: { readonly [what: string]: () => Promise<void> } = {
    async "a process of the VM"() {
      expect(await machine.inGuest(["sh", "-c", "echo ran"])).toMatchObject({ code: 0, stdout: "ran\n" });
    },

    async "a process of a container"() {
      const OCIProcess = { args: ["echo", "ran"], cwd: "/", env: ["PATH=/bin"] };
      const process = await machine.execute("lasting", { OCIProcess });
      expect(await finish(process)).toMatchObject({ code: 0, stdout: "ran\n" });
    },

    async "a process with a terminal"() {
      const OCIProcess = { args: ["echo", "ran"], cwd: "/", env: ["PATH=/bin"], terminal: true };
      const process = await machine.execute("lasting", { EmulateConsole: true, OCIProcess });
      expect(await finish(process)).toMatchObject({ code: 0, stdout: "ran\r\n" });
    },

    async "a container"() {
      made += 1;
      const id = `container-${made}`;
      const undo: (() => Promise<unknown>)[] = [];
      try {
        const rootfs = await machine.shareRoot(id);
        undo.unshift(() => machine.unshareRoot(id));
        await machine.createWorkloadOf(rootfs, podId, id, { args: ["echo", "ran"] });
        undo.push(() => machine.client.request("deleteContainerState", id, {}));
        expect(await finish(await machine.execute(id))).toMatchObject({ code: 0, stdout: "ran\n" });
      } finally {
        for (const step of undo) await again(step);
      }
    },

    async "a disk"() {
      made += 1;
      const disk = {
        MountPath: `/run/mounts/scsi/m${made}`,
        Controller: 0,
        Lun: 3,
        Partition: 0,
        EnsureFilesystem: true,
      };
      await machine.modify("Add", "MappedVirtualDisk", disk);
      await again(() => machine.modify("Remove", "MappedVirtualDisk", disk));
    },
  };

  /** A release that failed must succeed when it is repeated. */
  async function again(step: () => Promise<unknown>): Promise<void> {
    const failure = await step().then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    if (failure === undefined) return;
    // Like the real guest, it forgets a container whose state it could not delete.
    await step().catch((error: unknown) => expect(error).toMatchObject({ hresultName: "HCS_E_SYSTEM_NOT_FOUND" }));
    throw failure.error;
  }

  it.each(Object.keys(work))(
    "%s is made or refused, and nothing is left behind",
    async (what) => {
      const act = work[what] as () => Promise<void>;
      const descriptors = (): number => readdirSync(`/proc/${machine.init}/fd`).length;
      await act();
      await agent.count();
      await act();
      const { calls } = await agent.report();
      for (const kind of calls) kinds.add(kind);
      const before = descriptors();
      let refusals = 0;
      for (const [call, kind] of calls.entries()) {
        for (const code of kind === "spawn" ? ofProcesses : [codes[call % codes.length] as string]) {
          await agent.fail(call, code);
          const failure = await act().then(
            () => undefined,
            (error: unknown) => error,
          );
          const { struck = "nothing" } = await agent.report();
          await agent.count();
          const point = `call ${call} of ${calls.length}, ${code}, which was ${struck}`;
          if (failure === undefined) continue;
          refusals += 1;
          expect(failure, point).toBeInstanceOf(GcsError);
          expect((failure as Error).message, point).toMatch(shortage);
        }
      }
      expect(calls.length).toBeGreaterThan(0);
      expect(refusals).toBeGreaterThan(0);
      await expect.poll(descriptors).toBeLessThanOrEqual(before);
      await act();
      const { Properties } = await machine.client.request("getProperties", "lasting", {
        Query: JSON.stringify({ PropertyTypes: ["ProcessList"] }),
      });
      expect((JSON.parse(Properties) as { ProcessList: unknown[] }).ProcessList).toHaveLength(1);
    },
    120_000,
  );

  it("was tried with every kind of call that it makes", () => {
    expect([...kinds].toSorted()).toEqual([
      ...[
        "accept4",
        "openSync",
        "openat2",
        "opendirSync",
        "pipe2",
        "readFileSync",
        "readdirSync",
        "socket",
        "spawn",
        "writeFileSync",
      ],
    ]);
  });
});
