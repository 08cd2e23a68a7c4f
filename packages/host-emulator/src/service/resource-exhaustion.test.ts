/**
 * A host without descriptors, processes or memory: each call that opens or starts something fails in turn. The request
 * succeeds or is refused with Windows' error number, the host lives on, and nothing is left behind.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { basename, dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { hresults, plan9ShareFlags, resourcePaths, scsiControllerGuids } from "@uvm-shim/hcs-schema";
import { hostSocketOption, hostVariables } from "@uvm-shim/host-protocol";
import { guestFolders, powerDescriptor, powerWords, processGuestKernel } from "@uvm-shim/host-protocol/guest";
import { failingCallsModule, failingCallsSocketVariable } from "@uvm-shim/test-support/failing-calls";
import { describeWith } from "@uvm-shim/test-support/machine-needs";
import { afterAll, beforeAll, expect, it, vi } from "vitest";
import { VmCgroups } from "../process-guest/cgroups.ts";
import { TestFiles } from "../testing/fake-guest.ts";

const codes = ["EMFILE", "ENFILE", "ENOMEM"] as const;
const ofProcesses = [...codes, "EAGAIN"] as const;
const shortages: readonly number[] = [
  ...[hresults.ERROR_TOO_MANY_OPEN_FILES, hresults.ERROR_NO_SYSTEM_RESOURCES, hresults.E_OUTOFMEMORY],
];

/** A guest agent that is up at once, has folders for shares and devices, and ends when its power is cut. */
const agent = `
  const { execFileSync } = require("node:child_process");
  const { writeSync } = require("node:fs");
  const { Socket } = require("node:net");
  const folders = "mount -t tmpfs none /dev && mount -t tmpfs none /run && mkdir -p ${guestFolders.plan9Shares}";
  execFileSync("/bin/sh", ["-c", folders]);
  writeSync(${powerDescriptor}, "${powerWords.up}\\n");
  new Socket({ fd: ${powerDescriptor} }).resume().on("error", () => {}).on("close", () => process.exit(0));`;

interface Answer {
  readonly id?: number;
  readonly result?: { readonly [name: string]: unknown };
  readonly error?: { readonly hresult: number; readonly message: string };
}

class Refusal extends Error {
  readonly hresult: number;

  constructor({ hresult, message }: { readonly hresult: number; readonly message: string }) {
    super(message);
    this.hresult = hresult;
  }
}

/** A client of the host's protocol, or of the calls that are to fail in it. */
class Client {
  readonly #socket: Socket;
  readonly #answers: AsyncIterator<string>;
  #id = 0;

  private constructor(socket: Socket) {
    this.#socket = socket;
    this.#answers = createInterface({ input: socket })[Symbol.asyncIterator]();
  }

  static async connect(path: string): Promise<Client> {
    const socket = connect(path);
    await once(socket, "connect");
    return new Client(socket.on("error", () => {}));
  }

  async ask(line: string): Promise<unknown> {
    this.#socket.write(`${line}\n`);
    return JSON.parse((await this.#answers.next()).value);
  }

  async call(call: string, parameters: object): Promise<{ readonly [name: string]: unknown }> {
    const id = ++this.#id;
    let answer = (await this.ask(JSON.stringify({ id, call, arguments: parameters }))) as Answer;
    while (answer.id !== id) answer = JSON.parse((await this.#answers.next()).value);
    if (answer.error !== undefined) throw new Refusal(answer.error);
    return answer.result ?? {};
  }

  close(): void {
    this.#socket.destroy();
  }
}

describeWith(
  "root",
  "crun",
  "ip",
)("a host whose calls fail in turn", () => {
  const files = new TestFiles();
  const kernel = files.write("process-kernel", `${processGuestKernel}\n`);
  const initrd = files.write("agent.cjs", agent);
  const disk = files.write("disk", Buffer.alloc(64 * 1024));
  const other = files.write("other", Buffer.alloc(4096));
  /** Names of the systems' cgroups. */
  const names: string[] = [];
  const shared = join(files.directory, "shared");
  const state = join(files.directory, "h");
  const kinds = new Set<string>();
  let child: ChildProcess;
  let said = "";
  let control: Client;
  let made = 0;

  beforeAll(async () => {
    for (const folder of [shared, state]) mkdirSync(folder);
    const main = fileURLToPath(new URL("../main.ts", import.meta.url));
    const options = [
      "--disable-sigusr1",
      `--require=${failingCallsModule}`,
      main,
      `--${hostSocketOption}`,
      join(state, "host.sock"),
    ];
    child = spawn(process.execPath, options, {
      stdio: ["ignore", "ignore", "pipe"],
      env: {
        PATH: process.env.PATH,
        [hostVariables.idleMs]: "60000",
        [failingCallsSocketVariable]: join(state, "failing.sock"),
      },
    });
    child.stderr?.setEncoding("utf8").on("data", (text: string) => {
      said += text;
    });
    await vi.waitFor(() => expect(readdirSync(state)).toContain("host.sock"), { timeout: 20_000 });
    control = await Client.connect(join(state, "failing.sock"));
    await bootedBy(await Client.connect(join(state, "host.sock")), "lasting");
  });
  afterAll(async () => {
    control?.close();
    const exit = once(child, "exit");
    child.kill("SIGTERM");
    await exit;
    files.remove();
  });

  /** Requests of a shim; each releases what it acquired, after a failure too. */
  const work: { readonly [what: string]: (client: Client) => Promise<void> } = {
    async "a system"(client) {
      await (await bootedBy(client))();
    },

    async "what is plugged into a system"(client) {
      const { handle } = await client.call("open", { system: "lasting" });
      const modify = (ResourcePath: string, RequestType: string, Settings?: object) =>
        client.call("modify", { handle, request: { ResourcePath, RequestType, ...(Settings && { Settings }) } });
      const share = { Name: "s", AccessName: "s", Path: shared, Port: 564, Flags: plan9ShareFlags.readOnly };
      await modify(resourcePaths.plan9Shares, "Add", share);
      await again(() => modify(resourcePaths.plan9Shares, "Remove", share));
      const lun = resourcePaths.scsi(scsiControllerGuids[0], 1);
      await modify(lun, "Add", { Type: "VirtualDisk", Path: other, ReadOnly: true });
      await again(() => modify(lun, "Remove"));
      await client.call("properties", { handle, types: ["Memory", "Statistics"] });
    },

    async "a network"(client) {
      const Ipams = [{ Subnets: [{ IpAddressPrefix: "10.0.0.0/24" }] }];
      const { properties } = await client.call("createNetworkObject", {
        ...{ kind: "network", settings: { Type: "L2Bridge", Name: "n", Ipams } },
      });
      const object = (properties as { readonly ID: string }).ID;
      await again(() => client.call("deleteNetworkObject", { kind: "network", object }));
    },
  };

  /** Makes and starts a system; returns a function that ends it. */
  async function bootedBy(client: Client, system = `vm-${++made}`): Promise<() => Promise<void>> {
    const document = files.document({ kernel, disks: system === "lasting" ? {} : { "0": disk } });
    const { VirtualMachine: machine } = document;
    const Chipset = { LinuxKernelDirect: { KernelFilePath: kernel, InitRdPath: initrd, KernelCmdLine: "" } };
    const { handle, vsockBase } = await client.call("create", {
      ...{ system, document: { ...document, VirtualMachine: { ...machine, Chipset } } },
    });
    names.push(basename(dirname(String(vsockBase))));
    const end = async (): Promise<void> => {
      await again(() => client.call("terminate", { handle }));
      await client.call("close", { handle });
    };
    try {
      await client.call("start", { handle });
    } catch (error) {
      // A system that could not be started has ended already.
      await end().catch((late: Refusal) => expect(late.hresult).toBe(hresults.HCS_E_SYSTEM_ALREADY_STOPPED));
      throw error;
    }
    return end;
  }

  /** A release that failed must succeed when it is repeated. */
  async function again(step: () => Promise<unknown>): Promise<void> {
    const failure = await step().then(
      () => undefined,
      (error: unknown) => ({ error }),
    );
    if (failure === undefined) return;
    await step();
    throw failure.error;
  }

  it.each(Object.keys(work))(
    "%s is made or refused, and nothing is left behind",
    async (what) => {
      const act = async (): Promise<void> => {
        const client = await Client.connect(join(state, "host.sock"));
        try {
          await work[what]?.(client);
        } finally {
          client.close();
        }
      };
      const descriptors = (): number => readdirSync(`/proc/${child.pid}/fd`).length;
      const loops = (): readonly string[] =>
        readdirSync("/sys/block").filter((name) => {
          try {
            return readFileSync(`/sys/block/${name}/loop/backing_file`, "utf8").startsWith(files.directory);
          } catch {
            return false;
          }
        });
      await act();
      await control.ask("count");
      await act();
      const { calls } = (await control.ask("report")) as { readonly calls: readonly string[] };
      const before = descriptors();
      let refusals = 0;
      for (const [call, kind] of calls.entries()) {
        kinds.add(kind);
        for (const code of kind === "spawn" ? ofProcesses : [codes[call % codes.length] as string]) {
          await control.ask(`fail ${call} ${code}`);
          const failure = await act().then(
            () => undefined,
            (error: unknown) => error,
          );
          const { struck = "nothing" } = (await control.ask("report")) as { readonly struck?: string };
          await control.ask("count");
          const point = `call ${call} of ${calls.length}, ${code}, which was ${struck}`;
          if (failure === undefined) continue;
          refusals += 1;
          expect(failure, point).toBeInstanceOf(Refusal);
          expect(shortages, `${point}: ${failure}`).toContain((failure as Refusal).hresult);
        }
      }
      expect(refusals).toBeGreaterThan(0);
      await act();
      await expect.poll(descriptors).toBeLessThanOrEqual(before);
      const [lasting, ...others] = names;
      await expect.poll(() => readdirSync(join(state, "vm"))).toEqual([lasting]);
      await expect.poll(loops).toEqual([]);
      const groups = others.flatMap((name) => new VmCgroups(name).entrances.map((file) => dirname(dirname(file))));
      await expect.poll(() => groups.filter((group) => existsSync(group))).toEqual([]);
      // There is not even a warning that a guest has no guard on the machine's sysctls.
      expect(said).toBe("");
      expect(child.exitCode ?? child.signalCode).toBeNull();
    },
    300_000,
  );

  it("was tried with every kind of call that it makes", () => {
    expect([...kinds].toSorted()).toEqual([
      ...["openSync", "open_tree", "readFileSync", "readdirSync", "spawn", "writeFileSync"],
    ]);
  });
});
