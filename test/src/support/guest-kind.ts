/** The kind of guest that the VMs of a run have, and how long the run waits for what they do. */

/** Shims, and through them the emulated host, read it: a run's whole environment has it. */
export const GUEST_VARIABLE = "UVM_SHIM_GUEST";

/** `process`: on the kernel of the machine. `qemu`: a virtual machine with a kernel of its own. */
export const guestKinds = ["process", "qemu"] as const;
export type GuestKind = (typeof guestKinds)[number];

/**
 * A VM without KVM boots in 10 to 15 s on two processors that others want too, and a program in it starts in a tenth of a
 * second; a process guest boots in 0.1 s.
 */
const PATIENCE: { readonly [kind in GuestKind]: number } = { process: 1, qemu: 5 };

export function guestKindOf(environment: NodeJS.ProcessEnv): GuestKind {
  const name = environment[GUEST_VARIABLE] || "process";
  const kind = guestKinds.find((one) => one === name);
  if (kind === undefined) throw new Error(`invalid ${GUEST_VARIABLE} ${name}: expected ${guestKinds.join(" or ")}`);
  return kind;
}

/** Of this run: programs that are run again, isolated, have it from their environment. */
export const guestKind = guestKindOf(process.env);

/** A wait, given for process guests, for the kind of guest of this run. */
export function patient(milliseconds: number, kind: GuestKind = guestKind): number {
  return milliseconds * PATIENCE[kind];
}

/** For what a pod, its containers and their processes do. */
export const WAIT_MS = patient(20_000);
/** For a container that is started, its VM included. */
export const READY_MS = patient(30_000);
/** For a call to containerd. */
export const CALL_MS = patient(20_000);
/** For a command that is run to its end. */
export const COMMAND_MS = patient(60_000);
/** For the end of what a pod has held. */
export const NOTHING_LEFT_MS = patient(15_000);
