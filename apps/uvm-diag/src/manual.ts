import type { ArgumentManual, CommandManual, OptionManual, ProgramManual } from "@uvm-shim/command-line";
import { exitCodes } from "./errors.ts";

const pod: ArgumentManual = {
  name: "POD",
  meaning: "a pod's id, <namespace>/<id>, the id of one of its containers, or the beginning of one of these",
  completes: "pod",
};

const json: OptionManual = { name: "json", meaning: "the answer as JSON, for programs" };
const record: OptionManual = {
  name: "record",
  value: "FILE",
  meaning: "read this record instead of asking for a pod's, for example one from another machine",
};

/** Options of the commands that show lines of a record one by one. */
function linesOf(next: string): readonly OptionManual[] {
  return [
    { name: "follow", short: "f", meaning: `go on with what ${next} next, until Ctrl-C or the end of the shim` },
    { name: "json", meaning: "the lines of the record as they are" },
    record,
  ];
}

const commands: readonly CommandManual[] = [
  {
    name: "list",
    synopsis: "[--json | --ids]",
    summary: "pods with their shims, VMs, containers and execs",
    description: [
      "Shows the pods that a shim serves (on Linux by the processes of the shims, on Windows by their named pipes), those whose bundles are left, and those whose shim is gone but left a record. Shims of hcsshim that serve its diagnostic service are listed too.",
    ],
    options: [json, { name: "ids", meaning: "only the names of the pods, one a line" }],
  },
  {
    name: "state",
    synopsis: "[POD] [--json]",
    summary: "state machines, what is held, and since when",
    description: [
      "The VM, containers, processes, disks, shares, networks and devices of a pod with their states; calls that are not answered yet, and what the shim waits for. Without POD: all pods. The shim answers without asking host or guest, so it also answers while they hang.",
    ],
    arguments: [pod],
    options: [json],
  },
  {
    name: "events",
    synopsis: "POD [--follow] [--json]",
    summary: "what was observed: requests, steps, calls to host and guest, changes of state",
    arguments: [pod],
    options: linesOf("happens"),
  },
  {
    name: "timeline",
    synopsis: "POD [--html FILE] [--json]",
    summary: "each step of a pod's life with its duration, as bars or as a page",
    arguments: [pod],
    options: [
      {
        name: "html",
        value: "FILE",
        meaning: "write one self-contained page with a picture; - writes it to standard output",
      },
      json,
      record,
    ],
    examples: [
      {
        command: "uvm-diag timeline web --html web.html",
        meaning: "A page that can be opened anywhere and attached to a ticket:",
      },
    ],
  },
  {
    name: "logs",
    synopsis: "POD [--guest | --shim] [--activity ID] [--follow] [--json]",
    summary: "what shim and guest logged, with the ids that connect their lines",
    arguments: [pod],
    options: [
      { name: "guest", meaning: "only lines of the guest" },
      { name: "shim", meaning: "only lines of the shim" },
      {
        name: "activity",
        value: "ID",
        meaning: "only lines that belong to this request, by its activity id or the beginning of it",
      },
      ...linesOf("is logged"),
    ],
  },
  {
    name: "exec",
    synopsis: "[-i] [-t] [--workdir FOLDER] POD -- PROGRAM [ARGUMENTS]",
    summary: "run a program in the VM itself, outside of its containers",
    description: [
      "Ends with the program's exit code. If uvm-diag itself fails the code is 125.",
      "hcsshim's service has no call that changes the size of a terminal: the program sees the size that the guest gives it. In a shell there, `stty rows 50 cols 160` sets it.",
      "With -t, three times Ctrl-] leaves at once, and ends the program, when nothing answers any more.",
    ],
    arguments: [
      pod,
      {
        name: "PROGRAM",
        meaning: "a program of the guest; its own options follow it, which is what the two dashes are for",
      },
    ],
    options: [
      { name: "interactive", short: "i", meaning: "pass standard input on" },
      { name: "tty", short: "t", meaning: "with a terminal" },
      { name: "workdir", value: "FOLDER", meaning: "the folder in the VM to start in" },
    ],
    examples: [
      { command: "uvm-diag exec -it web -- /bin/sh", meaning: "A shell in the VM of the pod web:" },
      { command: "uvm-diag exec web -- dmesg", meaning: "What the guest's kernel says:" },
    ],
  },
  {
    name: "stacks",
    synopsis: "POD [--json]",
    summary: "what the shim waits for, and the stacks of the guest's agent",
    arguments: [pod],
    options: [json],
  },
  {
    name: "share",
    synopsis: "POD HOSTPATH VMPATH [--read-only]",
    summary: "show a folder or file of the host in the running VM",
    description: ["It stays until the pod ends."],
    arguments: [
      pod,
      { name: "HOSTPATH", meaning: "what to share; a single file is shared alone", completes: "folder" },
      { name: "VMPATH", meaning: "where it appears in the VM" },
    ],
    options: [{ name: "read-only", short: "r", meaning: "the VM cannot change it" }, json],
  },
  {
    name: "pid",
    synopsis: "POD [--json]",
    summary: "the process id of the pod's shim",
    arguments: [pod],
    options: [json],
  },
  {
    name: "tasks",
    synopsis: "POD [--execs] [--json]",
    summary: "the tasks that the shim has, as hcsshim's service tells them",
    arguments: [pod],
    options: [{ name: "execs", meaning: "with their processes and states" }, json],
  },
  {
    name: "why",
    synopsis: "POD [--json]",
    summary: "why a pod failed or hangs, in a sentence, with evidence",
    description: [
      `Looks at the record, the state and the log of the pod, and at the machine. The exit code is ${exitCodes.causeFound} if a cause was found and 0 if nothing seems to be wrong.`,
    ],
    arguments: [pod],
    options: [json, record],
  },
  {
    name: "dump",
    synopsis: "POD [--vm]",
    summary: "the shim's state as it writes it to its log on SIGUSR1",
    arguments: [pod],
    options: [{ name: "vm", meaning: "instead, what host and guest say of the VM, as JSON" }],
  },
];

export const manual: ProgramManual = {
  name: "uvm-diag",
  summary: "show and explain the pods of uvm-shim",
  synopsis: ["COMMAND [ARGUMENTS] [OPTIONS]", "COMMAND --help"],
  description: [
    "People start it, as root, on the machine where the pods run. It talks to the shims over their own sockets, with hcsshim's diagnostic service (containerd.runhcs.v1.diag.ShimDiag) and that of uvm-shim. list, exec, stacks, share, pid and tasks therefore also work with shims of hcsshim, and hcsshim's shimdiag works with these.",
  ],
  section: 8,
  dash: "--",
  options: [
    { name: "socket", value: "PATH", meaning: "ask the shim that serves this socket, instead of looking for POD" },
    { name: "timeout", value: "SECONDS", meaning: "how long a shim may take to answer (default: 10)" },
    { name: "help", short: "h", meaning: "this help; after a command, its own" },
    { name: "version", short: "v", meaning: "print the version" },
  ],
  commands,
  examples: [
    { command: "uvm-diag list", meaning: "What runs here:" },
    { command: "uvm-diag why web", meaning: "Why does the pod web not start?" },
    { command: "uvm-diag logs web --guest --follow", meaning: "What its guest says, as it says it:" },
  ],
  exitCodes: [
    { code: exitCodes.done, meaning: "done; also if there are no pods to list" },
    { code: exitCodes.failed, meaning: "failed: the shim refused, hangs, or is gone" },
    { code: exitCodes.usage, meaning: "the command line is wrong; nothing was done" },
    { code: exitCodes.unknownPod, meaning: "there is no such pod, or more than one" },
    { code: exitCodes.unsupported, meaning: "this shim does not have what was asked for" },
    { code: exitCodes.notPermitted, meaning: "this needs root, or an administrator" },
    { code: exitCodes.causeFound, meaning: "of why: a cause was found" },
    { code: exitCodes.execFailed, meaning: "of exec: uvm-diag failed; other codes are the program's" },
  ],
  environment: [
    {
      name: "UVM_SHIM_RECORDS",
      value: "FOLDER",
      meaning: "where shims record what happens to their pods, if not in the usual folder",
      standard: "/run/uvm-shim/pods",
    },
    { name: "NO_COLOR", meaning: "if not empty: no colours" },
  ],
  files: [
    { path: "/run/uvm-shim/pods", meaning: "records of pods, <namespace>/<id>.jsonl; those of pods that failed stay" },
  ],
  seeAlso: ["containerd-shim-lcow-v2(8)", "containerd-shim-wcow-v2(8)", "ctr(8)"],
};
