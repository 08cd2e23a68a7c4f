import { checked, checkWholeTexts } from "@uvm-shim/container-common";
import type { WindowsProcessDescription } from "@uvm-shim/controller-process";
import { checkOciWindowsProcess, type OciWindowsProcess } from "@uvm-shim/hcs-schema";
import { codeOf, messageOf, type Refuse } from "@uvm-shim/lifecycle";
import { processParameters } from "@uvm-shim/sandbox-wcow";

const noStreams = { stdin: false, stdout: false, stderr: false };

/** A process as a client sends it for an exec, as parsed JSON, unchecked. */
export function checkedProcess(value: unknown, refuse: Refuse): OciWindowsProcess {
  const process = checked(() => checkOciWindowsProcess(value), "process", refuse);
  checkWholeTexts(process, "process", refuse);
  return process;
}

/** `where` is the process's place in the request, for messages. */
export function describedProcess(
  process: OciWindowsProcess,
  annotations: { readonly [key: string]: string },
  where: string,
  refuse: Refuse,
): WindowsProcessDescription {
  const { CommandLine = "", User, WorkingDirectory, Environment, ConsoleSize } = parametersOf();
  if (CommandLine.trim() === "") {
    throw refuse("InvalidArgument", `${where} has neither args nor commandLine, expected a program to run`);
  }
  return {
    CommandLine,
    ...(User !== undefined && { User }),
    ...(WorkingDirectory !== undefined && { WorkingDirectory }),
    ...(Environment !== undefined && { Environment }),
    ...(ConsoleSize !== undefined && { ConsoleSize }),
  };

  function parametersOf() {
    try {
      return processParameters({ process, annotations, streams: noStreams });
    } catch (error) {
      throw refuse(codeOf(error), `${where}: ${messageOf(error)}`, error);
    }
  }
}
