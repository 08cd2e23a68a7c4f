/**
 * The stdio of a container that has been created but not started: its first process already has it, but the host's
 * connections come only with the start.
 */
import { closeSync } from "node:fs";
import { pipes } from "@uvm-shim/linux-calls";
import type { ChildStdio, RuntimeProcess } from "../container/runtime.ts";
import type { AgentEnds, StdioRelay } from "./stdio-relay.ts";

type Pipe = ReturnType<typeof pipes>[number];

/** The stdio of a container's first process, which exists before the host asks for it. */
export interface HeldStdio {
  /** Connects it with the host. */
  handTo(relay: StdioRelay): void;
  /** For a container that will not be started. Repeatable; does nothing after `handTo`. */
  close(): void;
}

/** Launches a process with a terminal, or with three pipes. */
export async function holdStdio(
  hasTerminal: boolean,
  launch: (stdio: ChildStdio) => Promise<RuntimeProcess>,
): Promise<{ readonly made: RuntimeProcess; readonly stdio: HeldStdio }> {
  if (!hasTerminal) return await holdPipes(launch);
  const made = await launch(["ignore", "ignore", "ignore"]);
  const { terminal } = made;
  return {
    made,
    stdio: once(
      (relay) => {
        if (terminal !== undefined) relay.startTerminal(terminal);
      },
      () => {
        if (terminal !== undefined) closeSync(terminal);
      },
    ),
  };
}

async function holdPipes(launch: (stdio: ChildStdio) => Promise<RuntimeProcess>) {
  const [input, output, errors] = pipes(3) as readonly [Pipe, Pipe, Pipe];
  const processEnds = [input.readFd, output.writeFd, errors.writeFd] as const;
  const agentEnds: AgentEnds = { StdIn: input.writeFd, StdOut: output.readFd, StdErr: errors.readFd };
  const closeAgentEnds = (): void => {
    for (const end of Object.values(agentEnds)) closeSync(end);
  };
  try {
    const made = await launch(processEnds);
    return { made, stdio: once((relay) => relay.startHeldPipes(agentEnds), closeAgentEnds) };
  } catch (error) {
    closeAgentEnds();
    throw error;
  } finally {
    for (const end of processEnds) closeSync(end);
  }
}

function once(handTo: (relay: StdioRelay) => void, close: () => void): HeldStdio {
  let isHeld = true;
  const act = (what: () => void): void => {
    if (!isHeld) return;
    isHeld = false;
    what();
  };
  return { handTo: (relay) => act(() => handTo(relay)), close: () => act(close) };
}
