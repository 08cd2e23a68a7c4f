import { bootVariable, virtualMachineVariable } from "@uvm-shim/host-protocol/guest";

/** What a program says to whoever starts it by hand, and its exit code. */
export interface Answer {
  readonly text: string;
  readonly code: number;
}

/** For a person who runs an agent outside of a guest: what it is, and who starts it. Undefined in a guest. */
export function answerByHand(
  guest: "Linux" | "Windows",
  argv: readonly string[],
  env: { readonly [name: string]: string | undefined },
): Answer | undefined {
  if (env[bootVariable] !== undefined || env[virtualMachineVariable] !== undefined) return undefined;
  const asked = argv.includes("-h") || argv.includes("--help");
  const text = `guest agent: hcs-emulator boots this program as the first process of an emulated ${guest} guest, and tells it by ${bootVariable} what its machine is. It has no options, and does nothing elsewhere.\n`;
  return { text, code: asked ? 0 : 2 };
}
