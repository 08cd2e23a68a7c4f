import type { SchemaTypes } from "./schema.ts";

/** Processes in compute systems. */
export const processTypes = {
  ProcessParameters: {
    ApplicationName: "string 2.0",
    CommandLine: "string 2.0",
    CommandArgs: "string[] 2.0",
    User: "string 2.0",
    WorkingDirectory: "string 2.0",
    Environment: "{string} 2.0",
    RestrictedToken: "bool 2.0",
    EmulateConsole: "bool 2.0",
    CreateStdInPipe: "bool 2.0",
    CreateStdOutPipe: "bool 2.0",
    CreateStdErrPipe: "bool 2.0",
    ConsoleSize: "uint16[] 2.0",
    UseExistingLogin: "bool 2.0",
    UseLegacyConsole: "bool 2.0",
  },
  ProcessModifyRequest: {
    Operation: "ModifyOperation 2.0",
    ConsoleSize: "ConsoleSize 2.0",
    CloseHandle: "CloseHandle 2.0",
  },
  ModifyOperation: ["ConsoleSize 2.0", "CloseHandle 2.0"],
  ConsoleSize: {
    Height: "uint16 2.0",
    Width: "uint16 2.0",
  },
  CloseHandle: {
    Handle: "StdHandle 2.0",
  },
  StdHandle: ["StdIn 2.0", "StdOut 2.0", "StdErr 2.0", "All 2.1"],
  ProcessStatus: {
    ProcessId: "uint32 2.1",
    Exited: "bool 2.1",
    ExitCode: "uint32 2.1",
    LastWaitResult: "int32 2.1",
  },
  SignalProcessOptions: {
    Signal: "ProcessSignal 2.1",
  },
  ProcessSignal: ["CtrlC 2.1", "CtrlBreak 2.1", "CtrlClose 2.1", "CtrlLogOff 2.1", "CtrlShutdown 2.1"],
} as const satisfies SchemaTypes;
