/** What comes from a guest, and what a guest takes from its host. */
import { EventEmitter } from "node:events";
import type { Duplex } from "node:stream";
import { Fields, GcsBridgeClient, type Procedure, procedures } from "@uvm-shim/gcs-bridge";
import { checkCgroupMetrics, checkLinuxGuestRequest, fieldsInAnyCase, spelledAs } from "@uvm-shim/hcs-schema";
import { LineSplitter, parseLogLine } from "../../../../../packages/controller-vm/src/guest-log/log-lines.ts";
import { readNotification } from "../../../../../packages/gcs-bridge/src/notification.ts";
import {
  containerNotificationType,
  encodeFrame,
  FrameDecoder,
  messageType,
  responseTypeOf,
} from "../../../../../packages/gcs-bridge/src/wire.ts";
import {
  readContainerSettings,
  readProcessParameters,
} from "../../../../../packages/guest-agent/src/container/parameters.ts";
import { readGuestRequest } from "../../../../../packages/guest-agent/src/requests/guest-requests.ts";
import { encodeContainerStatistics } from "../../../../../packages/shim/src/services/statistics.ts";
import { jsonSubject, type Subject, textSubject } from "../subject.ts";
import { processSeed, specificationSeed } from "./seeds.ts";

const guestRefusals = ["FieldError", "SchemaError", "GcsError", "GuestFault"];
const mostBytes = 64 * 1024;

const answer = {
  ...{ Result: 0, ActivityId: "00000000-0000-0000-0000-000000000000", ErrorMessage: "", Version: 4, ProcessId: 7 },
  ...{ ExitCode: 3, Properties: '{"ProcessList":[{"ProcessId":1}]}', GuestStacks: "stack" },
  ErrorRecords: [
    { Result: -1, Message: "no", StackTrace: "", ModuleName: "", FileName: "f", Line: 3, FunctionName: "g" },
  ],
  Capabilities: {
    SupportedSchemaVersions: [{ Major: 2, Minor: 1 }],
    RuntimeOsType: "Linux",
    GuestDefinedCapabilities: { SignalProcessSupported: true, DumpStacksSupported: true },
  },
};
const notification = {
  ContainerId: "c",
  ActivityId: "a",
  Type: "GracefulExit",
  Operation: "None",
  Result: 0,
  ResultInfo: "",
};

export const metricsSeeds = [
  {
    LCOWMetrics: {
      pids: { current: 1, limit: 2 },
      cpu: { usage: { total: 5, kernel: 1, user: 4, per_cpu: [1, 2] }, throttling: { periods: 1 } },
      memory: { rss: 5, total_rss: 7, usage: { limit: 9, usage: 3, max: 4, failcnt: 0 } },
      memory_oom_control: { oom_kill: 1, under_oom: 0 },
    },
  },
  {
    LCOWMetricsV2: {
      pids: { current: 1 },
      cpu: { usage_usec: 4 },
      memory: { anon: 5 },
      memory_events: { oom_kill: 2 },
    },
  },
];

const requestSeeds = [
  {
    ResourceType: "MappedVirtualDisk",
    RequestType: "Add",
    Settings: {
      MountPath: "/run/m",
      Controller: 0,
      Lun: 1,
      Partition: 0,
      ReadOnly: true,
      Encrypted: false,
      Options: ["ro"],
    },
  },
  {
    ResourceType: "MappedDirectory",
    RequestType: "Add",
    Settings: { MountPath: "/m", Port: 564, ShareName: "s", ReadOnly: true },
  },
  {
    ResourceType: "Network",
    RequestType: "Add",
    Settings: {
      NamespaceID: "11111111-1111-1111-1111-111111111111",
      ID: "22222222-2222-2222-2222-222222222222",
      MacAddress: "00-11-22-33-44-55",
      IPConfigs: [{ IPAddress: "10.0.0.2", PrefixLength: 24 }],
      Routes: [{ NextHop: "10.0.0.1", DestinationPrefix: "0.0.0.0/0" }],
      DNSServerList: "1.1.1.1,8.8.8.8",
    },
  },
  {
    ResourceType: "CombinedLayers",
    RequestType: "Add",
    Settings: { ContainerID: "c", ContainerRootPath: "/r", Layers: [{ Path: "/l" }], ScratchPath: "" },
  },
  { ResourceType: "ContainerConstraints", RequestType: "Update", Settings: { Linux: { memory: { limit: 5 } } } },
];

/** The host's end of a bridge with questions that wait, on a stream that hands on at once what it is given. */
function clientFedWith(input: Buffer): Promise<unknown> {
  const stream = Object.assign(new EventEmitter(), {
    ...{
      destroyed: false,
      readableEnded: false,
      write: () => true,
      destroy: () => {},
      isPaused: () => false,
      pause: () => {},
      resume: () => {},
    },
  });
  const client = new GcsBridgeClient(stream as unknown as Duplex, {
    newActivityId: () => "00000000-0000-0000-0000-000000000000",
    onNotification: () => {},
    maxMessageSize: mostBytes,
  });
  const questions = [
    client.request("getProperties", "c", { Query: "" }),
    client.request("executeProcess", "c", { Settings: { ProcessParameters: "{}" } }),
    client.request("waitForProcess", "c", { ProcessId: 1, TimeoutInMs: 1 }),
  ];
  for (const question of questions) question.catch(() => {});
  stream.emit("data", input);
  stream.emit("end");
  // What takes more than one turn is done then.
  return client.closed;
}

const frames = Buffer.concat([
  encodeFrame({ type: responseTypeOf(messageType("request", 9)), id: 1n, body: Buffer.from(JSON.stringify(answer)) }),
  encodeFrame({ type: containerNotificationType, id: 0n, body: Buffer.from(JSON.stringify(notification)) }),
  encodeFrame({
    type: responseTypeOf(messageType("request", 5)),
    id: 2n,
    body: Buffer.from('{"Result":0,"ProcessId":4}'),
  }),
]);

/** Has a document read as that of each procedure, which may refuse it. */
function readByEach(
  read: (procedure: (typeof procedures)[Procedure], fields: Fields) => unknown,
): (value: unknown) => void {
  return (value) => {
    for (const [name, procedure] of Object.entries(procedures)) {
      try {
        read(procedure, new Fields(value, name));
      } catch (error) {
        if ((error as Error).name !== "FieldError") throw error;
      }
    }
  };
}

export const bridgeSubjects: readonly Subject[] = [
  {
    name: "bridge-frames",
    seeds: [frames],
    refusals: guestRefusals,
    decode: (input) => {
      const decoder = new FrameDecoder(mostBytes);
      let frames = 0;
      for (let at = 0; at < input.length; at += 37)
        for (const _ of decoder.push(input.subarray(at, at + 37))) frames += 1;
      return frames;
    },
  },
  { name: "bridge-client", seeds: [frames], refusals: guestRefusals, decode: clientFedWith },
  jsonSubject(
    "bridge-answers",
    [answer, { Result: 0 }],
    readByEach((procedure, fields) => procedure.readResponse(fields)),
    guestRefusals,
  ),
  jsonSubject(
    "bridge-requests",
    [
      { ContainerConfig: "{}" },
      { Settings: { ProcessParameters: "{}", VsockStdioRelaySettings: { StdIn: 1, StdOut: 2 } } },
      { ProcessId: 3, TimeoutInMs: 5, Options: { Signal: 9 }, Height: 1, Width: 2, Query: "{}" },
      ...requestSeeds.map((Request) => ({ Request })),
    ],
    readByEach((procedure, fields) => procedure.readRequest(fields)),
    guestRefusals,
  ),
  jsonSubject(
    "bridge-notifications",
    [notification],
    (value) => readNotification(new Fields(value, "notification")),
    guestRefusals,
  ),
  jsonSubject("any-case", [specificationSeed, answer], (value) => {
    if (typeof value !== "object" || value === null) return;
    fieldsInAnyCase(value as { readonly [name: string]: unknown });
    spelledAs({ process: { args: true, user: { uid: true } }, mounts: [{ destination: true }], Result: true }, value);
  }),
  // As Stats answers with them.
  jsonSubject("cgroup-metrics", metricsSeeds, (value) =>
    encodeContainerStatistics(checkCgroupMetrics(value, "Properties")),
  ),
  {
    name: "guest-log",
    seeds: [
      Buffer.from(
        `${JSON.stringify({ level: "info", msg: "m", time: "t", k: { a: [1] } })}\nno json\n{"LEVEL":"warning"}\n`,
      ),
    ],
    refusals: [],
    decode: (input) => {
      const splitter = new LineSplitter((line, truncated) => parseLogLine(line, truncated));
      for (let at = 0; at < input.length; at += 61) splitter.push(input.subarray(at, at + 61));
      splitter.end();
    },
  },
  jsonSubject("guest-requests", requestSeeds, (value) => {
    checkLinuxGuestRequest(value);
  }),
  jsonSubject(
    "agent-requests",
    requestSeeds,
    (value) => readGuestRequest(value as Parameters<typeof readGuestRequest>[0]),
    [...guestRefusals, "TypeError"],
  ),
  textSubject(
    "agent-settings",
    [
      JSON.stringify({
        SchemaVersion: { Major: 2, Minor: 1 },
        ...{ OciBundlePath: "/b", ScratchDirPath: "", OciSpecification: specificationSeed },
      }),
    ],
    readContainerSettings,
    guestRefusals,
  ),
  textSubject(
    "agent-processes",
    [
      JSON.stringify({
        ...{ OCIProcess: processSeed, EmulateConsole: false, CreateStdInPipe: true, CreateStdOutPipe: true },
        ...{ CreateStdErrPipe: false, CommandArgs: ["a"], ConsoleSize: [1, 2], Environment: { A: "b" } },
      }),
    ],
    readProcessParameters,
    guestRefusals,
  ),
];
