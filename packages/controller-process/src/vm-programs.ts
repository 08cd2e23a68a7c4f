import type { ProcessFlavour } from "./types.ts";

/** A program of the VM itself. */
export interface VmProgramDescription {
  readonly args: readonly string[];
  /** Empty for the guest's usual one. */
  readonly workingDirectory: string;
}

/** How the VM is told to run it; `VmController.execute` of controller-vm takes it. */
export interface VmProgramCommand extends VmProgramDescription {
  readonly terminal: boolean;
  readonly stdin: boolean;
  readonly stdout: boolean;
  readonly stderr: boolean;
}

/** Programs of the VM itself, which are signalled and end as processes of its containers do. */
export function vmPrograms<Signal>(
  flavour: ProcessFlavour<never, unknown, Signal>,
): ProcessFlavour<VmProgramDescription, VmProgramCommand, Signal> {
  return {
    ...flavour,
    parameters: ({ description, pipes }) => ({
      ...{ args: [], workingDirectory: "", ...description },
      terminal: pipes.EmulateConsole,
      stdin: pipes.CreateStdInPipe,
      stdout: pipes.CreateStdOutPipe,
      stderr: pipes.CreateStdErrPipe,
    }),
  };
}
