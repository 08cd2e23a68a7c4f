/**
 * A host and a guest that answers it with what takes memory and time, for a process of its own whose memory is limited.
 * The argument names what the guest does; what the host made of it is written to standard output as JSON.
 */
import { once } from "node:events";
import { duplexPair } from "node:stream";
import { LinuxGuest } from "@uvm-shim/guest-lcow";
import {
  containerNotificationType,
  encodeFrame,
  FrameDecoder,
  messageType,
} from "../../../packages/gcs-bridge/src/wire.ts";
import { encodeContainerStatistics } from "../../../packages/shim/src/services/statistics.ts";

export interface Outcome {
  /** Bytes of the answer of Stats, or pids, or what failed. */
  readonly came: number | string;
  readonly isBridgeOpen: boolean;
  readonly mostMebibytes: number;
}

const mebibyte = 1024 * 1024;
const negotiated = {
  Version: 4,
  Capabilities: {
    SupportedSchemaVersions: [{ Major: 2, Minor: 1 }],
    RuntimeOsType: "Linux",
    GuestDefinedCapabilities: { SignalProcessSupported: true },
  },
};
const names = (count: number): string => Array.from({ length: count }, (_, index) => `"k${index}":0`).join();
const figures = (json: string): Buffer => body(JSON.stringify({ Result: 0, Properties: `{"LCOWMetrics":${json}}` }));
const listed = (json: string): Buffer => body(JSON.stringify({ Result: 0, Properties: `{"ProcessList":[${json}]}` }));
const body = (json: string): Buffer => Buffer.from(json);

/** What the guest answers when it is asked for figures or processes, and what it sends before, without being asked. */
interface Attack {
  readonly asks: "figures" | "processes";
  readonly answer: () => Buffer;
  readonly before?: () => Iterable<Buffer>;
}

const sound = { asks: "figures", answer: () => figures('{"pids":{"current":3}}') } as const;

const attacks: { readonly [name: string]: Attack } = {
  "bytes for a message": {
    asks: "figures",
    answer: () => figures('{"memory":{"$unknowns":[{"length":268435456}]}}'),
  },
  "many fields": { asks: "figures", answer: () => figures(`{${names(80_000)}}`) },
  "many levels": { asks: "figures", answer: () => figures("[".repeat(mebibyte / 2)) },
  "many processes": { asks: "processes", answer: () => listed(`${'{"ProcessId":1},'.repeat(100_000)}{"ProcessId":1}`) },
  "empty processes": { asks: "processes", answer: () => listed(`${"{},".repeat(650_000)}{}`) },
  "records of errors": {
    asks: "figures",
    answer: () => body(`{"Result":-1,"ErrorRecords":[${"{},".repeat(mebibyte)}{}]}`),
  },
  "a notification of empty objects": {
    ...sound,
    *before() {
      const surplus = `[${"{},".repeat(mebibyte)}{}]`;
      const json = `{"ContainerId":"c","Type":"Started","Surplus":${surplus}}`;
      yield encodeFrame({ type: containerNotificationType, id: 0n, body: body(json) });
    },
  },
  "answers to nothing": {
    ...sound,
    *before() {
      const frame = { type: messageType("response", 9), body: Buffer.alloc(2 * mebibyte, "x") };
      for (let id = 1n; id <= 500n; id += 1n) yield encodeFrame({ ...frame, id: (1n << 40n) + id });
    },
  },
};

export const attackNames = Object.keys(attacks);

async function run({ asks, answer, before }: Attack): Promise<Outcome> {
  const [host, stream] = duplexPair();
  stream.on("error", () => {});
  const send = async (frame: Buffer): Promise<void> => {
    if (!stream.write(frame)) await once(stream, "drain");
  };
  const decoder = new FrameDecoder(mebibyte);
  stream.on("data", async (chunk: Buffer) => {
    for (const { type, id } of decoder.push(chunk)) {
      const procedure = (type >>> 8) & 0xfff;
      if (procedure === 9) for (const frame of before?.() ?? []) await send(frame);
      const reply =
        procedure === 9 ? answer() : body(JSON.stringify({ Result: 0, ...(procedure === 11 && negotiated) }));
      await send(encodeFrame({ type: messageType("response", procedure), id, body: reply }));
    }
  });
  const guest = await LinuxGuest.connect(host, {
    newActivityId: () => "11111111-2222-3333-4444-555555555555",
    listen: () => Promise.reject(new Error("this guest runs no process")),
    log: { log: () => {} },
    delay: () => new Promise(() => {}),
  });
  const SchemaVersion = { Major: 2, Minor: 1 };
  const settings = {
    SchemaVersion,
    OciBundlePath: "/b",
    OciSpecification: { ociVersion: "1.0.2" },
    ScratchDirPath: "/s",
  };
  const container = await guest.createContainer("c", settings);
  const ask = async (): Promise<number> =>
    asks === "figures"
      ? encodeContainerStatistics(await container.metrics()).value.length
      : (await container.processIds()).length;
  const came = await ask().catch((error: unknown) => String(error));
  const isBridgeOpen = await Promise.race([
    guest.closed.then(() => false),
    new Promise<true>((resolve) => setImmediate(() => resolve(true))),
  ]);
  return { came, isBridgeOpen, mostMebibytes: Math.ceil(process.resourceUsage().maxRSS / 1024) };
}

const attack = attacks[process.argv[2] ?? ""];
if (attack !== undefined) process.stdout.write(JSON.stringify(await run(attack)));
