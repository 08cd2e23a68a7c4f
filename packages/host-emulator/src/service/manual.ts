/** What hcs-emulator says of itself. Loaded only when somebody asks. */
import { helpText, type OptionManual, type ProgramManual, type VariableManual } from "@uvm-shim/command-line";
import { defaultHostSocket, hostVariables } from "@uvm-shim/host-protocol";
import { defaultIdleMs, exitCodes } from "./constants.ts";
import type { flagNames } from "./flags.ts";

const flags: { readonly [Name in (typeof flagNames)[number]]: Omit<OptionManual, "name"> } = {
  socket: {
    value: "PATH",
    meaning: `where it listens, or where the host listens that is asked (default: ${defaultHostSocket})`,
  },
  state: { value: "FOLDER", meaning: "what it keeps of its systems (default: the folder of the socket)" },
  devices: { value: "FILE", meaning: `file that declares assignable devices (default: ${hostVariables.devices})` },
  freeze: { value: "SYSTEM", meaning: "stop the guest of a system of the running host, to try what shims do then" },
  thaw: { value: "SYSTEM", meaning: "let it go on" },
};

const variables: { readonly [Name in keyof typeof hostVariables]: Omit<VariableManual, "name"> } = {
  idleMs: {
    value: "MILLISECONDS",
    meaning: "how long it goes on without systems and clients",
    standard: String(defaultIdleMs),
  },
  devices: {
    value: "FILE",
    meaning: "file that declares the devices which can be assigned to VMs",
    standard: "no devices",
  },
  wine: {
    value: "FOLDER",
    meaning: "root folder of a Linux with Wine, for Windows guests",
    standard: "uvm-shim/wine/wine-10.1 in $XDG_CACHE_HOME, else in ~/.cache",
  },
  qemu: {
    value: "FOLDER",
    meaning: "folder with usr that has QEMU and diod, for virtual machines",
    standard: "LinuxVmBootFiles/qemu beside the program, else what the machine has installed",
  },
  cpuGroups: { value: "GUID=PROCESSORS;…", meaning: "CPU groups, such as <GUID>=0-3,7", standard: "no groups" },
};

/** The command line of `hcs-emulator`, from which help, man page and completions are made. */
export const manual: ProgramManual = {
  name: "hcs-emulator",
  summary: "emulated Hyper-V host, for machines without Hyper-V",
  section: 8,
  dash: "--",
  synopsis: ["[--socket PATH] [--state FOLDER] [--devices FILE]", "--freeze SYSTEM | --thaw SYSTEM [--socket PATH]"],
  description: [
    "The first shim of a machine without Hyper-V starts this program by itself, with what the variables below say; all shims share it, and it ends when it is idle. Start it yourself to give it another socket, and name that to containerd's shims by UVM_SHIM_HOST=unix:PATH.",
    "Its VMs are processes of this machine's own kernel: they are no security boundary. It needs root.",
  ],
  options: [
    ...(Object.keys(flags) as (keyof typeof flags)[]).map((name) => ({ name, ...flags[name] })),
    { name: "version", short: "v", meaning: "print the version" },
    { name: "help", short: "h", meaning: "print this text" },
  ],
  commands: [],
  environment: (Object.keys(variables) as (keyof typeof variables)[]).map((name) => ({
    name: hostVariables[name],
    ...variables[name],
  })),
  files: [
    { path: defaultHostSocket, meaning: "the socket" },
    { path: "<state>/emulator.log", meaning: "its log, where a shim started it" },
    { path: "<state>/lock", meaning: "held while it runs: a second one for the same state ends at once, with 0" },
  ],
  exitCodes: [
    { code: exitCodes.done, meaning: "it was idle, was told to end, or another one serves already" },
    { code: exitCodes.failed, meaning: "failed, or not root; the reason is on standard error" },
    { code: exitCodes.refused, meaning: "the command line or the environment is wrong. Nothing was done" },
  ],
  examples: [
    {
      meaning: "a host of your own, which ends after an hour without use:",
      command: `${hostVariables.idleMs}=3600000 hcs-emulator --socket /run/mine/host.sock`,
    },
    { meaning: "a guest that does not answer any more:", command: "hcs-emulator --freeze k8s.io-<sandbox id>@vm" },
  ],
  seeAlso: ["containerd-shim-lcow-v2(8)", "containerd-shim-wcow-v2(8)"],
};

/** The answer to `--help`. */
export function emulatorHelp(): string {
  return helpText(manual);
}
