/** What the executable says of itself. Loaded only when somebody asks. */
import { helpText, type OptionManual, type ProgramManual, type VariableManual } from "@uvm-shim/command-line";
import type { FlagName } from "./flags.ts";
import { exitCodes } from "./refusal.ts";

export { unknownWord } from "@uvm-shim/command-line";

/** What a shim and its runtime are called. */
export interface ShimName {
  readonly name: string;
  readonly runtimeName: string;
}

const flags: { readonly [Name in FlagName]: Omit<OptionManual, "name"> } = {
  namespace: { value: "NAME", meaning: "containerd's namespace of the container or sandbox" },
  id: { value: "ID", meaning: "its id, which is also the name of its bundle" },
  address: { value: "PATH", meaning: "containerd's gRPC socket (on Windows: its pipe)" },
  "publish-binary": {
    value: "PATH",
    meaning: "containerd's executable; accepted and not used, since events go by ttrpc",
  },
  bundle: { value: "FOLDER", meaning: "the bundle, where it is not the working directory" },
  socket: {
    value: "PATH",
    meaning: "sandboxer: where to serve containerd; to the serving process of a pod, start passes it",
  },
  config: { value: "FILE", meaning: "sandboxer: its settings, as TOML; flags outrank them" },
  state: { value: "FOLDER", meaning: "sandboxer: where it keeps what it knows of its pods" },
  "warm-pool": { value: "NUMBER", meaning: "sandboxer: how many VMs to keep ready for pods to come; 0 if not given" },
  drain: { meaning: "sandboxer: end the pods in order on SIGTERM; without it their VMs end with the process" },
  "log-file": {
    value: "FILE",
    meaning: "sandboxer: add the log to this file instead of standard error; at 16 MiB it becomes FILE.1",
  },
  service: { meaning: "sandboxer: be the service that Windows has started, with a log of its own" },
  debug: { meaning: "log every call of containerd, host and guest" },
  info: { meaning: "print the runtime's name, version and features, as protobuf for containerd" },
  v: { meaning: "print the version" },
  version: { meaning: "the same as -v" },
  h: { meaning: "print this text" },
  help: { meaning: "the same as -h" },
};

const order: readonly FlagName[] = [
  ...(["namespace", "id", "address", "bundle", "publish-binary", "debug"] as const),
  ...(["config", "socket", "state", "warm-pool", "drain", "log-file", "service"] as const),
  ...(["info", "v", "version", "h", "help"] as const),
];

/** Variables that people set. Those by which parts of the shim tell each other something are not among them. */
const variables: readonly VariableManual[] = [
  {
    name: "UVM_SHIM_HOST",
    value: "unix:PATH, libraries:FOLDER or none",
    meaning:
      "which host has the VMs: the emulated host that listens on a socket (Linux), the compute DLLs of a folder (Windows, for tests), or none",
    standard: "Linux: the emulated host, which is started when it does not run; Windows: the compute services",
  },
  {
    name: "UVM_SHIM_GUEST",
    value: "process or qemu",
    meaning:
      "what Linux pods boot on an emulated host, where no option or annotation names a folder of boot files: a process of this machine's kernel, or a virtual machine (QEMU) with a kernel of its own",
    standard: "process",
  },
  {
    name: "UVM_SHIM_SOCKET_DIRECTORY",
    value: "FOLDER",
    meaning: "where shims make their sockets; an absolute path of at most 63 bytes (Linux)",
    standard: "the one that containerd names, else /run/containerd/s",
  },
  {
    name: "UVM_SHIM_SANDBOXER",
    value: "PATH or none",
    meaning: "the socket of a sandboxer, to which start hands the pod over instead of starting a process for it",
    standard: "the usual one, where it runs and has its pods on the same host; else each pod has a process of its own",
  },
  {
    name: "UVM_SHIM_RECORDS",
    value: "FOLDER or none",
    meaning: "where shims record what happens to their pods; none keeps no file",
    standard: "/run/uvm-shim/pods; Windows: %ProgramData%\\uvm-shim\\pods",
  },
  {
    name: "UVM_SHIM_LINGER_MS",
    value: "MILLISECONDS",
    meaning: "how long the shim of a pod that has ended waits for a client that removes it; at least 100",
    standard: "30000",
  },
  {
    name: "OTEL_EXPORTER_OTLP_ENDPOINT, and others of OpenTelemetry",
    value: "URL",
    meaning: "where traces and metrics are exported to by OTLP over HTTP; docs/telemetry.md has all of them",
    standard: "nothing is exported",
  },
  {
    name: "UVM_SHIM_TELEMETRY_FILE",
    value: "FILE",
    meaning: "lines OTEL_NAME=VALUE, which count where the environment does not have the variable",
    standard: "/etc/uvm-shim/telemetry.env; Windows: %ProgramData%\\uvm-shim\\telemetry.env",
  },
  {
    name: "TTRPC_ADDRESS, GRPC_ADDRESS",
    value: "PATH",
    meaning: "containerd's sockets for events and for questions; containerd sets them",
    standard: "no events; -address",
  },
  {
    name: "MAX_SHIM_VERSION",
    value: "2",
    meaning: "set by containerd since 1.7: the reply of start is JSON",
    standard: "the reply is an address, as containerd 1.6 reads it",
  },
];

const files: NonNullable<ProgramManual["files"]> = [
  { path: "<bundle>/config.json", meaning: "the specification; absent for a sandbox of the Sandbox API" },
  { path: "<bundle>/uvm-shim.json", meaning: "state of the shim, for delete and for further containers of the pod" },
  { path: "<bundle>/address, shim.pid", meaning: "where the shim serves, and its process" },
  { path: "<bundle>/log", meaning: "the log, a FIFO that containerd reads (on Windows: a pipe)" },
  { path: "<bundle>/panic.log", meaning: "standard error of the serving process; empty unless it crashed" },
  { path: "/run/containerd/s/uvm-<digest>", meaning: "the socket" },
  {
    path: "/run/uvm-shim/pods/<namespace>/<id>.jsonl",
    meaning: "what happened to the pod, for uvm-diag; removed when it ended in order, else the newest 64 are kept",
  },
];

/** The table of a shim's command line, from which help, man page and completions are made. */
export function shimManual({ name, runtimeName }: ShimName): ProgramManual {
  const guests = runtimeName.includes("wcow") ? "Windows" : "Linux";
  return {
    name,
    summary: `containerd shim that runs each pod of ${guests} containers in a utility VM`,
    section: 8,
    dash: "-",
    synopsis: [
      "-namespace NAME -id ID -address PATH [-bundle FOLDER] [-debug] start|delete",
      "[-config FILE] [-address PATH] [-socket PATH] [-state FOLDER] [-warm-pool NUMBER] [-drain] [-log-file FILE] [-service] [-debug] sandboxer",
      "-info | -v | -h",
    ],
    description: [
      `containerd starts this program by itself, for each pod or container whose runtime is ${runtimeName}. People configure it in containerd, and seldom run it.`,
      "start runs in a bundle: it starts the process that serves the pod, and prints where. That process goes on until the pod ends.",
    ],
    options: order.map((flag) => ({ name: flag, ...flags[flag] })),
    commands: [
      {
        name: "start",
        synopsis: "",
        summary: "start the serving process of the pod whose bundle this is, and print its address",
      },
      {
        name: "delete",
        synopsis: "",
        summary: "end what is left of a pod whose shim has gone, and print an exit status",
      },
      {
        name: "sandboxer",
        synopsis: "",
        summary: "serve all pods of the machine by one process, which containerd knows as a sandbox controller",
      },
    ],
    environment: variables,
    files,
    exitCodes: [
      { code: exitCodes.done, meaning: "done; for the serving process: the pod has ended in order" },
      { code: exitCodes.failed, meaning: "failed; the reason is on standard error" },
      {
        code: exitCodes.refused,
        meaning:
          "refused: the command line, the environment or the bundle is wrong. Nothing was started, no file was made",
      },
    ],
    examples: [
      {
        meaning: "run a container with this shim:",
        command: `ctr run --rm --runtime ${runtimeName} docker.io/library/${guests === "Linux" ? "alpine:latest hello echo hello" : "hello-world:nanoserver hello"}`,
      },
      {
        meaning: "clean up by hand what a shim left that was killed, as containerd does:",
        command: `cd <bundle> && ${name} -namespace k8s.io -id <id> -address /run/containerd/containerd.sock delete`,
      },
    ],
    seeAlso: ["uvm-diag(8)", ...(guests === "Linux" ? ["hcs-emulator(8)"] : [])],
  };
}

/** The answer to `-help`. */
export function shimHelp(options: ShimName): string {
  return helpText(shimManual(options));
}
